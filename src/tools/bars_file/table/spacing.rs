//! The timeframe and the order of rows, as the distances of their times tell.

use std::collections::BTreeMap;

use crate::market::Timeframe;

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;

/// Statistics of the steps from row to row of a symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// The count of each distance in nanoseconds, daylight saving and the lengths of months
    /// evened out.
    lengths: BTreeMap<i64, u64>,
    pub forward: u64,
    pub back: u64,
    pub none: u64,
}

/// The order of the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence {
    OldestFirst,
    NewestFirst,
    Mixed,
}

impl Steps {
    /// Counts a step of so many nanoseconds, forward or back.
    pub fn count(&mut self, step: i64) {
        match step {
            0 => {
                self.none += 1;
                return;
            }
            1.. => self.forward += 1,
            _ => self.back += 1,
        }
        *self
            .lengths
            .entry(evened(step.saturating_abs()))
            .or_default() += 1;
    }

    pub fn sequence(&self) -> Sequence {
        match (self.forward, self.back) {
            (_, 0) => Sequence::OldestFirst,
            // a step forward may be a row that was corrected, or clocks set back
            (forward, back) if back > 4 * forward => Sequence::NewestFirst,
            _ => Sequence::Mixed,
        }
    }

    /// The length of a bar: the shortest distance that is no exception, if nearly all others are
    /// multiples of it.
    pub fn timeframe(&self) -> Result<Timeframe, String> {
        let all: u64 = self.lengths.values().sum();
        if all == 0 {
            return Err("no symbol has two rows of different times".to_owned());
        }
        let shortest = self.lengths.iter().find(|(_, count)| 10 * **count >= all);
        let Some((length, _)) = shortest else {
            return Err("the rows have no common distance".to_owned());
        };
        let multiples = self
            .lengths
            .iter()
            .filter(|(other, _)| is_multiple(**other, *length));
        let multiples: u64 = multiples.map(|(_, count)| count).sum();
        if 10 * multiples < 9 * all {
            return Err("the rows have no common distance".to_owned());
        }
        let text = text(*length);
        text.parse()
            .map_err(|_| format!("most rows are {text} apart, which is no timeframe"))
    }
}

/// A distance of days as whole days: a day is 23 to 25 hours long where clocks change, and a month
/// 28 to 31 days.
fn evened(step: i64) -> i64 {
    if step < 22 * HOUR {
        return step;
    }
    let days = (step + DAY / 2) / DAY;
    if (step - days * DAY).abs() > 2 * HOUR {
        return step;
    }
    match days {
        28..=31 => 30 * DAY,
        _ => days * DAY,
    }
}

fn is_multiple(step: i64, length: i64) -> bool {
    if length == 30 * DAY {
        // months, and quarters of them that are missing
        let months = (step + 15 * DAY) / (30 * DAY);
        return (step - months * 30 * DAY).abs() <= 2 * months * DAY;
    }
    step % length == 0
}

fn text(length: i64) -> String {
    for (unit, letter) in [
        (DAY, 'd'),
        (HOUR, 'h'),
        (HOUR / 60, 'm'),
        (HOUR / 3_600, 's'),
    ] {
        if length % unit == 0 {
            return match (length / unit, letter) {
                (7, 'd') => "1w".to_owned(),
                (30, 'd') => "1M".to_owned(),
                (count, letter) => format!("{count}{letter}"),
            };
        }
    }
    #[allow(clippy::cast_precision_loss)] // shown only
    let seconds = length as f64 / 1e9;
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(all: &[(i64, u64)]) -> Steps {
        let mut steps = Steps::default();
        for (step, times) in all {
            for _ in 0..*times {
                steps.count(*step);
            }
        }
        steps
    }

    #[test]
    fn the_timeframe_is_the_usual_distance() {
        const MINUTE: i64 = HOUR / 60;
        for (all, expected) in [
            (&[(MINUTE, 59)][..], Ok("1m")),
            (&[(-MINUTE, 59)], Ok("1m")),
            // gaps: nights, weekends, minutes without a trade
            (
                &[(MINUTE, 50), (2 * MINUTE, 30), (1_050 * MINUTE, 2)],
                Ok("1m"),
            ),
            (&[(DAY, 4), (3 * DAY, 1)], Ok("1d")),
            (&[(DAY, 4), (3 * DAY - HOUR, 1), (DAY + HOUR, 1)], Ok("1d")),
            (&[(7 * DAY, 9), (7 * DAY - HOUR, 1)], Ok("1w")),
            (&[(4 * HOUR, 10), (20 * HOUR, 9), (68 * HOUR, 2)], Ok("4h")),
            // the last row of a download is that of now
            (&[(HOUR, 60), (18 * HOUR, 10), (17 * MINUTE, 1)], Ok("1h")),
            (&[(5 * MINUTE, 1)], Ok("5m")),
            (&[(10_000_000_000_000, 1)], Err("10000s apart")),
            (&[(0, 9)], Err("two rows")),
            (
                &[(7_123, 3), (9_001, 3), (11_003, 3)],
                Err("no common distance"),
            ),
        ] {
            let found = steps(all)
                .timeframe()
                .map(|timeframe| timeframe.to_string());
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{all:?}"),
                Err(words) => assert!(
                    found.as_ref().unwrap_err().contains(words),
                    "{all:?}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn the_sequence_is_told_by_the_signs() {
        assert_eq!(steps(&[(60, 9), (0, 1)]).sequence(), Sequence::OldestFirst);
        assert_eq!(steps(&[(-60, 9), (0, 1)]).sequence(), Sequence::NewestFirst);
        assert_eq!(steps(&[(-60, 3), (60, 1)]).sequence(), Sequence::Mixed);
        assert_eq!(
            steps(&[(-60, 9), (60, 1)]).sequence(),
            Sequence::NewestFirst
        );
        assert_eq!(steps(&[]).sequence(), Sequence::OldestFirst);
    }
}
