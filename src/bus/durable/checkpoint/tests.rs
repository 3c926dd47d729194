use proptest::prelude::*;

use super::*;
use crate::aggregate::{Parts, Plan};
use crate::market::{Bar, BarEvent, Finality, SeriesKey, Symbol, Timeframe, Timestamp, Zone};

fn bar(symbol: &'static str, minute: i64, close: f64) -> BarEvent<'static> {
    BarEvent {
        symbol: symbol.into(),
        timeframe: Timeframe::MINUTE,
        bar: Bar {
            timestamp: Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos()),
            open: close,
            high: close,
            low: close,
            close,
            volume: 100.0,
        },
        finality: Finality::Final,
        adjusted: false,
        source: None,
    }
}

fn config() -> AnalysisConfig {
    AnalysisConfig {
        min_bars: 1,
        rsi_period: 2,
        sma_short: 2,
        ..AnalysisConfig::default()
    }
}

/// [`config`] with five minutes derived.
fn deriving() -> AnalysisConfig {
    let five = vec!["5m".parse().unwrap()];
    AnalysisConfig {
        derived: Plan::new(five, Zone::UTC).unwrap(),
        ..config()
    }
}

/// Takes in a bar as the agent does; the final bars that are derived.
fn take(engine: &mut Engine, event: &BarEvent<'_>) -> Vec<(Bar, Parts)> {
    let mut bars = Vec::new();
    let now = Timestamp::from_nanos(5);
    engine.close_before(event);
    while let Some(one) = engine.next_derived(now) {
        bars.push((one.derived.bar, one.derived.parts));
    }
    engine.on_bar(event, now);
    while let Some(one) = engine.next_derived(now) {
        bars.push((one.derived.bar, one.derived.parts));
    }
    bars
}

fn empty() -> Engine {
    Engine::new(Arc::new(config()), 10)
}

fn engine(bars: i64) -> Engine {
    let mut engine = empty();
    for minute in 0..bars {
        #[allow(clippy::cast_precision_loss)]
        let close = 100.0 + (minute % 7) as f64 / 10.0;
        let symbol = if minute % 2 == 0 { "A" } else { "B" };
        let event = bar(symbol, minute, close);
        engine.on_bar(&event, Timestamp::from_nanos(minute));
    }
    engine
}

fn position() -> Position {
    Position {
        origin: "o".to_owned(),
        seq: 7,
        part: 2,
    }
}

fn read_back(bytes: &[u8]) -> Result<(Engine, Position), Unusable> {
    restore(bytes, "o", Arc::new(config()), 10)
}

/// The reason why `bytes` is of no use.
fn told(bytes: &[u8]) -> Option<Unusable> {
    read_back(bytes).err()
}

#[test]
fn what_is_written_is_continued() {
    let bytes = Snapshot::take(&engine(500), position()).encode().unwrap();
    let (mut restored, at) = read_back(&bytes).unwrap();
    assert_eq!(at, position());
    assert_eq!(restored.len(), 2);
    let mut uninterrupted = engine(500);
    for minute in 500..520 {
        let event = bar("A", minute, 101.0);
        let now = Timestamp::from_nanos(minute);
        let said = |engine: &mut Engine| {
            let outcome = engine.on_bar(&event, now);
            serde_json::to_string(outcome.signal.expect("a signal")).unwrap()
        };
        assert_eq!(said(&mut restored), said(&mut uninterrupted));
    }
}

#[test]
fn what_is_foreign_is_told_apart() {
    let bytes = Snapshot::take(&engine(40), position()).encode().unwrap();
    let under =
        |origin: &str, config: AnalysisConfig| restore(&bytes, origin, Arc::new(config), 10).err();
    assert_eq!(under("other", config()), Some(Unusable::Origin));
    let other = AnalysisConfig {
        rsi_period: 15,
        ..config()
    };
    assert_eq!(under("o", other), Some(Unusable::Configuration));
    for foreign in [&b""[..], b"TACKPT\0", b"TACKPT\0\0 and more", b"another"] {
        assert_eq!(told(foreign), Some(Unusable::Format));
    }
}

