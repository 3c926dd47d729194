//! The values of a bar's fields, or why they are none.

mod numbers;

pub(super) use numbers::{price, price_of, range, size_of, volume};

use std::borrow::Cow;

use super::{Fault, cut};
use crate::market::{Finality, Symbol, Timeframe, Timestamp, Zone};
use crate::wire::fields::{Field, Fields, Marks, Scalar};
use crate::wire::rules::{FinalRule, InputRules, Stamp};
use crate::wire::subject::SubjectParts;
use crate::wire::time::{of_float, of_number, of_text};
use crate::wire::{Reason, grid};

/// The time by which a bar may open ahead of now: clocks differ, and daily bars of the far east open early.
const AHEAD_NANOS: i64 = 24 * 3_600 * 1_000_000_000;

/// A value as a detail shows it.
pub(super) fn shown<'a>(value: &'a Scalar<'_>) -> Cow<'a, str> {
    match value {
        Scalar::Absent => Cow::Borrowed("null"),
        Scalar::Bool(value) => Cow::Owned(value.to_string()),
        Scalar::Int(value) => Cow::Owned(value.to_string()),
        Scalar::Number(value) => Cow::Owned(format!("{value:?}")),
        Scalar::Text(text) => Cow::Owned(format!("\"{}\"", cut(text))),
        Scalar::Nested => Cow::Borrowed("an array or object"),
        Scalar::HugeNumber(json) | Scalar::BrokenText(json) => cut(json),
    }
}

/// `field` is so, but should be otherwise.
fn fault(reason: Reason, fields: &Fields<'_>, field: Field, wanted: &str) -> Fault {
    let value = shown(&fields.slot(field).value);
    let detail = format!("`{}` is {value}; {wanted}", fields.name(field));
    Fault::new(reason, detail)
}

/// The field that a bar needs and the object lacks, if any.
pub(super) fn missing(fields: &Fields<'_>, has_symbol: bool) -> Option<Fault> {
    let needed = [
        (Field::Timestamp, "`timestamp`"),
        (Field::Open, "`open`"),
        (Field::High, "`high`"),
        (Field::Low, "`low`"),
        (Field::Close, "`close`"),
    ];
    if has_symbol && needed.iter().all(|(field, _)| fields.has(*field)) {
        return None;
    }
    let mut names = Vec::new();
    if !has_symbol {
        names.push("`symbol`");
    }
    let absent = needed.iter().filter(|(field, _)| !fields.has(*field));
    names.extend(absent.map(|(_, name)| *name));
    let detail = format!(
        "missing {}; a bar has symbol (here or in the subject), timestamp, open, high, low and close",
        names.join(", ")
    );
    Some(Fault::new(Reason::MissingField, detail))
}

/// Refuses an object that has a price but no other price of a bar, where trades are refused.
pub(super) fn trade(fields: &Fields<'_>) -> Option<Fault> {
    if !fields.is_trade() {
        return None;
    }
    let name = if fields.has(Field::Close) {
        fields.name(Field::Close)
    } else {
        fields.mark_name(Marks::TRADE)
    };
    let detail = format!(
        "`{name}` without open, high, low and close is a trade or a quote, and a bar of it would be wrong; \
         send bars: open, high, low, close and volume over a timeframe; \
         or set TECHNICAL_TRADES to have bars built from trades"
    );
    Some(Fault::new(Reason::Trade, detail))
}

