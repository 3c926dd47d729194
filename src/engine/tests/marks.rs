//! Buckets that close by time marks.

use std::time::Duration;

use proptest::prelude::*;

use super::derived::{TEN, derived, deriving, feed, finals, found, one, sent, take};
use super::*;
use crate::aggregate::Calendar;

const GRACE: i64 = 5;

fn graced(names: &[&str]) -> Engine {
    let config = deriving(names);
    let plan = config.derived.clone();
    engine(AnalysisConfig {
        derived: plan.with_grace(Duration::from_secs(GRACE.unsigned_abs())),
        ..config
    })
}

/// The same within a session that opens and closes between full hours.
fn within_a_session(names: &[&str]) -> Engine {
    let config = deriving(names);
    let session = "10:07-11:53 UTC".parse().unwrap();
    let calendar = Calendar::UTC.with_session(Some(session));
    let plan = config.derived.clone().on_calendar(calendar);
    engine(AnalysisConfig {
        derived: plan.with_grace(Duration::from_secs(GRACE.unsigned_abs())),
        ..config
    })
}

/// `n` seconds after 10:00.
fn second(n: i64) -> Timestamp {
    minute(TEN).after(n * 1_000_000_000)
}

/// Applies a mark, and returns its signals in order.
fn mark(engine: &mut Engine, at: Timestamp) -> Vec<serde_json::Value> {
    let open = engine.open_buckets();
    let closed = engine.close_by_mark(at);
    assert_eq!(engine.open_buckets(), open - closed);
    let mut signals = Vec::new();
    derived(engine, &mut signals);
    signals
}

#[test]
fn a_mark_closes_a_bucket_a_grace_after_its_end() {
    let mut engine = graced(&["5m"]);
    for n in [0, 1, 3] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    assert_eq!(mark(&mut engine, second(304)), [] as [serde_json::Value; 0]);
    let signals = mark(&mut engine, second(305));
    assert_eq!(finals(&signals), [found("5m", 0, 10.0, 0)]);
    assert_eq!(
        (&signals[0]["parts"], &signals[0]["parts_expected"]),
        (&3.into(), &5.into())
    );
    // the same mark again, an earlier and a later one close nothing more
    for at in [305, 200, 4_000] {
        assert_eq!(mark(&mut engine, second(at)), [] as [serde_json::Value; 0]);
    }
    let signals = take(&mut engine, &one(5, [11.0; 5]));
    assert_eq!(finals(&signals), [found("1m", 5, 11.0, 0)]);
    assert_eq!(engine.take_derived_totals().marked, 1);
}

#[test]
fn parts_that_come_after_the_mark_revise_the_bar() {
    let mut engine = graced(&["5m"]);
    for n in [0, 1] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    assert_eq!(mark(&mut engine, second(305)).len(), 1);
    for (revision, n) in (1..).zip([2, 3, 4]) {
        let signals = take(&mut engine, &one(n, [10.0, 20.0, 10.0, 11.0, 1.0]));
        assert_eq!(
            finals(&signals),
            [found("1m", n, 11.0, 0), found("5m", 0, 11.0, revision)]
        );
        assert_eq!(signals[1]["parts"], n + 1);
    }
    // and so does a correction of the last of them
    let signals = take(&mut engine, &one(4, [10.0, 20.0, 10.0, 12.0, 1.0]));
    assert_eq!(
        finals(&signals),
        [found("1m", 4, 12.0, 1), found("5m", 0, 12.0, 4)]
    );
    assert_eq!(engine.open_buckets(), 0);
}

#[test]
fn a_mark_closes_in_the_order_of_ends_lengths_and_symbols() {
    let mut engine = graced(&["5m", "10m"]);
    for symbol in ["B", "A", "C"] {
        for n in [0, 1] {
            let n = if symbol == "C" { n + 10 } else { n };
            take(&mut engine, &sent(symbol, "1m", n, [10.0; 5]));
        }
    }
    let order: Vec<String> = mark(&mut engine, second(2_000))
        .iter()
        .map(|signal| format!("{} {}", signal["timeframe"], signal["symbol"]).replace('"', ""))
        .collect();
    assert_eq!(order, ["5m A", "5m B", "10m A", "10m B", "5m C", "10m C"]);
}

#[test]
fn a_mark_closes_a_bounded_number_and_the_next_one_the_rest() {
    const SYMBOLS: usize = 4_100;
    let plan = deriving(&["5m"]).derived;
    let config = AnalysisConfig {
        derived: plan.with_grace(Duration::from_secs(5)),
        ..small()
    };
    let mut engine = Engine::new(Arc::new(config), 3 * SYMBOLS);
    for n in 0..SYMBOLS {
        let event = BarEvent {
            symbol: format!("S{n}").into(),
            ..one(0, [10.0; 5])
        };
        engine.on_bar(&event, minute(0));
    }
    let at = second(400);
    assert_eq!(mark(&mut engine, at).len(), 4_096);
    assert_eq!(engine.mark_due(at, |_| true), Some(second(305)));
    assert_eq!(mark(&mut engine, at).len(), 4);
    assert_eq!(engine.mark_due(at, |_| true), None);
}

#[test]
fn what_was_not_seen_from_its_open_is_not_closed_by_a_mark() {
    let mut engine = graced(&["5m"]);
    take(&mut engine, &one(2, [10.0; 5]));
    assert_eq!(engine.mark_due(second(4_000), |_| true), None);
    assert_eq!(
        mark(&mut engine, second(4_000)),
        [] as [serde_json::Value; 0]
    );
}

