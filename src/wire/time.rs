//! The time of a bar, as senders write it.
//!
//! With an offset, as RFC 3339 or an epoch number; without one, by the clocks of a configured
//! zone. What could be read in two ways is refused with the ways it could be read in, because a
//! bar under the wrong time spoils every value after it.

use std::sync::Once;

use jiff::civil::{Date, DateTime, Time};

use crate::market::{Timestamp, Unplaced, Zone};

/// 1980-01-01T00:00:00Z. An epoch number before it is more likely a date, or in another unit.
const FIRST: Timestamp = Timestamp::from_nanos(315_532_800 * 1_000_000_000);

/// The years that a date of digits may be in.
const YEARS: std::ops::RangeInclusive<i16> = 1_900..=2_199;

/// The day numbers of spreadsheets from 1954 to 2118.
const SHEET_DAYS: std::ops::Range<f64> = 20_000.0..80_000.0;

/// 1970-01-01 as the day number of a spreadsheet.
const SHEET_EPOCH: f64 = 25_569.0;

const WANTED: &str =
    "write RFC 3339 (2026-01-31T14:30:00Z), or an epoch since 1980 in s, ms, µs or ns";

/// The whole numbers that doubles hold without a gap.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The time that a whole number stands for: an epoch in s, ms, µs or ns, told apart by size, or a
/// date of 8, 12 or 14 digits in `zone`.
pub(super) fn of_number(number: u64, zone: &Zone) -> Result<Timestamp, String> {
    let at = Timestamp::from_epoch(number);
    // of 14 digits, an epoch in ms would be in the year 2286 or later
    let long = (10_000_000_000_000..100_000_000_000_000).contains(&number);
    if at >= FIRST && !long {
        return Ok(at);
    }
    match of_digits(number, zone) {
        Some(placed) => placed,
        None if long => Ok(at),
        #[allow(clippy::cast_precision_loss)] // what is shown is a guess
        None => Err(too_early(&number.to_string(), number as f64, at)),
    }
}

/// Like [`of_number`], for a number with a fraction.
pub(super) fn of_float(number: f64, zone: &Zone) -> Result<Timestamp, String> {
    if (0.0..EXACT).contains(&number) && number.fract() == 0.0 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole and in range
        return of_number(number as u64, zone);
    }
    let at = Timestamp::from_epoch_f64(number).map_err(|error| error.to_string())?;
    if at >= FIRST {
        return Ok(at);
    }
    Err(too_early(&number.to_string(), number, at))
}

/// The time of a text: RFC 3339, a number as above, or a date with or without a time of day in
/// `zone`.
pub(crate) fn of_text(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    if let Some(at) = Timestamp::from_plain_rfc3339(text) {
        return Ok(at);
    }
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            Ok(number) => of_number(number, zone),
            Err(_) => Err(format!("`{}` is no epoch; {WANTED}", shown(text))),
        };
    }
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'+' | b'-' | b'e' | b'E');
    if text.bytes().all(numeric)
        && let Ok(number) = text.parse()
    {
        return of_float(number, zone);
    }
    let written = plain(text);
    if let Ok(at) = written.parse::<jiff::Timestamp>() {
        return i64::try_from(at.as_nanosecond())
            .map(Timestamp::from_nanos)
            .map_err(|_| format!("`{}` is outside the years 1678 to 2261", shown(text)));
    }
    // `20240115 09:30:00 US/Eastern`
    let named = written
        .rsplit_once(' ')
        .filter(|(_, name)| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    let Some((time, name)) = named else {
        let time = written.parse().map_err(|_| unreadable(text))?;
        return place(text, time, zone).inspect(|_| say_once(text, zone));
    };
    let time = time.trim_end().parse().map_err(|_| unreadable(text))?;
    let own: Zone = name.parse().map_err(|_| unreadable(text))?;
    place(text, time, &own)
}

/// A text with single spaces, in which a date that begins with its year is written with hyphens,
/// and UTC as `Z`.
fn plain(text: &str) -> String {
    let mut written = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let bytes = written.clone().into_bytes();
    for sign in ["/", "."] {
        if bytes.len() >= 10 && [4, 7].iter().all(|at| bytes[*at] == sign.as_bytes()[0]) {
            written.replace_range(4..5, "-");
            written.replace_range(7..8, "-");
        }
    }
    for universal in [" UTC", " GMT", " Z"] {
        if let Some(time) = written.strip_suffix(universal) {
            return format!("{}Z", time.trim_end());
        }
    }
    written
}

