//! The buckets that the bars of one series are gathered in.
//!
//! Invariants: buckets are ordered by timeframe, smallest first; a bucket that is gathered has at
//! least one part; `settled` is the content of the bucket at the horizon ([`Horizon`]) without the
//! parts that can be corrected, so that every bucket since can be folded again.

mod gathering;
mod rebuild;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bucket::{is_made_of, part_end};
use super::calendar::Calendar;
use super::content::{Content, Part};
use super::horizon::{Horizon, Moved};
use super::plan::Plan;
use super::trades::Trades;
use crate::market::{Bar, BarEvent, Finality, Timeframe, Timestamp};
use gathering::{Gathering, Place, Stage};

/// The completeness of a derived bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    /// Bars of the smallest timeframe that it was derived from.
    #[serde(rename = "parts")]
    pub have: u64,
    /// Bars that it would have if none were missing; `null` where that is not known.
    #[serde(rename = "parts_expected")]
    pub expected: Option<u64>,
}

/// A bar that was derived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DerivedBar {
    /// Its length.
    pub timeframe: Timeframe,
    /// The bar.
    pub bar: Bar,
    /// Its completeness.
    pub parts: Parts,
    /// False while its bucket is open.
    pub is_final: bool,
}

impl DerivedBar {
    /// The bar of `symbol`, to be taken in.
    #[must_use]
    pub const fn event<'a>(&self, symbol: &'a str) -> BarEvent<'a> {
        BarEvent {
            symbol: Cow::Borrowed(symbol),
            timeframe: self.timeframe,
            bar: self.bar,
            finality: if self.is_final {
                Finality::Final
            } else {
                Finality::Forming
            },
            adjusted: false,
            source: None,
        }
    }
}

/// Room for a content on trial, so that none is allocated.
#[derive(Debug, Default)]
pub struct Scratch(Content);

/// The open buckets of a series, one per derived timeframe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Derivation {
    part: Timeframe,
    /// The newest bar taken in.
    newest: Option<Timestamp>,
    gathered: Vec<Gathering>,
}

impl Derivation {
    /// Gathers bars of `part` for those timeframes of `plan` that they add up to and that `wanted`
    /// says yes to, `since` the open of the first bar. `None` where there is no such timeframe.
    #[must_use]
    pub fn new(
        plan: &Plan,
        part: Timeframe,
        since: Timestamp,
        wanted: impl Fn(Timeframe) -> bool,
    ) -> Option<Self> {
        let gathered: Vec<Gathering> = plan
            .timeframes()
            .iter()
            .filter(|timeframe| is_made_of(**timeframe, part) && wanted(**timeframe))
            .map(|timeframe| Gathering {
                timeframe: *timeframe,
                seen_since: since,
                place: None,
                settled: Content::default(),
                content: Content::default(),
                horizon: Horizon::since(since),
            })
            .collect();
        (!gathered.is_empty()).then_some(Self {
            part,
            newest: None,
            gathered,
        })
    }

    /// The memory that it takes by `plan`, in bytes.
    #[must_use]
    pub fn bytes(plan: &Plan) -> usize {
        let gathering = size_of::<Gathering>() + 2 * Content::ROOM_ASIDE;
        if plan.is_empty() {
            0
        } else {
            size_of::<Self>() + plan.timeframes().len() * gathering
        }
    }

    /// Buckets that take bars.
    #[must_use]
    pub fn open_buckets(&self) -> usize {
        let places = self.gathered.iter().filter_map(|one| one.place);
        places.filter(|place| place.stage == Stage::Open).count()
    }

    /// The timeframe and the end of each bucket that takes bars, smallest timeframe first.
    pub fn open_ends(&self) -> impl Iterator<Item = (Timeframe, Timestamp)> {
        self.gathered.iter().filter_map(|one| {
            let place = one.place.filter(|place| place.stage == Stage::Open)?;
            Some((one.timeframe, place.bucket.end))
        })
    }

