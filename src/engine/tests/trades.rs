//! Bars that are built from trades, and what is derived from them.

mod law;

use std::time::Duration;

use super::*;
use crate::aggregate::{Plan, TradePlan};
use crate::market::{Trade, TradeConditions, TradeEvent, TradeId, Zone};

/// 2024-01-02T10:00:00Z, in minutes since 1970.
const TEN: i64 = 28_403_160;

fn building(trades: &str, derived: &[&str], lateness: u64) -> AnalysisConfig {
    let timeframes = derived.iter().map(|name| name.parse().unwrap()).collect();
    AnalysisConfig {
        derived: Plan::new(timeframes, Zone::UTC).unwrap(),
        trades: Some(TradePlan {
            timeframe: trades.parse().unwrap(),
            lateness: Duration::from_secs(lateness),
            conditions: TradeConditions::None,
        }),
        ..rich()
    }
}

/// A trade so many seconds after 10:00.
fn trade(seconds: i64, price: f64, size: f64) -> TradeEvent<'static> {
    TradeEvent {
        symbol: "A".into(),
        trade: Trade {
            timestamp: Timestamp::from_nanos(minute(TEN).nanos() + seconds * 1_000_000_000),
            price,
            size,
            id: Some(TradeId::number(u128::try_from(seconds + 1_000).unwrap())),
            forms_prices: true,
        },
    }
}

/// Takes in what is due; every signal, in order.
fn due(engine: &mut Engine, signals: &mut Vec<serde_json::Value>) {
    while let Some(one) = engine.next_derived(minute(0)) {
        signals.extend(one.outcome.signal.map(|s| serde_json::to_value(s).unwrap()));
    }
    let open = engine.iter().map(|(_, series)| series.open_buckets());
    assert_eq!(engine.open_buckets(), open.sum::<usize>());
}

fn take(engine: &mut Engine, event: &TradeEvent<'_>) -> (TradeEffect, Vec<serde_json::Value>) {
    let effect = engine.on_trade(event, minute(0));
    let mut signals = Vec::new();
    due(engine, &mut signals);
    (effect, signals)
}

