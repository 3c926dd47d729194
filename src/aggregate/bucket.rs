//! The bucket of a timeframe that a time falls into, and the bars that fill it.
//!
//! Below a day, buckets are multiples of their timeframe since 1970 in UTC. A day, week or month
//! begins at midnight in the calendar's zone; a week begins on Monday. So a day has 23 or 25 hours
//! where clocks change.

use jiff::civil::{Date, Weekday};

use crate::market::{Timeframe, TimeframeUnit, Timestamp, Zone};

const DAY: i64 = 86_400_000_000_000;

/// A half-open stretch of time: `open` is in it, `end` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bucket {
    /// Its first moment.
    pub open: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

impl Bucket {
    /// The bucket of `timeframe` that `at` falls into, in the calendar of `zone`. `None` for a
    /// timeframe that is not derived, and outside the years that a [`Timestamp`] holds.
    #[must_use]
    pub fn of(timeframe: Timeframe, zone: &Zone, at: Timestamp) -> Option<Self> {
        if !is_derivable(timeframe) {
            return None;
        }
        let (first, next) = match timeframe.unit() {
            TimeframeUnit::Second | TimeframeUnit::Minute | TimeframeUnit::Hour => {
                let length = timeframe.nanos();
                let open = at.nanos().div_euclid(length).checked_mul(length)?;
                return Some(Self {
                    open: Timestamp::from_nanos(open),
                    end: Timestamp::from_nanos(open.checked_add(length)?),
                });
            }
            TimeframeUnit::Day => {
                let date = zone.date_of(at)?;
                (date, date.tomorrow().ok()?)
            }
            TimeframeUnit::Week => {
                let date = zone.date_of(at)?;
                let monday = date
                    .tomorrow()
                    .ok()?
                    .nth_weekday(-1, Weekday::Monday)
                    .ok()?;
                (monday, monday.nth_weekday(1, Weekday::Monday).ok()?)
            }
            TimeframeUnit::Month => {
                let date = zone.date_of(at)?;
                (date.first_of_month(), date.last_of_month().tomorrow().ok()?)
            }
        };
        let (open, end) = (midnight(zone, first)?, midnight(zone, next)?);
        (open <= at && at < end).then_some(Self { open, end })
    }

    /// True if `at` is in it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.open <= at && at < self.end
    }

    /// The number of bars of `part` that fill it; `None` where they do not fill it evenly.
    #[must_use]
    pub fn expected(&self, part: Timeframe, zone: &Zone) -> Option<u64> {
        if part == Timeframe::DAY {
            let days = zone.date_of(self.end)? - zone.date_of(self.open)?;
            return u64::try_from(days.get_days()).ok();
        }
        let length = self.end.nanos().checked_sub(self.open.nanos())?;
        let whole = length % part.nanos() == 0;
        u64::try_from(length / part.nanos()).ok().filter(|_| whole)
    }
}

/// The end of a bar of `part` that opened at `open`. A day ends at midnight in `zone`; `None` where
/// it did not begin at one, as it is then a day of another calendar.
#[must_use]
pub fn part_end(part: Timeframe, zone: &Zone, open: Timestamp) -> Option<Timestamp> {
    if part == Timeframe::DAY {
        let day = Bucket::of(part, zone, open)?;
        return (day.open == open).then_some(day.end);
    }
    open.nanos()
        .checked_add(part.nanos())
        .map(Timestamp::from_nanos)
}

/// True if bars of `timeframe` can be derived: it divides a day, or is a day, a week or a month.
#[must_use]
pub fn is_derivable(timeframe: Timeframe) -> bool {
    match timeframe.unit() {
        TimeframeUnit::Second | TimeframeUnit::Minute | TimeframeUnit::Hour => {
            DAY % timeframe.nanos() == 0
        }
        TimeframeUnit::Day => timeframe == Timeframe::DAY,
        TimeframeUnit::Week | TimeframeUnit::Month => true,
    }
}

/// True if `timeframe` is shorter than a day.
#[must_use]
pub(super) const fn is_below_a_day(timeframe: Timeframe) -> bool {
    timeframe.nanos() < DAY
}

/// True if bars of `part` add up to bars of `timeframe`, which [`is_derivable`].
#[must_use]
pub fn is_made_of(timeframe: Timeframe, part: Timeframe) -> bool {
    if is_below_a_day(timeframe) {
        return part.nanos() < timeframe.nanos() && timeframe.nanos() % part.nanos() == 0;
    }
    (is_below_a_day(part) && DAY % part.nanos() == 0)
        || (part == Timeframe::DAY && timeframe.nanos() > DAY)
}

