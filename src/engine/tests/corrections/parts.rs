//! Corrections of bars that are parts of derived ones.

use super::super::derived::{FIVE, deriving, finals, found, one, take};
use super::super::*;

pub(super) fn deriving_many(names: &[&str], correctable_bars: usize) -> AnalysisConfig {
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
    // the same bar again is a duplicate
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
    let mut engine = super::super::engine(deriving_many(&["5m"], 8));
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

/// A bar inserted across the end of closed bars: they stay as they were published.
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
    // and they are never revised again
    let signals = take(&mut engine, &one(3, [30.0; 5]));
    assert!(
        finals(&signals).iter().all(|one| one.0 == "1m"),
        "{signals:?}"
    );
    assert_eq!(engine.take_derived_notes().len(), 1);
}