    /// Closes the bucket of `timeframe`, if it still takes bars, and appends its bar to `out`.
    /// Later parts revise that bar.
    pub fn close(&mut self, timeframe: Timeframe, out: &mut Vec<DerivedBar>) {
        let one = self.gathered.iter_mut();
        let Some(one) = one.into_iter().find(|one| one.timeframe == timeframe) else {
            return;
        };
        if let Some(place) = one.place.filter(|place| place.stage == Stage::Open) {
            let stage = Stage::Closed;
            one.place = Some(Place { stage, ..place });
            out.push(one.derived(&place, &one.content, true));
        }
    }

    /// Drops a timeframe with its open bucket; false if it is not derived.
    pub fn give_up(&mut self, timeframe: Timeframe) -> bool {
        let before = self.gathered.len();
        self.gathered.retain(|one| one.timeframe != timeframe);
        self.gathered.len() < before
    }

    /// Closes every bucket that ends at `at` or earlier, and appends its bar to `out`: of several,
    /// the one that ends earlier first, and of those that end together the smaller.
    pub fn close_until(&mut self, at: Timestamp, out: &mut Vec<DerivedBar>) {
        while let Some(one) = self
            .gathered
            .iter_mut()
            .filter(|one| {
                one.place
                    .is_some_and(|place| place.stage == Stage::Open && place.bucket.end <= at)
            })
            // the first of several that are equal, and so the smaller
            .min_by_key(|one| one.place.map(|place| place.bucket.end))
        {
            let Some(place) = &mut one.place else { return };
            place.stage = Stage::Closed;
            let place = *place;
            out.push(one.derived(&place, &one.content, true));
        }
    }

    /// Adds a final bar that is later than all before it and has `moved` the horizon. Appends to
    /// `out` the bars of the buckets that it completes, smallest first, and revised bars of buckets
    /// that were closed early. Call [`Self::close_until`] with its open first. Returns the first
    /// timeframe whose bucket it does not fit in: it begins in one and ends in the next, so neither
    /// of the two gives a bar. `trades` are those that the bars were built from, if they were.
    pub fn append(
        &mut self,
        bar: &Bar,
        moved: &Moved,
        trades: Option<&Trades>,
        calendar: &Calendar,
        out: &mut Vec<DerivedBar>,
    ) -> Option<Timeframe> {
        let open = bar.timestamp;
        let end = part_end(self.part, calendar.zone(), open);
        self.newest = Some(open);
        let moved = moved.inside(|at| !calendar.is_outside(self.part, at));
        let is_outside = calendar.is_outside(self.part, open);
        let mut straddled = None;
        for one in &mut self.gathered {
            if !is_outside && !one.append(bar, end, (self.part, calendar), trades, out) {
                straddled = straddled.or(Some(one.timeframe));
            }
            one.settle(&moved, (self.part, calendar), trades);
        }
        straddled
    }

    /// Follows a bar at `at` that was replaced, or inserted if it has `moved` the horizon. Appends
    /// to `out` the bars of its closed buckets, smallest first, and those of the buckets that it
    /// completes. `correctable` are the bars since the horizon, oldest first, with the `trades` that
    /// they were built from, if they were. Returns the same as [`Self::append`]. A bucket that the
    /// bar does not fit in keeps the bar that it gave before, if any.
    pub fn revise(
        &mut self,
        at: Timestamp,
        moved: Option<&Moved>,
        (correctable, trades): (&[Bar], Option<&Trades>),
        calendar: &Calendar,
        out: &mut Vec<DerivedBar>,
    ) -> Option<Timeframe> {
        if correctable
            .first()
            .is_none_or(|oldest| at < oldest.timestamp)
        {
            return None;
        }
        let inside = |at| !calendar.is_outside(self.part, at);
        let (is_inside, is_inserted) = (inside(at), moved.is_some());
        let moved = moved.map(|moved| moved.inside(inside));
        let mut straddled = None;
        for one in &mut self.gathered {
            if let Some(moved) = &moved {
                one.settle(moved, (self.part, calendar), trades);
            }
            if is_inside && !one.revise(at, correctable, (self.part, calendar), trades, out) {
                straddled = straddled.or(Some(one.timeframe));
            }
        }
        straddled.filter(|_| is_inserted)
    }

