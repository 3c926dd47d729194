//! State between bars: corrections, trials and snapshots leave no trace in it.

use proptest::prelude::*;

use super::*;

/// A bar of a random walk: the steps of close, range, volume and time.
#[derive(Debug, Clone)]
struct Step {
    close: f64,
    range: f64,
    volume: f64,
    minutes: i64,
}

fn step() -> impl Strategy<Value = Step> {
    (50u32..150, 0u32..50, 0u32..1_000, 1i64..4).prop_map(|(close, range, volume, minutes)| Step {
        close: f64::from(close) / 4.0,
        range: f64::from(range) / 16.0,
        volume: f64::from(volume),
        minutes,
    })
}

/// The bars of a walk, one after another.
fn walk(steps: &[Step]) -> Vec<BarEvent<'static>> {
    let mut at = 0;
    let bars = steps.iter().map(|step| {
        at += step.minutes;
        event(at, step)
    });
    bars.collect()
}

fn event(at: i64, step: &Step) -> BarEvent<'static> {
    let mut event = bar("A", at, step.close);
    event.bar.high += step.range;
    event.bar.low -= step.range / 2.0;
    event.bar.volume = step.volume;
    event
}

/// The signal of the newest bar, its revision aside.
fn newest(engine: &mut Engine) -> serde_json::Value {
    let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
    let mut json = serde_json::to_value(engine.latest(id).unwrap()).unwrap();
    json["revision"] = 0.into();
    json
}

