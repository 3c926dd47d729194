//! A point in time, to the nanosecond.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z; from year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(i64);

/// A text or number that names no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// Neither RFC 3339 nor a number.
    #[error(
        "`{0}` is no timestamp; use RFC 3339 with an offset (2026-01-31T14:30:00Z) or an epoch in s, ms, µs or ns"
    )]
    Unreadable(String),
    /// Outside what 64-bit nanoseconds can hold.
    #[error("`{0}` is outside the years 1678 to 2261")]
    OutOfRange(String),
    /// Epoch numbers below zero are ambiguous in unit.
    #[error("epoch {0} is before 1970; write it in RFC 3339")]
    Negative(String),
}

impl Timestamp {
    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// From an epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by
    /// size: below 10¹¹ seconds (year 5138), below 10¹⁴ milliseconds, below 10¹⁷
    /// microseconds, else nanoseconds. A number of seconds that nanoseconds cannot hold
    /// becomes the largest timestamp there is, so that it is seen to lie in the future.
    #[must_use]
    pub const fn from_epoch(epoch: u64) -> Self {
        #[allow(clippy::cast_possible_wrap)] // each arm is below i64::MAX, saturating where not
        let nanos = match epoch {
            0..100_000_000_000 => (epoch as i64).saturating_mul(1_000_000_000),
            0..100_000_000_000_000 => (epoch as i64).saturating_mul(1_000_000),
            0..100_000_000_000_000_000 => (epoch as i64).saturating_mul(1_000),
            _ if epoch > i64::MAX as u64 => i64::MAX,
            _ => epoch as i64,
        };
        Self(nanos)
    }

    /// From an epoch with a fraction, its unit told apart as in [`Self::from_epoch`] and
    /// the result rounded to the microsecond, which is what a double can hold of it.
    ///
    /// # Errors
    /// When it is negative or not finite.
    pub fn from_epoch_f64(epoch: f64) -> Result<Self, InvalidTimestamp> {
        if !epoch.is_finite() {
            return Err(InvalidTimestamp::Unreadable(epoch.to_string()));
        }
        if epoch < 0.0 {
            return Err(InvalidTimestamp::Negative(epoch.to_string()));
        }
        let micros = if epoch < 1e11 {
            epoch * 1e6
        } else if epoch < 1e14 {
            epoch * 1e3
        } else if epoch < 1e17 {
            epoch
        } else {
            epoch / 1e3
        };
        // `as` saturates, which is the far future
        #[allow(clippy::cast_possible_truncation)]
        Ok(Self((micros.round() as i64).saturating_mul(1_000)))
    }

    /// For `serialize_with`: the text of [`Display`](fmt::Display) instead of nanoseconds.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize_rfc3339<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// RFC 3339 with an offset, or an epoch as in [`Timestamp::from_epoch`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(48).collect::<String>();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text
                .parse()
                .map(Self::from_epoch)
                .map_err(|_| InvalidTimestamp::OutOfRange(shown()));
        }
        if text.starts_with('-') && text[1..].bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(InvalidTimestamp::Negative(shown()));
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return text
                .parse()
                .map_err(|_| InvalidTimestamp::Unreadable(shown()))
                .and_then(Self::from_epoch_f64);
        }
        let parsed: jiff::Timestamp = text
            .parse()
            .map_err(|_| InvalidTimestamp::Unreadable(shown()))?;
        i64::try_from(parsed.as_nanosecond())
            .map(Self)
            .map_err(|_| InvalidTimestamp::OutOfRange(shown()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many decimals as the value needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?,
            f,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_an_epoch_is_told_by_its_size() {
        let expected = Timestamp::from_nanos(1_700_000_000_000_000_000);
        assert_eq!(Timestamp::from_epoch(1_700_000_000), expected);
        assert_eq!(Timestamp::from_epoch(1_700_000_000_000), expected);
        assert_eq!(Timestamp::from_epoch(1_700_000_000_000_000), expected);
        assert_eq!(Timestamp::from_epoch(1_700_000_000_000_000_000), expected);
        assert_eq!("1700000000".parse::<Timestamp>().unwrap(), expected);
        assert_eq!(
            Timestamp::from_epoch_f64(1_700_000_000.0).unwrap(),
            expected
        );
        assert_eq!(
            Timestamp::from_epoch_f64(1_700_000_000.123)
                .unwrap()
                .nanos(),
            1_700_000_000_123_000_000
        );
        assert_eq!(Timestamp::from_epoch(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_epoch(u64::MAX).nanos(), i64::MAX);
    }

    #[test]
    fn rfc_3339_needs_an_offset_and_comes_out_in_utc() {
        let at = |text: &str| text.parse::<Timestamp>();
        assert_eq!(
            at("2026-01-31T15:30:00+01:00").unwrap().to_string(),
            "2026-01-31T14:30:00Z"
        );
        assert_eq!(at("1969-12-31T23:59:59.5Z").unwrap().nanos(), -500_000_000);
        assert_eq!(
            at("2024-01-01T00:00:00.123456789Z").unwrap().to_string(),
            "2024-01-01T00:00:00.123456789Z"
        );
        assert!(matches!(
            at("2026-01-31T15:30:00"),
            Err(InvalidTimestamp::Unreadable(_))
        ));
        assert!(matches!(at("-5"), Err(InvalidTimestamp::Negative(_))));
        assert!(matches!(
            at("2300-01-01T00:00:00Z"),
            Err(InvalidTimestamp::OutOfRange(_))
        ));
        assert!(matches!(at(""), Err(InvalidTimestamp::Unreadable(_))));
        assert!(matches!(at("."), Err(InvalidTimestamp::Unreadable(_))));
        assert!(matches!(
            at("yesterday"),
            Err(InvalidTimestamp::Unreadable(_))
        ));
    }
}
