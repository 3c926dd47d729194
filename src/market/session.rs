//! The hours of a market: the time of each day at which it opens and closes.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;

use super::{Timestamp, Zone};

/// The trading session of every day, such as `09:30-16:00 America/New_York`. It opens and closes
/// on the same day. It knows no weekends and holidays; on these days no bars come.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    open: Time,
    close: Time,
    zone: Zone,
}

/// The session of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Its first moment.
    pub open: Timestamp,
    /// The first moment after it.
    pub close: Timestamp,
}

/// Length of the time after the close in which the results of the closing auction come.
const AUCTION: i64 = 60_000_000_000;

impl Session {
    /// The zone of its clocks.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The session of the local day of `at` in its zone. `None` if a change of clocks skips the whole
    /// session, or outside the range of a [`Timestamp`].
    #[must_use]
    pub fn of(&self, at: Timestamp) -> Option<Hours> {
        self.days_after(at, 0)
    }

    /// The session `days` after that of [`Self::of`].
    #[must_use]
    pub fn days_after(&self, at: Timestamp, days: i32) -> Option<Hours> {
        let days = jiff::Span::new().try_days(days).ok()?;
        let date = self.zone.date_of(at)?.checked_add(days).ok()?;
        let open = self.zone.nearest(date.to_datetime(self.open))?;
        let close = self.zone.nearest(date.to_datetime(self.close))?;
        (open < close).then_some(Hours { open, close })
    }

    /// True if it opens and closes on one day of `calendar`, throughout the years in use.
    #[must_use]
    pub fn is_within_days_of(&self, calendar: &Zone) -> bool {
        const WEEK: u64 = 7 * 86_400;
        if self.zone == *calendar {
            return true;
        }
        // from 2000 to 2037; the rules of clocks hold for weeks
        (0..1_983).all(|week| {
            let noon = Timestamp::from_epoch(946_728_000 + week * WEEK);
            self.of(noon).is_none_or(|hours| {
                let last = hours.end().after(-1);
                calendar.date_of(hours.open) == calendar.date_of(last)
            })
        })
    }
}

impl Hours {
    /// The end of the closing auction, a minute after the close.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.close.after(AUCTION)
    }

    /// Its length in nanoseconds, without the auction.
    #[must_use]
    pub const fn nanos(&self) -> i64 {
        self.close.nanos().saturating_sub(self.open.nanos())
    }

    /// The number of bars of `nanos` that the minute after the close has.
    #[must_use]
    pub const fn auction_bars(nanos: i64) -> u64 {
        if AUCTION % nanos == 0 {
            (AUCTION / nanos).unsigned_abs()
        } else {
            0
        }
    }
}

impl FromStr for Session {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable =
            || "must be an open, a close and a time zone: 09:30-16:00 America/New_York".to_owned();
        let (hours, zone) = text.trim().rsplit_once(' ').ok_or_else(unreadable)?;
        let (open, close) = hours.split_once('-').ok_or_else(unreadable)?;
        let open = time(open).ok_or_else(unreadable)?;
        let close = time(close).ok_or_else(unreadable)?;
        if open >= close {
            return Err(format!(
                "the session closes at {}, which is not after its open at {} of the same day; \
                 sessions across midnight are not known: use hours within a day such as \
                 09:30-16:00, or leave it unset",
                clock(close),
                clock(open)
            ));
        }
        let zone = zone
            .trim()
            .parse()
            .map_err(|error: super::InvalidZone| error.to_string())?;
        Ok(Self { open, close, zone })
    }
}

/// A time of day such as `09:30`.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, close, zone } = self;
        write!(f, "{}-{} {zone}", clock(*open), clock(*close))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> Session {
        text.parse().unwrap()
    }

    fn hours(text: &str, at: &str) -> Option<(String, String)> {
        let hours = session(text).of(at.parse().unwrap())?;
        Some((hours.open.to_string(), hours.close.to_string()))
    }

    #[test]
    fn a_session_is_placed_by_the_clocks_of_its_zone() {
        let text = "09:30-16:00 America/New_York";
        for (at, open, close) in [
            (
                "2024-03-08T23:00:00Z",
                "2024-03-08T14:30:00Z",
                "2024-03-08T21:00:00Z",
            ),
            (
                "2024-03-11T04:00:00Z",
                "2024-03-11T13:30:00Z",
                "2024-03-11T20:00:00Z",
            ),
            (
                "2024-03-11T03:59:59Z",
                "2024-03-10T13:30:00Z",
                "2024-03-10T20:00:00Z",
            ),
            (
                "2024-11-04T12:00:00Z",
                "2024-11-04T14:30:00Z",
                "2024-11-04T21:00:00Z",
            ),
        ] {
            let expected = Some((open.to_owned(), close.to_owned()));
            assert_eq!(hours(text, at), expected, "{at}");
        }
        // clocks go from 02:00 to 03:00
        let night = session("01:00-04:00 America/New_York");
        let short = night.of("2024-03-10T12:00:00Z".parse().unwrap()).unwrap();
        assert_eq!(short.nanos(), 2 * 3_600_000_000_000);
        assert_eq!(
            hours("02:10-02:50 America/New_York", "2024-03-10T12:00:00Z"),
            Some((
                "2024-03-10T07:10:00Z".to_owned(),
                "2024-03-10T07:50:00Z".to_owned()
            ))
        );
        assert_eq!(
            hours("02:30-03:10 America/New_York", "2024-03-10T12:00:00Z"),
            None
        );
    }

    #[test]
    fn the_hours_are_those_of_the_text() {
        for text in ["09:30-16:00 America/New_York", "00:00-23:59 UTC"] {
            assert_eq!(session(text).to_string(), text);
        }
        assert_eq!(
            session(" 09:00 - 15:30  asia/tokyo ").to_string(),
            "09:00-15:30 Asia/Tokyo"
        );
        for text in [
            "",
            "09:30-16:00",
            "9:30-16:00 UTC",
            "09:30 16:00 UTC",
            "09:30-24:00 UTC",
            "09:30-16:0 UTC",
            "09:30:00-16:00 UTC",
            "+9:30-16:00 UTC",
        ] {
            let error = text.parse::<Session>().unwrap_err();
            assert!(error.contains("09:30-16:00 America/New_York"), "{error}");
        }
        let error = "18:00-17:00 America/Chicago"
            .parse::<Session>()
            .unwrap_err();
        assert!(
            error.contains("closes at 17:00") && error.contains("across midnight are not known"),
            "{error}"
        );
        let error = "09:30-16:00 Mars/Olympus".parse::<Session>().unwrap_err();
        assert!(error.contains("`Mars/Olympus` is no time zone"), "{error}");
    }

    #[test]
    fn a_session_may_lie_across_the_midnights_of_another_calendar() {
        let within =
            |text: &str, zone: &str| session(text).is_within_days_of(&zone.parse().unwrap());
        assert!(within("09:30-16:00 America/New_York", "UTC"));
        assert!(within("09:30-16:00 America/New_York", "America/New_York"));
        assert!(within("10:00-16:00 Australia/Sydney", "Australia/Sydney"));
        assert!(!within("10:00-16:00 Australia/Sydney", "UTC"));
        assert!(!within("09:30-23:59 America/New_York", "UTC"));
        // after the close comes the minute of the auction
        assert!(within("09:00-23:59 UTC", "UTC"));
        assert!(!within("09:00-23:59 UTC", "Europe/London"));
    }
}
