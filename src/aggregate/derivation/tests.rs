//! Derived bars by hand: the moment at which they close, and the bars that are in them.

mod law;
mod session;

use super::*;
use crate::market::Zone;

const MINUTE: i64 = 60_000_000_000;
/// 2024-01-02T10:00:00Z in minutes since 1970.
const TEN: i64 = 28_403_160;

fn plan(names: &[&str]) -> Plan {
    let timeframes = names.iter().map(|name| name.parse().unwrap()).collect();
    Plan::new(timeframes, Zone::UTC).unwrap()
}

fn bar(minute: i64, [open, high, low, close, volume]: [f64; 5]) -> Bar {
    Bar {
        timestamp: Timestamp::from_nanos((TEN + minute) * MINUTE),
        open,
        high,
        low,
        close,
        volume,
    }
}

/// Bars that were handed out: timeframe, minute of the open, values, parts, expected.
type Row = (String, i64, [f64; 5], u64, Option<u64>);

fn rows(bars: &[DerivedBar]) -> Vec<Row> {
    let row = |one: &DerivedBar| {
        let bar = &one.bar;
        let minute = bar.timestamp.nanos() / MINUTE - TEN;
        let values = [bar.open, bar.high, bar.low, bar.close, bar.volume];
        (
            one.timeframe.to_string(),
            minute,
            values,
            one.parts.have,
            one.parts.expected,
        )
    };
    bars.iter().map(row).collect()
}

/// A derivation of bars of one minute, and what it has handed out.
struct Run {
    derivation: Derivation,
    out: Vec<DerivedBar>,
    /// Every bar so far, in order.
    bars: Vec<Bar>,
    /// The newest bars that can be corrected.
    correctable: usize,
    calendar: Calendar,
}

/// The move of the horizon with the newest of `bars`.
fn moved(bars: &[Bar], correctable: usize) -> Moved {
    let at = bars.len().saturating_sub(correctable);
    Moved {
        leaving: at.checked_sub(1).map(|at| bars[at]),
        oldest: bars[at].timestamp,
    }
}

impl Run {
    fn new(names: &[&str], first: i64) -> Self {
        let since = bar(first, [1.0; 5]).timestamp;
        Self {
            derivation: Derivation::new(&plan(names), Timeframe::MINUTE, since, |_| true).unwrap(),
            out: Vec::new(),
            bars: Vec::new(),
            correctable: 1,
            calendar: Calendar::UTC,
        }
    }

    fn append(&mut self, bar: &Bar) -> Option<Timeframe> {
        self.derivation.close_until(bar.timestamp, &mut self.out);
        self.bars.push(*bar);
        let moved = moved(&self.bars, self.correctable);
        self.derivation
            .append(bar, &moved, None, &self.calendar, &mut self.out)
    }

    /// Replaces the bar of the same time, inserts it, or appends it.
    fn put(&mut self, bar: &Bar) -> Option<Timeframe> {
        let place = self
            .bars
            .binary_search_by_key(&bar.timestamp, |one| one.timestamp);
        let moved = match place {
            Err(at) if at == self.bars.len() => return self.append(bar),
            Err(at) => {
                self.bars.insert(at, *bar);
                Some(moved(&self.bars, self.correctable))
            }
            Ok(at) => {
                self.bars[at] = *bar;
                None
            }
        };
        let from = self.bars.len().saturating_sub(self.correctable);
        let (derivation, correctable) = (&mut self.derivation, &self.bars[from..]);
        let (moved, out) = (moved.as_ref(), &mut self.out);
        derivation.revise(
            bar.timestamp,
            moved,
            (correctable, None),
            &self.calendar,
            out,
        )
    }

    fn closed(&mut self) -> Vec<Row> {
        rows(&std::mem::take(&mut self.out))
    }
}

/// Five bars of 10:00 to 10:04.
const FIVE: [[f64; 5]; 5] = [
    [10.0, 12.0, 9.0, 11.0, 1.0],
    [11.0, 11.0, 10.0, 10.0, 2.0],
    [10.0, 15.0, 10.0, 14.0, 3.0],
    [14.0, 14.0, 8.0, 9.0, 4.0],
    [9.0, 10.0, 9.0, 10.0, 5.0],
];

fn row(name: &str, minute: i64, values: [f64; 5], have: u64, expected: u64) -> Row {
    (name.to_owned(), minute, values, have, Some(expected))
}

