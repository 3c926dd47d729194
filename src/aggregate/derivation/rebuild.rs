//! Buckets of a series that is rebuilt with bars of the past.

use super::{Derivation, DerivedBar, Gathering, Place, Stage};
use crate::market::Timeframe;

impl Derivation {
    /// Closes the buckets that are closed in `other`, which gathers bars of the same series.
    /// Appends their bars to `out`, smallest first.
    pub fn close_as(&mut self, other: &Self, out: &mut Vec<DerivedBar>) {
        let is_closed = |place: &Place| place.stage == Stage::Closed;
        let closed = other.gathered.iter().filter_map(|one| {
            let place = one.place.filter(is_closed)?;
            Some((one.timeframe, place.bucket))
        });
        for (timeframe, bucket) in closed {
            let at_work = |one: &&Gathering| one.timeframe == timeframe;
            let place = self.gathered.iter().find(at_work).and_then(|one| one.place);
            if place.is_some_and(|place| place.bucket == bucket && place.stage == Stage::Open) {
                self.close(timeframe, out);
            }
        }
    }

    /// Drops the timeframes for which `wanted` is false, with their open buckets.
    pub fn retain(&mut self, wanted: impl Fn(Timeframe) -> bool) {
        self.gathered.retain(|one| wanted(one.timeframe));
    }

    /// True if no timeframe is derived any more.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }
}