fn long_enough() -> AnalysisConfig {
    AnalysisConfig {
        window: 12,
        ..rich()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_corrected_bar_is_as_if_it_had_been_right_from_the_start(
        steps in prop::collection::vec((step(), prop::collection::vec(step(), 0..3)), 1..40),
    ) {
        let right: Vec<Step> = steps.iter().map(|(step, _)| step.clone()).collect();
        let mut plain = engine(long_enough());
        let mut corrected = engine(long_enough());
        for (event, (_, wrong)) in walk(&right).iter().zip(&steps) {
            for step in wrong {
                let mut first = event.clone();
                first.bar = super::state::event(0, step).bar;
                first.bar.timestamp = event.bar.timestamp;
                corrected.on_bar(&first, minute(0));
            }
            corrected.on_bar(event, minute(0));
            plain.on_bar(event, minute(0));
            prop_assert_eq!(newest(&mut corrected), newest(&mut plain));
        }
    }

    #[test]
    fn a_forming_bar_says_what_it_would_say_complete_and_changes_nothing(
        steps in prop::collection::vec((step(), step()), 2..40),
    ) {
        let right: Vec<Step> = steps.iter().map(|(step, _)| step.clone()).collect();
        let mut plain = engine(long_enough());
        let mut peeked = engine(long_enough());
        for (at, (event, (_, other))) in walk(&right).iter().zip(&steps).enumerate() {
            let mut early = forming(event.clone());
            early.bar = super::state::event(0, other).bar;
            early.bar.timestamp = event.bar.timestamp;
            peeked.on_bar(&early, minute(0));
            let peek = said(&mut peeked, &forming(event.clone()));
            let peek = peek.map(|json| json.replace(r#""final":false"#, r#""final":true"#));
            let commit = said(&mut peeked, event);
            prop_assert_eq!(&commit, &said(&mut plain, event));
            // a series begins with its first final bar
            if at > 0 {
                prop_assert_eq!(peek, commit);
            }
        }
    }

    #[test]
    fn a_restored_series_goes_on_byte_for_byte(
        steps in prop::collection::vec(step(), 2..60),
        cut in 1usize..60,
        frequency in 1u64..4,
        corrected in any::<bool>(),
    ) {
        let config = AnalysisConfig { publish_frequency: frequency, ..long_enough() };
        let bars = walk(&steps);
        let cut = cut.min(bars.len() - 1);
        let mut first = engine(config.clone());
        for event in &bars[..cut] {
            first.on_bar(event, minute(0));
        }
        if corrected {
            let mut again = bars[cut - 1].clone();
            again.bar.volume += 1.0;
            first.on_bar(&again, minute(0));
        }
        let (id, _) = first.find("A", Timeframe::MINUTE).unwrap();
        let bytes = postcard::to_stdvec(&first.snapshot(id).unwrap()).unwrap();
        // elsewhere, where an older state of the series is in the way
        let mut second = engine(config);
        second.on_bar(&bars[0], minute(0));
        let restored = second.restore(postcard::from_bytes(&bytes).unwrap()).unwrap();
        prop_assert_eq!(second.get(restored).unwrap().position(), first.get(id).unwrap().position());
        // the newest bar can still be corrected, and what follows is the same
        let mut again = bars[cut - 1].clone();
        again.bar.volume += 2.0;
        prop_assert_eq!(said(&mut first, &again), said(&mut second, &again));
        for event in &bars[cut..] {
            prop_assert_eq!(said(&mut first, event), said(&mut second, event));
        }
    }

    #[test]
    fn the_same_bars_give_the_same_bytes_whatever_other_series_there_are(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut alone = engine(long_enough());
        let mut crowd = engine(long_enough());
        for event in walk(&steps) {
            let mut other = event.clone();
            other.symbol = "B".into();
            other.bar.volume += 7.0;
            crowd.on_bar(&other, minute(9));
            let crowded = crowd.on_bar(&event, minute(5)).signal.map(|s| serde_json::to_string(s).unwrap());
            prop_assert_eq!(said(&mut alone, &event), crowded);
        }
    }
}

#[test]
fn a_snapshot_of_another_configuration_or_without_room_is_refused() {
    let mut from = engine(small());
    from.on_bar(&bar("A", 0, 10.0), minute(0));
    let (id, _) = from.find("A", Timeframe::MINUTE).unwrap();
    let snapshot = from.snapshot(id).unwrap();
    let other = AnalysisConfig {
        rsi_period: 3,
        ..small()
    };
    let mut into = engine(other);
    assert_eq!(
        into.restore(snapshot.clone()),
        Err(RestoreError::Fingerprint)
    );
    assert!(into.is_empty());
    let mut full = Engine::new(Arc::new(small()), 1);
    full.on_bar(&bar("B", 0, 10.0), minute(0));
    assert_eq!(full.restore(snapshot.clone()), Err(RestoreError::Full));
    assert!(full.find("A", Timeframe::MINUTE).is_none());
    full.forget(full.find("B", Timeframe::MINUTE).unwrap().0);
    assert!(full.restore(snapshot).is_ok());
}

/// Memory of an engine per series, in bytes, after `bars` bars of each.
fn bytes_per_series(bars: i64, correctable_bars: usize) -> u64 {
    const SERIES: u64 = 200;
    let symbols: Vec<String> = (0..SERIES).map(|n| format!("SYMBOL{n}")).collect();
    let mut kept = None;
    let counted = allocation_counter::measure(|| {
        let config = AnalysisConfig {
            correctable_bars,
            ..AnalysisConfig::default()
        };
        let mut engine = Engine::new(Arc::new(config), 1_000);
        for n in 0..bars {
            for symbol in &symbols {
                let mut event = bar("", n, 10.0);
                event.symbol = symbol.as_str().into();
                assert_eq!(engine.on_bar(&event, minute(n)).effect, Effect::Appended);
            }
        }
        kept = Some(engine);
    });
    assert_eq!(kept.unwrap().len(), 200);
    counted.bytes_current.unsigned_abs() / SERIES
}

#[test]
fn memory_grows_with_the_bars_that_are_held() {
    // with several bars that can be corrected, an earlier state more
    for correctable_bars in [1, 32] {
        let of = |bars| bytes_per_series(bars, correctable_bars);
        let (few, full) = (of(2), of(260));
        assert!(few <= 2_000, "a series of two bars takes {few} bytes");
        assert!(full <= 14_000, "a full series takes {full} bytes");
        let config = AnalysisConfig {
            correctable_bars,
            ..AnalysisConfig::default()
        };
        let said = Engine::bytes_per_series(&config) as u64;
        // tables beside the engine, and what the allocator adds, are in it as well
        assert!((full..full + 1_000).contains(&said), "{said} for {full}");
    }
}

/// False if the bytes are refused. Otherwise the series takes later bars and is copied out again,
/// which must not panic.
fn is_sound_and_works(config: &Arc<AnalysisConfig>, bytes: &[u8]) -> bool {
    let Ok(snapshot) = postcard::from_bytes::<SeriesSnapshot>(bytes) else {
        return false;
    };
    let mut engine = Engine::new(Arc::clone(config), 100);
    let Ok(id) = engine.restore(snapshot) else {
        return false;
    };
    let key = engine.get(id).unwrap().key().clone();
    for n in [20, 21, 21, 150_000_000] {
        let mut event = bar("A", n, 11.0);
        event.symbol = key.symbol.as_str().into();
        event.timeframe = key.timeframe;
        event.bar.high += 0.25;
        engine.on_bar(&event, minute(0));
    }
    engine.snapshot(id).is_some()
}

fn whole_catalogue() -> Arc<AnalysisConfig> {
    let smallest = |entry: &indicators::Entry| {
        let values: Vec<String> = entry.params.iter().map(|p| p.text(p.min)).collect();
        let spec = format!("{}({})", entry.name, values.join(","));
        let parsed = indicators::parse(&spec);
        parsed.or_else(|_| indicators::parse(entry.name)).unwrap()
    };
    Arc::new(AnalysisConfig {
        indicators: indicators::catalogue().iter().flat_map(smallest).collect(),
        window: 40,
        ..small()
    })
}

fn real_snapshot(config: &Arc<AnalysisConfig>) -> Vec<u8> {
    let mut engine = Engine::new(Arc::clone(config), 100);
    for n in 0..15 {
        let step = Step {
            close: [10.0, 12.0, 14.0, 11.0, 13.0][usize::try_from(n % 5).unwrap()],
            range: 1.0,
            volume: 100.0,
            minutes: 1,
        };
        engine.on_bar(&event(n, &step), minute(0));
    }
    let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
    postcard::to_allocvec(&engine.snapshot(id).unwrap()).unwrap()
}

#[test]
fn no_byte_of_a_snapshot_can_be_altered_so_that_the_series_panics() {
    let config = whole_catalogue();
    let real = real_snapshot(&config);
    assert!(is_sound_and_works(&config, &real));
    let mut refused = 0;
    for at in 0..real.len() {
        for value in [0, 0xff] {
            let mut altered = real.clone();
            altered[at] = value;
            refused += u32::from(!is_sound_and_works(&config, &altered));
        }
    }
    assert!(refused > 100, "only {refused} were refused");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_of_a_snapshot_can_be_altered_so_that_the_series_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let config = whole_catalogue();
        let mut altered = real_snapshot(&config);
        for (at, value) in changes {
            *at.get_mut(&mut altered) = value;
        }
        is_sound_and_works(&config, &altered);
    }
}
