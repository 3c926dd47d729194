//! A point in time, to the nanosecond.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z; from year 1677 to 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(i64);

const NANOS_PER_SECOND: i64 = 1_000_000_000;

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

    /// The time `nanos` later; the last there is where that is beyond it.
    pub(crate) const fn after(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
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
            100_000_000_000..100_000_000_000_000 => (epoch as i64).saturating_mul(1_000_000),
            100_000_000_000_000..100_000_000_000_000_000 => (epoch as i64).saturating_mul(1_000),
            _ if epoch > i64::MAX as u64 => i64::MAX,
            _ => epoch as i64,
        };
        Self(nanos)
    }

    /// From an epoch with a fraction, its unit told apart as in [`Self::from_epoch`] and
    /// the result rounded to the microsecond, which is what a double can hold of it.
    ///
    /// # Errors
    /// If it is negative or not finite.
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

    /// Appends the text of [`Display`](fmt::Display). Whole seconds, as bars have them, are
    /// written without going through the calendar library.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        if self.0 % NANOS_PER_SECOND != 0 {
            out.extend_from_slice(self.to_string().as_bytes());
            return;
        }
        let seconds = self.0 / NANOS_PER_SECOND;
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        let mut text = *b"0000-00-00T00:00:00Z";
        let mut digits = |at: usize, value: i64| {
            for (byte, unit) in text[at..at + 2].iter_mut().zip([10, 1]) {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // one digit
                let digit = (value / unit % 10) as u8;
                *byte = b'0' + digit;
            }
        };
        digits(0, year / 100);
        digits(2, year % 100);
        digits(5, month);
        digits(8, day);
        digits(11, second / 3_600);
        digits(14, second / 60 % 60);
        digits(17, second % 60);
        out.extend_from_slice(&text);
    }

    /// `2026-01-31T14:30:00Z` and nothing else, as most sources write it.
    pub(crate) fn from_plain_rfc3339(text: &str) -> Option<Self> {
        let text: &[u8; 20] = text.as_bytes().try_into().ok()?;
        let signs = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'Z'),
        ];
        if signs.iter().any(|(at, sign)| text[*at] != *sign) {
            return None;
        }
        let digit = |at: usize| {
            text[at]
                .is_ascii_digit()
                .then(|| i64::from(text[at] - b'0'))
        };
        let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
        let year = two(0)? * 100 + two(2)?;
        let (month, day) = (two(5)?, two(8)?);
        let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
        let last = match month {
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let whole = (1_700..2_200).contains(&year)
            && (1..=12).contains(&month)
            && (1..=last).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        // what is rare or wrong (leap days, leap seconds) is left to the calendar library
        let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        whole.then(|| Self(seconds * NANOS_PER_SECOND))
    }

    /// The same day and time `months` later, by the calendar in UTC; the last day of the month
    /// where it has no such day. `None` beyond the years that there are.
    pub(crate) fn months_away(self, months: i64) -> Option<Self> {
        let day = NANOS_PER_SECOND * 86_400;
        let (year, month, of_month) = civil(self.0.div_euclid(day));
        let month = year * 12 + month - 1 + months;
        let first = days(month.div_euclid(12), month.rem_euclid(12) + 1, 1);
        let next = days(
            (month + 1).div_euclid(12),
            (month + 1).rem_euclid(12) + 1,
            1,
        );
        (first + of_month.min(next - first) - 1)
            .checked_mul(day)?
            .checked_add(self.0.rem_euclid(day))
            .map(Self)
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

/// Days from 1970-01-01 to a date of the Gregorian calendar, years counted from March, so that
/// the leap day is the last (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day of a number of days since 1970-01-01: the inverse of [`days`].
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// RFC 3339 with an offset, or an epoch as in [`Timestamp::from_epoch`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(timestamp) = Self::from_plain_rfc3339(text) {
            return Ok(timestamp);
        }
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

    use proptest::prelude::*;

    fn written(at: Timestamp) -> String {
        let mut out = Vec::new();
        at.write_rfc3339(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_day_is_written_and_read_as_the_calendar_library_does() {
        // 1678-01-01 to 2261-12-31
        for day in -106_650..=106_650_i64 {
            let at = Timestamp::from_nanos((day * 86_400 + 3_723) * NANOS_PER_SECOND);
            let text = at.to_string();
            assert_eq!(written(at), text);
            assert_eq!(text.parse(), Ok(at));
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert!("2024-02-29T00:00:00Z".parse::<Timestamp>().is_ok());
    }

    proptest! {
        #[test]
        fn any_time_is_written_as_the_calendar_library_does(nanos: i64, whole: bool) {
            let nanos = if whole { nanos - nanos % NANOS_PER_SECOND } else { nanos };
            let at = Timestamp::from_nanos(nanos);
            prop_assert_eq!(written(at), at.to_string());
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (from, months, expected) in [
            ("2024-01-31T12:00:00Z", 1, Some("2024-02-29T12:00:00Z")),
            ("2023-12-01T00:00:00Z", 1, Some("2024-01-01T00:00:00Z")),
            ("2024-01-01T00:00:00.5Z", -1, Some("2023-12-01T00:00:00.5Z")),
            ("1969-12-15T00:00:00Z", 1, Some("1970-01-15T00:00:00Z")),
            ("2262-04-01T00:00:00Z", 1, None),
        ] {
            let moved = from.parse::<Timestamp>().unwrap().months_away(months);
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(moved, expected, "{from}");
        }
    }

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
