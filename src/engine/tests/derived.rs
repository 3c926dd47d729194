//! Bars that are derived from smaller ones.

use proptest::prelude::*;

use super::*;
use crate::aggregate::Plan;
use crate::market::Zone;

pub(super) const TEN: i64 = 28_403_160;

pub(super) fn deriving(names: &[&str]) -> AnalysisConfig {
    let timeframes = names.iter().map(|name| name.parse().unwrap()).collect();
    AnalysisConfig {
        derived: Plan::new(timeframes, Zone::UTC).unwrap(),
        ..rich()
    }
}

/// A bar of `timeframe` that opens the given number of minutes after 10:00.
pub(super) fn sent(
    symbol: &'static str,
    timeframe: &str,
    n: i64,
    values: [f64; 5],
) -> BarEvent<'static> {
    let [open, high, low, close, volume] = values;
    BarEvent {
        symbol: symbol.into(),
        timeframe: timeframe.parse().unwrap(),
        bar: Bar {
            timestamp: minute(TEN + n),
            open,
            high,
            low,
            close,
            volume,
        },
        finality: Finality::Final,
        adjusted: false,
        source: None,
    }
}

pub(super) fn one(n: i64, values: [f64; 5]) -> BarEvent<'static> {
    sent("A", "1m", n, values)
}

/// Takes in an event as the agent does; every signal, in order.
pub(super) fn take(engine: &mut Engine, event: &BarEvent<'_>) -> Vec<serde_json::Value> {
    let mut signals = Vec::new();
    let complete = engine.closed_by(event);
    for event in complete.iter().chain([event]) {
        engine.close_before(event);
        derived(engine, &mut signals);
        let outcome = engine.on_bar(event, minute(0));
        let effect = outcome.effect;
        signals.extend(outcome.signal.map(|s| serde_json::to_value(s).unwrap()));
        revisions(engine, &mut signals);
        derived(engine, &mut signals);
        engine.peek_derived(event, effect);
        derived(engine, &mut signals);
    }
    let buckets = engine
        .iter()
        .map(|(_, series)| series.derived.open_buckets());
    assert_eq!(engine.open_buckets(), buckets.sum::<usize>());
    signals
}

pub(super) fn derived(engine: &mut Engine, signals: &mut Vec<serde_json::Value>) {
    while let Some(one) = engine.next_derived(minute(0)) {
        signals.extend(one.outcome.signal.map(|s| serde_json::to_value(s).unwrap()));
        revisions(engine, signals);
    }
}

fn revisions(engine: &mut Engine, signals: &mut Vec<serde_json::Value>) {
    while let Some(revision) = engine.next_revision() {
        signals.push(serde_json::to_value(revision.signal).unwrap());
    }
}

/// Timeframe, minute, close and revision of final signals.
pub(super) fn finals(signals: &[serde_json::Value]) -> Vec<(String, i64, f64, u64)> {
    let finals = signals.iter().filter(|signal| signal["final"] == true);
    finals
        .map(|signal| {
            let at: Timestamp = signal["timestamp"].as_str().unwrap().parse().unwrap();
            (
                signal["timeframe"].as_str().unwrap().to_owned(),
                at.nanos() / Timeframe::MINUTE.nanos() - TEN,
                signal["close"].as_f64().unwrap(),
                signal["revision"].as_u64().unwrap(),
            )
        })
        .collect()
}

pub(super) fn found(timeframe: &str, n: i64, close: f64, revision: u64) -> (String, i64, f64, u64) {
    (timeframe.to_owned(), n, close, revision)
}

pub(super) const FIVE: [[f64; 5]; 5] = [
    [10.0, 12.0, 9.0, 11.0, 1.0],
    [11.0, 11.0, 10.0, 10.0, 2.0],
    [10.0, 15.0, 10.0, 14.0, 3.0],
    [14.0, 14.0, 8.0, 9.0, 4.0],
    [9.0, 10.0, 9.0, 10.0, 5.0],
];

