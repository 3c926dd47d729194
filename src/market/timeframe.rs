//! The length of a bar.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The unit of a [`Timeframe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeframeUnit {
    /// `s`, up to 30.
    Second,
    /// `m`, up to 30.
    Minute,
    /// `h`, up to 12.
    Hour,
    /// `d`, just one.
    Day,
    /// `w`, just one.
    Week,
}

impl TimeframeUnit {
    const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
            Self::Day => 'd',
            Self::Week => 'w',
        }
    }

    const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
        }
    }

    const fn largest(self) -> u8 {
        match self {
            Self::Second | Self::Minute => 30,
            Self::Hour => 12,
            Self::Day | Self::Week => 1,
        }
    }
}

/// The length of a bar: `1s`…`30s`, `1m`…`30m`, `1h`…`12h`, `1d` or `1w`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timeframe {
    unit: TimeframeUnit,
    count: u8,
}

/// A text that names no timeframe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no timeframe; use 1s…30s, 1m…30m, 1h…12h, 1d or 1w")]
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

    /// The length in nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.unit.seconds() as i64 * self.count as i64 * 1_000_000_000
    }

    /// The unit it is counted in.
    #[must_use]
    pub const fn unit(self) -> TimeframeUnit {
        self.unit
    }

    /// Its text, without allocating: at most three bytes.
    #[must_use]
    pub fn text(self) -> TimeframeText {
        let mut bytes = [0; 3];
        let mut len = 0;
        if self.count >= 10 {
            bytes[len] = b'0' + self.count / 10;
            len += 1;
        }
        bytes[len] = b'0' + self.count % 10;
        bytes[len + 1] = self.unit.letter() as u8;
        TimeframeText {
            bytes,
            len: len + 2,
        }
    }
}

/// The text of a [`Timeframe`], held inline.
#[derive(Debug, Clone, Copy)]
pub struct TimeframeText {
    bytes: [u8; 3],
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

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTimeframe(text.chars().take(32).collect());
        let (digits, unit) = text
            .char_indices()
            .next_back()
            .map(|(at, letter)| (&text[..at], letter))
            .ok_or_else(invalid)?;
        let unit = match unit {
            's' => TimeframeUnit::Second,
            'm' => TimeframeUnit::Minute,
            'h' => TimeframeUnit::Hour,
            'd' => TimeframeUnit::Day,
            'w' => TimeframeUnit::Week,
            _ => return Err(invalid()),
        };
        if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid());
        }
        let count: u8 = digits.parse().map_err(|_| invalid())?;
        if count > unit.largest() {
            return Err(invalid());
        }
        Ok(Self { unit, count })
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

    #[test]
    fn every_timeframe_reads_back_as_it_is_written() {
        for text in [
            "1s", "30s", "1m", "5m", "15m", "30m", "1h", "4h", "12h", "1d", "1w",
        ] {
            assert_eq!(text.parse::<Timeframe>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_timeframe_is_refused() {
        for text in [
            "", "m", "0m", "01m", "31m", "60s", "13h", "2d", "2w", "1M", "1y", "1é", "+1m", "1 m",
        ] {
            assert!(text.parse::<Timeframe>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_in_nanoseconds() {
        assert_eq!("15m".parse::<Timeframe>().unwrap().nanos(), 900_000_000_000);
        assert_eq!(
            "1w".parse::<Timeframe>().unwrap().nanos(),
            604_800_000_000_000
        );
    }
}