fn midnight(zone: &Zone, date: Date) -> Option<Timestamp> {
    zone.start_of(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn timeframe(text: &str) -> Timeframe {
        text.parse().unwrap()
    }

    fn bucket(name: &str, zone: &str, time: &str) -> Bucket {
        Bucket::of(timeframe(name), &zone.parse().unwrap(), at(time)).unwrap()
    }

    #[test]
    fn a_bucket_is_half_open() {
        for (name, time, open, end) in [
            (
                "5m",
                "2024-01-02T10:05:00Z",
                "2024-01-02T10:05:00Z",
                "2024-01-02T10:10:00Z",
            ),
            (
                "5m",
                "2024-01-02T10:04:59.999999999Z",
                "2024-01-02T10:00:00Z",
                "2024-01-02T10:05:00Z",
            ),
            (
                "1h",
                "1969-12-31T23:59:59Z",
                "1969-12-31T23:00:00Z",
                "1970-01-01T00:00:00Z",
            ),
            (
                "1w",
                "2024-01-07T23:59:59Z",
                "2024-01-01T00:00:00Z",
                "2024-01-08T00:00:00Z",
            ),
            (
                "1w",
                "2024-01-08T00:00:00Z",
                "2024-01-08T00:00:00Z",
                "2024-01-15T00:00:00Z",
            ),
            (
                "1M",
                "2024-02-29T23:59:59Z",
                "2024-02-01T00:00:00Z",
                "2024-03-01T00:00:00Z",
            ),
        ] {
            let expected = Bucket {
                open: at(open),
                end: at(end),
            };
            assert_eq!(bucket(name, "UTC", time), expected, "{name} {time}");
        }
    }

    #[test]
    fn days_begin_at_midnight_of_the_calendar_and_last_23_to_25_hours() {
        let zone = "America/New_York";
        let short = bucket("1d", zone, "2024-03-10T12:00:00Z");
        assert_eq!(
            (short.open, short.end),
            (at("2024-03-10T05:00:00Z"), at("2024-03-11T04:00:00Z"))
        );
        let long = bucket("1d", zone, "2024-11-04T04:30:00Z");
        assert_eq!(
            (long.open, long.end),
            (at("2024-11-03T04:00:00Z"), at("2024-11-04T05:00:00Z"))
        );
        let parsed = zone.parse().unwrap();
        assert_eq!(short.expected(Timeframe::MINUTE, &parsed), Some(23 * 60));
        assert_eq!(long.expected(timeframe("1h"), &parsed), Some(25));
        assert_eq!(long.expected(timeframe("4h"), &parsed), None);
        let no_midnight = bucket("1d", zone, "2013-11-04T04:00:00Z");
        assert_eq!(no_midnight.open, at("2013-11-03T04:00:00Z"));
        // on this day clocks went from 23:59:59 to 01:00
        let sao_paulo = bucket("1d", "America/Sao_Paulo", "2018-11-04T02:59:59Z");
        assert_eq!(sao_paulo.end, at("2018-11-04T03:00:00Z"));
    }

    #[test]
    fn a_week_has_seven_days_and_a_month_as_many_as_the_calendar_says() {
        let zone = "America/New_York".parse().unwrap();
        let week = bucket("1w", "America/New_York", "2024-03-10T12:00:00Z");
        assert_eq!(
            (week.open, week.end),
            (at("2024-03-04T05:00:00Z"), at("2024-03-11T04:00:00Z"))
        );
        assert_eq!(week.expected(Timeframe::DAY, &zone), Some(7));
        let month = bucket("1M", "UTC", "2024-02-10T12:00:00Z");
        assert_eq!(month.expected(Timeframe::DAY, &Zone::UTC), Some(29));
    }

    #[test]
    fn a_day_of_another_calendar_is_no_part() {
        let zone = "America/New_York".parse().unwrap();
        let end = |time| part_end(Timeframe::DAY, &zone, at(time));
        assert_eq!(
            end("2024-03-10T05:00:00Z"),
            Some(at("2024-03-11T04:00:00Z"))
        );
        assert_eq!(end("2024-03-10T00:00:00Z"), None);
        let minute = part_end(Timeframe::MINUTE, &zone, at("2024-03-10T00:00:30Z"));
        assert_eq!(minute, Some(at("2024-03-10T00:01:30Z")));
    }

    #[test]
    fn only_what_adds_up_is_derived() {
        for (name, expected) in [
            ("5m", true),
            ("90m", true),
            ("8h", true),
            ("30s", true),
            ("1d", true),
            ("1w", true),
            ("1M", true),
            ("7m", false),
            ("5h", false),
            ("59s", false),
            ("2d", false),
            ("3d", false),
        ] {
            assert_eq!(is_derivable(timeframe(name)), expected, "{name}");
        }
        for (name, part, expected) in [
            ("5m", "1m", true),
            ("5m", "5m", false),
            ("5m", "2m", false),
            ("1m", "5m", false),
            ("1h", "45m", false),
            ("1d", "1h", true),
            ("1d", "7m", false),
            ("1d", "1d", false),
            ("1w", "1d", true),
            ("1M", "1d", true),
            ("1M", "1w", false),
            ("1w", "2d", false),
            ("1w", "4h", true),
        ] {
            assert_eq!(
                is_made_of(timeframe(name), timeframe(part)),
                expected,
                "{name} of {part}"
            );
        }
    }

    /// Buckets of pandas' `resample`: see tests/data/aggregate/README.md.
    #[test]
    fn buckets_are_those_of_pandas() {
        let data = include_str!("../../tests/data/aggregate/buckets.json");
        let cases: Vec<(String, String, String, String, String)> =
            serde_json::from_str(data).unwrap();
        assert!(cases.len() >= 1_000);
        for (name, zone, time, open, end) in cases {
            let expected = Bucket {
                open: at(&open),
                end: at(&end),
            };
            assert_eq!(
                bucket(&name, &zone, &time),
                expected,
                "{name} {zone} {time}"
            );
        }
    }

    #[test]
    fn there_is_no_bucket_beyond_the_years_that_there_are() {
        for nanos in [i64::MIN, i64::MAX] {
            let time = Timestamp::from_nanos(nanos);
            for name in ["1d", "1w", "1M"] {
                assert_eq!(Bucket::of(timeframe(name), &Zone::UTC, time), None);
            }
        }
        assert_eq!(
            Bucket::of(timeframe("1h"), &Zone::UTC, Timestamp::from_nanos(i64::MAX)),
            None
        );
    }
}
