//! Corrections and insertions among the newest bars: afterwards everything is as if the right bars had
//! come in their order, revisions aside.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::derived::{FIVE, deriving, finals, found, one, take};
use super::*;

/// The values of a bar: those of the walk that a test makes of it.
#[derive(Debug, Clone, Copy)]
struct Values {
    close: f64,
    range: f64,
    volume: f64,
    source: usize,
}

/// A bar, the minutes since the one before it, and what comes of it: its last values are the right
/// ones, and each comes after so many later bars.
#[derive(Debug, Clone)]
struct Told {
    minutes: i64,
    comes: Vec<(usize, Values)>,
}

fn values() -> impl Strategy<Value = Values> {
    let source = prop_oneof![6 => Just(0usize), 1 => 1usize..3];
    (50u32..150, 0u32..50, 0u32..1_000, source).prop_map(|(close, range, volume, source)| Values {
        close: f64::from(close) / 4.0,
        range: f64::from(range) / 16.0,
        volume: f64::from(volume),
        source,
    })
}

/// Bars of which one in a few is missing or wrong until later, by fewer than `correctable` bars.
fn told(correctable: usize, bars: usize) -> impl Strategy<Value = Vec<Told>> {
    let at_once = values().prop_map(|values| vec![(0, values)]);
    let later = prop::collection::vec((0..correctable, values()), 1..4).prop_map(|mut comes| {
        comes.sort_by_key(|(delay, _)| *delay);
        comes
    });
    let one = (
        prop_oneof![9 => Just(1i64), 1 => 1i64..5],
        prop_oneof![3 => at_once, 1 => later],
    )
        .prop_map(|(minutes, comes)| Told { minutes, comes });
    prop::collection::vec(one, 2..bars).prop_map(|mut told| {
        // nothing is inserted before the first bar
        told[0].comes[0].0 = 0;
        told
    })
}

fn event(minute: i64, values: Values) -> BarEvent<'static> {
    let mut event = bar("A", minute, values.close);
    event.bar.high += values.range;
    event.bar.low -= values.range / 2.0;
    event.bar.volume = values.volume;
    event.source = [None, Some("x"), Some("y")][values.source].map(Into::into);
    event
}

/// The bars as they come, and the right ones in their order.
fn orders(told: &[Told]) -> (Vec<BarEvent<'static>>, Vec<BarEvent<'static>>) {
    let mut minute = 0;
    let (mut comes, mut right) = (Vec::new(), Vec::new());
    for (at, one) in told.iter().enumerate() {
        minute += one.minutes;
        for (turn, (delay, values)) in one.comes.iter().enumerate() {
            comes.push((
                (at + delay, delay.min(&1) * at, turn),
                event(minute, *values),
            ));
        }
        right.extend(one.comes.last().map(|(_, values)| event(minute, *values)));
    }
    comes.sort_by_key(|(order, _)| *order);
    (comes.into_iter().map(|(_, event)| event).collect(), right)
}

/// Everything that is said about a bar and the later ones that it changes.
fn said_of(engine: &mut Engine, event: &BarEvent<'_>) -> Vec<serde_json::Value> {
    let json = |signal: &Signal| serde_json::to_value(signal).unwrap();
    let mut said: Vec<_> = engine
        .on_bar(event, minute(0))
        .signal
        .map(json)
        .into_iter()
        .collect();
    while let Some(revision) = engine.next_revision() {
        said.push(json(revision.signal));
    }
    assert!(
        said.is_sorted_by_key(|signal| signal["timestamp"].as_str().unwrap().to_owned()),
        "{said:?}"
    );
    said
}

fn unrevised(mut signal: serde_json::Value) -> serde_json::Value {
    signal["revision"] = 0.into();
    signal
}

