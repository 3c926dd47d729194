//! Bars that sources send go into the buckets of their series, and which timeframes are derived.

use super::{Origin, insert};
use crate::aggregate::{Derivation, is_made_of};
use crate::engine::notes::DerivedNoteKind;
use crate::engine::{Effect, Engine, SeriesId, Worked};
use crate::market::{BarEvent, Finality, SeriesKeyRef, Symbol, Timeframe};

impl Engine {
    /// Gathers a bar that a source sent or that was built from trades, after it was worked on.
    pub(in crate::engine) fn gather(
        &mut self,
        event: &BarEvent<'_>,
        worked: &Worked,
        origin: Origin,
    ) {
        let Some(id) = worked.series else {
            return;
        };
        let is_state = event.finality != Finality::Forming;
        if is_state && origin == Origin::Source {
            let was_built = self.give_up_trades(id);
            if worked.begun || worked.was_derived || was_built {
                self.feed(id);
            }
        }
        let (Some(deriving), Some(series)) = (&mut self.deriving, self.series[id.index()].as_mut())
        else {
            return;
        };
        let plan = &self.config.derived;
        let key = series.key();
        if worked.effect == Effect::Appended && series.derived.gathered.is_none() {
            let fed = deriving.fed.get(&key.symbol).map_or(&[][..], Vec::as_slice);
            if fed.first() == Some(&key.timeframe) {
                let is_wanted = |one| !fed.contains(&one);
                let trades = series.trades.as_ref();
                let since = trades.map_or(event.bar.timestamp, |trades| trades.since());
                let begun = Derivation::new(plan, key.timeframe, since, is_wanted);
                series.derived.gathered = begun.map(Box::new);
            }
        }
        let Some(gathered) = &mut series.derived.gathered else {
            return;
        };
        let open = gathered.open_buckets();
        let trades = series.trades.as_deref();
        let (calendar, correctable) = (plan.calendar(), self.config.correctable());
        let straddled = match worked.effect {
            Effect::Appended => {
                let moved = series.ring.moved(correctable);
                let found = &mut deriving.found;
                let straddled = gathered.append(&event.bar, &moved, trades, calendar, found);
                deriving.note_ends(gathered);
                straddled
            }
            Effect::Duplicate if origin == Origin::Source => None,
            // trades may change the exact volume of a bar and not its rounded one
            Effect::Corrected | Effect::Inserted | Effect::Duplicate => {
                let moved = series.ring.moved(correctable);
                let moved = Some(&moved).filter(|_| worked.effect == Effect::Inserted);
                let bars = &mut deriving.correctable;
                bars.clear();
                let newer = (0..correctable.min(series.ring.len())).rev();
                bars.extend(newer.filter_map(|newer| series.ring.back(newer)));
                let at = event.bar.timestamp;
                let found = &mut deriving.found;
                let straddled = gathered.revise(at, moved, (bars, trades), calendar, found);
                // a bar that was missing may be the first of a week of sessions
                deriving.note_ends(gathered);
                straddled
            }
            Effect::Forming | Effect::Refused(_) => None,
        };
        if let Some(timeframe) = straddled {
            let key = &series.key;
            deriving.totals.straddling += 1;
            let kind = DerivedNoteKind::Straddling(key.timeframe);
            deriving.note(&key.symbol, timeframe, kind);
        }
        let open_now = series.derived.open_buckets();
        deriving.open_buckets = deriving.open_buckets + open_now - open;
        if origin == Origin::Trades {
            deriving.note_ends_of_trades(series);
        }
        deriving.queue(series);
    }

    /// Notes that there is no room for the series of a derived timeframe.
    pub(in crate::engine) fn note_no_room(&mut self, symbol: &Symbol, timeframe: Timeframe) {
        if let Some(deriving) = &mut self.deriving {
            deriving.totals.no_room += 1;
            deriving.note(symbol, timeframe, DerivedNoteKind::NoRoom);
        }
    }

    /// Notes that the source sends the bars of a series: none are derived for it any more, and the
    /// smallest timeframe of its symbol may be another one.
    pub(in crate::engine) fn feed(&mut self, id: SeriesId) {
        let Some(series) = self.series[id.index()].as_mut() else {
            return;
        };
        series.pin_tag(&self.config);
        series.derived.parts = None;
        let key = series.key().clone();
        let Some(deriving) = &mut self.deriving else {
            return;
        };
        let fed = deriving.fed.entry_ref(&key.symbol).or_default();
        insert(fed, key.timeframe);
        let plan = self.config.derived.timeframes();
        let smallest = fed[0];
        // with a new smallest one, those that were derived from before are its to give up as well
        let own: Vec<Timeframe> = fed[1..]
            .iter()
            .copied()
            .filter(|one| smallest == key.timeframe || *one == key.timeframe)
            .collect();
        for timeframe in own {
            if plan.contains(&timeframe) && is_made_of(timeframe, smallest) {
                deriving.totals.own += 1;
                deriving.note(&key.symbol, timeframe, DerivedNoteKind::Own);
            }
            let base = if smallest == key.timeframe {
                timeframe
            } else {
                smallest
            };
            let base = SeriesKeyRef {
                symbol: key.symbol.as_str(),
                timeframe: base,
            };
            let series = self.index.get(&base);
            let Some(series) = series.and_then(|id| self.series[id.index()].as_mut()) else {
                continue;
            };
            let derived = &mut series.derived;
            deriving.open_buckets -= derived.open_buckets();
            if smallest == key.timeframe {
                derived.gathered = None;
            } else if let Some(gathered) = &mut derived.gathered {
                gathered.give_up(timeframe);
            }
            deriving.open_buckets += derived.open_buckets();
        }
    }
}
