//! The grid: the times at which a bar of a timeframe may begin.
//!
//! Bars begin on the grid of their timeframe. A time that is not on it is most often not the open
//! time of the bar: the sender's field has the time of the last trade, or of the close, or the bar
//! is of another timeframe. All of these give wrong values that look right.

use crate::market::{Timeframe, TimeframeUnit, Timestamp};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const QUARTER: i64 = 15 * MINUTE;

/// The last moments of a bar that a close time may name: 1 ns, 1 µs, 1 ms or 1 s before its end.
const LAST: [i64; 4] = [1, 1_000, 1_000_000, SECOND];

/// The distance of the times at which a bar may begin, counted from the epoch: the timeframe up
/// to 15 minutes, a quarter of an hour above, as sessions begin on one, and a minute for a day and
/// longer, which begin at the midnight or the open of any place.
const fn step(timeframe: Timeframe) -> i64 {
    match timeframe.unit() {
        TimeframeUnit::Day | TimeframeUnit::Week | TimeframeUnit::Month => MINUTE,
        _ if timeframe.nanos() <= QUARTER => timeframe.nanos(),
        _ => QUARTER,
    }
}

/// True if a bar may begin at `at`.
pub(crate) const fn is_on(at: Timestamp, timeframe: Timeframe) -> bool {
    at.nanos() % step(timeframe) == 0
}

/// The end of a bar whose close time is `at`, which may name its last moment.
pub(super) fn end(at: Timestamp, timeframe: Timeframe) -> Timestamp {
    if is_on(at, timeframe) {
        return at;
    }
    last_of(at, timeframe).unwrap_or(at)
}

/// The end of the bar whose last moment is `at`, if it is one.
fn last_of(at: Timestamp, timeframe: Timeframe) -> Option<Timestamp> {
    LAST.iter()
        .map(|last| Timestamp::from_nanos(at.nanos().saturating_add(*last)))
        .find(|end| is_on(*end, timeframe))
}

/// Explanation of a bar that cannot begin at `at`: the probable meaning of that time, and the
/// remedy.
pub(super) fn misaligned(at: Timestamp, timeframe: Timeframe, assumed: bool) -> String {
    let nanos = at.nanos();
    let grid = match step(timeframe) {
        MINUTE => "a whole minute".to_owned(),
        QUARTER if timeframe.nanos() > QUARTER => "a quarter of an hour".to_owned(),
        _ => format!("a multiple of {timeframe}"),
    };
    let cause = if last_of(at, timeframe).is_some() {
        "it looks like the last moment of a bar, a close time: send the open time, or set \
         TECHNICAL_TIMESTAMP=close"
    } else if nanos % MINUTE != 0 {
        "it looks like the time of the last trade or of the message: send the open time of the bar, \
         as `timestamp` or `start`"
    } else if assumed {
        "it looks like a bar of another timeframe: name it in `timeframe`"
    } else {
        "it looks like a bar of another timeframe, or a time of another offset: check both"
    };
    let named = if assumed {
        format!("{timeframe} (TECHNICAL_DEFAULT_TIMEFRAME, as the bar names no timeframe)")
    } else {
        timeframe.to_string()
    };
    format!(
        "{at} is not {grid}, where a bar of {named} begins; {cause}; TECHNICAL_GRID=accept takes it as it is"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(at: &str, timeframe: &str) -> bool {
        is_on(at.parse().unwrap(), timeframe.parse().unwrap())
    }

    #[test]
    fn bars_begin_on_the_grid_of_their_timeframe() {
        for (at, timeframe, expected) in [
            ("2024-01-02T09:30:00Z", "1m", true),
            ("2024-01-02T09:30:01Z", "1m", false),
            ("2024-01-02T09:30:00.001Z", "1m", false),
            ("2024-01-02T09:35:00Z", "5m", true),
            ("2024-01-02T09:36:00Z", "5m", false),
            ("2024-01-02T09:30:00Z", "15m", true),
            ("2024-01-02T09:35:00Z", "15m", false),
            ("2024-01-02T09:30:10Z", "10s", true),
            ("2024-01-02T09:30:11Z", "10s", false),
            ("2024-01-02T09:45:00Z", "30m", true),
            ("2024-01-02T09:30:00Z", "1h", true),
            ("2024-01-02T18:15:00Z", "4h", true),
            ("2024-01-02T09:31:00Z", "1h", false),
            ("2024-01-02T05:00:00Z", "1d", true),
            ("2024-01-02T16:01:00Z", "1d", true),
            ("2024-01-02T16:00:01Z", "1d", false),
            ("2024-01-04T00:00:00Z", "1w", true),
            ("1969-12-31T23:59:00Z", "1m", true),
            ("1969-12-31T23:59:30Z", "1m", false),
        ] {
            assert_eq!(on(at, timeframe), expected, "{at} {timeframe}");
        }
    }

    #[test]
    fn a_close_time_may_name_the_last_moment_of_a_bar() {
        for (at, expected) in [
            ("2024-01-02T09:31:00Z", "2024-01-02T09:31:00Z"),
            ("2024-01-02T09:30:59Z", "2024-01-02T09:31:00Z"),
            ("2024-01-02T09:30:59.999Z", "2024-01-02T09:31:00Z"),
            ("2024-01-02T09:30:59.999999Z", "2024-01-02T09:31:00Z"),
            ("2024-01-02T09:30:59.999999999Z", "2024-01-02T09:31:00Z"),
            ("2024-01-02T09:30:58Z", "2024-01-02T09:30:58Z"),
        ] {
            let end = end(at.parse().unwrap(), Timeframe::MINUTE);
            assert_eq!(end.to_string(), expected, "{at}");
        }
    }

    #[test]
    fn the_detail_names_the_likely_cause() {
        for (at, timeframe, assumed, cause) in [
            ("2024-01-02T09:30:59.999Z", "1m", false, "close time"),
            ("2024-01-02T09:30:17.123Z", "1m", false, "last trade"),
            ("2024-01-02T09:31:00Z", "5m", false, "another timeframe"),
            ("2024-01-02T09:31:00Z", "5m", true, "name it in `timeframe`"),
        ] {
            let detail = misaligned(at.parse().unwrap(), timeframe.parse().unwrap(), assumed);
            assert!(detail.contains(cause), "{detail}");
            assert!(detail.contains("TECHNICAL_GRID=accept"), "{detail}");
            assert!(detail.contains(at), "{detail}");
        }
    }
}