fn place(text: &str, time: DateTime, zone: &Zone) -> Result<Timestamp, String> {
    // a date alone may be the day of a zone whose clocks jump over midnight
    let placed = if time.time() == Time::midnight() {
        zone.start_of(time.date())
    } else {
        zone.place(time)
    };
    placed.map_err(|fault| {
        let text = shown(text);
        match fault {
            Unplaced::Skipped => format!(
                "`{text}` does not exist in {zone}, whose clocks jump over it; write an offset, or set TECHNICAL_TIMEZONE"
            ),
            Unplaced::Repeated => format!(
                "`{text}` comes twice in {zone}, when its clocks are set back; write an offset, or set TECHNICAL_TIMEZONE"
            ),
            Unplaced::OutOfRange => format!("`{text}` is outside the years 1678 to 2261"),
        }
    })
}

/// The time that the digits of a number stand for as a date: nothing when they are none.
fn of_digits(number: u64, zone: &Zone) -> Option<Result<Timestamp, String>> {
    let (date, clock) = match number {
        10_000_000..100_000_000 => (number, 0),
        100_000_000_000..1_000_000_000_000 => (number / 10_000, number % 10_000 * 100),
        10_000_000_000_000..100_000_000_000_000 => (number / 1_000_000, number % 1_000_000),
        _ => return None,
    };
    let two = |number: u64| i8::try_from(number % 100).ok();
    let year = i16::try_from(date / 10_000).ok()?;
    let date = Date::new(year, two(date / 100)?, two(date)?).ok()?;
    let clock = Time::new(two(clock / 10_000)?, two(clock / 100)?, two(clock)?, 0).ok()?;
    if !YEARS.contains(&year) {
        return None;
    }
    let text = number.to_string();
    let placed = place(&text, date.to_datetime(clock), zone);
    Some(placed.inspect(|_| say_once(&text, zone)))
}

/// Explanation of a number that is no epoch, with its other possible meaning.
fn too_early(text: &str, number: f64, at: Timestamp) -> String {
    let mut detail = format!("{} as an epoch is {at}, before 1980", shown(text));
    let day = |days: f64| {
        let at = Timestamp::from_epoch_f64(days * 86_400.0);
        at.map(|at| at.to_string()).unwrap_or_default()
    };
    if SHEET_DAYS.contains(&number) {
        detail += &format!(
            "; as the day number of a spreadsheet it is {}",
            day(number - SHEET_EPOCH)
        );
    }
    if (3_653.0..30_000.0).contains(&number) {
        detail += &format!("; as days since 1970 it is {}", day(number));
    }
    let times_1000 = Timestamp::from_epoch_f64(number * 1_000.0);
    if let Ok(at) = times_1000
        && number < 2e9
        && at >= FIRST
    {
        detail += &format!("; times 1000 it is {at}, as if it was divided by 1000 once too often");
    }
    if matches!(text.len(), 8 | 12) && text.bytes().all(|b| b.is_ascii_digit()) {
        detail += "; its digits are no date";
    }
    format!("{detail}; {WANTED}")
}

fn unreadable(text: &str) -> String {
    format!(
        "`{}` is no timestamp; {WANTED}, or a date as 2026-01-31 14:30:00 or 20260131",
        shown(text)
    )
}

/// The beginning of a text, for a detail.
fn shown(text: &str) -> String {
    text.chars().take(48).collect()
}