fn all(engine: &mut Engine, trades: &[TradeEvent<'_>]) -> Vec<serde_json::Value> {
    let signals = trades.iter().map(|event| take(engine, event).1);
    signals.collect::<Vec<_>>().concat()
}

/// Timeframe, minute, open, high, low, close, volume, trades and revision of signals.
type Row = (String, i64, [f64; 5], u64, u64);

fn rows(signals: &[serde_json::Value]) -> Vec<Row> {
    let row = |signal: &serde_json::Value| {
        let at: Timestamp = signal["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(signal["parts_expected"].is_null() && signal.get("parts_expected").is_some());
        assert_eq!(signal["final"], true);
        (
            signal["timeframe"].as_str().unwrap().to_owned(),
            at.nanos() / Timeframe::MINUTE.nanos() - TEN,
            ["open", "high", "low", "close", "volume"].map(|key| signal[key].as_f64().unwrap()),
            signal["parts"].as_u64().unwrap(),
            signal["revision"].as_u64().unwrap(),
        )
    };
    signals.iter().map(row).collect()
}

fn found(timeframe: &str, minute: i64, values: [f64; 5], trades: u64, revision: u64) -> Row {
    (timeframe.to_owned(), minute, values, trades, revision)
}

#[test]
fn minutes_close_ten_seconds_after_their_end_and_larger_bars_with_them() {
    let mut engine = engine(building("1m", &["5m"], 10));
    let signals = all(
        &mut engine,
        &[
            trade(-1, 1.0, 1.0),
            trade(0, 10.0, 0.1),
            trade(59, 12.0, 0.1),
            trade(65, 11.0, 0.1),
            // late, and before the lateness is over
            trade(30, 8.0, 0.7),
            trade(70, 13.0, 0.2),
        ],
    );
    let first = found("1m", 0, [10.0, 12.0, 8.0, 12.0, 0.9], 3, 0);
    assert_eq!(rows(&signals), [first]);
    // the last minute of the five has no trade
    let signals = all(&mut engine, &[trade(239, 14.0, 1.0), trade(309, 9.0, 1.0)]);
    assert_eq!(
        rows(&signals),
        [
            found("1m", 1, [11.0, 13.0, 11.0, 13.0, 0.3], 2, 0),
            found("1m", 3, [14.0, 14.0, 14.0, 14.0, 1.0], 1, 0),
        ]
    );
    let signals = all(&mut engine, &[trade(310, 9.0, 1.0)]);
    let five = found("5m", 0, [10.0, 14.0, 8.0, 14.0, 2.2], 6, 0);
    assert_eq!(rows(&signals), [five]);
    assert_eq!(engine.take_trade_totals().taken, 8);
    assert_eq!(engine.take_derived_totals().derived, 4);
}

#[test]
fn after_a_silence_bars_come_in_the_order_of_their_ends() {
    let mut engine = engine(building("1m", &["5m"], 10));
    let signals = all(
        &mut engine,
        &[
            trade(-1, 1.0, 1.0),
            trade(275, 10.0, 1.0),
            trade(299, 10.0, 1.0),
            trade(301, 11.0, 1.0),
            trade(1_000, 12.0, 1.0),
        ],
    );
    let order: Vec<(String, i64)> = rows(&signals)
        .into_iter()
        .map(|row| (row.0, row.1))
        .collect();
    let expected = [("1m", 4), ("5m", 0), ("1m", 5), ("5m", 5)];
    assert_eq!(order, expected.map(|(name, at)| (name.to_owned(), at)));
}

#[test]
fn nothing_is_derived_from_the_bucket_of_the_first_trade() {
    let mut engine = engine(building("1m", &["5m"], 0));
    // the minute of 10:04 is not seen from its open, that of 10:05 has no trade
    let signals = all(
        &mut engine,
        &[
            trade(270, 1.0, 1.0),
            trade(290, 2.0, 1.0),
            trade(365, 3.0, 1.0),
            trade(600, 4.0, 1.0),
        ],
    );
    assert_eq!(
        rows(&signals),
        [
            found("1m", 6, [3.0, 3.0, 3.0, 3.0, 1.0], 1, 0),
            // all that there was of 10:05 to 10:10
            found("5m", 5, [3.0, 3.0, 3.0, 3.0, 1.0], 1, 0),
        ]
    );
    assert_eq!(engine.take_trade_totals().unseen, 2);
}

#[test]
fn a_trade_that_is_too_late_revises_the_newest_bar_and_those_above_it() {
    let mut engine = engine(building("1m", &["5m"], 10));
    let trades = [-1, 0, 250, 310].map(|at| trade(at, 10.0, 1.0));
    assert_eq!(rows(&all(&mut engine, &trades)).len(), 3);
    let (effect, signals) = take(&mut engine, &trade(260, 12.0, 1.0));
    assert_eq!(effect, TradeEffect::Taken);
    assert_eq!(
        rows(&signals),
        [
            found("1m", 4, [10.0, 12.0, 10.0, 12.0, 2.0], 2, 1),
            found("5m", 0, [10.0, 12.0, 10.0, 12.0, 3.0], 3, 1),
        ]
    );
    let (effect, signals) = take(&mut engine, &trade(10, 12.0, 1.0));
    let open = minute(TEN);
    let late = Refusal::LateTrade { open };
    assert_eq!((effect, signals.len()), (TradeEffect::Refused(late), 0));
    assert_eq!(engine.take_trade_totals().reopened, 1);
}

/// [`building`], with further bars that can be corrected.
fn correcting(bars: usize, trades: &str, derived: &[&str], lateness: u64) -> AnalysisConfig {
    AnalysisConfig {
        correctable_bars: bars,
        ..building(trades, derived, lateness)
    }
}

#[test]
fn a_trade_of_a_correctable_bar_reopens_it_and_travels_upwards() {
    let mut engine = engine(correcting(4, "1m", &["5m"], 10));
    // of 0.1 each, in the minutes 0, 1, 3, 4, 5 and 6
    let trades = [-1, 0, 60, 180, 240, 300, 360, 430].map(|at| trade(at, 10.0, 0.1));
    let signals = rows(&all(&mut engine, &trades));
    assert_eq!(signals.len(), 7);
    let five = found("5m", 0, [10.0, 10.0, 10.0, 10.0, 0.4], 4, 0);
    assert!(signals.contains(&five), "{signals:?}");
    // the fourth newest bar
    let (effect, signals) = take(&mut engine, &trade(190, 12.0, 0.2));
    assert_eq!(effect, TradeEffect::Taken);
    let signals = rows(&signals);
    assert_eq!(
        signals[0],
        found("1m", 3, [10.0, 12.0, 10.0, 12.0, 0.3], 2, 1)
    );
    let five = found("5m", 0, [10.0, 12.0, 10.0, 10.0, 0.6], 5, 1);
    assert_eq!(signals.iter().filter(|row| row.0 == "5m").count(), 1);
    assert!(signals.contains(&five), "{signals:?}");
    // the fifth, and a minute without a trade before it
    for (seconds, open) in [(70, 1), (130, 2)] {
        let late = Refusal::LateTrade {
            open: minute(TEN + open),
        };
        let (effect, signals) = take(&mut engine, &trade(seconds, 12.0, 1.0));
        assert_eq!((effect, signals.len()), (TradeEffect::Refused(late), 0));
    }
    assert_eq!(engine.take_trade_totals().reopened, 1);
}

#[test]
fn a_trade_of_an_empty_minute_inserts_its_bar() {
    let mut engine = engine(correcting(8, "1m", &["5m"], 0));
    let trades = [-1, 0, 60, 180, 300, 420].map(|at| trade(at, 10.0, 1.0));
    assert_eq!(all(&mut engine, &trades).len(), 5);
    let (effect, signals) = take(&mut engine, &trade(130, 14.0, 0.5));
    assert_eq!(effect, TradeEffect::Taken);
    let signals = rows(&signals);
    assert_eq!(
        signals[0],
        found("1m", 2, [14.0, 14.0, 14.0, 14.0, 0.5], 1, 0)
    );
    let five = found("5m", 0, [10.0, 14.0, 10.0, 10.0, 3.5], 4, 1);
    assert!(signals.contains(&five), "{signals:?}");
}

#[test]
fn trades_without_a_price_do_not_pile_up() {
    let mut engine = engine(correcting(3, "1m", &["5m"], 0));
    let odd = |seconds: i64| {
        let mut event = trade(seconds, 10.0, 1.0);
        event.trade.forms_prices = false;
        event
    };
    all(&mut engine, &[trade(-1, 10.0, 1.0), trade(0, 10.0, 1.0)]);
    for minute in 1..500 {
        take(&mut engine, &odd(60 * minute));
        let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
        let bytes = postcard::to_stdvec(series.trades().unwrap()).unwrap().len();
        assert!(bytes < 600, "{bytes} bytes in minute {minute}");
    }
    // its odd lots are no longer known, so that its volume would be wrong
    let late = Refusal::LateTrade {
        open: minute(TEN + 490),
    };
    let (effect, _) = take(&mut engine, &trade(490 * 60 + 1, 9.0, 1.0));
    assert_eq!(effect, TradeEffect::Refused(late));
    let (effect, signals) = take(&mut engine, &trade(498 * 60 + 1, 9.0, 1.0));
    assert_eq!(effect, TradeEffect::Taken);
    assert_eq!(
        rows(&signals)[0],
        found("1m", 498, [9.0, 9.0, 9.0, 9.0, 2.0], 2, 0)
    );
}

#[test]
fn no_history_replaces_bars_that_are_built_from_trades() {
    let mut engine = engine(building("1m", &["5m"], 0));
    all(&mut engine, &[-1, 0, 61].map(|at| trade(at, 10.0, 1.0)));
    let symbol = Symbol::new("A").unwrap();
    let key = SeriesKey::new(symbol, Timeframe::MINUTE);
    let past = [bar("A", TEN - 9, 5.0)];
    let refused = engine.take_history((&key, "h", 0), &past, minute(0));
    let fault = refused.unwrap_err().fault;
    assert_eq!(fault, HistoryFault::Built(Timeframe::MINUTE));
}

#[test]
fn bars_that_the_source_sends_win() {
    let mut engine = engine(building("1m", &["5m"], 0));
    all(&mut engine, &[-1, 0, 61].map(|at| trade(at, 10.0, 1.0)));
    assert_eq!(engine.open_buckets(), 2);
    let own = bar("A", TEN + 1, 11.0);
    let said: serde_json::Value = serde_json::from_str(&said(&mut engine, &own).unwrap()).unwrap();
    assert_eq!(said["close"], 11.0);
    assert!(said.get("parts").is_none());
    let (effect, signals) = take(&mut engine, &trade(130, 12.0, 1.0));
    assert_eq!((effect, signals.len()), (TradeEffect::Own, 0));
    assert_eq!(engine.take_trade_totals().own, 1);
    let notes = engine.take_derived_notes();
    assert!(
        notes[0]
            .to_string()
            .contains("none are built from its trades"),
        "{notes:?}"
    );
    // a symbol whose source sent bars from the start
    engine.on_bar(&bar("B", TEN, 5.0), minute(0));
    let of_b = TradeEvent {
        symbol: "B".into(),
        ..trade(61, 6.0, 1.0)
    };
    assert_eq!(take(&mut engine, &of_b).0, TradeEffect::Own);
}

#[test]
fn after_a_reset_the_next_trade_is_the_first() {
    let mut engine = engine(building("1m", &["5m"], 0));
    all(&mut engine, &[-1, 0, 61].map(|at| trade(at, 10.0, 1.0)));
    engine.reset("A", Timeframe::MINUTE, None).unwrap();
    assert_eq!(engine.open_buckets(), 0);
    let trades = [70, 121, 181].map(|at| trade(at, 11.0, 1.0));
    let signals = all(&mut engine, &trades);
    let only = found("1m", 2, [11.0, 11.0, 11.0, 11.0, 1.0], 1, 0);
    assert_eq!(rows(&signals), [only]);
}

#[test]
fn a_mark_closes_what_is_silent_with_the_lateness() {
    let mut engine = engine(building("1m", &["5m"], 10));
    all(&mut engine, &[-1, 0, 200].map(|at| trade(at, 10.0, 1.0)));
    let at = |seconds: i64| trade(seconds, 1.0, 1.0).trade.timestamp;
    let mut mark = |seconds: i64| {
        let mut signals = Vec::new();
        let closed = engine.close_by_mark(at(seconds));
        due(&mut engine, &mut signals);
        (closed, rows(&signals))
    };
    assert_eq!(mark(249), (0, Vec::new()));
    let minute_three = found("1m", 3, [10.0, 10.0, 10.0, 10.0, 1.0], 1, 0);
    assert_eq!(mark(250), (1, vec![minute_three]));
    // bars of bars would have closed five seconds after their end
    assert_eq!(mark(309), (0, Vec::new()));
    let five = found("5m", 0, [10.0, 10.0, 10.0, 10.0, 2.0], 2, 0);
    assert_eq!(mark(310), (1, vec![five]));
    assert_eq!(mark(400), (0, Vec::new()));
}

#[test]
fn a_mark_is_due_for_trades_and_for_what_is_derived_from_them() {
    let mut engine = engine(building("1m", &["5m"], 10));
    let at = |seconds: i64| trade(seconds, 1.0, 1.0).trade.timestamp;
    for seconds in [-1, 0, 200] {
        let event = trade(seconds, 10.0, 1.0);
        engine.on_trade(&event, event.trade.timestamp);
        due(&mut engine, &mut Vec::new());
    }
    assert_eq!(engine.mark_due(at(249), |_| true), None);
    assert_eq!(engine.mark_due(at(251), |_| false), None);
    assert_eq!(engine.mark_due(at(251), |_| true), Some(at(250)));
    engine.close_by_mark(at(250));
    due(&mut engine, &mut Vec::new());
    assert_eq!(engine.mark_due(at(309), |_| true), None);
    assert_eq!(engine.mark_due(at(310), |_| true), Some(at(310)));
    engine.close_by_mark(at(310));
    due(&mut engine, &mut Vec::new());
    assert_eq!(engine.mark_due(at(9_000), |_| true), None);
    assert_eq!(engine.open_buckets(), 0);
}

#[test]
fn the_end_of_a_file_closes_everything() {
    let mut engine = engine(building("1m", &["5m", "1h"], 10));
    all(&mut engine, &[-1, 0, 200].map(|at| trade(at, 10.0, 1.0)));
    let mut signals = Vec::new();
    while engine.close_at_end() > 0 {
        due(&mut engine, &mut signals);
    }
    let names: Vec<String> = rows(&signals).into_iter().map(|row| row.0).collect();
    assert_eq!(names, ["1m", "5m", "1h"]);
    assert_eq!(engine.open_buckets(), 0);
}

#[test]
fn without_room_for_a_series_a_trade_is_refused() {
    let mut engine = Engine::new(Arc::new(building("1m", &[], 10)), 1);
    engine.on_trade(&trade(0, 1.0, 1.0), minute(0));
    let other = TradeEvent {
        symbol: "B".into(),
        ..trade(0, 1.0, 1.0)
    };
    let limit = Refusal::TooManySeries { limit: 1 };
    assert_eq!(
        engine.on_trade(&other, minute(0)),
        TradeEffect::Refused(limit)
    );
}
