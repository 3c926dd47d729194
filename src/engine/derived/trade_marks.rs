//! Time marks for buckets of trades, and for the buckets derived from their bars.

use super::Deriving;
use crate::engine::{Engine, Series, SeriesId};
use crate::market::{Symbol, Timestamp};

/// Buckets of trades that one mark closes, at most. The next mark closes those that are left.
const CLOSED_MOST: usize = 4_096;

impl Deriving {
    /// Notes when the open buckets of the trades of a series end.
    pub(in crate::engine) fn note_ends_of_trades(&mut self, series: &Series) {
        let known = self.first_end_of_trades.into_iter();
        self.first_end_of_trades = known.chain(open_ends(series)).min();
    }
}

impl Engine {
    /// The lateness of trades, in nanoseconds.
    pub(super) fn lateness(&self) -> i64 {
        self.config
            .trades
            .as_ref()
            .map_or(0, |plan| plan.lateness_nanos())
    }

    /// The mark to apply at `now` for the buckets of trades, like [`Self::mark_due`].
    pub(super) fn mark_due_of_trades(
        &mut self,
        now: Timestamp,
        wanted: impl Fn(&Symbol) -> bool,
    ) -> Option<Timestamp> {
        let lateness = self.lateness();
        let first = self
            .deriving
            .as_ref()
            .and_then(|one| one.first_end_of_trades);
        if first.is_none_or(|end| end.after(lateness) > now) {
            return None;
        }
        let ends = self.open_ends_of_trades();
        let (first, mark) = self.due_after(lateness, now, ends, wanted);
        if let Some(deriving) = &mut self.deriving {
            deriving.first_end_of_trades = first;
        }
        mark
    }

    /// Closes the buckets of trades that end at `until` or earlier, and the buckets derived from
    /// their bars that end with them; the earliest 4,096 of them. Returns their number.
    pub(super) fn close_trades(&mut self, until: Timestamp) -> usize {
        let ended = self.open_ends_of_trades().filter(|(.., end)| *end <= until);
        let mut due: Vec<(Timestamp, Symbol, SeriesId)> = ended
            .map(|(symbol, id, end)| (end, symbol.clone(), id))
            .collect();
        due.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        due.truncate(CLOSED_MOST);
        for (end, symbol, id) in &due {
            let (Some(deriving), Some(plan), Some(series)) = (
                &mut self.deriving,
                &self.config.trades,
                self.series[id.index()].as_mut(),
            ) else {
                continue;
            };
            let Some(trades) = &mut series.trades else {
                continue;
            };
            let zone = self.config.derived.calendar().zone();
            let open = trades.open_buckets();
            let at = end.after(plan.lateness_nanos());
            trades.close_until(at, plan, zone, &mut deriving.traded);
            deriving.open_buckets = deriving.open_buckets + trades.open_buckets() - open;
            deriving.build(symbol, plan.timeframe, Some(*end));
        }
        due.len()
    }

    /// The symbol, the series and the end of every open bucket of trades, and of every open bucket
    /// derived from their bars.
    fn open_ends_of_trades(&self) -> impl Iterator<Item = (&Symbol, SeriesId, Timestamp)> {
        self.iter().flat_map(|(id, series)| {
            open_ends(series).map(move |end| (&series.key().symbol, id, end))
        })
    }
}

/// The ends of the open buckets of a series whose bars are built from trades.
fn open_ends(series: &Series) -> impl Iterator<Item = Timestamp> {
    series.trades.iter().flat_map(|trades| {
        let gathered = series.derived.gathered.iter();
        let derived = gathered.flat_map(|one| one.open_ends().map(|(_, end)| end));
        trades.open_ends().chain(derived)
    })
}