/// The state of the series, revisions aside.
fn state(engine: &Engine) -> (Vec<u8>, String) {
    let (id, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    let held = series.correctable(engine.config());
    let tags = series.corrections.tags(&series.tag(), held);
    let mut series = engine.snapshot(id).unwrap().series().clone();
    series.revision = 0;
    let mark = series
        .mark
        .as_ref()
        .map(|mark| postcard::to_stdvec(mark).unwrap());
    (
        postcard::to_stdvec(&series).unwrap(),
        format!("{tags:?} {mark:?}"),
    )
}

/// The engine after its series were written down and read elsewhere.
fn all_moved(engine: &Engine) -> Engine {
    let mut other = Engine::new(Arc::clone(engine.config()), 100);
    for (id, _) in engine.iter() {
        let mut snapshot = engine.snapshot(id).unwrap();
        let aside = (snapshot.take_corrections(), snapshot.take_derived());
        let aside = postcard::to_stdvec(&aside).unwrap();
        let bytes = postcard::to_stdvec(&snapshot).unwrap();
        let mut snapshot: SeriesSnapshot = postcard::from_bytes(&bytes).unwrap();
        let (corrections, derived) = postcard::from_bytes(&aside).unwrap();
        if let Some(corrections) = corrections {
            snapshot.put_corrections(corrections);
        }
        if let Some(derived) = derived {
            snapshot.put_derived(derived);
        }
        other.restore(snapshot).unwrap();
    }
    other
}

/// Compares the signals of bars in their order of arrival with those of the right order.
fn assert_law(config: AnalysisConfig, told: &[Told], moves: &[usize]) {
    let (comes, right) = orders(told);
    let mut plain = engine(config.clone());
    let mut expected = BTreeMap::new();
    for event in &right {
        for signal in said_of(&mut plain, event) {
            expected.insert(signal["timestamp"].to_string(), signal);
        }
    }
    let mut corrected = engine(config.clone());
    let mut last: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for (at, event) in comes.iter().enumerate() {
        if at > 0 && moves.contains(&at) {
            corrected = all_moved(&corrected);
        }
        for signal in said_of(&mut corrected, event) {
            let time = signal["timestamp"].to_string();
            if let Some(before) = last.insert(time, signal.clone()) {
                assert!(before["revision"].as_u64() < signal["revision"].as_u64());
                assert_ne!(unrevised(before), unrevised(signal), "nothing changed");
            }
        }
    }
    for (time, signal) in expected {
        let found = last.get(&time).cloned().map(unrevised);
        assert_eq!(found.as_ref(), Some(&signal), "at {time}");
    }
    assert_eq!(state(&corrected), state(&plain));
    // and what follows is the same as well
    let next = bar("A", 10_000, 20.0);
    assert_eq!(said_of(&mut corrected, &next), said_of(&mut plain, &next));
}

/// Of every kind, in a window that the longest of them needs.
fn config(correctable_bars: usize, window: usize) -> AnalysisConfig {
    AnalysisConfig {
        correctable_bars,
        window,
        ..rich()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn correcting_equals_having_had_the_right_bars_at_once(
        (correctable, told) in (1usize..13).prop_flat_map(|bars| (Just(bars), told(bars, 60))),
        publish_frequency in prop_oneof![2 => Just(1u64), 1 => 2u64..5],
        min_bars in 1usize..9,
        window in 13usize..30,
        moves in prop::collection::vec(0usize..60, 0..4),
    ) {
        let config = AnalysisConfig { publish_frequency, min_bars, ..config(correctable, window) };
        assert_law(config, &told, &moves);
    }

    #[test]
    fn all_bars_of_the_window_can_be_corrected(
        told in told(13, 60),
        moves in prop::collection::vec(0usize..60, 0..4),
    ) {
        assert_law(config(100, 13), &told, &moves);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_law_holds_for_the_whole_catalogue(told in told(32, 200)) {
        let names: Vec<&str> = indicators::catalogue().iter().map(|entry| entry.name).collect();
        let further = indicators::parse(&names.join(",")).unwrap();
        let look_back = further.iter().map(indicators::Spec::look_back).max().unwrap();
        for window in [look_back, look_back + 40] {
            let config = AnalysisConfig {
                correctable_bars: 32,
                window,
                min_bars: 1,
                indicators: further.clone(),
                ..AnalysisConfig::default()
            };
            assert_law(config, &told, &[70, 150]);
        }
    }
}

fn three() -> Engine {
    engine(AnalysisConfig {
        correctable_bars: 3,
        ..small()
    })
}

/// The minutes, closes and revisions that are said.
fn points(said: &[serde_json::Value]) -> Vec<(i64, f64, u64)> {
    let point = |signal: &serde_json::Value| {
        let at: Timestamp = signal["timestamp"].as_str().unwrap().parse().unwrap();
        let close = signal["close"].as_f64().unwrap();
        let minute = at.nanos() / Timeframe::MINUTE.nanos();
        (minute, close, signal["revision"].as_u64().unwrap())
    };
    said.iter().map(point).collect()
}

#[test]
fn the_newest_bars_can_be_corrected_and_missing_ones_inserted() {
    let mut engine = three();
    for n in [0, 2, 4, 6, 8] {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let late = Effect::Refused(Refusal::Late {
        newest: minute(8),
        correctable: 3,
    });
    let mut effect = |event: &BarEvent<'_>| engine.on_bar(event, minute(0)).effect;
    // the fourth newest, as it is and with other values, and one before the third newest
    assert_eq!(effect(&bar("A", 2, 10.0)), late);
    assert_eq!(effect(&bar("A", 2, 11.0)), late);
    assert_eq!(effect(&bar("A", 3, 11.0)), late);
    let mut history = bar("A", 2, 10.0);
    history.finality = Finality::History;
    assert_eq!(effect(&history), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 4, 10.0)), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 4, 11.0)), Effect::Corrected);
    assert_eq!(effect(&bar("A", 4, 11.0)), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 7, 11.0)), Effect::Inserted);
    assert_eq!(effect(&bar("A", 7, 11.0)), Effect::Duplicate);
    // 8, 7 and 6 are the newest now
    assert_eq!(effect(&bar("A", 4, 12.0)), late);
    assert_eq!(effect(&bar("A", 5, 12.0)), late);
    assert_eq!(effect(&forming(bar("A", 7, 12.0))), late);
    assert_eq!(effect(&bar("A", 6, 12.0)), Effect::Corrected);
}

