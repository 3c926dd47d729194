//! The timeframes to derive.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::calendar::Calendar;
use crate::aggregate::is_derivable;
use crate::market::{Timeframe, Zone};

/// The most timeframes that are derived: each bar may close all of them.
const MOST: usize = 16;
/// Default grace: the last part of a bar arrives after the end of the bar.
const GRACE: Duration = Duration::from_secs(5);

/// The timeframes that are derived from the smallest bars of each symbol, and the calendar that
/// their days, weeks and months follow. The default derives nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    /// Smallest first, none twice.
    timeframes: Vec<Timeframe>,
    calendar: Calendar,
    /// Time after its end during which a bar may still get parts before a time mark closes it.
    grace: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            timeframes: Vec::new(),
            calendar: Calendar::UTC,
            grace: GRACE,
        }
    }
}

/// Timeframes that cannot be derived together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Its bars would not add up to days.
    #[error(
        "`{0}` cannot be derived; use one that divides a day evenly such as 5m or 4h, or 1d, 1w or 1M"
    )]
    Timeframe(Timeframe),
    /// It is there twice.
    #[error("`{0}` is named twice")]
    Twice(Timeframe),
    /// More than are derived for one symbol.
    #[error("{0} timeframes are named; at most {MOST} are derived")]
    TooMany(usize),
}

impl Plan {
    /// Derives `timeframes`, in any order, by the calendar of a zone.
    ///
    /// # Errors
    /// If one of them cannot be derived or is listed twice, or there are too many.
    pub fn new(mut timeframes: Vec<Timeframe>, calendar: Zone) -> Result<Self, InvalidPlan> {
        if let Some(timeframe) = timeframes.iter().find(|one| !is_derivable(**one)) {
            return Err(InvalidPlan::Timeframe(*timeframe));
        }
        timeframes.sort_unstable_by_key(|timeframe| timeframe.nanos());
        if let Some(pair) = timeframes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidPlan::Twice(pair[0]));
        }
        if timeframes.len() > MOST {
            return Err(InvalidPlan::TooMany(timeframes.len()));
        }
        Ok(Self {
            timeframes,
            calendar: calendar.into(),
            grace: GRACE,
        })
    }

    /// The same timeframes by another calendar.
    #[must_use]
    pub fn on_calendar(mut self, calendar: Calendar) -> Self {
        self.calendar = calendar;
        self
    }

    /// The same timeframes with another grace; it is 5 s unless set.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The timeframes, smallest first.
    #[must_use]
    pub fn timeframes(&self) -> &[Timeframe] {
        &self.timeframes
    }

    /// The calendar that bars follow.
    #[must_use]
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The time from the end of a bar to the first mark that closes it.
    #[must_use]
    pub const fn grace(&self) -> Duration {
        self.grace
    }

    /// True if nothing is derived.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.timeframes.is_empty()
    }
}

impl FromStr for Plan {
    type Err = String;

    /// Timeframes with commas between them, by the calendar of UTC.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let timeframes: Result<Vec<Timeframe>, _> =
            text.split(',').map(|name| name.trim().parse()).collect();
        let timeframes = timeframes.map_err(|error| error.to_string())?;
        Self::new(timeframes, Zone::UTC).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Plan {
    /// With the release of the zone rules where they decide about buckets: fingerprints of
    /// configurations are made of this text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plan = f.debug_struct("Plan");
        plan.field("timeframes", &self.timeframes);
        plan.field("calendar", &self.calendar);
        plan.field("grace", &self.grace);
        if self.calendar != Calendar::UTC {
            plan.field("rules", &Zone::rules());
        }
        plan.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(names: &[&str]) -> Result<Plan, InvalidPlan> {
        let timeframes = names.iter().map(|name| name.parse().unwrap()).collect();
        Plan::new(timeframes, Zone::UTC)
    }

    #[test]
    fn timeframes_are_ordered_by_length() {
        let plan = plan(&["1d", "5m", "1M", "60s", "1w", "90m", "1h"]).unwrap();
        let names: Vec<String> = plan.timeframes().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["1m", "5m", "1h", "90m", "1d", "1w", "1M"]);
    }

    #[test]
    fn an_invalid_plan_says_why() {
        for (names, expected) in [
            (
                &["5m", "7m"][..],
                "`7m` cannot be derived; use one that divides a day evenly such as 5m or 4h, or 1d, 1w or 1M",
            ),
            (
                &["2d"],
                "`2d` cannot be derived; use one that divides a day evenly such as 5m or 4h, or 1d, 1w or 1M",
            ),
            (&["1h", "60m"], "`1h` is named twice"),
        ] {
            assert_eq!(plan(names).unwrap_err().to_string(), expected);
        }
        let many: Vec<String> = (1..=60_u32)
            .filter(|minutes| 1_440_u32.is_multiple_of(*minutes))
            .map(|minutes| format!("{minutes}m"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(plan(&many[..16]).is_ok());
        let error = plan(&many[..17]).unwrap_err().to_string();
        assert_eq!(error, "17 timeframes are named; at most 16 are derived");
    }

    #[test]
    fn the_rules_of_zones_are_named_where_they_decide() {
        let named = |zone: &str| {
            format!(
                "{:?}",
                Plan::new(Vec::new(), zone.parse().unwrap()).unwrap()
            )
        };
        assert!(!named("UTC").contains(Zone::rules()));
        assert!(named("Asia/Tokyo").contains(Zone::rules()));
        let session = Some("09:30-16:00 America/New_York".parse().unwrap());
        let plan = Plan::default().on_calendar(Calendar::UTC.with_session(session));
        assert!(format!("{plan:?}").contains(Zone::rules()));
    }
}
