//! Derived bars against a plain computation over all bars, and corrected ones against the right bars.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// For each minute its bar, if there is one.
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
    /// Law: a bar is a function of the bars of its bucket, whatever else is derived. The event that
    /// closes it decides when it comes, never its content.
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

    /// Law: with a session, the bars outside of it make no difference, and each bucket has the rest.
    #[test]
    fn what_is_outside_of_a_session_makes_no_difference(bars in market()) {
        let calendar = Calendar::UTC.with_session(Some("09:57-13:31 UTC".parse().unwrap()));
        let run = |bars: &mut dyn Iterator<Item = &(i64, Bar)>| {
            let mut run = Run { calendar: calendar.clone(), ..Run::new(&["5m", "1h", "1d"], -10) };
            for (_, bar) in bars {
                run.append(bar);
            }
            let far = super::bar(10_000_000, [1.0; 5]);
            run.append(&far);
            run.closed()
        };
        // minutes of the day from 10:00 on: the open is at -3, the close at 211, the auction ends at 212
        let inside = |minute: i64| (minute + 3).rem_euclid(1_440) < 215;
        let all = run(&mut bars.iter());
        let rest = run(&mut bars.iter().filter(|(minute, _)| inside(*minute)));
        prop_assert_eq!(&all, &rest);
        for (name, minutes) in [("5m", 5), ("1h", 60), ("1d", 1_440)] {
            let mut groups: BTreeMap<i64, (u64, f64, f64)> = BTreeMap::new();
            for (minute, bar) in bars.iter().filter(|(minute, _)| inside(*minute)) {
                let day = (minute + 3).div_euclid(1_440);
                let within = (minute + 3).rem_euclid(1_440).min(213);
                let open = day * 1_440 - 3 + within / minutes * minutes;
                let group = groups.entry(open).or_insert((0, f64::MIN, 0.0));
                *group = (group.0 + 1, group.1.max(bar.high), bar.close);
            }
            let expected: Vec<_> = groups.into_iter().map(|(open, (parts, high, close))| (open, parts, high, close)).collect();
            let found: Vec<_> = all.iter().filter(|row| row.0 == name).map(|row| (row.1, row.3, row.2[1], row.2[3])).collect();
            prop_assert_eq!(found, expected, "{}", name);
        }
    }

    /// Law: a correction or insertion equals the right bar at once, and state that was written and
    /// read back continues unchanged.
    #[test]
    fn corrections_leave_what_the_right_bars_would_have(
        bars in market(),
        late in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..12, any::<bool>()), 1..12),
        correctable in 1usize..13,
        session in prop::option::of(prop::sample::select(&["10:02-10:13 UTC", "09:57-13:31 UTC"])),
    ) {
        let names = &["5m", "1h", "1d", "1w"];
        let session = session.map(|text| text.parse().unwrap());
        let calendar = Calendar::UTC.with_session(session);
        let plan = plan(names).on_calendar(calendar.clone());
        let run = || Run { correctable, calendar: calendar.clone(), ..Run::new(names, bars[0].0) };
        let (mut right, mut corrected) = (run(), run());
        // late bars follow the bar that they wait for
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
                let is_sound = |newest| corrected.derivation.is_sound(&plan, Timeframe::MINUTE, newest, Some(oldest));
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
