//! Copies from engine to engine, in parts of any size, whole and broken.

use std::sync::Arc;

use super::*;
use crate::aggregate::{Plan, TradePlan};
use crate::engine::AnalysisConfig;
use crate::market::{
    Bar, BarEvent, Finality, Timeframe, Timestamp, Trade, TradeConditions, TradeEvent, Zone,
};

fn engine(max_series: usize) -> Engine {
    Engine::new(Arc::new(AnalysisConfig::default()), max_series)
}

/// An engine with `symbols` series of ten bars.
fn filled(symbols: usize) -> Engine {
    let mut engine = engine(symbols);
    for minute in 0..10 {
        for symbol in 0..symbols {
            let close = 100.0 + (minute * 7 + symbol % 5) as f64;
            let minute = i64::try_from(minute).unwrap();
            let event = BarEvent::flat(format!("S{symbol}"), minute, close, 5.0);
            let _ = engine.on_bar(&event, Timestamp::from_nanos(0));
        }
    }
    engine
}

fn giving(from: &Engine) -> Giving {
    let to = MemberId::new("taker");
    Giving::new(from, to, 1, SlotSet::ALL, Instant::now())
}

fn taking() -> Taking {
    Taking::new(MemberId::new("giver"), 1, SlotSet::ALL)
}

/// Every part of a copy, each of at most `room` bytes.
fn parts(from: &Engine, room: usize) -> Vec<Bytes> {
    let mut giving = giving(from);
    let mut parts = Vec::new();
    loop {
        match giving.next(from, room) {
            Next::Part { part, bytes } => {
                assert_eq!(part as usize, parts.len());
                assert!(bytes.len() <= room);
                parts.push(bytes);
            }
            Next::End { parts: said } => {
                assert_eq!(said as usize, parts.len());
                return parts;
            }
        }
    }
}

fn take(
    taking: &mut Taking,
    into: &mut Engine,
    parts: impl IntoIterator<Item = (u32, Bytes)>,
) -> Result<SlotSet, CopyFault> {
    let mut slots = SlotSet::EMPTY;
    for (part, bytes) in parts {
        slots = slots.union(taking.on_part(part, &bytes, |came| {
            let (series, kept) = match came {
                Came::Series(snapshot) => {
                    let series = snapshot.series().key().to_string();
                    (series, into.restore(*snapshot).map(drop))
                }
                Came::History(history) => {
                    (history.key().to_string(), into.restore_history(*history))
                }
            };
            kept.map_err(|error| CopyFault::Unusable { series, error })
        })?);
    }
    Ok(slots)
}

fn states(engine: &Engine) -> Vec<Vec<u8>> {
    let snapshot = |(id, _)| postcard::to_stdvec(&engine.snapshot(id)).unwrap();
    let mut states: Vec<Vec<u8>> = engine.iter().map(snapshot).collect();
    states.sort();
    states
}

#[test]
fn every_series_arrives_whatever_fits_in_a_part() {
    let from = filled(40);
    for room in [97, 1_000, 60_000, 10_000_000] {
        let (mut taking, mut into) = (taking(), engine(40));
        let parts = parts(&from, room);
        let count = u32::try_from(parts.len()).unwrap();
        let slots = take(&mut taking, &mut into, (0..).zip(parts)).unwrap();
        assert_eq!(slots, SlotSet::ALL);
        assert_eq!(taking.on_end(count), Ok(()));
        assert_eq!(states(&into), states(&from), "parts of {room} bytes");
    }
}

#[test]
fn resets_arrive_with_their_series() {
    let mut from = filled(4);
    let symbols: Vec<String> = from
        .iter()
        .map(|(_, series)| series.key().symbol.to_string())
        .collect();
    from.reset(&symbols[0], Timeframe::MINUTE, Some(7)).unwrap();
    for room in [97, 60_000] {
        let (mut taking, mut into) = (taking(), engine(4));
        take(&mut taking, &mut into, (0..).zip(parts(&from, room))).unwrap();
        for symbol in &symbols {
            let (_, copied) = into.find(symbol, Timeframe::MINUTE).unwrap();
            let is_reset = *symbol == symbols[0];
            assert_eq!(copied.epoch(), if is_reset { 7 } else { 0 });
            assert_eq!(copied.ring().is_empty(), is_reset);
        }
    }
}