    /// Settles every bar: none of them can be corrected from now on.
    pub fn settle_all(&mut self) {
        for one in &mut self.gathered {
            let place = one.place_at(self.newest);
            one.horizon.set(place.map(|place| place.bucket));
            one.settled.clone_from(&one.content);
        }
    }

    /// Takes out the horizons, which no format writes with the rest.
    pub fn take_horizons(&mut self) -> Vec<Horizon> {
        let each = self.gathered.iter_mut();
        each.map(|one| std::mem::take(&mut one.horizon)).collect()
    }

    /// Puts back the horizons of [`Self::take_horizons`]; false if they are of other timeframes.
    pub fn put_horizons(&mut self, horizons: Vec<Horizon>) -> bool {
        let fits = horizons.len() == self.gathered.len();
        for (one, horizon) in self.gathered.iter_mut().zip(horizons) {
            one.horizon = horizon;
        }
        fits
    }

    /// Restores the horizons from the rest, which is possible if only the newest bar can be
    /// corrected.
    pub fn put_newest_horizons(&mut self) {
        for one in &mut self.gathered {
            let place = one.place_at(self.newest);
            one.horizon = Horizon::since(one.seen_since);
            one.horizon.set(place.map(|place| place.bucket));
        }
    }

    /// Appends the bars of the open buckets to `out`, as they would be with a `forming` bar that is
    /// later than all before it, or as they are without one. Changes nothing but `scratch`.
    pub fn peek(
        &self,
        forming: Option<&Bar>,
        calendar: &Calendar,
        scratch: &mut Scratch,
        out: &mut Vec<DerivedBar>,
    ) {
        let forming = forming.filter(|bar| !calendar.is_outside(self.part, bar.timestamp));
        let end = forming.and_then(|bar| part_end(self.part, calendar.zone(), bar.timestamp));
        for one in &self.gathered {
            let Some(bar) = forming else {
                if let Some(place) = one.place.filter(|place| place.stage == Stage::Open) {
                    out.push(one.derived(&place, &one.content, false));
                }
                continue;
            };
            let place = one.place_of(self.part, calendar, bar.timestamp);
            let Some(place) = place.filter(|place| place.stage == Stage::Open) else {
                continue;
            };
            if end.is_none_or(|end| end > place.bucket.end) {
                continue;
            }
            let Scratch(content) = scratch;
            if one.place == Some(place) {
                content.clone_from(&one.content);
            } else {
                content.clear();
            }
            content.add(Part::of(bar, None));
            out.push(one.derived(&place, content, false));
        }
    }

    /// True if a deserialized state can be worked with: it derives timeframes of `plan` from bars
    /// of `part`, the newest of which opened at `newest` and the oldest correctable one at `oldest`,
    /// and its buckets and numbers are possible.
    #[must_use]
    pub fn is_sound(
        &self,
        plan: &Plan,
        part: Timeframe,
        newest: Option<Timestamp>,
        oldest: Option<Timestamp>,
    ) -> bool {
        let timeframes = || self.gathered.iter().map(|one| one.timeframe);
        self.part == part
            && self.newest == newest
            && !self.gathered.is_empty()
            && timeframes().all(|one| plan.timeframes().contains(&one) && is_made_of(one, part))
            && timeframes().is_sorted_by(|a, b| a.nanos() < b.nanos())
            && self
                .gathered
                .iter()
                .all(|one| one.is_sound(part, plan.calendar(), newest, oldest))
    }
}

#[cfg(test)]
mod tests;
