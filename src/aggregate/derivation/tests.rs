use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
        let Bar {
            timestamp,
            open,
            high,
            low,
            close,
            volume,
        } = one.bar;
        let minute = timestamp.nanos() / MINUTE - TEN;
        let values = [open, high, low, close, volume];
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
        }
    }

    fn append(&mut self, bar: &Bar) -> Option<Timeframe> {
        self.derivation.close_until(bar.timestamp, &mut self.out);
        self.bars.push(*bar);
        let moved = moved(&self.bars, self.correctable);
        self.derivation
            .append(bar, &moved, &Zone::UTC, &mut self.out)
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
        derivation.revise(bar.timestamp, moved, correctable, &Zone::UTC, out)
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
        .peek(None, &Zone::UTC, &mut scratch, &mut out);
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
        &Zone::UTC,
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
        &Zone::UTC,
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
        assert_eq!(derivation.append(&day, &moved, &Zone::UTC, &mut out), None);
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
    let new_york = "America/New_York".parse().unwrap();
    let mut derivation = Derivation::new(&plan, Timeframe::DAY, since, |_| true).unwrap();
    let straddled = derivation.append(&days[0], &moved(&days[..1], 1), &new_york, &mut out);
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

/// Of each minute, its bar, or none.
fn market() -> impl Strategy<Value = Vec<(i64, Bar)>> {
    let price = (1u32..400).prop_map(|ticks| f64::from(ticks) / 10.0);
    let volume = (0u32..1_000, 0i32..7)
        .prop_map(|(n, decimals)| format!("{n}e-{decimals}").parse::<f64>().unwrap());
    let values = (price.clone(), price.clone(), price.clone(), price, volume);
    let gap = prop_oneof![6 => Just(1i64), 2 => 2i64..5, 1 => 5i64..200];
    (0i64..70, prop::collection::vec((gap, values), 1..150)).prop_map(|(first, steps)| {
        let mut minute = first;
        let mut bars = Vec::new();
        for (gap, (open, close, a, b, volume)) in steps {
            let high = open.max(close).max(a);
            let low = open.min(close).min(b);
            bars.push((minute, bar(minute, [open, high, low, close, volume])));
            minute += gap;
        }
        bars
    })
}

/// The bars of whole buckets, worked out from all bars at once. Sums are of whole millionths.
#[allow(clippy::cast_possible_truncation)]
fn expected(bars: &[(i64, Bar)], minutes: i64) -> Vec<(i64, [f64; 4], i64, u64)> {
    let mut groups: BTreeMap<i64, Vec<&Bar>> = BTreeMap::new();
    for (minute, bar) in bars {
        groups
            .entry((TEN + minute).div_euclid(minutes))
            .or_default()
            .push(bar);
    }
    let first = TEN + bars[0].0;
    let last = TEN + bars[bars.len() - 1].0;
    groups
        .into_iter()
        .filter(|(group, parts)| {
            let open = group * minutes;
            let complete = parts.len() == usize::try_from(minutes).unwrap();
            open >= first && (complete || last >= open + minutes)
        })
        .map(|(group, parts)| {
            let high = parts.iter().map(|bar| bar.high).fold(f64::MIN, f64::max);
            let low = parts.iter().map(|bar| bar.low).fold(f64::MAX, f64::min);
            let millionths: i64 = parts
                .iter()
                .map(|bar| (bar.volume * 1e6).round() as i64)
                .sum();
            let prices = [parts[0].open, high, low, parts[parts.len() - 1].close];
            (
                group * minutes - TEN,
                prices,
                millionths,
                parts.len() as u64,
            )
        })
        .collect()
}

proptest! {
    /// Law: a bar is a function of the bars of its bucket, whatever else is derived, and what
    /// triggers a close changes when it comes and never what it is.
    #[test]
    fn derived_bars_are_those_of_their_buckets(bars in market()) {
        let mut run = Run::new(&["5m", "15m", "1h"], bars[0].0);
        for (_, bar) in &bars {
            run.append(bar);
        }
        let closed = run.closed();
        for (name, minutes) in [("5m", 5), ("15m", 15), ("1h", 60)] {
            let of: Vec<&Row> = closed.iter().filter(|row| row.0 == name).collect();
            let expected = expected(&bars, minutes);
            prop_assert_eq!(of.len(), expected.len());
            for (row, (open, prices, millionths, parts)) in of.into_iter().zip(expected) {
                let sum: f64 = format!("{millionths}e-6").parse().unwrap();
                prop_assert_eq!(row.1, open);
                prop_assert_eq!(&row.2[..4], &prices[..]);
                prop_assert_eq!(row.2[4].to_bits(), sum.to_bits());
                prop_assert_eq!((row.3, row.4), (parts, Some(minutes.unsigned_abs())));
            }
        }
    }

    /// Law: a correction or insertion equals the right bar at once, and state that was written and
    /// read back continues unchanged.
    #[test]
    fn corrections_leave_what_the_right_bars_would_have(
        bars in market(),
        late in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..12, any::<bool>()), 1..12),
        correctable in 1usize..13,
    ) {
        let names = &["5m", "1h", "1d"];
        let run = || Run { correctable, ..Run::new(names, bars[0].0) };
        let (mut right, mut corrected) = (run(), run());
        // late bars follow the bar that they are late for
        let mut follow: Vec<Vec<Bar>> = vec![Vec::new(); bars.len()];
        let mut first: Vec<Option<Bar>> = bars.iter().map(|(_, bar)| Some(*bar)).collect();
        for (at, wrong, delay, is_missing) in late {
            let at = at.index(bars.len());
            let delay = delay.min(correctable - 1).min(bars.len() - 1 - at);
            let bar = bars[at].1;
            if first[at] != Some(bar) {
                continue;
            }
            let values = bars[wrong.index(bars.len())].1;
            let is_missing = is_missing && at > 0 && delay > 0;
            first[at] = (!is_missing).then_some(Bar { timestamp: bar.timestamp, ..values });
            follow[at + delay].push(bar);
        }
        let mut said = BTreeMap::new();
        let mut say = |run: &mut Run| {
            for one in run.out.drain(..) {
                said.insert((one.timeframe.nanos(), one.bar.timestamp), one);
            }
        };
        for (at, (_, bar)) in bars.iter().enumerate() {
            right.append(bar);
            for bar in first[at].iter().chain(&follow[at]) {
                prop_assert_eq!(corrected.put(bar), None);
                say(&mut corrected);
            }
            if at % 7 == 3 {
                let bytes = postcard::to_allocvec(&corrected.derivation).unwrap();
                let horizons = corrected.derivation.take_horizons();
                let horizons = postcard::to_allocvec(&horizons).unwrap();
                let mut moved: Derivation = postcard::from_bytes(&bytes).unwrap();
                prop_assert!(moved.put_horizons(postcard::from_bytes(&horizons).unwrap()));
                corrected.derivation = moved;
                let from = corrected.bars.len().saturating_sub(correctable);
                let (oldest, newest) = (corrected.bars[from].timestamp, corrected.bars.last().map(|bar| bar.timestamp));
                let is_sound = |newest| corrected.derivation.is_sound(&plan(names), Timeframe::MINUTE, newest, Some(oldest));
                prop_assert!(is_sound(newest));
                prop_assert!(!is_sound(newest.map(|at| at.after(MINUTE))));
            }
        }
        let mut expected = BTreeMap::new();
        for one in right.out.drain(..) {
            expected.insert((one.timeframe.nanos(), one.bar.timestamp), one);
        }
        prop_assert_eq!(said, expected);
        prop_assert_eq!(corrected.derivation, right.derivation);
    }
}