#[test]
fn nothing_is_inserted_before_the_first_bar() {
    let mut engine = three();
    engine.on_bar(&bar("A", 5, 10.0), minute(0));
    let outcome = engine.on_bar(&bar("A", 4, 10.0), minute(0));
    let late = Refusal::Late {
        newest: minute(5),
        correctable: 3,
    };
    assert_eq!(outcome.effect, Effect::Refused(late));
}

#[test]
fn later_signals_that_change_are_said_again_with_their_next_revision() {
    let mut engine = three();
    for n in 0..6 {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    // averages of two and three bars see it in the next two bars
    let said = said_of(&mut engine, &bar("A", 3, 13.0));
    assert_eq!(points(&said), [(3, 13.0, 1), (4, 10.0, 1), (5, 10.0, 1)]);
    let said = said_of(&mut engine, &bar("A", 5, 9.0));
    assert_eq!(points(&said), [(5, 9.0, 2)]);
    let said = said_of(&mut engine, &bar("A", 4, 11.0));
    assert_eq!(points(&said), [(4, 11.0, 2), (5, 9.0, 3)]);
    assert_eq!(
        said_of(&mut engine, &bar("A", 4, 11.0)),
        [] as [serde_json::Value; 0]
    );
    let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    assert_eq!(series.position(), Some((minute(5), 3)));
    // six bars and three corrections
    assert_eq!(series.step(), 9);
}

#[test]
fn a_later_signal_that_does_not_change_is_not_said_again() {
    // with averages of one and two bars, the volume of a bar is in its own signal and the next two
    let config = AnalysisConfig {
        correctable_bars: 8,
        ..small()
    };
    let mut engine = engine(config);
    for n in 0..9 {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let mut loud = bar("A", 3, 10.0);
    loud.bar.volume = 110.0;
    let said = said_of(&mut engine, &loud);
    assert_eq!(points(&said), [(3, 10.0, 1), (4, 10.0, 1), (5, 10.0, 1)]);
}

#[test]
fn an_inserted_bar_closes_the_gap_that_was_told() {
    let mut engine = three();
    for n in [0, 1, 4] {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let said = said_of(&mut engine, &bar("A", 3, 10.0));
    assert_eq!(points(&said), [(3, 10.0, 0), (4, 10.0, 1)]);
    assert_eq!(
        (&said[0]["gap_bars"], &said[1]["gap_bars"]),
        (&1.into(), &0.into())
    );
    assert_eq!(said[1]["bars_analyzed"], 4);
}

#[test]
fn a_series_that_was_silent_has_no_earlier_bars() {
    let idle = std::time::Duration::from_secs(600);
    let config = AnalysisConfig {
        correctable_bars: 3,
        ..small()
    };
    let mut engine = engine(config).forgetting(Some(idle));
    engine.on_bar(&bar("A", 0, 10.0), minute(0));
    engine.on_bar(&bar("A", 100, 10.0), minute(0));
    let late = Refusal::Late {
        newest: minute(100),
        correctable: 3,
    };
    for n in [0, 50] {
        let outcome = engine.on_bar(&bar("A", n, 11.0), minute(0));
        assert_eq!(outcome.effect, Effect::Refused(late));
    }
    // it has come further than the series before the silence
    let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    assert_eq!((series.bars(), series.step()), (1, 2));
}

fn deriving_many(names: &[&str], correctable_bars: usize) -> AnalysisConfig {
    AnalysisConfig {
        correctable_bars,
        window: 40,
        ..deriving(names)
    }
}

#[test]
fn a_part_that_comes_late_revises_the_bar_that_was_closed_without_it() {
    let mut engine = engine(deriving_many(&["5m"], 8));
    for n in [0, 1, 3, 4] {
        take(&mut engine, &one(n, FIVE[usize::try_from(n).unwrap()]));
    }
    let signals = take(&mut engine, &one(5, [10.0; 5]));
    assert_eq!(finals(&signals)[0], found("5m", 0, 10.0, 0));
    let signals = take(&mut engine, &one(2, [10.0, 16.0, 10.0, 14.0, 3.0]));
    let expected = [
        found("1m", 2, 14.0, 0),
        found("1m", 3, 9.0, 1),
        found("1m", 4, 10.0, 1),
        found("1m", 5, 10.0, 1),
        found("5m", 0, 10.0, 1),
    ];
    assert_eq!(finals(&signals), expected);
    let five = &signals[4];
    let values = ["open", "high", "low", "close", "volume"].map(|key| five[key].as_f64().unwrap());
    assert_eq!(values, [10.0, 16.0, 8.0, 10.0, 15.0]);
    assert_eq!(
        (&five["parts"], &five["parts_expected"]),
        (&5.into(), &5.into())
    );
    // once more it is a duplicate
    let again = take(&mut engine, &one(2, [10.0, 16.0, 10.0, 14.0, 3.0]));
    assert_eq!(finals(&again), []);
}

#[test]
fn a_correction_travels_to_every_timeframe_once_the_smaller_first() {
    let mut engine = engine(deriving_many(&["5m", "10m", "15m"], 32));
    for n in 0..33 {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let signals = take(&mut engine, &one(12, [10.0, 90.0, 10.0, 10.0, 1.0]));
    let mut order: Vec<String> = finals(&signals)
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    order.dedup();
    assert_eq!(order, ["1m", "5m", "10m", "15m"]);
    let first = |name: &str| {
        finals(&signals)
            .into_iter()
            .find(|one| one.0 == name)
            .unwrap()
    };
    assert_eq!(first("5m"), found("5m", 10, 10.0, 1));
    assert_eq!(first("10m"), found("10m", 10, 10.0, 1));
    assert_eq!(first("15m"), found("15m", 0, 10.0, 1));
    assert_eq!(engine.take_derived_totals().revised, 3);
}

#[test]
fn a_part_of_a_bucket_without_any_other_inserts_its_bar() {
    let mut engine = engine(deriving_many(&["5m", "15m"], 8));
    for n in [0, 1, 10, 15, 16] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let signals = take(&mut engine, &one(7, [11.0; 5]));
    let of_5m: Vec<_> = finals(&signals)
        .into_iter()
        .filter(|one| one.0 == "5m")
        .collect();
    assert_eq!(of_5m, [found("5m", 5, 11.0, 0), found("5m", 10, 10.0, 1)]);
    let (_, five) = engine.find("A", "5m".parse().unwrap()).unwrap();
    assert_eq!(five.bars(), 3);
    // and a bar before the first one of a derived series
    let mut engine = super::engine(deriving_many(&["5m"], 8));
    for n in [2, 11, 15] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let signals = take(&mut engine, &one(6, [11.0; 5]));
    assert!(
        finals(&signals).contains(&found("5m", 5, 11.0, 0)),
        "{signals:?}"
    );
    assert!(
        finals(&signals).contains(&found("5m", 10, 10.0, 1)),
        "{signals:?}"
    );
}

#[test]
fn the_last_missing_part_closes_the_bar() {
    let mut engine = engine(deriving_many(&["5m"], 8));
    for n in [0, 1, 3, 4] {
        take(&mut engine, &one(n, FIVE[usize::try_from(n).unwrap()]));
    }
    assert_eq!(engine.open_buckets(), 1);
    let signals = take(&mut engine, &one(2, FIVE[2]));
    assert_eq!(finals(&signals).last(), Some(&found("5m", 0, 10.0, 0)));
    assert_eq!(engine.open_buckets(), 0);
}

/// An inserted bar that reaches across the end of closed bars: they stay as they were published.
#[test]
fn what_reaches_across_two_derived_bars_is_in_neither() {
    let mut engine = engine(deriving_many(&["5m"], 8));
    for n in [0, 1, 2, 3, 5, 6, 10] {
        take(&mut engine, &one(n, [10.0; 5]));
    }
    let mut across = one(4, [20.0; 5]);
    across.bar.timestamp = across.bar.timestamp.after(Timeframe::MINUTE.nanos() / 2);
    let signals = take(&mut engine, &across);
    assert!(
        finals(&signals).iter().all(|one| one.0 == "1m"),
        "{signals:?}"
    );
    assert_eq!(engine.take_derived_totals().straddling, 1);
    // nor are they revised any more
    let signals = take(&mut engine, &one(3, [30.0; 5]));
    assert!(
        finals(&signals).iter().all(|one| one.0 == "1m"),
        "{signals:?}"
    );
    assert_eq!(engine.take_derived_notes().len(), 1);
}

/// The states of all series, revisions aside.
fn states(engine: &Engine) -> BTreeMap<String, String> {
    let mut states = BTreeMap::new();
    for (id, series) in engine.iter() {
        let held = series.correctable(engine.config());
        let tags = series.corrections.tags(&series.tag(), held);
        let mut series = engine.snapshot(id).unwrap().series().clone();
        series.revision = 0;
        let horizons = series.corrections.take_horizons();
        let bytes = postcard::to_stdvec(&series).unwrap();
        let state = format!("{bytes:?} {tags:?} {horizons:?} {:?}", series.derived);
        states.insert(series.key().to_string(), state);
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_law_holds_for_derived_bars(
        (correctable, told) in (1usize..33).prop_flat_map(|bars| (Just(bars), told(bars, 120))),
        moves in prop::collection::vec(1usize..120, 0..4),
        publish_frequency in 1u64..3,
    ) {
        let config = AnalysisConfig {
            publish_frequency,
            ..deriving_many(&["5m", "10m", "1h"], correctable)
        };
        let (comes, right) = orders(&told);
        let key = |signal: &serde_json::Value| format!("{} {}", signal["timeframe"], signal["timestamp"]);
        let mut plain = engine(config.clone());
        let mut expected = BTreeMap::new();
        for event in &right {
            for signal in take(&mut plain, event).into_iter().filter(|one| one["final"] == true) {
                expected.insert(key(&signal), signal);
            }
        }
        let mut corrected = engine(config);
        let mut last: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        for (at, event) in comes.iter().enumerate() {
            if moves.contains(&at) {
                corrected = all_moved(&corrected);
            }
            for signal in take(&mut corrected, event).into_iter().filter(|one| one["final"] == true) {
                if let Some(before) = last.insert(key(&signal), signal.clone()) {
                    prop_assert!(before["revision"].as_u64() < signal["revision"].as_u64());
                    prop_assert_ne!(unrevised(before), unrevised(signal), "nothing changed");
                }
            }
        }
        for (key, signal) in expected {
            let found = last.get(&key).cloned().map(unrevised);
            prop_assert_eq!(found.as_ref(), Some(&signal), "at {}", key);
        }
        prop_assert_eq!(states(&corrected), states(&plain));
    }
}