/// Says once for a process that a time without an offset was read, and how.
fn say_once(text: &str, zone: &Zone) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            time = text, %zone,
            "a time comes without an offset and is read by the clocks of TECHNICAL_TIMEZONE; set it \
             if they are not the sender's"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn epochs_are_read_by_size_and_none_is_before_1980() {
        for (number, expected) in [
            (315_532_800, "1980-01-01T00:00:00Z"),
            (1_704_067_200, "2024-01-01T00:00:00Z"),
            (1_704_067_200_000, "2024-01-01T00:00:00Z"),
            (1_704_067_200_000_000, "2024-01-01T00:00:00Z"),
            (1_704_067_200_000_000_000, "2024-01-01T00:00:00Z"),
        ] {
            assert_eq!(of_number(number, &Zone::UTC), Ok(at(expected)), "{number}");
            let text = number.to_string();
            assert_eq!(of_text(&text, &Zone::UTC), Ok(at(expected)), "{number}");
        }
        for number in [
            0,
            1,
            45_293,
            315_532_799,
            99_999_999,
            20_240_230,
            18_991_231,
            202_401_022_430,
            315_532_799_999,
            100_000_000_000_000,
            315_532_799_999_999,
            100_000_000_000_000_000,
            315_532_799_999_999_999,
        ] {
            let error = of_number(number, &Zone::UTC).unwrap_err();
            assert!(error.contains("before 1980"), "{number}: {error}");
        }
        assert!(of_float(1_704_067_200.5, &Zone::UTC).is_ok());
        for number in [-1.0, 0.5, 45_293.5, f64::NAN] {
            assert!(of_float(number, &Zone::UTC).is_err(), "{number}");
        }
    }

    #[test]
    fn digits_that_are_a_date_are_that_date_in_the_zone() {
        for (number, expected) in [
            (20_240_102, "2024-01-02T00:00:00Z"),
            (19_991_231, "1999-12-31T00:00:00Z"),
            (20_240_229, "2024-02-29T00:00:00Z"),
            (202_401_020_930, "2024-01-02T09:30:00Z"),
            (20_240_102_093_015, "2024-01-02T09:30:15Z"),
        ] {
            assert_eq!(of_number(number, &Zone::UTC), Ok(at(expected)), "{number}");
            let text = number.to_string();
            assert_eq!(of_text(&text, &Zone::UTC), Ok(at(expected)), "{number}");
            #[allow(clippy::cast_precision_loss)]
            let float = number as f64;
            assert_eq!(of_float(float, &Zone::UTC), Ok(at(expected)), "{number}");
        }
        let new_york = zone("America/New_York");
        assert_eq!(
            of_number(20_240_702, &new_york),
            Ok(at("2024-07-02T04:00:00Z"))
        );
        assert_eq!(
            of_number(202_401_020_930, &new_york),
            Ok(at("2024-01-02T14:30:00Z"))
        );
    }

    #[test]
    fn a_number_before_1980_is_answered_with_what_it_may_be() {
        let error = of_number(45_293, &Zone::UTC).unwrap_err();
        assert!(error.contains("1970-01-01T12:34:53Z"), "{error}");
        assert!(
            error.contains("spreadsheet it is 2024-01-02T00:00:00Z"),
            "{error}"
        );
        let error = of_float(1_704_067.2, &Zone::UTC).unwrap_err();
        assert!(
            error.contains("times 1000 it is 2024-01-01T00:00:00Z"),
            "{error}"
        );
        let error = of_number(19_723, &Zone::UTC).unwrap_err();
        assert!(error.contains("since 1970 it is 2024-01-01T"), "{error}");
        let error = of_text("20240230", &Zone::UTC).unwrap_err();
        assert!(error.contains("digits are no date"), "{error}");
    }

    #[test]
    fn a_text_is_read_with_its_offset_or_in_the_zone() {
        let new_york = zone("America/New_York");
        for (text, expected) in [
            ("2024-01-15T14:30:00Z", "2024-01-15T14:30:00Z"),
            ("2024-01-15T14:30:00+01:00", "2024-01-15T13:30:00Z"),
            ("2024-01-15 14:30:00+00:00", "2024-01-15T14:30:00Z"),
            ("2024-01-15 14:30:00Z", "2024-01-15T14:30:00Z"),
            ("2024-01-15 14:30:00 UTC", "2024-01-15T14:30:00Z"),
            ("2024-01-15T14:30:00", "2024-01-15T19:30:00Z"),
            ("2024-01-15 14:30:00", "2024-01-15T19:30:00Z"),
            ("2024-01-15 14:30:00.000", "2024-01-15T19:30:00Z"),
            ("2024-01-15 14:30", "2024-01-15T19:30:00Z"),
            (" 2024-01-15 ", "2024-01-15T05:00:00Z"),
            ("2024/01/15 14:30", "2024-01-15T19:30:00Z"),
            ("2024.01.15 14:30", "2024-01-15T19:30:00Z"),
            ("20240115  14:30:00", "2024-01-15T19:30:00Z"),
            ("20240115 14:30:00 Asia/Tokyo", "2024-01-15T05:30:00Z"),
            ("1.7040672E+12", "2024-01-01T00:00:00Z"),
            ("1704067200.0", "2024-01-01T00:00:00Z"),
        ] {
            assert_eq!(of_text(text, &new_york), Ok(at(expected)), "{text}");
        }
        for text in [
            "",
            "soon",
            "15/01/2024",
            "01-15-2024 14:30",
            "14:30",
            "2024-02-30",
            "2024-01-15 14:30:00 Mars/Olympus",
            "2024-01-15T14:30:00 XYZ",
            "99999999999999999999",
            "-5",
            "é024/01/15",
        ] {
            assert!(of_text(text, &new_york).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_the_zone_has_twice_or_never_is_refused() {
        let new_york = zone("America/New_York");
        let error = of_text("2024-03-10 02:30:00", &new_york).unwrap_err();
        assert!(error.contains("does not exist"), "{error}");
        let error = of_text("2024-11-03T01:30:00", &new_york).unwrap_err();
        assert!(error.contains("comes twice"), "{error}");
        let havana = zone("America/Havana");
        // its clocks went from 00:00 to 01:00: the day began at 05:00Z
        assert_eq!(
            of_text("2024-03-10", &havana),
            Ok(at("2024-03-10T05:00:00Z"))
        );
    }
}
