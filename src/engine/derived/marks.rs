//! Buckets that close because time has passed, while their series is silent.
//!
//! A time mark closes the buckets that ended a grace before it, and so does the end of a file those
//! that are open then. Their bars are those that the next bar of their series would have closed them
//! with: a mark changes when they come.
//!
//! The order is the same wherever a mark is taken in: what ended earlier comes first, of what ended
//! together the smaller, and of those the symbols in the order of their names.

use super::Deriving;
use crate::aggregate::Derivation;
use crate::engine::{Engine, Series, SeriesId};
use crate::market::{Symbol, Timeframe, Timestamp};

/// Buckets that one mark closes, at most. The next mark closes those that are left.
const CLOSED_MOST: usize = 4_096;

/// A bucket that is to be closed.
struct Due {
    end: Timestamp,
    timeframe: Timeframe,
    symbol: Symbol,
    series: SeriesId,
}

impl Deriving {
    /// Notes when the open buckets of a series end.
    pub(super) fn note_ends(&mut self, gathered: &Derivation) {
        let ends = gathered.open_ends().map(|(_, end)| end);
        self.first_end = self.first_end.into_iter().chain(ends).min();
    }
}

impl Engine {
    /// Closes the buckets that ended at `at` less the grace, or earlier; of many, the first 4,096.
    /// Their bars are to be taken in with [`Self::next_derived`] until there is none left. Returns how
    /// many it closed.
    pub fn close_by_mark(&mut self, at: Timestamp) -> usize {
        let closed = self.close_ended(at.after(-self.grace()));
        if let Some(deriving) = &mut self.deriving {
            deriving.totals.marked += closed as u64;
        }
        closed
    }

    /// Closes every bucket that is open, as no more bars come; of many, the first 4,096. Their bars
    /// are to be taken in as those of [`Self::close_by_mark`].
    pub fn close_at_end(&mut self) -> usize {
        self.close_ended(Timestamp::from_nanos(i64::MAX))
    }

    /// The mark that is to be taken in at `now`, for the buckets of symbols that are `wanted`; `None`
    /// where it would close nothing.
    ///
    /// A bucket is due a grace after its end. One whose newest part came later than that holds bars of
    /// the past, which may still be on their way one after the other: it is due a grace after that
    /// part. The mark is no later than these buckets need, so that it leaves later ones alone.
    pub fn mark_due(
        &mut self,
        now: Timestamp,
        wanted: impl Fn(&Symbol) -> bool,
    ) -> Option<Timestamp> {
        let grace = self.grace();
        let first = self.deriving.as_ref().and_then(|one| one.first_end);
        if first.is_none_or(|end| end.after(grace) > now) {
            return None;
        }
        let mut first: Option<Timestamp> = None;
        let mut mark: Option<Timestamp> = None;
        for (symbol, id, _, end) in self.open_ends() {
            first = Some(first.map_or(end, |first| first.min(end)));
            let by = end.after(grace);
            let touched = self.get(id).map(Series::touched);
            let is_due = match touched.filter(|touched| *touched > by) {
                Some(touched) => touched.after(grace) <= now,
                None => by <= now,
            };
            if is_due && wanted(symbol) {
                mark = mark.max(Some(by));
            }
        }
        if let Some(deriving) = &mut self.deriving {
            deriving.first_end = first;
        }
        mark
    }

    fn grace(&self) -> i64 {
        i64::try_from(self.config.derived.grace().as_nanos()).unwrap_or(i64::MAX)
    }

    /// The symbol, the series of the parts, the timeframe and the end of every open bucket.
    fn open_ends(&self) -> impl Iterator<Item = (&Symbol, SeriesId, Timeframe, Timestamp)> {
        self.iter().flat_map(|(id, series)| {
            let ends = series
                .derived
                .gathered
                .iter()
                .flat_map(|one| one.open_ends());
            ends.map(move |(timeframe, end)| (&series.key().symbol, id, timeframe, end))
        })
    }

    fn close_ended(&mut self, until: Timestamp) -> usize {
        let ended = self.open_ends().filter(|(.., end)| *end <= until);
        let mut due: Vec<Due> = ended
            .map(|(symbol, series, timeframe, end)| Due {
                end,
                timeframe,
                symbol: symbol.clone(),
                series,
            })
            .collect();
        due.sort_unstable_by(|a, b| {
            (a.end, a.timeframe.nanos(), &a.symbol).cmp(&(b.end, b.timeframe.nanos(), &b.symbol))
        });
        due.truncate(CLOSED_MOST);
        for one in &due {
            let series = self.series[one.series.index()].as_mut();
            let (Some(deriving), Some(series)) = (&mut self.deriving, series) else {
                continue;
            };
            if let Some(gathered) = &mut series.derived.gathered {
                gathered.close(one.timeframe, &mut deriving.found);
                deriving.open_buckets -= 1;
                deriving.queue(&one.symbol);
            }
        }
        due.len()
    }
}
