//! Checkpoints are continued after a restart, and damage of any kind is noticed.

mod laid_down;
mod trades;
mod versions;

use proptest::prelude::*;

use self::laid_down::{laid_down, number, sealed};
use super::*;
use crate::aggregate::{Parts, Plan};
use crate::market::{Bar, BarEvent, Finality, Timeframe, Timestamp, Zone};

fn bar(symbol: &'static str, minute: i64, close: f64) -> BarEvent<'static> {
    BarEvent::flat(symbol, minute, close, 100.0)
}

fn config() -> AnalysisConfig {
    AnalysisConfig {
        min_bars: 1,
        rsi_period: 2,
        sma_short: 2,
        // as it was before there was the setting
        correctable_bars: 1,
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
    bytes[7] = 9;
    let unusable = told(&bytes).unwrap();
    assert_eq!(unusable, Unusable::Newer(9));
    let text = unusable.to_string();
    assert!(
        text.contains("version 9") && text.contains("newer than 8"),
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
