//! The length of a bar.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

mod spellings;

/// The unit of a [`Timeframe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeframeUnit {
    /// `s`, up to 59.
    Second,
    /// `m`, any number below a day that is no whole hour.
    Minute,
    /// `h`, up to 23.
    Hour,
    /// `d`, up to 3.
    Day,
    /// `w`, just one.
    Week,
    /// `M`, just one: a month of the calendar.
    Month,
}

impl TimeframeUnit {
    const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::Week => 'w',
            Self::Month => 'M',
        }
    }

    const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            Self::Month => MONTH,
        }
    }
}

const DAY: u32 = 86_400;

/// A month of the Gregorian calendar on average: a twelfth of 365.2425 days.
const MONTH: u32 = 2_629_746;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// By how much longer than its name says a day can be, where clocks are set back.
const CLOCKS_SET_BACK: i64 = 3_600 * NANOS_PER_SECOND;

/// The length of a bar: `1s`…`59s`, any number of minutes or hours below a day, `1d`, `2d`, `3d`,
/// `1w` or `1M`. One length has one name: 60 minutes are `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timeframe {
    unit: TimeframeUnit,
    count: u16,
}

/// A text that names no timeframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no timeframe; use 1s…59s, any minutes or hours below a day such as 5m and 4h, 1d, 2d, 3d, 1w or 1M, or a number of minutes"
)]
pub struct InvalidTimeframe(String);

impl Timeframe {
    /// One minute.
    pub const MINUTE: Self = Self {
        unit: TimeframeUnit::Minute,
        count: 1,
    };
    /// One day.
    pub const DAY: Self = Self {
        unit: TimeframeUnit::Day,
        count: 1,
    };
    /// One week.
    const WEEK: Self = Self {
        unit: TimeframeUnit::Week,
        count: 1,
    };
    /// One month.
    const MONTH: Self = Self {
        unit: TimeframeUnit::Month,
        count: 1,
    };

    /// The timeframe of so many seconds, if there is one.
    #[must_use]
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        let (unit, count) = match seconds {
            0 => return None,
            1..60 => (TimeframeUnit::Second, seconds),
            60..86_400 if seconds.is_multiple_of(3_600) => (TimeframeUnit::Hour, seconds / 3_600),
            60..86_400 if seconds.is_multiple_of(60) => (TimeframeUnit::Minute, seconds / 60),
            604_800 => return Some(Self::WEEK),
            86_400 | 172_800 | 259_200 => (TimeframeUnit::Day, seconds / 86_400),
            _ => return None,
        };
        let count = u16::try_from(count).ok()?;
        Some(Self { unit, count })
    }

    /// The timeframe of so many minutes, if there is one.
    #[must_use]
    pub fn from_minutes(minutes: u64) -> Option<Self> {
        Self::from_seconds(minutes.checked_mul(60)?)
    }

    /// The length in nanoseconds; of a month, that of the average one.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.unit.seconds() as i64 * self.count as i64 * NANOS_PER_SECOND
    }

    /// The longest time between the opens of two bars that follow each other, in nanoseconds: a
    /// month has up to 31 days, and a day 25 hours where clocks are set back.
    #[must_use]
    pub const fn longest_nanos(self) -> i64 {
        match self.unit {
            TimeframeUnit::Second | TimeframeUnit::Minute | TimeframeUnit::Hour => self.nanos(),
            TimeframeUnit::Day | TimeframeUnit::Week => self.nanos() + CLOCKS_SET_BACK,
            TimeframeUnit::Month => 31 * DAY as i64 * NANOS_PER_SECOND + CLOCKS_SET_BACK,
        }
    }

    /// The number of bars between one that opened at `before` and one at `at`.
    #[must_use]
    pub const fn bars_between(self, before: Timestamp, at: Timestamp) -> u64 {
        if at.nanos() <= before.nanos() {
            return 0;
        }
        let apart = at.nanos().abs_diff(before.nanos());
        let length = self.nanos().unsigned_abs();
        // days of 23 and 25 hours and months of 28 to 31 days are one bar each
        let whole = match self.unit {
            TimeframeUnit::Second | TimeframeUnit::Minute | TimeframeUnit::Hour => apart / length,
            TimeframeUnit::Day | TimeframeUnit::Week | TimeframeUnit::Month => {
                apart.saturating_add(length / 2) / length
            }
        };
        whole.saturating_sub(1)
    }

    /// The end of a bar that opened at `open`; of a month, by the calendar in UTC.
    #[must_use]
    pub fn end_of(self, open: Timestamp) -> Timestamp {
        self.moved(open, true)
    }

    /// The open time of a bar that ends at `end`; of a month, by the calendar in UTC.
    #[must_use]
    pub fn open_of(self, end: Timestamp) -> Timestamp {
        self.moved(end, false)
    }

    fn moved(self, from: Timestamp, ahead: bool) -> Timestamp {
        if self.unit == TimeframeUnit::Month
            && let Some(moved) = from.months_away(if ahead { 1 } else { -1 })
        {
            return moved;
        }
        let nanos = self.nanos();
        Timestamp::from_nanos(if ahead {
            from.nanos().saturating_add(nanos)
        } else {
            from.nanos().saturating_sub(nanos)
        })
    }

    /// The unit it is counted in.
    #[must_use]
    pub const fn unit(self) -> TimeframeUnit {
        self.unit
    }

    /// Its text, without allocating: at most five bytes.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // digits
    pub fn text(self) -> TimeframeText {
        let mut bytes = [0; 5];
        let mut len = 0;
        let mut unit = 1_000;
        while unit > 0 {
            if self.count >= unit {
                bytes[len] = b'0' + (self.count / unit % 10) as u8;
                len += 1;
            }
            unit /= 10;
        }
        bytes[len] = self.unit.letter() as u8;
        TimeframeText {
            bytes,
            len: len + 1,
        }
    }
}

