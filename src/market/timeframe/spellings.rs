//! The usual spellings of timeframes.
//!
//! Case tells a month from a minute and nothing else: `1M` is a month, as exchanges write it, and
//! `M5` five minutes, as trading terminals do.

use super::{Timeframe, TimeframeUnit};

/// Longer texts are none.
const LONGEST: usize = 24;

pub(super) fn read(text: &str) -> Option<Timeframe> {
    if let Some(plain) = plain(text) {
        return Some(plain);
    }
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .collect();
    if let Some(period) = text.strip_prefix('P') {
        return iso(period);
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, name) = text.split_at(digits);
    if name.is_empty() {
        return Timeframe::from_minutes(number(count)?);
    }
    if !count.is_empty() {
        return of(number(count)?, unit(name)?);
    }
    terminal(name)
        .or_else(|| word(&name.to_ascii_lowercase()))
        .or_else(|| match name {
            "H" | "D" | "W" | "M" => of(1, unit(name)?),
            _ => None,
        })
}

/// Reads the form that [`Timeframe::text`] writes, the most common one.
fn plain(text: &str) -> Option<Timeframe> {
    let (count, letter) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match letter {
        "s" => TimeframeUnit::Second,
        "m" => TimeframeUnit::Minute,
        "h" => TimeframeUnit::Hour,
        "d" => TimeframeUnit::Day,
        "w" => TimeframeUnit::Week,
        "M" => TimeframeUnit::Month,
        _ => return None,
    };
    of(number(count)?, unit)
}

fn of(count: u64, unit: TimeframeUnit) -> Option<Timeframe> {
    if unit == TimeframeUnit::Month {
        return (count == 1).then_some(Timeframe::MONTH);
    }
    Timeframe::from_seconds(count.checked_mul(u64::from(unit.seconds()))?)
}

/// A number without leading zeros.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// The unit behind a number.
fn unit(name: &str) -> Option<TimeframeUnit> {
    Some(match name {
        "M" => TimeframeUnit::Month,
        "T" => TimeframeUnit::Minute,
        _ => match name.to_ascii_lowercase().as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => TimeframeUnit::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => TimeframeUnit::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => TimeframeUnit::Hour,
            "d" | "day" | "days" => TimeframeUnit::Day,
            "w" | "wk" | "wks" | "week" | "weeks" => TimeframeUnit::Week,
            "mo" | "mon" | "mth" | "month" | "months" => TimeframeUnit::Month,
            _ => return None,
        },
    })
}

/// A duration of ISO 8601, behind its `P`: `T5M`, `1D`, `1M`.
fn iso(period: &str) -> Option<Timeframe> {
    let (clock, rest) = match period.strip_prefix('T') {
        Some(rest) => (true, rest),
        None => (false, period),
    };
    let (count, letter) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    let unit = match (clock, letter) {
        (true, "S") => TimeframeUnit::Second,
        (true, "M") => TimeframeUnit::Minute,
        (true, "H") => TimeframeUnit::Hour,
        (false, "D") => TimeframeUnit::Day,
        (false, "W") => TimeframeUnit::Week,
        (false, "M") => TimeframeUnit::Month,
        _ => return None,
    };
    of(number(count)?, unit)
}

/// The unit first, as trading terminals write it: `M5`, `H1`, `D1`, `W1`, `MN1`, `S5`.
fn terminal(name: &str) -> Option<Timeframe> {
    let name = name.to_ascii_uppercase();
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let unit = match letters {
        "S" => TimeframeUnit::Second,
        "M" => TimeframeUnit::Minute,
        "H" => TimeframeUnit::Hour,
        "D" => TimeframeUnit::Day,
        "W" => TimeframeUnit::Week,
        "MN" => TimeframeUnit::Month,
        _ => return None,
    };
    of(number(&name[letters.len()..])?, unit)
}

/// A timeframe in words.
fn word(name: &str) -> Option<Timeframe> {
    let unit = |name: &str| match name {
        "second" => Some(TimeframeUnit::Second),
        "min" | "minute" | "minutely" => Some(TimeframeUnit::Minute),
        "hour" | "hourly" => Some(TimeframeUnit::Hour),
        "day" | "daily" => Some(TimeframeUnit::Day),
        "week" | "weekly" => Some(TimeframeUnit::Week),
        "month" | "monthly" => Some(TimeframeUnit::Month),
        _ => None,
    };
    if let Some(unit) = unit(name) {
        return of(1, unit);
    }
    // `ONE_MINUTE`, `FIFTEEN_MINUTE`
    [
        ("one", 1),
        ("two", 2),
        ("three", 3),
        ("four", 4),
        ("five", 5),
        ("six", 6),
        ("ten", 10),
        ("twelve", 12),
        ("fifteen", 15),
        ("thirty", 30),
    ]
    .into_iter()
    .find_map(|(word, count)| {
        let rest = name.strip_prefix(word)?;
        of(count, unit(rest.strip_suffix('s').unwrap_or(rest))?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_understood() {
        for (expected, spellings) in [
            ("1s", "1s 1S 1sec 1second PT1S S1"),
            ("5s", "5s S5 5secs"),
            (
                "1m",
                "1m 1min 1Min 1MIN 1 1minute 1Minute PT1M M1 1T ONE_MINUTE minute 60s",
            ),
            (
                "5m",
                "5m 5min 5Min 5 PT5M M5 5T FIVE_MINUTE 5mins 5_minutes 300s",
            ),
            ("15m", "15m 15 M15 FIFTEEN_MINUTE"),
            ("7m", "7m 7 7min PT7M"),
            ("90m", "90m 90 90min PT90M"),
            (
                "1h",
                "1h 1H 60 60m 60min 1hour 1Hour 1hr PT1H PT60M H1 H ONE_HOUR hour hourly",
            ),
            ("4h", "4h 4H 240 240m H4 PT4H 4hours"),
            ("13h", "13h 780"),
            (
                "1d",
                "1d 1D D 1day 1Day D1 P1D PT24H 24h 1440 daily day ONE_DAY",
            ),
            ("2d", "2d 2D 48h 2880"),
            ("3d", "3d 3D 3day"),
            ("1w", "1w 1W W 1wk 1week 1Week W1 P1W 7d 10080 weekly"),
            (
                "1M",
                "1M 1mo 1Mo 1mon 1month 1Month M MN1 P1M monthly month",
            ),
        ] {
            for spelling in spellings.split(' ') {
                let read = read(spelling).map(|timeframe| timeframe.to_string());
                assert_eq!(read.as_deref(), Some(expected), "{spelling}");
            }
        }
        for (spelling, expected) in [("5 mins", "5m"), ("1 hour", "1h"), ("1 day", "1d")] {
            assert_eq!(
                read(spelling).map(|t| t.to_string()).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn what_is_no_timeframe_is_refused() {
        for text in [
            "",
            "m",
            "h",
            "s",
            "0m",
            "01m",
            "0",
            "90s",
            "25h",
            "4d",
            "2w",
            "2M",
            "3mo",
            "1y",
            "Y",
            "1é",
            "é",
            "+1m",
            "1.5h",
            "P",
            "PT",
            "P1H",
            "PT1D",
            "M0",
            "MN2",
            "1q",
            "5x",
            "m5m",
            "tick",
            "100000000000000000000m",
            "18446744073709551615m",
            "43200",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