#[test]
fn forming_bars_arrive_with_their_series() {
    let mut from = filled(4);
    let next = |symbol: &'static str, minute: i64| BarEvent {
        symbol: symbol.into(),
        timeframe: Timeframe::MINUTE,
        bar: Bar {
            timestamp: Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos()),
            open: 5.0,
            high: 6.0,
            low: 4.0,
            close: 5.5,
            volume: 1.0,
        },
        finality: Finality::UntilNext,
        adjusted: false,
        source: Some("x".into()),
    };
    let mut symbols: Vec<&'static str> = from
        .iter()
        .map(|(_, series)| &*series.key().symbol.as_str().to_owned().leak())
        .collect();
    symbols.truncate(2);
    for symbol in &symbols {
        from.on_bar(&next(symbol, 20), Timestamp::from_nanos(0));
    }
    for room in [97, 60_000] {
        let (mut taking, mut into) = (taking(), engine(4));
        take(&mut taking, &mut into, (0..).zip(parts(&from, room))).unwrap();
        for (_, series) in from.iter() {
            let symbol = series.key().symbol.as_str();
            let (_, copied) = into.find(symbol, Timeframe::MINUTE).unwrap();
            assert_eq!(copied.forming(), series.forming());
            assert_eq!(copied.forming().is_some(), symbols.contains(&symbol));
        }
    }
}

#[test]
fn a_part_that_is_lost_is_noticed() {
    let from = filled(40);
    let parts = parts(&from, 1_000);
    let count = u32::try_from(parts.len()).unwrap();
    for lost in [0, count / 2, count - 1] {
        let (mut taking, mut into) = (taking(), engine(40));
        let came = (0..).zip(parts.clone()).filter(|(part, _)| *part != lost);
        let came = take(&mut taking, &mut into, came).and_then(|_| taking.on_end(count).map(drop));
        let gap = matches!(came, Err(CopyFault::Gap { expected, .. }) if expected == lost);
        assert!(gap, "{came:?}");
    }
}

#[test]
fn a_series_that_is_missing_is_noticed() {
    let from = filled(1);
    let mut bytes = parts(&from, 10_000_000)[0].to_vec();
    // the only series is the largest record by far: cut it out of the stream
    let mut at = 0;
    while let Some(Ok(record)) = whole_record(&bytes[at..]) {
        let length = record.len() + LENGTH_BYTES;
        if length > 100 {
            bytes.drain(at..at + length);
        } else {
            at += length;
        }
    }
    let came = take(&mut taking(), &mut engine(1), [(0, bytes.into())]);
    let slot = Slot::of(b"S0").index();
    let (said, none) = (1, 0);
    assert_eq!(
        came,
        Err(CopyFault::Count {
            slot,
            said,
            came: none
        })
    );
}

#[test]
fn slots_that_never_came_are_noticed() {
    let mut short = taking();
    let mut giving = Giving::new(
        &engine(1),
        MemberId::new("taker"),
        1,
        Slot::all().take(3).collect(),
        Instant::now(),
    );
    let Next::Part { bytes, .. } = giving.next(&engine(1), 10_000) else {
        panic!("three slots are to be told");
    };
    take(&mut short, &mut engine(1), [(0, bytes)]).unwrap();
    let (wanted, came) = (256, 3);
    assert_eq!(short.on_end(1), Err(CopyFault::Short { wanted, came }));
}

#[test]
fn a_series_without_room_fails_the_copy_and_junk_is_no_panic() {
    let parts = parts(&filled(3), 10_000_000);
    let came = take(&mut taking(), &mut engine(2), [(0, parts[0].clone())]);
    let error = RestoreError::Full;
    assert!(
        matches!(&came, Err(CopyFault::Unusable { error: is, .. }) if *is == error),
        "{came:?}"
    );
    for junk in [&b"\xff\xff\xff\xff1234"[..], b"\x02\0\0\0\x07\x07"] {
        let came = take(&mut taking(), &mut engine(2), [(0, Bytes::from(junk))]);
        assert_eq!(came, Err(CopyFault::Damaged { part: 0 }));
    }
}

#[test]
fn a_giver_waits_for_its_taker_and_not_for_ever() {
    let from = filled(40);
    let mut giving = giving(&from);
    let start = Instant::now();
    let mut sent = 0;
    while giving.is_open() {
        assert!(matches!(giving.next(&from, 200), Next::Part { .. }));
        sent += 1;
    }
    assert_eq!(sent, WINDOW);
    giving.on_taken(3, start);
    for _ in 0..3 {
        assert!(giving.is_open());
        let _ = giving.next(&from, 200);
    }
    assert!(!giving.is_open());
    // more than was sent cannot have been taken
    giving.on_taken(1_000, start);
    assert!(giving.is_open());
    assert!(!giving.is_given_up(start + PATIENCE));
    assert!(giving.is_given_up(start + PATIENCE + Duration::from_millis(1)));
}