#[test]
fn five_minutes_are_closed_by_the_fifth() {
    let mut run = Run::new(&["5m"], 0);
    for (minute, values) in (0..).zip(FIVE) {
        assert_eq!(run.closed(), []);
        run.append(&bar(minute, values));
    }
    assert_eq!(
        run.closed(),
        [row("5m", 0, [10.0, 15.0, 8.0, 10.0, 15.0], 5, 5)]
    );
    assert_eq!(run.derivation.open_buckets(), 0);
}

#[test]
fn with_a_minute_missing_they_are_closed_by_the_next_bar() {
    let mut run = Run::new(&["5m"], 0);
    for minute in [0, 1, 3, 4] {
        run.append(&bar(minute, FIVE[usize::try_from(minute).unwrap()]));
        assert_eq!(run.closed(), []);
    }
    assert_eq!(run.derivation.open_buckets(), 1);
    run.append(&bar(5, [10.0; 5]));
    assert_eq!(
        run.closed(),
        [row("5m", 0, [10.0, 14.0, 8.0, 10.0, 12.0], 4, 5)]
    );
}

#[test]
fn what_ends_earlier_comes_first_and_then_the_smaller() {
    let mut run = Run::new(&["15m", "10m", "5m", "1h"], 0);
    for minute in 0..4 {
        run.append(&bar(minute, [1.0; 5]));
    }
    // nothing until long after all of them
    run.append(&bar(60, [1.0; 5]));
    let names: Vec<String> = run.closed().into_iter().map(|row| row.0).collect();
    assert_eq!(names, ["5m", "10m", "15m", "1h"]);
    // 10m of 10:50 and 15m of 10:45 end together
    let mut run = Run::new(&["15m", "10m"], 0);
    for minute in [0, 16, 51] {
        run.append(&bar(minute, [1.0; 5]));
    }
    run.closed();
    run.append(&bar(60, [1.0; 5]));
    let closed: Vec<(String, i64)> = run.closed().into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(closed, [("10m".to_owned(), 50), ("15m".to_owned(), 45)]);
}

#[test]
fn nothing_comes_of_a_bucket_that_was_not_seen_from_its_open() {
    let mut run = Run::new(&["5m", "15m"], 2);
    for minute in 2..15 {
        run.append(&bar(minute, [1.0; 5]));
    }
    let closed: Vec<(String, i64, u64)> = run
        .closed()
        .into_iter()
        .map(|row| (row.0, row.1, row.3))
        .collect();
    assert_eq!(closed, [("5m".to_owned(), 5, 5), ("5m".to_owned(), 10, 5)]);
    // its first bar may be missing all the same
    let mut run = Run::new(&["5m"], 2);
    for minute in [2, 7, 10] {
        run.append(&bar(minute, [1.0; 5]));
    }
    assert_eq!(run.closed(), [row("5m", 5, [1.0; 5], 1, 5)]);
}

#[test]
fn a_corrected_bar_is_corrected_in_open_and_closed_buckets() {
    let mut run = Run::new(&["5m", "10m"], 0);
    for (minute, values) in (0..).zip(FIVE) {
        run.append(&bar(minute, values));
    }
    run.closed();
    let right = bar(4, [9.0, 20.0, 9.0, 12.0, 6.0]);
    run.put(&right);
    assert_eq!(
        run.closed(),
        [row("5m", 0, [10.0, 20.0, 8.0, 12.0, 16.0], 5, 5)]
    );
    for minute in 5..10 {
        run.append(&bar(minute, [12.0; 5]));
    }
    assert_eq!(
        run.closed(),
        [
            row("5m", 5, [12.0, 12.0, 12.0, 12.0, 60.0], 5, 5),
            row("10m", 0, [10.0, 20.0, 8.0, 12.0, 76.0], 10, 10),
        ]
    );
    // not the newest, which alone can be corrected
    run.put(&right);
    assert_eq!(run.closed(), []);
}

#[test]
fn a_bar_across_two_buckets_spoils_both() {
    let mut run = Run::new(&["5m", "1h"], 0);
    let across = Bar {
        timestamp: Timestamp::from_nanos((TEN + 4) * MINUTE + 30_000_000_000),
        ..bar(4, [1.0; 5])
    };
    for minute in 0..4 {
        assert_eq!(run.append(&bar(minute, [1.0; 5])), None);
    }
    assert_eq!(run.append(&across), Some("5m".parse().unwrap()));
    for minute in 6..15 {
        run.append(&bar(minute, [1.0; 5]));
    }
    assert_eq!(
        run.closed(),
        [row("5m", 10, [1.0, 1.0, 1.0, 1.0, 5.0], 5, 5)]
    );
}

