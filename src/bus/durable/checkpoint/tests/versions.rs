//! Each version of the format: read, continued, and written where the state needs it.

use super::laid_down::{laid_down, sealed};
use super::*;
use crate::market::{SeriesKey, Symbol};

#[test]
fn each_version_is_continued() {
    for version in [1, 2, 3, 5] {
        let bytes = laid_down(version, config().fingerprint());
        let restored = || {
            let (engine, at) = read_back(&bytes).unwrap();
            assert_eq!((at, engine.len()), (position(), 1));
            engine
        };
        let now = Timestamp::from_nanos(6);
        // a change of +2: gains (1 + 2) / 2, losses 0.5 / 2
        let mut engine = restored();
        let outcome = engine.on_bar(&bar("A", 3, 13.0), now);
        let signal = outcome.signal.expect("a signal");
        let rsi = signal.rsi.expect("an RSI");
        assert!((rsi - 600.0 / 7.0).abs() < 1e-9, "{rsi}");
        assert_eq!(signal.sma_short, Some(12.0));
        assert_eq!(signal.bars_analyzed, 4);
        let alerts = serde_json::to_string(&signal.alerts).unwrap();
        assert_eq!(alerts, r#"["rsi_overbought","rsi_extreme_overbought"]"#);
        // 9 instead of 11: a change of −3, gains 2 / 2, losses 3 / 2
        let mut engine = restored();
        let outcome = engine.on_bar(&bar("A", 2, 9.0), now);
        let signal = outcome.signal.expect("a signal");
        assert_eq!((signal.rsi, signal.revision), (Some(40.0), 1));
    }
}

fn until_next(symbol: &'static str, minute: i64, close: f64) -> BarEvent<'static> {
    BarEvent {
        finality: Finality::UntilNext,
        ..bar(symbol, minute, close)
    }
}

#[test]
fn a_forming_bar_is_completed_after_a_restart() {
    let (mut engine, _) = read_back(&laid_down(3, config().fingerprint())).unwrap();
    let next = until_next("A", 4, 20.0);
    let complete = engine.closed_by(&next).expect("the forming bar");
    let expected = Bar {
        timestamp: Timestamp::from_nanos(3 * Timeframe::MINUTE.nanos()),
        open: 11.0,
        high: 13.0,
        low: 11.0,
        close: 13.0,
        volume: 100.0,
    };
    assert_eq!(complete.bar, expected);
    let outcome = engine.on_bar(&complete, Timestamp::from_nanos(6));
    // equal to a bar that was complete on arrival
    let rsi = outcome.signal.and_then(|signal| signal.rsi).unwrap();
    assert!((rsi - 600.0 / 7.0).abs() < 1e-9, "{rsi}");
}

#[test]
fn forming_bars_are_written_in_a_version_of_their_own() {
    let mut engine = engine(40);
    let now = Timestamp::from_nanos(5);
    for (symbol, minute) in [("B", 41), ("C", 41)] {
        engine.on_bar(&until_next(symbol, minute, 7.0), now);
    }
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes[7], 3);
    let (restored, _) = read_back(&bytes).unwrap();
    for symbol in ["A", "B", "C"] {
        let next = until_next(symbol, 42, 8.0);
        assert_eq!(restored.closed_by(&next), engine.closed_by(&next));
        assert_eq!(restored.closed_by(&next).is_some(), symbol != "A");
    }
    let beyond = [&bytes[16..bytes.len() - 1], &[0, 0]].concat();
    assert_eq!(told(&sealed(3, &beyond)), Some(Unusable::Damaged));
}

#[test]
fn a_reset_survives_a_restart_also_where_no_bar_has_come_since() {
    let (restored, _) = read_back(&laid_down(5, config().fingerprint())).unwrap();
    let epoch = |engine: &Engine, symbol: &str| {
        let (_, series) = engine.find(symbol, Timeframe::MINUTE).unwrap();
        series.epoch()
    };
    assert_eq!(epoch(&restored, "A"), 300);
    let mut engine = engine(40);
    engine.reset("B", Timeframe::MINUTE, Some(7)).unwrap();
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes[7], 5);
    let (mut restored, _) = read_back(&bytes).unwrap();
    assert_eq!((epoch(&restored, "A"), epoch(&restored, "B")), (0, 7));
    let (_, series) = restored.find("B", Timeframe::MINUTE).unwrap();
    assert!(series.ring().is_empty());
    // older than any bar before
    let outcome = restored.on_bar(&bar("B", -1_000, 101.0), Timestamp::from_nanos(6));
    assert_eq!(
        (outcome.effect, outcome.epoch),
        (crate::engine::Effect::Appended, 7)
    );
    assert_eq!(outcome.missing, 0);
    // a place that no series has
    let beyond = [&bytes[16..bytes.len() - 2], &[9, 7]].concat();
    assert_eq!(told(&sealed(5, &beyond)), Some(Unusable::Damaged));
}