#[test]
fn open_buckets_and_derived_series_arrive_as_of_one_moment() {
    let deriving = || {
        let derived = vec!["5m".parse().unwrap()];
        let config = AnalysisConfig {
            derived: Plan::new(derived, Zone::UTC).unwrap(),
            ..AnalysisConfig::default()
        };
        Engine::new(Arc::new(config), 100)
    };
    let take = |engine: &mut Engine, symbol: &str, minute: i64| {
        let close = 10.0 + f64::from(u8::try_from(minute).unwrap());
        let event = BarEvent::flat(symbol, minute, close, 0.1);
        let now = Timestamp::from_nanos(0);
        engine.close_before(&event);
        while engine.next_derived(now).is_some() {}
        engine.on_bar(&event, now);
        while engine.next_derived(now).is_some() {}
    };
    let symbols = ["A", "B", "C"];
    let mut from = deriving();
    for minute in 0..8 {
        symbols
            .iter()
            .for_each(|symbol| take(&mut from, symbol, minute));
    }
    let (mut giving, mut taking, mut into) = (giving(&from), taking(), deriving());
    let mut minute = 8;
    loop {
        match giving.next(&from, 300) {
            Next::Part { part, bytes } => {
                super::tests::take(&mut taking, &mut into, [(part, bytes)]).unwrap();
                // the giver is at work meanwhile
                symbols
                    .iter()
                    .for_each(|symbol| take(&mut from, symbol, minute));
                minute += 1;
                giving.on_taken(part + 1, Instant::now());
            }
            Next::End { parts } => break assert_eq!(taking.on_end(parts), Ok(())),
        }
    }
    assert!(minute > 15, "the copy came in {minute} parts");
    let five: Timeframe = "5m".parse().unwrap();
    for symbol in symbols {
        let newest = |engine: &Engine, timeframe| {
            let series = engine.find(symbol, timeframe).unwrap().1;
            series.ring().newest().unwrap().timestamp.nanos() / Timeframe::MINUTE.nanos()
        };
        // what the minutes in the copy have closed is in it, and nothing later
        let at = newest(&into, Timeframe::MINUTE);
        assert_eq!(newest(&into, five), (at + 1) / 5 * 5 - 5);
        // the rest gives what it has given
        for minute in at + 1..minute {
            take(&mut into, symbol, minute);
        }
    }
    let all = |engine: &Engine| {
        let mut all: Vec<String> = engine
            .iter()
            .map(|(_, series)| format!("{series:?}"))
            .collect();
        all.sort();
        all
    };
    assert_eq!(all(&into), all(&from));
}

#[test]
fn trades_in_open_bars_arrive_with_their_series() {
    let building = || {
        let config = AnalysisConfig {
            trades: Some(TradePlan {
                timeframe: Timeframe::MINUTE,
                lateness: Duration::from_secs(10),
                conditions: TradeConditions::None,
            }),
            ..AnalysisConfig::default()
        };
        Engine::new(Arc::new(config), 100)
    };
    let take = |engine: &mut Engine, seconds: i64| {
        let event = TradeEvent {
            symbol: "A".into(),
            trade: Trade {
                timestamp: Timestamp::from_nanos(seconds * 1_000_000_000),
                price: 10.0,
                size: 0.1,
                id: None,
                forms_prices: true,
            },
        };
        let now = Timestamp::from_nanos(0);
        engine.on_trade(&event, now);
        while engine.next_derived(now).is_some() {}
    };
    let (mut from, mut into) = (building(), building());
    (0..200).for_each(|seconds| take(&mut from, seconds));
    let (mut giving, mut taking) = (giving(&from), taking());
    while let Next::Part { part, bytes } = giving.next(&from, 300) {
        super::tests::take(&mut taking, &mut into, [(part, bytes)]).unwrap();
        giving.on_taken(part + 1, Instant::now());
    }
    let series = |engine: &Engine| {
        let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
        let mut snapshot = engine.snapshot(id).unwrap();
        let trades = snapshot.take_trades().unwrap();
        postcard::to_stdvec(&(snapshot, trades)).unwrap()
    };
    assert_eq!(series(&into), series(&from));
    (200..400).for_each(|seconds| {
        take(&mut from, seconds);
        take(&mut into, seconds);
    });
    assert_eq!(series(&into), series(&from));
}