#[test]
fn forming_bars_are_in_the_open_buckets_and_change_nothing() {
    let mut run = Run::new(&["5m", "1h"], 0);
    let mut scratch = Scratch::default();
    run.append(&bar(0, FIVE[0]));
    let before = run.derivation.clone();
    let mut out = Vec::new();
    run.derivation
        .peek(None, &Calendar::UTC, &mut scratch, &mut out);
    let [open, high, low, close, volume] = FIVE[0];
    let alone = [open, high, low, close, volume];
    assert_eq!(
        rows(&out),
        [row("5m", 0, alone, 1, 5), row("1h", 0, alone, 1, 60)]
    );
    assert!(out.iter().all(|one| !one.is_final));
    out.clear();
    // the next minute so far, then one of the next bucket
    run.derivation.peek(
        Some(&bar(1, [11.0, 13.0, 11.0, 12.0, 0.5])),
        &Calendar::UTC,
        &mut scratch,
        &mut out,
    );
    let with = [10.0, 13.0, 9.0, 12.0, 1.5];
    assert_eq!(
        rows(&out),
        [row("5m", 0, with, 2, 5), row("1h", 0, with, 2, 60)]
    );
    out.clear();
    run.derivation.peek(
        Some(&bar(5, [11.0, 13.0, 8.0, 12.0, 0.5])),
        &Calendar::UTC,
        &mut scratch,
        &mut out,
    );
    assert_eq!(
        rows(&out),
        [
            row("5m", 5, [11.0, 13.0, 8.0, 12.0, 0.5], 1, 5),
            row("1h", 0, [10.0, 13.0, 8.0, 12.0, 1.5], 2, 60)
        ]
    );
    assert_eq!(run.derivation, before);
}

#[test]
fn days_are_parts_of_weeks_and_months() {
    let since: Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    let plan = plan(&["1h", "1w", "1M"]);
    let mut derivation = Derivation::new(&plan, Timeframe::DAY, since, |_| true).unwrap();
    let (mut out, mut days) = (Vec::new(), Vec::new());
    for day in 0..31 {
        let timestamp = since.after(day * 1_440 * MINUTE);
        derivation.close_until(timestamp, &mut out);
        let day = Bar {
            timestamp,
            ..bar(0, [1.0; 5])
        };
        days.push(day);
        let moved = moved(&days, 1);
        assert_eq!(
            derivation.append(&day, &moved, None, &Calendar::UTC, &mut out),
            None
        );
    }
    let closed: Vec<(String, u64, Option<u64>)> = rows(&out)
        .into_iter()
        .map(|row| (row.0, row.3, row.4))
        .collect();
    let week = ("1w".to_owned(), 7, Some(7));
    assert_eq!(
        closed,
        [
            week.clone(),
            week.clone(),
            week.clone(),
            week,
            ("1M".to_owned(), 31, Some(31))
        ]
    );
    // a day of another calendar is told, and nothing is made of it
    let new_york = "America/New_York".parse::<Zone>().unwrap().into();
    let mut derivation = Derivation::new(&plan, Timeframe::DAY, since, |_| true).unwrap();
    let straddled = derivation.append(&days[0], &moved(&days[..1], 1), None, &new_york, &mut out);
    assert_eq!(straddled, Some("1w".parse().unwrap()));
}

#[test]
fn what_does_not_add_up_is_not_derived() {
    let part = "45m".parse().unwrap();
    let since = Timestamp::from_nanos(0);
    assert!(Derivation::new(&plan(&["5m", "1h", "2h"]), part, since, |_| true).is_none());
    let mut one = Derivation::new(&plan(&["5m", "3h", "1d"]), part, since, |_| true).unwrap();
    let sound =
        |one: &Derivation, names: &[&str], part| one.is_sound(&plan(names), part, None, None);
    assert!(sound(&one, &["3h", "1d", "1w"], part));
    assert!(!sound(&one, &["3h", "1d"], Timeframe::MINUTE));
    assert!(!one.is_sound(&plan(&["3h", "1d"]), part, Some(since), None));
    assert!(one.give_up("3h".parse().unwrap()));
    assert!(!one.give_up("3h".parse().unwrap()));
    assert!(sound(&one, &["1d"], part));
    assert!(!sound(&one, &["3h"], part));
    assert!(Derivation::new(&plan(&["1d"]), part, since, |_| false).is_none());
}
