//! Times in tables: what messages have, and the forms that people and spreadsheets write.

mod words;

use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime;

use crate::market::{Timestamp, Unplaced, Zone};
use crate::wire::time_of_text;
use words::{
    DAYS, civil, clock_of, first_letters, is_near, month, month_name, offset_of, words, year,
};

/// `--time-format`: how times are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// A number of units since 1970, each so many nanoseconds.
    Epoch(i64),
    /// The day number of a spreadsheet.
    Excel,
    /// A pattern of `strftime`.
    Pattern(String),
}

/// A text that is no time format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time format; use s, ms, us, ns, excel, or a pattern such as \"%d.%m.%Y %H:%M\""
)]
pub struct InvalidTimeFormat(String);

impl FromStr for TimeFormat {
    type Err = InvalidTimeFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "s" => Self::Epoch(1_000_000_000),
            "ms" => Self::Epoch(1_000_000),
            "us" | "µs" => Self::Epoch(1_000),
            "ns" => Self::Epoch(1),
            "excel" => Self::Excel,
            _ => {
                // a pattern that the library does not know fails on any text
                let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
                if !text.contains('%') || strtime::format(text, &sample).is_err() {
                    return Err(InvalidTimeFormat(text.chars().take(48).collect()));
                }
                Self::Pattern(text.to_owned())
            }
        })
    }
}

/// A time as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub at: Timestamp,
    /// The completeness of the text.
    pub form: Form,
}

/// The completeness of a time in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A point in time: an epoch, or with an offset.
    Point,
    /// A date and a time of day in the zone.
    Naive,
    /// A date in the zone.
    Day,
}

/// Reads the times of one table.
#[derive(Debug, Clone)]
pub(super) struct TimeReader {
    /// For times of day without an offset.
    pub zone: Zone,
    /// For dates without a time of day.
    pub day_zone: Zone,
    pub format: Option<TimeFormat>,
    /// True if `01/02/2024` is the first of February.
    pub day_first: Option<bool>,
}

impl Default for TimeReader {
    fn default() -> Self {
        Self {
            zone: Zone::UTC,
            day_zone: Zone::UTC,
            format: None,
            day_first: None,
        }
    }
}

/// 1970-01-01 as the day number of a spreadsheet.
const SHEET_EPOCH: f64 = 25_569.0;
const NANOS_PER_DAY: f64 = 86_400e9;

impl TimeReader {
    /// The time of a cell, or of a date and a time of day in two.
    pub fn read(&self, cell: &str, clock: Option<&str>) -> Result<Read, String> {
        let joined = clock.map(|clock| format!("{cell} {clock}"));
        if let Some(format) = &self.format {
            return self.formatted(joined.as_deref().unwrap_or(cell), format);
        }
        let Some(clock) = clock else {
            return self.whole(cell);
        };
        let (Some(date), Some(time)) = (self.date(cell)?, clock_of(clock)) else {
            return self.whole(joined.as_deref().unwrap_or(cell));
        };
        let text = joined.as_deref().unwrap_or(cell);
        let at = place(text, date.to_datetime(time), &self.zone)?;
        Ok(Read {
            at,
            form: Form::Naive,
        })
    }

    fn whole(&self, text: &str) -> Result<Read, String> {
        if let Some(date) = self.date(text)? {
            let at = place(text, date.to_datetime(Time::midnight()), &self.day_zone)?;
            return Ok(Read {
                at,
                form: Form::Day,
            });
        }
        if let Some((time, rest)) = self.date_and_time(text)? {
            return match rest {
                Offset::None => Ok(Read {
                    at: place(text, time, &self.zone)?,
                    form: Form::Naive,
                }),
                Offset::Seconds(seconds) => {
                    let utc = place(text, time, &Zone::UTC)?;
                    Ok(Read {
                        at: Timestamp::from_nanos(utc.nanos() - seconds * 1_000_000_000),
                        form: Form::Point,
                    })
                }
            };
        }
        let at = time_of_text(text, &self.zone).map_err(|detail| {
            if detail.contains("day number of a spreadsheet") {
                format!("{detail}; `--time-format excel` reads day numbers")
            } else {
                detail
            }
        })?;
        let form = Form::Point;
        Ok(Read { at, form })
    }