#[test]
fn a_newer_format_is_told_as_such() {
    let mut bytes = Snapshot::take(&engine(40), position()).encode().unwrap();
    bytes[7] = 8;
    let unusable = told(&bytes).unwrap();
    assert_eq!(unusable, Unusable::Newer(8));
    let text = unusable.to_string();
    assert!(
        text.contains("version 8") && text.contains("newer than 7"),
        "{text}"
    );
    // whatever else it may have changed
    assert_eq!(told(b"TACKPT\0\xff"), Some(Unusable::Newer(255)));
}

proptest! {
    #[test]
    fn no_damage_goes_unnoticed(at in 0usize..2_000, bit in 0u8..8, cut in any::<bool>()) {
        let mut bytes = Snapshot::take(&engine(40), position()).encode().unwrap();
        let at = at % bytes.len();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        prop_assert!(told(&bytes).is_some());
    }

    /// With the right checksum: somebody else's bytes.
    #[test]
    fn no_contents_are_too_bad_to_be_read(
        version in 1u8..=5,
        at in 0usize..2_000,
        other in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let config = if version == 4 { deriving() } else { config() };
        let mut content = laid_down(version, config.fingerprint())[16..].to_vec();
        let at = at % content.len();
        let end = (at + other.len()).min(content.len());
        content[at..end].copy_from_slice(&other[..end - at]);
        let restored = restore(&sealed(version, &content), "o", Arc::new(config), 10);
        if let Ok((mut engine, _)) = restored {
            take(&mut engine, &bar("A", 1_000, 11.0));
        }
    }
}

// Bytes by hand, from the description of the format and of postcard.

fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = (number % 128) as u8;
        number /= 128;
        if number == 0 {
            bytes.push(group);
            return bytes;
        }
        bytes.push(128 + group);
    }
}

