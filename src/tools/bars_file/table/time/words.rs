//! The parts of a date and a time in text.

use jiff::civil::{Date, Time};

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(super) fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect()
}

pub(super) fn first_letters(word: &str) -> String {
    word.chars().take(3).flat_map(char::to_lowercase).collect()
}

pub(super) fn month_name(word: &str) -> Option<i8> {
    if !word.chars().all(char::is_alphabetic) || word.len() < 3 {
        return None;
    }
    let at = MONTHS
        .iter()
        .position(|name| *name == first_letters(word))?;
    i8::try_from(at + 1).ok()
}

pub(super) fn month(text: &str) -> Option<i8> {
    text.parse().ok().filter(|_| text.len() <= 2)
}

/// Four digits, or two of a year from 1970 to 2069.
pub(super) fn year(text: &str) -> Option<String> {
    match (text.len(), text.parse::<u16>()) {
        (4, Ok(_)) => Some(text.to_owned()),
        (2, Ok(short)) => Some(
            (if short < 70 {
                2000 + short
            } else {
                1900 + short
            })
            .to_string(),
        ),
        _ => None,
    }
}

pub(super) fn is_near(year: &str) -> bool {
    year.parse()
        .is_ok_and(|year: i16| (1900..2200).contains(&year))
}

pub(super) fn civil(year: Option<&str>, month: Option<i8>, day: &str) -> Option<Date> {
    let day = (day.len() <= 2).then(|| day.parse().ok()).flatten()?;
    Date::new(year?.parse().ok()?, month?, day).ok()
}

/// `15:30`, `15:30:00.5`, `1530`, `153000`, `3:30PM`, `05-PM`.
pub(super) fn clock_of(text: &str) -> Option<Time> {
    let lower = text.trim().to_ascii_lowercase();
    let (bare, half) = if let Some(bare) = lower.strip_suffix("pm") {
        (bare, Some(12))
    } else if let Some(bare) = lower.strip_suffix("am") {
        (bare, Some(0))
    } else {
        (lower.as_str(), None)
    };
    let bare = bare.trim_end_matches(['-', ' ']);
    let (bare, nanos) = match bare.split_once('.') {
        Some((bare, fraction)) => {
            let digits = fraction.bytes().all(|b| b.is_ascii_digit());
            if !digits || fraction.is_empty() || fraction.len() > 9 {
                return None;
            }
            (bare, format!("{fraction:0<9}").parse::<i32>().ok()?)
        }
        None => (bare, 0),
    };
    let two = |text: &str| -> Option<i8> {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (hour, minute, second) = if bare.contains(':') {
        let parts: Vec<&str> = bare.split(':').collect();
        match parts[..] {
            [hour, minute] => (two(hour)?, two(minute)?, 0),
            [hour, minute, second] => (two(hour)?, two(minute)?, two(second)?),
            _ => return None,
        }
    } else if half.is_some() {
        (two(bare)?, 0, 0)
    } else {
        // a spreadsheet takes leading zeros away
        let digits = match bare.len() {
            1 if bare == "0" => "000000".to_owned(),
            3 | 4 => format!("{bare:0>4}00"),
            5 | 6 => format!("{bare:0>6}"),
            _ => return None,
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        (two(&digits[..2])?, two(&digits[2..4])?, two(&digits[4..])?)
    };
    let hour = match half {
        None => hour,
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(add) => hour % 12 + add,
    };
    Time::new(hour, minute, second, nanos).ok()
}

/// The seconds east of UTC of `Z`, `UTC`, `GMT+0100`, `+01:00`.
pub(super) fn offset_of(word: &str) -> Option<i64> {
    let upper = word.to_ascii_uppercase();
    let bare = upper
        .strip_prefix("GMT")
        .or_else(|| upper.strip_prefix("UTC"))
        .or_else(|| upper.strip_prefix('Z'))
        .unwrap_or(&upper);
    if bare.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match bare.split_at_checked(1)? {
        ("+", digits) => (1, digits.replace(':', "")),
        ("-", digits) => (-1, digits.replace(':', "")),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 15 && minutes < 60).then(|| sign * (hours * 3_600 + minutes * 60))
}