/// The text of a [`Timeframe`], held inline.
#[derive(Debug, Clone, Copy)]
pub struct TimeframeText {
    bytes: [u8; 5],
    len: usize,
}

impl TimeframeText {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl FromStr for Timeframe {
    type Err = InvalidTimeframe;

    /// Its text, or one of the usual spellings: `1Min`, `60`, `5T`, `1H`, `1hour`, `D`, `1Day`,
    /// `PT5M`, `M5`, `1wk`, `1mo`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        spellings::read(text).ok_or_else(|| InvalidTimeframe(text.chars().take(32).collect()))
    }
}

impl fmt::Display for Timeframe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl Serialize for Timeframe {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl<'de> Deserialize<'de> for Timeframe {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeframe(text: &str) -> Timeframe {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_timeframe_reads_back_as_it_is_written() {
        for text in [
            "1s", "30s", "59s", "1m", "5m", "7m", "15m", "30m", "90m", "1439m", "1h", "4h", "12h",
            "23h", "1d", "2d", "3d", "1w", "1M",
        ] {
            assert_eq!(timeframe(text).to_string(), text);
        }
        for seconds in 1..=700_000 {
            if let Some(timeframe) = Timeframe::from_seconds(seconds) {
                assert_eq!(timeframe.nanos().unsigned_abs(), seconds * 1_000_000_000);
                assert_eq!(timeframe.text().as_str().parse(), Ok(timeframe));
            }
        }
    }

    #[test]
    fn lengths_are_in_nanoseconds() {
        assert_eq!(timeframe("15m").nanos(), 900_000_000_000);
        assert_eq!(timeframe("1w").nanos(), 604_800_000_000_000);
        assert_eq!(timeframe("15m").longest_nanos(), 900_000_000_000);
        assert_eq!(timeframe("1d").longest_nanos(), 90_000_000_000_000);
        assert_eq!(
            timeframe("1M").longest_nanos(),
            (31 * 24 + 1) * 3_600_000_000_000
        );
    }

    #[test]
    fn bars_are_counted_across_changes_of_clocks_and_months_of_any_length() {
        for (text, before, after, expected) in [
            ("1m", "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z", 0),
            ("1m", "2024-01-01T00:00:00Z", "2024-01-01T00:05:30Z", 4),
            ("1m", "2024-01-01T00:05:00Z", "2024-01-01T00:00:00Z", 0),
            ("1h", "2024-01-01T00:00:00Z", "2024-01-01T01:59:00Z", 0),
            // midnights of New York over the weekends when clocks change
            ("1d", "2024-03-08T05:00:00Z", "2024-03-11T04:00:00Z", 2),
            ("1d", "2024-03-09T05:00:00Z", "2024-03-10T05:00:00Z", 0),
            ("1d", "2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z", 0),
            ("1d", "2024-11-01T04:00:00Z", "2024-11-04T05:00:00Z", 2),
            ("1d", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z", 0),
            ("1w", "2024-03-04T05:00:00Z", "2024-03-11T04:00:00Z", 0),
            ("1M", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", 0),
            ("1M", "2023-02-01T00:00:00Z", "2023-03-01T00:00:00Z", 0),
            ("1M", "2024-02-01T00:00:00Z", "2024-04-01T00:00:00Z", 1),
            ("1M", "2014-01-01T00:00:00Z", "2024-01-01T00:00:00Z", 119),
        ] {
            let between = timeframe(text).bars_between(at(before), at(after));
            assert_eq!(between, expected, "{text} {before} {after}");
        }
    }

    #[test]
    fn a_bar_ends_where_the_next_begins() {
        for (text, open, end) in [
            ("1m", "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"),
            ("1w", "2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z"),
            ("1M", "2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            ("1M", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("1M", "2023-12-01T05:00:00Z", "2024-01-01T05:00:00Z"),
        ] {
            assert_eq!(timeframe(text).end_of(at(open)), at(end));
            assert_eq!(timeframe(text).open_of(at(end)), at(open));
        }
        let last = Timestamp::from_nanos(i64::MAX);
        assert_eq!(timeframe("1M").end_of(last), last);
    }
}