    fn formatted(&self, text: &str, format: &TimeFormat) -> Result<Read, String> {
        let unreadable = || format!("`{text}` is not as --time-format says");
        let point = |at| Read {
            at,
            form: Form::Point,
        };
        match format {
            TimeFormat::Epoch(unit) => {
                if let Ok(number) = text.parse::<i64>() {
                    let nanos = number.checked_mul(*unit).ok_or_else(unreadable)?;
                    return Ok(point(Timestamp::from_nanos(nanos)));
                }
                let number: f64 = text.parse().map_err(|_| unreadable())?;
                // a fraction is as exact as a double has it
                #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
                let nanos = (number * *unit as f64).round() as i64;
                Ok(point(Timestamp::from_nanos(nanos)))
            }
            TimeFormat::Excel => {
                let number: f64 = text.parse().map_err(|_| unreadable())?;
                // a day number has the exactness of a microsecond
                #[allow(clippy::cast_possible_truncation)]
                let millis = ((number - SHEET_EPOCH) * NANOS_PER_DAY / 1e6).round() as i64;
                let at = jiff::Timestamp::from_millisecond(millis).map_err(|_| unreadable())?;
                let civil = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
                let day = number.fract() == 0.0;
                let zone = if day { &self.day_zone } else { &self.zone };
                Ok(Read {
                    at: place(text, civil, zone)?,
                    form: if day { Form::Day } else { Form::Naive },
                })
            }
            TimeFormat::Pattern(pattern) => {
                let parsed = strtime::parse(pattern, text).map_err(|_| unreadable())?;
                if let Ok(at) = parsed.to_timestamp() {
                    let nanos = i64::try_from(at.as_nanosecond()).map_err(|_| unreadable())?;
                    return Ok(point(Timestamp::from_nanos(nanos)));
                }
                let date = parsed.to_date().map_err(|_| unreadable())?;
                if parsed.hour().is_none() {
                    return Ok(Read {
                        at: place(text, date.to_datetime(Time::midnight()), &self.day_zone)?,
                        form: Form::Day,
                    });
                }
                let time = parsed.to_time().map_err(|_| unreadable())?;
                Ok(Read {
                    at: place(text, date.to_datetime(time), &self.zone)?,
                    form: Form::Naive,
                })
            }
        }
    }

    /// The date of a text that is a date and nothing else.
    fn date(&self, text: &str) -> Result<Option<Date>, String> {
        let words: Vec<&str> = words(text);
        let (date, rest) = self.leading_date(text, &words)?;
        Ok(date.filter(|_| rest.is_empty()))
    }

