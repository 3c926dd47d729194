//! Buckets that close because time has passed, while their series is silent.
//!
//! A time mark closes the buckets that ended at least a grace before it. The end of a file closes
//! all open buckets. Their bars are the same as if the next bar of their series had closed them;
//! only the time of closing differs.
//!
//! The order is the same wherever a mark is applied: earlier ends first, then smaller timeframes,
//! then symbols by name.

use super::Deriving;
use crate::aggregate::Derivation;
use crate::engine::{Engine, Series, SeriesId};
use crate::market::{Symbol, Timeframe, Timestamp};

/// Largest number of buckets that one mark closes. The next mark closes the rest.
const CLOSED_MOST: usize = 4_096;

/// A bucket to close.
struct Due {
    end: Timestamp,
    timeframe: Timeframe,
    symbol: Symbol,
    series: SeriesId,
}

impl Deriving {
    /// Notes the earliest end of the open buckets of a series.
    pub(super) fn note_ends(&mut self, gathered: &Derivation) {
        let ends = gathered.open_ends().map(|(_, end)| end);
        self.first_end = self.first_end.into_iter().chain(ends).min();
    }
}

impl Engine {
    /// Closes the buckets that ended at `at` less the grace, or earlier, at most 4,096. Take their
    /// bars with [`Self::next_derived`] until there are none left. Returns the number of closed
    /// buckets.
    pub fn close_by_mark(&mut self, at: Timestamp) -> usize {
        let lateness = self.lateness();
        let of_trades = self.close_trades(at.after(-lateness));
        let closed = of_trades + self.close_ended(at.after(-self.grace()));
        if let Some(deriving) = &mut self.deriving {
            deriving.totals.marked += closed as u64;
        }
        closed
    }

    /// Closes every open bucket, as no more bars come, at most 4,096. Take their bars as after
    /// [`Self::close_by_mark`].
    pub fn close_at_end(&mut self) -> usize {
        let end = Timestamp::from_nanos(i64::MAX);
        self.close_trades(end) + self.close_ended(end)
    }

    /// The mark to apply at `now` for the buckets of `wanted` symbols; `None` if it would close
    /// nothing.
    ///
    /// A bucket is due a grace after its end. If its newest part arrived later than that, its bars
    /// are of the past, and more of them may be under way: it is then due a grace after that part.
    /// The mark is no later than these buckets need, so that later ones stay open.
    pub fn mark_due(
        &mut self,
        now: Timestamp,
        wanted: impl Fn(&Symbol) -> bool,
    ) -> Option<Timestamp> {
        let of_trades = self.mark_due_of_trades(now, &wanted);
        let of_bars = self.mark_due_of_bars(now, &wanted);
        of_trades.max(of_bars)
    }

    /// The same for buckets of bars alone.
    fn mark_due_of_bars(
        &mut self,
        now: Timestamp,
        wanted: impl Fn(&Symbol) -> bool,
    ) -> Option<Timestamp> {
        let grace = self.grace();
        let first = self.deriving.as_ref().and_then(|one| one.first_end);
        if first.is_none_or(|end| end.after(grace) > now) {
            return None;
        }
        let ends = self
            .open_ends()
            .map(|(symbol, id, _, end)| (symbol, id, end));
        let (first, mark) = self.due_after(grace, now, ends, wanted);
        if let Some(deriving) = &mut self.deriving {
            deriving.first_end = first;
        }
        mark
    }

    /// The first of the `ends` of open buckets, and the latest time by which one of them was due
    /// at `now`: `wait` after its end, or after the last arrival in its series if that was later.
    pub(super) fn due_after<'a>(
        &'a self,
        wait: i64,
        now: Timestamp,
        ends: impl Iterator<Item = (&'a Symbol, SeriesId, Timestamp)>,
        wanted: impl Fn(&Symbol) -> bool,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let mut first: Option<Timestamp> = None;
        let mut mark: Option<Timestamp> = None;
        for (symbol, id, end) in ends {
            first = Some(first.map_or(end, |first| first.min(end)));
            let by = end.after(wait);
            let touched = self.get(id).map(Series::touched);
            let is_due = match touched.filter(|touched| *touched > by) {
                Some(touched) => touched.after(wait) <= now,
                None => by <= now,
            };
            if is_due && wanted(symbol) {
                mark = mark.max(Some(by));
            }
        }
        (first, mark)
    }

    fn grace(&self) -> i64 {
        i64::try_from(self.config.derived.grace().as_nanos()).unwrap_or(i64::MAX)
    }

    /// The symbol, the series of the parts, the timeframe and the end of every open bucket whose
    /// parts are bars of a source. [`Self::close_trades`] closes the others.
    fn open_ends(&self) -> impl Iterator<Item = (&Symbol, SeriesId, Timeframe, Timestamp)> {
        let of_bars = self.iter().filter(|(_, series)| series.trades.is_none());
        of_bars.flat_map(|(id, series)| {
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
                deriving.queue(series);
            }
        }
        due.len()
    }
}
