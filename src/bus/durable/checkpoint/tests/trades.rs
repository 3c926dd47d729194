//! Trades in open bars, in checkpoints.

use std::time::Duration;

use super::*;
use crate::aggregate::TradePlan;
use crate::market::{Trade, TradeConditions, TradeEvent};

#[test]
fn trades_in_open_bars_are_continued_and_written_only_where_there_are_some() {
    let config = Arc::new(AnalysisConfig {
        trades: Some(TradePlan {
            timeframe: Timeframe::MINUTE,
            lateness: Duration::from_secs(10),
            conditions: TradeConditions::None,
        }),
        ..deriving()
    });
    let trade = |seconds: i64| TradeEvent {
        symbol: "T".into(),
        trade: Trade {
            timestamp: Timestamp::from_nanos(seconds * 1_000_000_000),
            price: 10.0 + f64::from(u8::try_from(seconds % 7).unwrap()),
            size: 0.1,
            id: None,
            forms_prices: true,
        },
    };
    let now = Timestamp::from_nanos(5);
    let take = |engine: &mut Engine, seconds: i64| {
        engine.on_trade(&trade(seconds), now);
        let mut bars = Vec::new();
        while let Some(one) = engine.next_derived(now) {
            bars.push((one.derived.bar, one.derived.parts));
        }
        bars
    };
    let mut stayed = Engine::new(Arc::clone(&config), 10);
    assert_eq!(Snapshot::take(&stayed, position()).encode().unwrap()[7], 2);
    for seconds in 0..400 {
        take(&mut stayed, seconds);
        if seconds % 37 > 0 {
            continue;
        }
        let bytes = Snapshot::take(&stayed, position()).encode().unwrap();
        assert_eq!(bytes[7], VERSION);
        let (mut came, _) = restore(&bytes, &position().origin, Arc::clone(&config), 10).unwrap();
        let (mut same, _) = restore(&bytes, &position().origin, Arc::clone(&config), 10).unwrap();
        assert_eq!(came.open_buckets(), stayed.open_buckets());
        let again = Snapshot::take(&came, position()).encode().unwrap();
        assert_eq!(again, bytes);
        for later in seconds + 1..seconds + 400 {
            assert_eq!(take(&mut came, later), take(&mut same, later));
        }
    }
    // another configuration does not continue it
    let bytes = Snapshot::take(&stayed, position()).encode().unwrap();
    let without = restore(&bytes, &position().origin, Arc::new(deriving()), 10);
    assert_eq!(without.unwrap_err(), Unusable::Configuration);
}