    /// A date and a time of day in the forms that [`time_of_text`] does not know.
    fn date_and_time(&self, text: &str) -> Result<Option<(DateTime, Offset)>, String> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let spaced = match text.split_once('T') {
            // no epoch of so many digits that begins with a year is between 1980 and 2500
            None if digits && matches!(text.len(), 12 | 14) && is_near(&text[..4]) => {
                format!("{} {}", &text[..8], &text[8..])
            }
            Some((date, time))
                if date.ends_with(|c: char| c.is_ascii_digit())
                    && time.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                format!("{date} {time}")
            }
            _ => text.to_owned(),
        };
        let words = words(&spaced);
        let (Some(date), rest) = self.leading_date(text, &words)? else {
            return Ok(None);
        };
        let Some((clock, zone)) = rest.split_first() else {
            return Ok(None);
        };
        let (half, zone) = match zone.split_first() {
            Some((half, rest))
                if half.eq_ignore_ascii_case("am") || half.eq_ignore_ascii_case("pm") =>
            {
                (Some(*half), rest)
            }
            _ => (None, zone),
        };
        let clock = match half {
            Some(half) => clock_of(&format!("{clock}{half}")),
            None => clock_of(clock),
        };
        let Some(clock) = clock else {
            return Ok(None);
        };
        let offset = match zone {
            [] => Offset::None,
            [zone] => match offset_of(zone) {
                Some(seconds) => Offset::Seconds(seconds),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok(Some((date.to_datetime(clock), offset)))
    }

    /// The date at the beginning of a text, and the words after it.
    fn leading_date<'a>(
        &self,
        text: &str,
        words: &'a [&'a str],
    ) -> Result<(Option<Date>, &'a [&'a str]), String> {
        let words = match words.split_first() {
            Some((day, rest)) if DAYS.contains(&first_letters(day).as_str()) => rest,
            _ => words,
        };
        let Some((first, rest)) = words.split_first() else {
            return Ok((None, words));
        };
        let parts: Vec<&str> = first.split(['-', '/', '.']).collect();
        if let [a, b, c] = parts[..] {
            let date = if a.len() == 4 {
                civil(Some(a), month(b), c)
            } else if let Some(month) = month_name(b) {
                civil(year(c).as_deref(), Some(month), a)
            } else if first.contains('.') {
                civil(year(c).as_deref(), month(b), a)
            } else {
                return self.by_order(text, [a, b, c]).map(|date| (date, rest));
            };
            return Ok((date, rest));
        }
        if first.len() == 8 && first.bytes().all(|b| b.is_ascii_digit()) && is_near(&first[..4]) {
            let date = civil(Some(&first[..4]), month(&first[4..6]), &first[6..]);
            return Ok((date, rest));
        }
        // `Jan 02 2024`, `02 Jan 2024`
        if let [second, third, rest @ ..] = rest {
            if let Some(name) = month_name(first) {
                return Ok((civil(year(third).as_deref(), Some(name), second), rest));
            }
            if let Some(name) = month_name(second) {
                return Ok((civil(year(third).as_deref(), Some(name), first), rest));
            }
        }
        Ok((None, words))
    }

    fn by_order(&self, text: &str, [a, b, c]: [&str; 3]) -> Result<Option<Date>, String> {
        let Some(year) = year(c) else {
            return Ok(None);
        };
        let day_first = civil(Some(&year), month(b), a);
        let month_first = civil(Some(&year), month(a), b);
        match (self.day_first, day_first, month_first) {
            (Some(true), date, _) | (Some(false), _, date) => Ok(date),
            (None, Some(date), None) | (None, None, Some(date)) => Ok(Some(date)),
            (None, None, None) => Ok(None),
            (None, Some(one), Some(other)) if one == other => Ok(Some(one)),
            (None, Some(one), Some(other)) => Err(format!(
                "`{text}` is {one} or {other}; say which with --time-format %d/%m/%Y or %m/%d/%Y"
            )),
        }
    }
}

/// The offset that a time is written with.
enum Offset {
    None,
    Seconds(i64),
}

impl TimeReader {
    /// The reason why the day of a text is ambiguous, if day and month may change places in it.
    pub fn ambiguity(&self, text: &str) -> Option<String> {
        match self.format {
            Some(_) => None,
            None => self.leading_date(text, &words(text)).err(),
        }
    }
}

/// True if the dates of a table have the day first; `None` if no date tells.
pub(super) fn day_first<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Option<bool>, String> {
    let mut found: Option<(bool, &str)> = None;
    for cell in cells {
        let Some(first) = words(cell).into_iter().next() else {
            continue;
        };
        let parts: Vec<Option<u8>> = first
            .split(['-', '/'])
            .map(|part| (part.len() <= 2).then(|| part.parse().ok()).flatten())
            .collect();
        let tells = match parts[..] {
            [Some(13..=31), Some(1..=12), ..] => true,
            [Some(1..=12), Some(13..=31), ..] => false,
            _ => continue,
        };
        match found {
            Some((before, other)) if before != tells => {
                return Err(format!(
                    "`{other}` and `{cell}` have day and month in different order; say how dates are \
                     written with --time-format"
                ));
            }
            _ => found = Some((tells, cell)),
        }
    }
    Ok(found.map(|(tells, _)| tells))
}

/// True if a cell is a time of day and nothing else.
pub(super) fn is_clock(cell: &str) -> bool {
    clock_of(cell).is_some()
}

fn place(text: &str, time: DateTime, zone: &Zone) -> Result<Timestamp, String> {
    // a zone may have no midnight on a day
    let placed = if time.time() == Time::midnight() {
        zone.start_of(time.date())
    } else {
        zone.place(time)
    };
    placed.map_err(|fault| match fault {
        Unplaced::Skipped => {
            format!("`{text}` does not exist in {zone}, whose clocks jump over it; see --timezone")
        }
        Unplaced::Repeated => format!(
            "`{text}` comes twice in {zone}, when its clocks are set back; export times in UTC"
        ),
        Unplaced::OutOfRange => format!("`{text}` is outside the years 1678 to 2261"),
    })
}

#[cfg(test)]
mod tests;
