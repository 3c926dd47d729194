//! Bars that are built from trades, as bars of series of their own.
//!
//! The buckets of a symbol's trades are part of the state of the series whose bars they are
//! ([`Trades`]); that series begins with the first trade. A bucket that closes gives a bar, which
//! waits until the driver takes it in with [`Engine::next_derived`]: with it come the larger bars
//! that are derived from it. Where a source sends bars of that timeframe itself, its own win.

use super::derived::Built;
use super::{DerivedNoteKind, Engine, Refusal, SeriesId};
use crate::aggregate::{DerivedBar, Trades, Use};
use crate::market::{SeriesKeyRef, Symbol, Timestamp, TradeEvent};

/// Counts of trades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TradeTotals {
    /// Trades in a bucket.
    pub taken: u64,
    /// Trades that came after their bucket was closed, and changed its bar.
    pub reopened: u64,
    /// Trades in a bucket that was not seen from its open.
    pub unseen: u64,
    /// Trades of symbols whose source sends the bars itself.
    pub own: u64,
}

/// The effect of a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeEffect {
    /// It was added to a bucket, or its bucket gives no bar because its open was not seen.
    Taken,
    /// It was ignored because the source of its symbol sends the bars itself.
    Own,
    /// It was refused.
    Refused(Refusal),
}

impl Engine {
    /// Takes in one trade that arrived at `now`. Take the bars that it closes with
    /// [`Self::next_derived`] until there are none left.
    pub fn on_trade(&mut self, event: &TradeEvent<'_>, now: Timestamp) -> TradeEffect {
        let Some(plan) = &self.config.trades else {
            return TradeEffect::Own;
        };
        let timeframe = plan.timeframe;
        let trade = &event.trade;
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe,
        };
        let id = match self.index.get(&key) {
            Some(id) => *id,
            None => match self.begin(&event.symbol, timeframe, trade.timestamp) {
                Ok(id) => id,
                Err(refusal) => return TradeEffect::Refused(refusal),
            },
        };
        let builds = self.get(id).is_some_and(|series| series.trades.is_some());
        if !builds && !self.start_building(id, trade.timestamp) {
            if let Some(deriving) = &mut self.deriving {
                deriving.trades.own += 1;
            }
            return TradeEffect::Own;
        }
        let (Some(deriving), Some(plan), Some(series)) = (
            &mut self.deriving,
            &self.config.trades,
            self.series[id.index()].as_mut(),
        ) else {
            return TradeEffect::Own;
        };
        series.touch(now);
        let Some(mut trades) = series.trades.take() else {
            return TradeEffect::Own;
        };
        let config = &self.config;
        let zone = config.derived.calendar().zone();
        let found = &mut deriving.traded;
        // the rule for bars of a source: among the newest, and not before a silence
        let may_change = |open: Timestamp| {
            series.place(open).is_none_or(|place| {
                series.is_correctable(place, true, config)
                    && (place.is_there
                        || (place.newer as u64) < series.bars()
                        || !self.idle.is_silence(series, open))
            })
        };
        trades.trim(series.correctable_since(config), config.correctable());
        let open = trades.open_buckets();
        let moved = trades.close_until(trade.timestamp, plan, zone, found);
        let used = trades.take(trade, plan, zone, may_change, found);
        let closed_until = trades.closed_until();
        let open_now = trades.open_buckets();
        deriving.open_buckets = deriving.open_buckets + open_now - open;
        series.trades = Some(trades);
        if moved || open_now > open {
            deriving.note_ends_of_trades(series);
        }
        if moved || !deriving.traded.is_empty() {
            let derives = series.derived.open_buckets() > 0 || !deriving.traded.is_empty();
            let until = derives.then_some(closed_until);
            deriving.build(&series.key().symbol, timeframe, until);
        }
        let count = match used {
            Use::Open => &mut deriving.trades.taken,
            Use::Reopened => &mut deriving.trades.reopened,
            Use::Unseen => &mut deriving.trades.unseen,
            Use::Late(open) => return TradeEffect::Refused(Refusal::LateTrade { open }),
        };
        *count += 1;
        TradeEffect::Taken
    }

    /// Returns true if a trade would reopen a closed bar.
    #[must_use]
    pub fn would_reopen(&self, event: &TradeEvent<'_>) -> bool {
        let Some(plan) = &self.config.trades else {
            return false;
        };
        let series = self.find(&event.symbol, plan.timeframe);
        let trades = series.and_then(|(_, series)| series.trades());
        trades.is_some_and(|trades| {
            (trades.since()..trades.closed_until()).contains(&event.trade.timestamp)
        })
    }

    /// Begins to build the bars of a series from trades, the first of which is at `first`. Returns
    /// false if the series has bars of its source already.
    fn start_building(&mut self, id: SeriesId, first: Timestamp) -> bool {
        let (Some(plan), Some(series)) = (&self.config.trades, self.series[id.index()].as_mut())
        else {
            return false;
        };
        if series.last_open().is_some() {
            return false;
        }
        let trades = Trades::new(plan, self.config.derived.calendar().zone(), first);
        series.trades = trades.map(Box::new);
        let begun = series.trades.is_some();
        self.feed(id);
        begun
    }

    /// Drops the trades of a series whose bars the source sends now. Returns true if there were any.
    pub(super) fn give_up_trades(&mut self, id: SeriesId) -> bool {
        let (Some(deriving), Some(series)) = (&mut self.deriving, self.series[id.index()].as_mut())
        else {
            return false;
        };
        if series.trades.is_none() {
            return false;
        }
        deriving.open_buckets -= series.open_buckets();
        series.trades = None;
        // a larger bar of both trades and bars would not be exact
        series.derived.gathered = None;
        let key = series.key().clone();
        deriving.totals.own += 1;
        deriving.note(&key.symbol, key.timeframe, DerivedNoteKind::OwnOfTrades);
        true
    }

    /// The next bar built from trades; `Some(None)` if larger bars that end before it come first, and
    /// `None` if there are none left.
    pub(super) fn next_built(&mut self) -> Option<Option<(Symbol, DerivedBar)>> {
        let deriving = self.deriving.as_mut()?;
        match deriving.built.front()? {
            Built::Bar(symbol, bar) => {
                let (symbol, bar) = (symbol.clone(), *bar);
                self.close_before(&bar.event(symbol.as_str()));
                let deriving = self.deriving.as_mut()?;
                if deriving.is_due() {
                    return Some(None);
                }
                deriving.built.pop_front();
                Some(Some((symbol, bar)))
            }
            Built::Until(symbol, timeframe, until) => {
                let (symbol, timeframe, until) = (symbol.clone(), *timeframe, *until);
                deriving.built.pop_front();
                let symbol = symbol.as_str();
                let id = self.index.get(&SeriesKeyRef { symbol, timeframe });
                if let Some(series) = id.and_then(|id| self.series[id.index()].as_mut())
                    && series.trades.is_some()
                {
                    deriving.close_until(series, until);
                }
                Some(None)
            }
        }
    }

    /// The account of trades since it was last taken.
    pub fn take_trade_totals(&mut self) -> TradeTotals {
        let totals = self.deriving.as_mut().map(|one| &mut one.trades);
        totals.map(std::mem::take).unwrap_or_default()
    }
}