#[test]
fn five_minutes_give_one_bar_and_say_how_complete_it_is() {
    let mut engine = engine(deriving(&["5m"]));
    let mut signals = Vec::new();
    for (n, values) in (0..).zip(FIVE) {
        signals = take(&mut engine, &one(n, values));
    }
    assert_eq!(
        finals(&signals),
        [found("1m", 4, 10.0, 0), found("5m", 0, 10.0, 0)]
    );
    let values =
        ["open", "high", "low", "close", "volume"].map(|key| signals[1][key].as_f64().unwrap());
    assert_eq!(values, [10.0, 15.0, 8.0, 10.0, 15.0]);
    assert_eq!(
        (&signals[1]["parts"], &signals[1]["parts_expected"]),
        (&5.into(), &5.into())
    );
    // a plain bar says nothing of the kind
    assert!(signals[0].get("parts").is_none() && signals[0].get("parts_expected").is_none());
    // once more on request
    let (id, series) = engine.find("A", "5m".parse().unwrap()).unwrap();
    assert!(series.is_derived());
    let latest = serde_json::to_value(engine.latest(id).unwrap()).unwrap();
    assert_eq!(latest, signals[1]);
}

#[test]
fn an_incomplete_bar_comes_before_the_bar_that_closes_it() {
    let mut engine = engine(deriving(&["5m"]));
    for n in [0_i8, 1, 3, 4] {
        let values = FIVE[usize::try_from(n).unwrap()];
        assert_eq!(finals(&take(&mut engine, &one(n.into(), values))).len(), 1);
    }
    let signals = take(&mut engine, &one(5, [10.0; 5]));
    assert_eq!(
        finals(&signals),
        [found("5m", 0, 10.0, 0), found("1m", 5, 10.0, 0)]
    );
    assert_eq!(
        (&signals[0]["parts"], &signals[0]["parts_expected"]),
        (&4.into(), &5.into())
    );
    assert_eq!(signals[0]["volume"], 12.0);
}

