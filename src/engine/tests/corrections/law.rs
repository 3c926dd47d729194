//! Corrected series against series that had the right bars at once, on random bars.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::derived::take;
use super::super::*;
use super::parts::deriving_many;
use super::said_of;

/// Values of a bar.
#[derive(Debug, Clone, Copy)]
struct Values {
    close: f64,
    range: f64,
    volume: f64,
    source: usize,
}

/// A bar, the minutes since the one before it, and its deliveries. Each delivery has values and the
/// number of later bars that come first; the last one has the right values.
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

/// Bars some of which are missing or wrong at first, and are mended within `correctable` bars.
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

/// The bars in their order of arrival, and the right ones in the order of time.
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

fn unrevised(mut signal: serde_json::Value) -> serde_json::Value {
    signal["revision"] = 0.into();
    signal
}

/// State of the series without its revisions.
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

/// The engine after its series were written and read into another one.
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
    // later bars give the same signals as well
    let next = bar("A", 10_000, 20.0);
    assert_eq!(said_of(&mut corrected, &next), said_of(&mut plain, &next));
}

/// Indicators of every kind, in a window as large as the longest needs.
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

/// States of all series without their revisions.
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