/// Refuses an object with four prices as the quote of a day, whose prices are the day's so far. A
/// bar of a day or longer that begins at midnight may well name the close before it.
pub(super) fn day_quote(
    fields: &Fields<'_>,
    named: Option<Timeframe>,
    at: Timestamp,
    zone: &Zone,
) -> Option<Fault> {
    let marks = fields.marks();
    if !marks.has(Marks::DAY) && (named.is_some() || !marks.has(Marks::CHANGE)) {
        return None;
    }
    let daily = named.is_some_and(|timeframe| timeframe >= Timeframe::DAY);
    if daily && (Zone::UTC.is_midnight(at) || zone.is_midnight(at)) {
        return None;
    }
    let mark = if marks.has(Marks::DAY) {
        Marks::DAY
    } else {
        Marks::CHANGE
    };
    let name = fields.mark_name(mark);
    let detail = format!(
        "`{name}` beside four prices is what the quote of a day has, whose open, high and low are the day's; \
         send bars, without `{name}`; of daily bars name the timeframe (1d) and send midnight as their time"
    );
    Some(Fault::new(Reason::UnknownShape, detail))
}

pub(super) fn symbol<'a>(
    fields: &mut Fields<'a>,
    parts: &'a SubjectParts<'a>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let slot = fields.slot(Field::Symbol);
    match &slot.value {
        Scalar::Absent => return Ok(parts.borrowed()),
        Scalar::Text(text) => {
            Symbol::check(text).map_err(|error| {
                let detail = format!("`{}`: {error}", fields.name(Field::Symbol));
                Fault::new(Reason::BadSymbol, detail)
            })?;
            if let Some(said) = parts.symbol.as_deref()
                && said != text
            {
                let detail = format!(
                    "`{}` is \"{text}\" but the subject says \"{said}\"; send the bar under its own symbol",
                    fields.name(Field::Symbol)
                );
                return Err(Fault::new(Reason::Mismatch, detail));
            }
        }
        Scalar::BrokenText(_) => {
            return Err(fault(
                Reason::BadSymbol,
                fields,
                Field::Symbol,
                "its escapes stand for no character",
            ));
        }
        _ => {
            return Err(fault(
                Reason::WrongType,
                fields,
                Field::Symbol,
                "a symbol is a string",
            ));
        }
    }
    match fields.take(Field::Symbol) {
        Scalar::Text(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

pub(super) fn timeframe(
    fields: &Fields<'_>,
    parts: &SubjectParts<'_>,
) -> Result<Option<Timeframe>, Fault> {
    let slot = fields.slot(Field::Timeframe);
    let timeframe: Timeframe = match &slot.value {
        Scalar::Absent => return Ok(parts.timeframe),
        Scalar::Text(text) => text.parse().map_err(|error| {
            let detail = format!("`{}`: {error}", fields.name(Field::Timeframe));
            Fault::new(Reason::BadTimeframe, detail)
        })?,
        Scalar::Int(_) | Scalar::Number(_) => counted(fields)?,
        Scalar::BrokenText(_) | Scalar::HugeNumber(_) => {
            let wanted = "use one such as \"1m\"";
            return Err(fault(
                Reason::BadTimeframe,
                fields,
                Field::Timeframe,
                wanted,
            ));
        }
        Scalar::Bool(_) | Scalar::Nested => {
            let wanted = "a timeframe is a string such as \"1m\", or a number of minutes";
            return Err(fault(Reason::WrongType, fields, Field::Timeframe, wanted));
        }
    };
    match parts.timeframe {
        Some(said) if said != timeframe => {
            let detail = format!(
                "`{}` is \"{timeframe}\" but the subject says \"{said}\"; send the bar under its own timeframe",
                fields.name(Field::Timeframe)
            );
            Err(Fault::new(Reason::Mismatch, detail))
        }
        _ => Ok(Some(timeframe)),
    }
}

/// A timeframe that is a number of minutes, or of seconds under a name that counts those.
fn counted(fields: &Fields<'_>) -> Result<Timeframe, Fault> {
    let count = match fields.slot(Field::Timeframe).value {
        Scalar::Int(count) => Some(count),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // whole and in range
        Scalar::Number(count) if (0.0..1e9).contains(&count) && count.fract() == 0.0 => {
            Some(count as u64)
        }
        _ => None,
    };
    let (unit, read) = if fields.counts_seconds() {
        ("seconds", count.and_then(Timeframe::from_seconds))
    } else {
        ("minutes", count.and_then(Timeframe::from_minutes))
    };
    read.ok_or_else(|| {
        let wanted =
            format!("no timeframe has so many {unit}; use one such as \"5m\", \"4h\" or \"1d\"");
        fault(Reason::BadTimeframe, fields, Field::Timeframe, &wanted)
    })
}

/// The open time of a bar.
pub(super) fn timestamp(
    fields: &Fields<'_>,
    rules: &InputRules,
    timeframe: Timeframe,
    now: Timestamp,
) -> Result<Timestamp, Fault> {
    let mut timestamp = time(fields, rules)?;
    if rules.stamp == Stamp::Close && !fields.has_start() {
        timestamp = timeframe.open_of(grid::end(timestamp, timeframe));
    }
    not_ahead(timestamp, fields, now)
}

/// The time of a trade.
pub(super) fn trade_time(
    fields: &Fields<'_>,
    rules: &InputRules,
    now: Timestamp,
) -> Result<Timestamp, Fault> {
    not_ahead(time(fields, rules)?, fields, now)
}

fn time(fields: &Fields<'_>, rules: &InputRules) -> Result<Timestamp, Fault> {
    let field = Field::Timestamp;
    let read = match &fields.slot(field).value {
        Scalar::Int(number) => of_number(*number, &rules.zone),
        Scalar::Number(number) => of_float(*number, &rules.zone),
        Scalar::Text(text) => of_text(text, &rules.zone),
        Scalar::HugeNumber(_) => {
            return Err(fault(
                Reason::BadNumber,
                fields,
                field,
                "no epoch is that large",
            ));
        }
        Scalar::BrokenText(_) => {
            let wanted = "use RFC 3339 or an epoch";
            return Err(fault(Reason::BadTimestamp, fields, field, wanted));
        }
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested => {
            let wanted = "a timestamp is RFC 3339 text or an epoch number";
            return Err(fault(Reason::WrongType, fields, field, wanted));
        }
    };
    read.map_err(|error| {
        let detail = format!("`{}`: {error}", fields.name(field));
        Fault::new(Reason::BadTimestamp, detail)
    })
}

/// `timestamp`, unless it is too far ahead of `now`.
fn not_ahead(
    timestamp: Timestamp,
    fields: &Fields<'_>,
    now: Timestamp,
) -> Result<Timestamp, Fault> {
    if timestamp.nanos() > now.nanos().saturating_add(AHEAD_NANOS) {
        let wanted =
            format!("that is {timestamp}, more than 24 h ahead of {now}; check unit and clock");
        return Err(fault(Reason::Future, fields, Field::Timestamp, &wanted));
    }
    Ok(timestamp)
}

/// Completeness of a bar, by its flag and the rule for bars without one.
pub(super) fn finality(fields: &Fields<'_>, rule: FinalRule) -> Result<Finality, Fault> {
    let flag = match &fields.slot(Field::Final).value {
        Scalar::Absent => None,
        Scalar::Bool(true) | Scalar::Int(1) => Some(true),
        Scalar::Bool(false) | Scalar::Int(0) => Some(false),
        Scalar::Text(text) if text == "1" || text.eq_ignore_ascii_case("true") => Some(true),
        Scalar::Text(text) if text == "0" || text.eq_ignore_ascii_case("false") => Some(false),
        _ => {
            let wanted = "it must be true or false";
            return Err(fault(Reason::WrongType, fields, Field::Final, wanted));
        }
    };
    Ok(match (flag, rule) {
        (Some(true), _) | (None, FinalRule::Flag) => Finality::Final,
        (Some(false), FinalRule::Flag) => Finality::Forming,
        (Some(false) | None, FinalRule::Next) => Finality::UntilNext,
    })
}

pub(super) fn source<'a>(fields: &mut Fields<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    match fields.take(Field::Source) {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        other => {
            let detail = format!("`source` is {}; it must be a string", shown(&other));
            Err(Fault::new(Reason::WrongType, detail))
        }
    }
}