#[test]
fn a_correction_travels_upwards_with_one_revision_each() {
    let mut engine = engine(deriving(&["5m", "10m", "1h"]));
    for n in 0..10 {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let signals = take(&mut engine, &one(9, [10.0, 12.0, 10.0, 11.0, 1.0]));
    assert_eq!(
        finals(&signals),
        [
            found("1m", 9, 11.0, 1),
            found("5m", 5, 11.0, 1),
            found("10m", 0, 11.0, 1)
        ]
    );
    // the hour is still open, and its series has no bar yet
    assert_eq!(signals.len(), 3);
    assert_eq!(engine.open_buckets(), 1);
    let again = take(&mut engine, &one(9, [10.0, 12.0, 10.0, 11.0, 1.0]));
    assert_eq!(again, [] as [serde_json::Value; 0]);
    let totals = engine.take_derived_totals();
    assert_eq!((totals.derived, totals.revised), (3, 2));
}

#[test]
fn forming_bars_are_shown_and_are_no_state() {
    let config = deriving(&["5m", "1h"]);
    let mut engine = engine(config);
    for n in 0..60 {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let signals = take(
        &mut engine,
        &forming(one(60, [10.0, 30.0, 10.0, 20.0, 7.0])),
    );
    let shown: Vec<(String, f64, bool)> = signals
        .iter()
        .map(|s| {
            (
                s["timeframe"].as_str().unwrap().to_owned(),
                s["close"].as_f64().unwrap(),
                s["final"] == true,
            )
        })
        .collect();
    let expected = ["1m", "5m", "1h"].map(|name| (name.to_owned(), 20.0, false));
    assert_eq!(shown, expected);
    let signals = take(&mut engine, &one(60, [10.0; 5]));
    assert_eq!(finals(&signals), [found("1m", 60, 10.0, 0)]);
    assert_eq!(signals.iter().filter(|s| s["final"] == false).count(), 2);
    let five = engine.find("A", "5m".parse().unwrap()).unwrap().1;
    assert_eq!(
        (five.bars(), five.ring().newest().unwrap().high),
        (12, 10.0)
    );
}

#[test]
fn the_bars_of_the_source_win() {
    let mut engine = engine(deriving(&["5m", "15m"]));
    for n in 0..10 {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    // other values for the newest one are a correction of it
    let own = sent("A", "5m", 5, [10.0, 11.0, 10.0, 10.5, 50.0]);
    let signals = take(&mut engine, &own);
    assert_eq!(finals(&signals), [found("5m", 5, 10.5, 1)]);
    assert!(signals[0].get("parts").is_none());
    assert_eq!(engine.take_derived_totals().own, 1);
    let notes = engine.take_derived_notes();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].to_string().contains("5m"), "{}", notes[0]);
    let mut seen = Vec::new();
    for n in 10..15 {
        seen.extend(finals(&take(&mut engine, &one(n, [10.0; 5]))));
    }
    let larger: Vec<_> = seen.into_iter().filter(|one| one.0 != "1m").collect();
    assert_eq!(larger, [found("15m", 0, 10.0, 0)]);
    // from the first bar on, where the source sends it from the first bar on
    let mut engine = Engine::new(Arc::new(deriving(&["5m"])), 100);
    take(&mut engine, &sent("A", "5m", 0, [10.0; 5]));
    for n in 0..7 {
        assert_eq!(finals(&take(&mut engine, &one(n, [10.0; 5]))).len(), 1);
    }
    assert_eq!(
        engine.take_derived_totals(),
        DerivedTotals {
            own: 1,
            ..DerivedTotals::default()
        }
    );
}

#[test]
fn the_smallest_bars_of_a_symbol_are_derived_from() {
    let mut engine = engine(deriving(&["15m"]));
    for n in [0, 5, 10] {
        let signals = take(&mut engine, &sent("A", "5m", n, [10.0; 5]));
        let expected: &[_] = if n == 10 {
            &[found("5m", 10, 10.0, 0), found("15m", 0, 10.0, 0)]
        } else {
            &[found("5m", n, 10.0, 0)]
        };
        assert_eq!(finals(&signals), expected);
    }
    // smaller ones take over at the next bucket that they are seen from the open of
    take(&mut engine, &sent("A", "5m", 15, [10.0; 5]));
    assert_eq!(engine.open_buckets(), 1);
    take(&mut engine, &one(20, [10.0; 5]));
    assert_eq!(engine.open_buckets(), 0);
    let mut seen = Vec::new();
    for n in 21..45 {
        if n % 5 == 0 {
            seen.extend(finals(&take(&mut engine, &sent("A", "5m", n, [10.0; 5]))));
        }
        seen.extend(finals(&take(&mut engine, &one(n, [10.0; 5]))));
    }
    let larger: Vec<_> = seen.into_iter().filter(|one| one.0 == "15m").collect();
    assert_eq!(larger, [found("15m", 30, 10.0, 0)]);
    let series = engine.find("A", "15m".parse().unwrap()).unwrap().1;
    assert_eq!(
        series.derived.parts,
        Some(Parts {
            have: 15,
            expected: Some(15)
        })
    );
}

#[test]
fn a_bucket_outlives_a_silence_that_starts_its_series_anew() {
    let idle = std::time::Duration::from_secs(600);
    let mut engine = Engine::new(Arc::new(deriving(&["1h"])), 100).forgetting(Some(idle));
    take(&mut engine, &one(0, [10.0; 5]));
    take(&mut engine, &one(30, [12.0; 5]));
    assert_eq!(engine.find("A", Timeframe::MINUTE).unwrap().1.bars(), 1);
    let signals = take(&mut engine, &one(90, [13.0; 5]));
    assert_eq!(
        finals(&signals),
        [found("1h", 0, 12.0, 0), found("1m", 90, 13.0, 0)]
    );
    assert_eq!(signals[0]["parts"], 2);
}

#[test]
fn without_room_the_bars_themselves_are_still_taken() {
    let mut engine = Engine::new(Arc::new(deriving(&["5m"])), 1);
    for n in 0..5 {
        assert_eq!(finals(&take(&mut engine, &one(n, [10.0; 5]))).len(), 1);
    }
    assert_eq!(engine.take_derived_totals().no_room, 1);
    assert!(
        engine.take_derived_notes()[0]
            .to_string()
            .contains("TECHNICAL_MAX_SERIES")
    );
    assert!(engine.take_derived_notes().is_empty());
}

#[test]
fn a_panic_in_a_derived_bar_leaves_the_engine_usable() {
    let mut engine = engine(deriving(&["5m"]));
    for n in 0..4 {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    engine.close_before(&one(4, [10.0; 5]));
    engine.on_bar(&one(4, [10.0; 5]), minute(0));
    engine.poison();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.next_derived(minute(0)).is_some()
    }));
    assert!(panicked.is_err());
    engine.roll_back();
    engine.heal();
    assert!(engine.find("A", "5m".parse().unwrap()).is_none());
    let mut last = Vec::new();
    for n in 5..10 {
        last = finals(&take(&mut engine, &one(n, [11.0; 5])));
    }
    assert_eq!(last, [found("1m", 9, 11.0, 0), found("5m", 5, 11.0, 0)]);
}