#[test]
fn an_open_history_is_written_in_a_version_of_its_own_and_goes_on_from_there() {
    let mut engine = engine(3);
    let key = SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE);
    let version = |engine: &Engine| Snapshot::take(engine, position()).encode().unwrap()[7];
    assert_eq!(version(&engine), 2);
    let past: Vec<BarEvent<'_>> = (-40..-10).map(|at| bar("A", at, 7.0)).collect();
    let now = Timestamp::from_nanos(0);
    engine.take_history((&key, "h", 0), &past, now).unwrap();
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes[7], 7);
    let (mut restored, _) = read_back(&bytes).unwrap();
    let rebuilt = [&mut engine, &mut restored].map(|engine| {
        let rebuilt = engine.end_history((&key, "h", 1), 9, now).unwrap();
        let state = postcard::to_stdvec(&engine.snapshot(rebuilt.series[0])).unwrap();
        (rebuilt.taken, state, version(engine))
    });
    assert_eq!(rebuilt[0], rebuilt[1]);
    assert_eq!((rebuilt[0].0, rebuilt[0].2), (30, 5));
}

#[test]
fn the_newest_version_is_written() {
    let mut engine = empty();
    for (minute, close) in [(0, 10.0), (1, 12.0), (2, 11.0)] {
        engine.on_bar(&bar("A", minute, close), Timestamp::from_nanos(5));
    }
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes, laid_down(2, config().fingerprint()));
    let mut forming = until_next("A", 3, 13.0);
    forming.bar.open = 11.0;
    forming.bar.low = 11.0;
    engine.on_bar(&forming, Timestamp::from_nanos(5));
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes, laid_down(3, config().fingerprint()));
    let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
    let mut snapshot = engine.snapshot(id).unwrap();
    snapshot.put_epoch(300);
    engine.restore(snapshot).unwrap();
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes, laid_down(5, config().fingerprint()));
}

#[test]
fn open_buckets_are_written_in_a_version_of_their_own() {
    let mut engine = Engine::new(Arc::new(deriving()), 10);
    for (minute, close) in [(0, 10.0), (1, 12.0), (2, 11.0)] {
        assert_eq!(take(&mut engine, &bar("A", minute, close)), []);
    }
    let bytes = Snapshot::take(&engine, position()).encode().unwrap();
    assert_eq!(bytes, laid_down(4, deriving().fingerprint()));
    let (mut restored, _) = restore(&bytes, "o", Arc::new(deriving()), 10).unwrap();
    assert_eq!(take(&mut restored, &bar("A", 3, 9.0)), []);
    let five = Bar {
        timestamp: Timestamp::from_nanos(0),
        open: 10.0,
        high: 13.0,
        low: 9.0,
        close: 13.0,
        volume: 500.0,
    };
    let parts = Parts {
        have: 5,
        expected: Some(5),
    };
    assert_eq!(take(&mut restored, &bar("A", 4, 13.0)), [(five, parts)]);
    // of another configuration, and with a byte too many
    assert_eq!(told(&bytes), Some(Unusable::Configuration));
    let beyond = sealed(4, &[&bytes[16..], &[0]].concat());
    let told = restore(&beyond, "o", Arc::new(deriving()), 10).err();
    assert_eq!(told, Some(Unusable::Damaged));
}

#[test]
fn corrections_survive_a_restart_in_a_version_of_their_own() {
    let config = Arc::new(AnalysisConfig {
        correctable_bars: 8,
        ..deriving()
    });
    let engine = || Engine::new(Arc::clone(&config), 40);
    let (mut whole, mut plain) = (engine(), engine());
    for minute in 0..20 {
        take(&mut plain, &bar("A", minute, 10.0 + minute as f64));
        if minute != 13 {
            take(&mut whole, &bar("A", minute, 10.0 + minute as f64));
        }
    }
    take(&mut whole, &bar("A", 13, 23.0));
    take(&mut whole, &bar("A", 17, 50.0));
    take(&mut plain, &bar("A", 17, 50.0));
    let bytes = Snapshot::take(&whole, position()).encode().unwrap();
    assert_eq!(bytes[7], 6);
    let (mut restored, _) = restore(&bytes, "o", Arc::clone(&config), 40).unwrap();
    // for minute 18 it has the revision, for the bucket of minute 10 all but its parts
    for event in [bar("A", 16, 9.0), bar("A", 14, 9.0), bar("A", 18, 9.0)] {
        let said = take(&mut whole, &event);
        assert_eq!(take(&mut restored, &event), said);
        assert_eq!(take(&mut plain, &event), said);
        let revision = |engine: &mut Engine| {
            let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
            engine.latest(id).unwrap().revision
        };
        assert_eq!(revision(&mut restored), revision(&mut whole));
        assert!(revision(&mut whole) > revision(&mut plain));
    }
    // a place that no series has
    let mut beyond = bytes.clone();
    beyond.truncate(bytes.len() - 1);
    assert_eq!(
        restore(&sealed(6, &beyond[16..]), "o", config, 40).err(),
        Some(Unusable::Damaged)
    );
}