fn double(value: f64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// Bars that gave prices so many values, their sum so far, weighed over `period`.
fn average(period: u8, seen: u8, sum: f64) -> Vec<u8> {
    let alpha = 2.0 / (f64::from(period) + 1.0);
    [vec![period], double(alpha), vec![seen], double(sum)].concat()
}

struct After {
    bars: u8,
    sum: f64,
    changes: u8,
    gain: f64,
    loss: f64,
    rsi: Option<f64>,
}

fn state(after: &After) -> Vec<u8> {
    let rsi = after
        .rsi
        .map_or(vec![0], |rsi| [vec![1], double(rsi)].concat());
    [
        // RSI of two changes; flat prices read 0
        vec![2, after.changes],
        double(after.gain),
        double(after.loss),
        double(0.0),
        // MACD and its signal, before their first values
        average(12, 0, 0.0),
        average(26, 0, 0.0),
        average(9, 0, 0.0),
        // Bollinger bands, simple and exponential averages
        vec![20],
        double(2.0),
        vec![2],
        vec![50],
        average(12, after.bars, after.sum),
        average(26, after.bars, after.sum),
        // no further indicators; of the levels of this bar, the RSI is known
        vec![0],
        rsi,
        vec![0; 7],
        // no gap, published
        vec![0, 1],
    ]
    .concat()
}

/// Closes of 10, 12 and 11 in the first three minutes of 1970; in version 3, a forming bar of the
/// fourth; in version 4, the open bucket of the first five.
fn laid_down(version: u8, fingerprint: u64) -> Vec<u8> {
    let minute = 60_000_000_000_u64;
    let column = |values: [f64; 3]| [vec![3], values.map(double).concat()].concat();
    let prices = column([10.0, 12.0, 11.0]);
    let times = [vec![3, 0], number(2 * minute), number(4 * minute)].concat();
    let volumes = column([100.0; 3]);
    let (within, behind) = if version == 1 {
        let within = [times, prices.repeat(4), volumes].concat();
        (within, vec![])
    } else {
        // no decimals, 10, +2, −1, nothing beside
        let prices = [0, 20, 4, 1, 0];
        let times = [vec![0], number(2 * minute), vec![2, 2]].concat();
        let volumes = vec![0, 200, 1, 0, 0, 0];
        (
            vec![0; 6],
            [vec![3], times, prices.repeat(4), volumes].concat(),
        )
    };
    // the bar of the fourth minute is forming: one of them, of the first series, without a source
    let forming = if version == 3 || version == 5 {
        let values = [11.0, 13.0, 11.0, 13.0, 100.0].map(double).concat();
        [vec![1, 0], number(6 * minute), values, vec![0]].concat()
    } else {
        vec![]
    };
    let derived = if version == 4 {
        let prices = |close| [10.0, 12.0, 10.0, close].map(double).concat();
        [
            // no forming bars; of one series, the first: not derived, and others are
            vec![0, 1, 0, 0, 1],
            // from minutes, the newest of which is the third; five minutes, seen since 1970
            vec![2, b'1', b'm', 1],
            number(4 * minute),
            vec![1, 2, b'5', b'm', 0],
            // its bucket, of five parts, is open
            vec![1, 0],
            number(10 * minute),
            vec![5, 1],
            // two parts of volume 200 in one limb at place 0, and with the newest three of 300
            vec![2],
            prices(12.0),
            [vec![0, 1], number(200)].concat(),
            vec![3],
            prices(11.0),
            [vec![0, 1], number(300)].concat(),
        ]
        .concat()
    } else if version == 5 {
        // none; and of one series that began with a reset, the first: number 300
        vec![0, 1, 0, 0xac, 2]
    } else {
        vec![]
    };
    // changes of +2 and −1: sums of gains and losses, then their means
    let before = After {
        bars: 2,
        sum: 22.0,
        changes: 1,
        gain: 2.0,
        loss: 0.0,
        rsi: None,
    };
    let after = After {
        bars: 3,
        sum: 33.0,
        changes: 2,
        gain: 1.0,
        loss: 0.5,
        rsi: Some(100.0 * (1.0 / 1.5)),
    };
    let content = [
        // of this configuration, up to message 7 of stream `o` and two bars of the next
        number(fingerprint),
        vec![1, b'o', 7, 2],
        // one series
        vec![1],
        number(fingerprint),
        vec![1, b'A', 2, b'1', b'm'],
        number(200),
        within,
        state(&before),
        state(&after),
        // three bars, none missing, never corrected, without a source, the last came at 5 ns
        vec![3, 0, 0, 0, 10],
        behind,
        forming,
        derived,
    ];
    sealed(version, &content.concat())
}

fn sealed(version: u8, content: &[u8]) -> Vec<u8> {
    let checksum = xxh3_64(content).to_le_bytes();
    [b"TACKPT\0", &[version][..], &checksum, content].concat()
}

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
    // as where the bar came complete
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
fn a_number_of_bars_is_not_believed() {
    let bytes = laid_down(2, config().fingerprint());
    // one byte of their number, times, four columns of prices and one of volumes
    let bars = 1 + (1 + 6 + 2) + 4 * 5 + 6;
    let (content, rest) = bytes[16..].split_at(bytes.len() - 16 - bars);
    assert_eq!(rest[0], 3);
    for many in [4, 200, 1_000_000, u64::from(u32::MAX), u64::MAX] {
        let content = [content, &number(many), &rest[1..]].concat();
        assert_eq!(told(&sealed(2, &content)), Some(Unusable::Damaged));
    }
    let longer = [&bytes[16..], &[0]].concat();
    assert_eq!(told(&sealed(2, &longer)), Some(Unusable::Damaged));
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
    // what is known of minute 18 is its revision, and of the bucket of minute 10 all but its parts
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