#[test]
fn state_of_another_plan_is_not_continued() {
    let mut from = engine(deriving(&["5m", "1h"]));
    take(&mut from, &one(0, [10.0; 5]));
    let (id, _) = from.find("A", Timeframe::MINUTE).unwrap();
    let snapshot = from.snapshot(id).unwrap();
    let mut same = engine(deriving(&["1h", "5m"]));
    assert!(same.restore(snapshot.clone()).is_ok());
    assert_eq!(same.open_buckets(), 2);
    assert!(same.restore(snapshot.clone()).is_ok());
    assert_eq!(same.open_buckets(), 2);
    for names in [&["5m"][..], &["5m", "1d"], &[]] {
        let mut other = engine(deriving(names));
        assert_eq!(
            other.restore(snapshot.clone()),
            Err(RestoreError::Fingerprint)
        );
        // nor if it says that it is of this one
        other.fingerprint = from.fingerprint;
        assert_eq!(other.restore(snapshot.clone()), Err(RestoreError::Damaged));
    }
}

/// Bars of one minute with gaps, and corrections of the newest.
pub(super) fn feed() -> impl Strategy<Value = Vec<BarEvent<'static>>> {
    let step = (
        prop_oneof![1 => Just(0i64), 6 => Just(1), 2 => 2i64..9],
        1u32..200,
        0u32..500,
    );
    prop::collection::vec(step, 1..150).prop_map(|steps| {
        let mut at = 0;
        let events = steps.into_iter().map(|(gap, close, volume)| {
            at += gap;
            let close = f64::from(close) / 4.0;
            one(
                at,
                [
                    close,
                    close + 1.0,
                    close - 0.1,
                    close,
                    f64::from(volume) / 8.0,
                ],
            )
        });
        events.collect()
    })
}

proptest! {
    /// A derived series says what a series says that is sent the same bars.
    #[test]
    fn derived_bars_are_analyzed_as_sent_ones_are(events in feed()) {
        let mut engine = engine(deriving(&["5m"]));
        let mut plain = Engine::new(Arc::new(rich()), 100);
        for event in &events {
            for mut signal in take(&mut engine, event) {
                if signal["timeframe"] != "5m" || signal["final"] != true {
                    continue;
                }
                let bar: Bar = {
                    let at: Timestamp = signal["timestamp"].as_str().unwrap().parse().unwrap();
                    let number = |key: &str| signal[key].as_f64().unwrap();
                    Bar {
                        timestamp: at,
                        open: number("open"),
                        high: number("high"),
                        low: number("low"),
                        close: number("close"),
                        volume: number("volume"),
                    }
                };
                let sent = BarEvent { bar, ..sent("A", "5m", 0, [1.0; 5]) };
                let expected = said(&mut plain, &sent).unwrap();
                let object = signal.as_object_mut().unwrap();
                object.remove("parts");
                object.remove("parts_expected");
                let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
                prop_assert_eq!(signal, expected);
            }
        }
    }

    /// State that is moved to another engine at any place goes on as if it had not been.
    #[test]
    fn moved_state_goes_on(events in feed(), at in any::<prop::sample::Index>()) {
        let at = at.index(events.len());
        let mut whole = engine(deriving(&["5m", "15m", "1h"]));
        let mut moved = engine(deriving(&["5m", "15m", "1h"]));
        for (place, event) in events.iter().enumerate() {
            if place == at {
                let mut into = engine(deriving(&["5m", "15m", "1h"]));
                let ids: Vec<SeriesId> = moved.iter().map(|(id, _)| id).collect();
                for id in ids {
                    let mut snapshot = moved.snapshot(id).unwrap();
                    let derived = snapshot.take_derived().map(|one| postcard::to_stdvec(&one).unwrap());
                    let bytes = postcard::to_stdvec(&snapshot).unwrap();
                    let mut snapshot: SeriesSnapshot = postcard::from_bytes(&bytes).unwrap();
                    if let Some(derived) = derived {
                        snapshot.put_derived(postcard::from_bytes(&derived).unwrap());
                    }
                    into.restore(snapshot).unwrap();
                }
                moved = into;
            }
            prop_assert_eq!(take(&mut moved, event), take(&mut whole, event));
        }
    }
}
