//! A time as it is named on a command line.

use std::str::FromStr;

use crate::market::Timestamp;

/// A point in time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpec {
    /// The point itself.
    At(Timestamp),
    /// Nanoseconds before now.
    Ago(i64),
}

/// A text that names no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time; use RFC 3339 (2026-01-31T14:30:00Z) or how long ago (90s, 15m, 2h, 7d)")]
pub struct InvalidTimeSpec(String);

impl TimeSpec {
    /// The point in time, seen from `now`.
    #[must_use]
    pub const fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(nanos) => Timestamp::from_nanos(now.nanos().saturating_sub(nanos)),
        }
    }
}

impl FromStr for TimeSpec {
    type Err = InvalidTimeSpec;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTimeSpec(text.to_owned());
        let seconds = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return text.parse().map(Self::At).map_err(|_| invalid()),
        };
        let number = &text[..text.len() - 1];
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let count: i64 = number.parse().map_err(|_| invalid())?;
        let nanos = count
            .checked_mul(seconds)
            .and_then(|seconds| seconds.checked_mul(1_000_000_000));
        nanos.filter(|_| plain).map(Self::Ago).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_time_or_so_long_ago() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("90s", "2026-03-02T11:58:30Z"),
            ("15m", "2026-03-02T11:45:00Z"),
            ("2h", "2026-03-02T10:00:00Z"),
            ("1d", "2026-03-01T12:00:00Z"),
            ("1w", "2026-02-23T12:00:00Z"),
            ("2026-01-31T14:30:00+01:00", "2026-01-31T13:30:00Z"),
        ] {
            let spec: TimeSpec = text.parse().unwrap();
            assert_eq!(spec.seen_from(now).to_string(), expected, "{text}");
        }
        for bad in [
            "",
            "h",
            "2 h",
            "-2h",
            "+2h",
            "1.5h",
            "2y",
            "soon",
            "9999999999999w",
        ] {
            assert!(bad.parse::<TimeSpec>().is_err(), "{bad:?}");
        }
    }
}
