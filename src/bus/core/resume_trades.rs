//! Skips waiting trades that the copied state contains already.
//!
//! Trades do not arrive in the order of time, so the newest one does not show which waiting trades
//! are in the copied state. The state remembers the last trades that it took; every waiting trade up
//! to these is in it.

use hashbrown::HashMap;

use crate::aggregate::{Trades, digest};
use crate::market::{SeriesKey, Symbol, Timestamp, TradeEvent};

/// The trades of one symbol.
#[derive(Debug)]
struct Copied {
    key: SeriesKey,
    /// None where no trade had come since the series was reset.
    state: Option<Trades>,
    /// Digests of the waiting trades.
    waiting: Vec<u64>,
    /// Number of waiting trades before the newest reset that the state contains.
    before_reset: usize,
    /// Number of waiting trades in the state, known after [`TradesResume::rewind`]; `None` if the
    /// state is newer than all of them, so that their times decide.
    contained: Option<usize>,
    seen: usize,
}

/// The waiting trades of each symbol with copied state.
#[derive(Debug, Default)]
pub(super) struct TradesResume {
    symbols: HashMap<Symbol, Copied>,
}

impl TradesResume {
    /// Notes that the series `key` was copied, with its trades if it had any.
    pub fn copied(&mut self, key: SeriesKey, state: Option<Trades>) {
        let symbol = key.symbol.clone();
        let copied = Copied {
            key,
            state,
            waiting: Vec::new(),
            before_reset: 0,
            contained: None,
            seen: 0,
        };
        self.symbols.insert(symbol, copied);
    }

    /// Notes a waiting trade. Call it for all of them in order.
    pub fn scan(&mut self, event: &TradeEvent<'_>) {
        if let Some(copied) = self.symbols.get_mut(event.symbol.as_ref()) {
            copied.waiting.push(digest(&event.trade));
        }
    }

    /// Notes that the next waiting message is a reset of the series `key` that the state contains.
    pub fn on_contained_reset(&mut self, key: &SeriesKey) {
        if let Some(copied) = self.of(key) {
            copied.before_reset = copied.waiting.len();
        }
    }

    /// Forgets the series `key` after a reset: no later trade of it is in the state.
    pub fn forget(&mut self, key: &SeriesKey) {
        if self.of(key).is_some() {
            self.symbols.remove(&key.symbol);
        }
    }

    /// Ends the notes and begins again with the first waiting trade.
    pub fn rewind(&mut self) {
        for copied in self.symbols.values_mut() {
            let waiting = std::mem::take(&mut copied.waiting);
            let after = &waiting[copied.before_reset..];
            copied.contained = match &copied.state {
                Some(state) => state.contained(after),
                None => Some(0),
            };
            if copied.contained.is_some() || copied.before_reset > 0 {
                let contained = copied.contained.unwrap_or(0);
                copied.contained = Some(copied.before_reset + contained);
            }
            copied.seen = 0;
        }
    }

    /// True if the copied state contains the next trade.
    pub fn covers(&mut self, event: &TradeEvent<'_>) -> bool {
        let Some(copied) = self.symbols.get_mut(event.symbol.as_ref()) else {
            return false;
        };
        copied.seen += 1;
        match copied.contained {
            Some(contained) => copied.seen <= contained,
            // the state is newer than all waiting trades
            None => copied
                .newest()
                .is_some_and(|newest| event.trade.timestamp < newest),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    fn of(&mut self, key: &SeriesKey) -> Option<&mut Copied> {
        self.symbols
            .get_mut(&key.symbol)
            .filter(|copied| copied.key == *key)
    }
}

impl Copied {
    /// The open of the newest bucket in the state.
    fn newest(&self) -> Option<Timestamp> {
        self.state.as_ref()?.newest()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aggregate::TradePlan;
    use crate::market::{Timeframe, Trade, TradeConditions, Zone};

    fn key() -> SeriesKey {
        SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE)
    }

    fn trade(seconds: i64, price: f64) -> TradeEvent<'static> {
        TradeEvent {
            symbol: "A".into(),
            trade: Trade {
                timestamp: Timestamp::from_nanos(seconds * 1_000_000_000),
                price,
                size: 1.0,
                id: None,
                forms_prices: true,
            },
        }
    }

    /// State that has taken these trades.
    fn state(taken: &[TradeEvent<'_>]) -> Option<Trades> {
        let plan = TradePlan {
            timeframe: Timeframe::MINUTE,
            lateness: Duration::from_secs(10),
            conditions: TradeConditions::None,
        };
        let mut state = Trades::new(&plan, &Zone::UTC, taken.first()?.trade.timestamp)?;
        for event in taken {
            let take = (&event.trade, &plan, &Zone::UTC);
            state.take(take.0, take.1, take.2, |_| false, &mut Vec::new());
        }
        Some(state)
    }

    /// The prices of the trades that are admitted; the state has a reset before those from `reset` on.
    fn left(state: Option<Trades>, waiting: &[TradeEvent<'_>], reset: Option<usize>) -> Vec<f64> {
        let mut resume = TradesResume::default();
        resume.copied(key(), state);
        for (at, event) in waiting.iter().enumerate() {
            if reset == Some(at) {
                resume.on_contained_reset(&key());
            }
            resume.scan(event);
        }
        resume.rewind();
        let fresh = waiting.iter().filter(|event| !resume.covers(event));
        fresh.map(|event| event.trade.price).collect()
    }

    #[test]
    fn trades_are_passed_over_up_to_the_newest_in_the_state_whatever_their_times() {
        let waiting = [(70, 1.0), (65, 2.0), (80, 3.0), (64, 4.0)].map(|(at, p)| trade(at, p));
        let before = trade(0, 9.0);
        for taken in 1..=waiting.len() {
            let all = [std::slice::from_ref(&before), &waiting[..taken]].concat();
            let expected: Vec<f64> = waiting[taken..].iter().map(|one| one.trade.price).collect();
            assert_eq!(left(state(&all), &waiting, None), expected);
        }
        // of before all that waits, and further on than all of it
        assert_eq!(left(state(&[before]), &waiting, None), [1.0, 2.0, 3.0, 4.0]);
        let later = [trade(0, 9.0), trade(500, 9.0)];
        assert_eq!(left(state(&later), &waiting, None), [0.0; 0]);
    }

    #[test]
    fn trades_before_a_reset_in_the_state_are_passed_over() {
        let waiting = [(70, 1.0), (75, 2.0), (80, 3.0)].map(|(at, p)| trade(at, p));
        assert_eq!(left(None, &waiting, Some(2)), [3.0]);
        assert_eq!(left(state(&waiting[1..2]), &waiting, Some(1)), [3.0]);
        assert_eq!(left(None, &waiting, None), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn after_a_reset_that_is_followed_every_trade_is_admitted() {
        let waiting = [trade(70, 1.0), trade(75, 2.0)];
        let mut resume = TradesResume::default();
        resume.copied(key(), state(&waiting));
        waiting.iter().for_each(|event| resume.scan(event));
        resume.rewind();
        assert!(resume.covers(&waiting[0]));
        resume.forget(&key());
        assert!(resume.is_empty() && !resume.covers(&waiting[1]));
    }
}