#[test]
fn a_mark_is_due_a_grace_after_the_end_and_after_parts_of_the_past() {
    let mut engine = graced(&["5m", "1h"]);
    let due = |engine: &mut Engine, n: i64| engine.mark_due(second(n), |_| true);
    assert_eq!(due(&mut engine, 9_999_999), None);
    for n in [0, 1] {
        engine.on_bar(&one(n, [10.0; 5]), second(60 * n + 61));
    }
    assert_eq!(due(&mut engine, 304), None);
    assert_eq!(due(&mut engine, 305), Some(second(305)));
    assert_eq!(
        engine.mark_due(second(305), |symbol| symbol.as_str() != "A"),
        None
    );
    // no later than the due buckets need
    assert_eq!(due(&mut engine, 3_604), Some(second(305)));
    assert_eq!(due(&mut engine, 3_605), Some(second(3_605)));
    // a part came at 20:00: others of that time may follow it
    engine.on_bar(&one(2, [10.0; 5]), second(36_000));
    assert_eq!(due(&mut engine, 36_004), None);
    assert_eq!(due(&mut engine, 36_005), Some(second(3_605)));
    mark(&mut engine, second(3_605));
    assert_eq!(due(&mut engine, 9_999_999), None);
    // moved state is due as well
    engine.on_bar(&one(60, [10.0; 5]), second(3_660));
    let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
    let snapshot = engine.snapshot(id).unwrap();
    let mut moved = graced(&["5m", "1h"]);
    moved.restore(snapshot).unwrap();
    assert_eq!(due(&mut moved, 3_905), Some(second(3_905)));
}

#[test]
fn a_session_is_due_a_minute_and_a_grace_after_its_close() {
    let mut engine = within_a_session(&["15m", "1d"]);
    for n in [6, 7, 112] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let close = 113 * 60;
    let due = |engine: &mut Engine, n| engine.mark_due(second(n), |_| true);
    assert_eq!(due(&mut engine, close + 60 + GRACE - 1), None);
    let at = second(close + 60 + GRACE);
    assert_eq!(due(&mut engine, close + 60 + GRACE), Some(at));
    let signals = mark(&mut engine, at);
    // the day has the time of its midnight
    assert_eq!(
        finals(&signals),
        [found("15m", 112, 10.0, 0), found("1d", -600, 10.0, 0)]
    );
}

#[test]
fn the_end_of_the_input_closes_what_is_open() {
    let mut engine = graced(&["5m", "1h"]);
    for n in [0, 1, 5] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    assert_eq!(engine.close_at_end(), 2);
    let mut signals = Vec::new();
    derived(&mut engine, &mut signals);
    assert_eq!(
        finals(&signals),
        [found("5m", 5, 10.0, 0), found("1h", 0, 10.0, 0)]
    );
    assert_eq!(engine.close_at_end(), 0);
}

/// The final signals of each timeframe, in order.
fn by_timeframe(signals: &[serde_json::Value], name: &str) -> Vec<String> {
    let of = signals
        .iter()
        .filter(|signal| signal["final"] == true && signal["timeframe"] == name);
    of.map(ToString::to_string).collect()
}

proptest! {
    /// A mark changes no byte of any series if no later part of the closed bars follows.
    #[test]
    fn a_mark_changes_when_a_bar_comes_and_not_what_it_is(
        events in feed(),
        marks in prop::collection::vec(prop::option::of(-400i64..=GRACE), 150),
        session in any::<bool>(),
    ) {
        let names = ["5m", "15m", "1h"];
        let engine = || if session { within_a_session(&names) } else { graced(&names) };
        let (mut plain, mut marked) = (engine(), engine());
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for (event, ahead) in events.iter().zip(&marks) {
            if let Some(ahead) = ahead {
                let at = event.bar.timestamp.after(ahead * 1_000_000_000);
                found.extend(mark(&mut marked, at));
            }
            expected.extend(take(&mut plain, event));
            found.extend(take(&mut marked, event));
        }
        for engine in [&mut plain, &mut marked] {
            engine.close_at_end();
        }
        derived(&mut plain, &mut expected);
        derived(&mut marked, &mut found);
        for name in names.iter().chain(&["1m"]) {
            prop_assert_eq!(by_timeframe(&found, name), by_timeframe(&expected, name));
        }
    }

    /// Marks at any place lead to the same bars as no marks, whatever was revised meanwhile.
    #[test]
    fn marks_that_come_too_early_are_made_good(
        events in feed(),
        marks in prop::collection::vec(prop::option::of(-400i64..4_000), 150),
    ) {
        let names = ["5m", "15m", "1h"];
        let (mut plain, mut marked) = (graced(&names), graced(&names));
        for (event, ahead) in events.iter().zip(&marks) {
            if let Some(ahead) = ahead {
                mark(&mut marked, event.bar.timestamp.after(ahead * 1_000_000_000));
            }
            take(&mut plain, event);
            take(&mut marked, event);
        }
        for engine in [&mut plain, &mut marked] {
            engine.close_at_end();
            derived(engine, &mut Vec::new());
        }
        for (_, series) in plain.iter() {
            let timeframe = series.key().timeframe;
            let (_, other) = marked.find("A", timeframe).unwrap();
            prop_assert_eq!(series.ring().newest(), other.ring().newest());
            prop_assert_eq!(series.bars(), other.bars());
        }
    }
}
