//! Market data in: a message's bytes to bars, element by element.
//!
//! Tolerant in form (names, aliases, numbers as text, objects or arrays), strict in meaning:
//! what comes out is a valid [`Bar`], everything else is refused with a reason and a text
//! that tells the sender what to change. No input panics. A bar whose symbol and source need
//! no unescaping is decoded without allocating.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Reason;
use super::fields::{Field, Fields, Scalar, Slot};
use super::subject::{SubjectParts, SubjectRefusal};
use crate::market::{Bar, BarEvent, Finality, Symbol, Timeframe, Timestamp};

/// How far ahead of now a bar may open: clocks differ, and daily bars of the far east open early.
const AHEAD_NANOS: i64 = 24 * 3_600 * 1_000_000_000;

/// Elements taken from one message.
pub const ELEMENTS_MAX: usize = 4_096;

/// Characters of a value that a detail shows.
const SHOWN_CHARS: usize = 64;

/// What [`Decoder`] has to know of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// Larger payloads are refused.
    pub max_payload_bytes: usize,
    /// The timeframe of bars that name none.
    pub default_timeframe: Timeframe,
}

/// When a bar is complete whose source says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalRule {
    /// By its own flag; without one it is.
    Flag,
    /// When the next of its series comes, or by a flag that says so.
    Next,
}

/// Input that is not taken in, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal<'a> {
    /// The kind of fault.
    pub reason: Reason,
    /// What is wrong and what to do, for a human.
    pub detail: Cow<'static, str>,
    /// The refused bytes: the message, or the one element of its array. Of elements that are too
    /// many, all of them, from the first to the end of the array.
    pub payload: &'a [u8],
    /// Elements refused: 1, but for [`Reason::TooManyElements`].
    pub elements: usize,
    /// The symbol, where it could be read.
    pub symbol: Option<Cow<'a, str>>,
}

/// A fault on its way to becoming a [`Refusal`].
struct Fault {
    reason: Reason,
    detail: Cow<'static, str>,
}

impl Fault {
    fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    fn refusal<'a>(self, payload: &'a [u8], symbol: Option<Cow<'a, str>>) -> Refusal<'a> {
        Refusal {
            reason: self.reason,
            detail: self.detail,
            payload,
            elements: 1,
            symbol,
        }
    }
}

/// Reads market-data messages.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    limits: DecodeLimits,
    final_rule: FinalRule,
}

impl Decoder {
    /// A decoder with these limits.
    #[must_use]
    pub const fn new(limits: DecodeLimits) -> Self {
        Self {
            limits,
            final_rule: FinalRule::Flag,
        }
    }

    /// Takes bars for complete by this rule; without it by their flags.
    #[must_use]
    pub const fn with_final_rule(self, final_rule: FinalRule) -> Self {
        Self { final_rule, ..self }
    }

    /// Hands every element of `payload` to `each`, in order: a bar, or why it is refused, with
    /// the element's own bytes.
    /// `subject` is what the message's subject said, `now` the time to judge the future by.
    pub fn decode<'a>(
        &self,
        payload: &'a [u8],
        subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
        now: Timestamp,
        mut each: impl FnMut(Result<BarEvent<'a>, Refusal<'a>>, &'a [u8]),
    ) {
        match self.elements(payload, subject) {
            Ok(Elements::One(text, parts)) => {
                each(self.element(text, parts, now), text.as_bytes());
            }
            Ok(Elements::Many(Array { texts, rest }, parts)) => {
                for text in texts {
                    each(self.element(text.get(), parts, now), text.get().as_bytes());
                }
                if let Some((rest, elements)) = rest {
                    let detail = format!(
                        "{elements} elements are left, for {ELEMENTS_MAX} are taken from one message; send fewer bars per message"
                    );
                    let fault = Fault::new(Reason::TooManyElements, detail);
                    let refusal = fault.refusal(rest.as_bytes(), parts.borrowed());
                    each(
                        Err(Refusal {
                            elements,
                            ..refusal
                        }),
                        rest.as_bytes(),
                    );
                }
            }
            Err(fault) => {
                let symbol = subject.as_ref().ok().and_then(SubjectParts::borrowed);
                each(Err(fault.refusal(payload, symbol)), payload);
            }
        }
    }

    fn elements<'a>(
        &self,
        payload: &'a [u8],
        subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
    ) -> Result<Elements<'a>, Fault> {
        let max = self.limits.max_payload_bytes;
        if payload.len() > max {
            let detail = format!(
                "payload has {} bytes, at most {max} are taken (TECHNICAL_MAX_PAYLOAD_BYTES); send fewer bars per message",
                payload.len()
            );
            return Err(Fault::new(Reason::TooLarge, detail));
        }
        let parts = subject
            .as_ref()
            .map_err(|refusal| Fault::new(refusal.reason, refusal.detail.clone()))?;
        let text = std::str::from_utf8(payload).map_err(|error| {
            let detail = format!("payload is not UTF-8 from byte {}", error.valid_up_to());
            Fault::new(Reason::NotJson, detail)
        })?;
        match first_byte(text) {
            Some(b'{') => Ok(Elements::One(text, parts)),
            Some(b'[') => {
                let array = Array::read(text).map_err(not_json)?;
                if array.texts.is_empty() {
                    let detail = "the array is empty; send at least one bar, or nothing";
                    return Err(Fault::new(Reason::Empty, detail));
                }
                Ok(Elements::Many(array, parts))
            }
            Some(_) => {
                let _: &RawValue = serde_json::from_str(text).map_err(not_json)?;
                Err(no_object(text))
            }
            None => Err(Fault::new(
                Reason::NotJson,
                "payload is empty; send a JSON object or an array of them",
            )),
        }
    }

    fn element<'a>(
        &self,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Result<BarEvent<'a>, Refusal<'a>> {
        let payload = text.as_bytes();
        let refuse =
            |fault: Fault, symbol: Option<Cow<'a, str>>| Err(fault.refusal(payload, symbol));
        if first_byte(text) != Some(b'{') {
            return refuse(no_object(text), parts.borrowed());
        }
        let mut fields = match Fields::read(text) {
            Ok(fields) => fields,
            Err(error) => return refuse(not_json(error), parts.borrowed()),
        };
        let symbol = match symbol(&mut fields, parts) {
            Ok(symbol) => symbol,
            Err(fault) => return refuse(fault, parts.borrowed()),
        };
        let missing = missing(&fields, symbol.is_some());
        let symbol = match (symbol, missing) {
            (Some(symbol), None) => symbol,
            (symbol, missing) => {
                let detail = missing.unwrap_or_default();
                return refuse(Fault::new(Reason::MissingField, detail), symbol);
            }
        };
        self.bar(&symbol, &mut fields, parts, now)
            .or_else(|fault| refuse(fault, Some(symbol)))
    }

    /// The bar of an object that has every field a bar needs.
    fn bar<'a>(
        &self,
        symbol: &Cow<'a, str>,
        fields: &mut Fields<'a>,
        parts: &SubjectParts<'_>,
        now: Timestamp,
    ) -> Result<BarEvent<'a>, Fault> {
        let timeframe = timeframe(fields, parts)?.unwrap_or(self.limits.default_timeframe);
        let timestamp = timestamp(fields.slot(Field::Timestamp), now)?;
        let close = price(fields.slot(Field::Close))?;
        let (open, high, low) = if fields.is_quote() {
            (close, close, close)
        } else {
            let open = price(fields.slot(Field::Open))?;
            let high = price(fields.slot(Field::High))?;
            let low = price(fields.slot(Field::Low))?;
            (open, high, low)
        };
        if high < open.max(close) {
            let detail = format!(
                "`high` is {high}, below `open` {open} or `close` {close}; it must be the highest"
            );
            return Err(Fault::new(Reason::BadRange, detail));
        }
        if low > open.min(close) {
            let detail = format!(
                "`low` is {low}, above `open` {open} or `close` {close}; it must be the lowest"
            );
            return Err(Fault::new(Reason::BadRange, detail));
        }
        let bar = Bar {
            timestamp,
            open,
            high,
            low,
            close,
            volume: volume(fields.slot(Field::Volume))?,
        };
        Ok(BarEvent {
            symbol: symbol.clone(),
            timeframe,
            bar,
            finality: finality(fields.slot(Field::Final), self.final_rule)?,
            source: source(fields)?,
        })
    }
}

enum Elements<'a> {
    One(&'a str, &'a SubjectParts<'a>),
    Many(Array<'a>, &'a SubjectParts<'a>),
}

/// The elements of an array: those that are taken, and the text and number of the rest.
struct Array<'a> {
    texts: Vec<&'a RawValue>,
    rest: Option<(&'a str, usize)>,
}

impl<'a> Array<'a> {
    /// Reads all of the array, and keeps as much as is taken from one message.
    fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut array: serde_json::Deserializer<_> = serde_json::Deserializer::from_str(text);
        let (texts, rest) = array.deserialize_seq(Bounded)?;
        array.end()?;
        let rest = rest.map(|(first, elements)| {
            let start = first.get().as_ptr() as usize - text.as_ptr() as usize;
            (text[start..].trim_ascii_end(), elements)
        });
        Ok(Self { texts, rest })
    }
}

/// Collects [`ELEMENTS_MAX`] elements and counts the rest, of which it tells the first.
struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = (Vec<&'de RawValue>, Option<(&'de RawValue, usize)>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while texts.len() < ELEMENTS_MAX {
            match seq.next_element()? {
                Some(text) => texts.push(text),
                None => return Ok((texts, None)),
            }
        }
        let Some(first) = seq.next_element()? else {
            return Ok((texts, None));
        };
        let mut elements = 1;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            elements += 1;
        }
        Ok((texts, Some((first, elements))))
    }
}

fn first_byte(json: &str) -> Option<u8> {
    json.bytes()
        .find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

#[allow(clippy::needless_pass_by_value)] // the form `map_err` takes
fn not_json(error: serde_json::Error) -> Fault {
    Fault::new(Reason::NotJson, format!("payload is no JSON: {error}"))
}

fn no_object(json: &str) -> Fault {
    let detail = format!(
        "`{}` is no object; a bar is one JSON object",
        cut(json.trim())
    );
    Fault::new(Reason::WrongType, detail)
}

/// The beginning of a text that may be long.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A value as a detail shows it.
fn shown<'a>(value: &'a Scalar<'_>) -> Cow<'a, str> {
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
fn fault(reason: Reason, slot: &Slot<'_>, wanted: &str) -> Fault {
    let detail = format!("`{}` is {}; {wanted}", slot.name(), shown(&slot.value));
    Fault::new(reason, detail)
}

/// What is missing to make a bar of it, if anything is.
fn missing(fields: &Fields<'_>, has_symbol: bool) -> Option<String> {
    let prices = [Field::Open, Field::High, Field::Low];
    let complete = has_symbol
        && fields.has(Field::Timestamp)
        && fields.has(Field::Close)
        && (prices.iter().all(|price| fields.has(*price)) || fields.is_quote());
    if complete {
        return None;
    }
    let mut names = Vec::new();
    if !has_symbol {
        names.push("`symbol`");
    }
    for (field, name) in [
        (Field::Timestamp, "`timestamp`"),
        (Field::Open, "`open`"),
        (Field::High, "`high`"),
        (Field::Low, "`low`"),
        (Field::Close, "`close`"),
    ] {
        let given = fields.has(field) || (prices.contains(&field) && fields.is_quote());
        if !given {
            names.push(name);
        }
    }
    Some(format!(
        "missing {}; a bar has symbol (here or in the subject), timestamp, open, high, low and close, a quote symbol, timestamp and price",
        names.join(", ")
    ))
}

fn symbol<'a>(
    fields: &mut Fields<'a>,
    parts: &'a SubjectParts<'a>,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let slot = fields.slot(Field::Symbol);
    match &slot.value {
        Scalar::Absent => return Ok(parts.borrowed()),
        Scalar::Text(text) => {
            Symbol::check(text).map_err(|error| {
                let detail = format!("`{}`: {error}", slot.name());
                Fault::new(Reason::BadSymbol, detail)
            })?;
            if let Some(said) = parts.symbol.as_deref()
                && said != text
            {
                let detail = format!(
                    "`{}` is \"{text}\" but the subject says \"{said}\"; send the bar under its own symbol",
                    slot.name()
                );
                return Err(Fault::new(Reason::Mismatch, detail));
            }
        }
        Scalar::BrokenText(_) => {
            return Err(fault(
                Reason::BadSymbol,
                slot,
                "its escapes stand for no character",
            ));
        }
        _ => return Err(fault(Reason::WrongType, slot, "a symbol is a string")),
    }
    match fields.take(Field::Symbol) {
        Scalar::Text(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

fn timeframe(fields: &Fields<'_>, parts: &SubjectParts<'_>) -> Result<Option<Timeframe>, Fault> {
    let slot = fields.slot(Field::Timeframe);
    let timeframe: Timeframe = match &slot.value {
        Scalar::Absent => return Ok(parts.timeframe),
        Scalar::Text(text) => text.parse().map_err(|error| {
            let detail = format!("`{}`: {error}", slot.name());
            Fault::new(Reason::BadTimeframe, detail)
        })?,
        Scalar::BrokenText(_) => {
            return Err(fault(Reason::BadTimeframe, slot, "use one such as \"1m\""));
        }
        _ => {
            let wanted = "a timeframe is a string such as \"1m\"";
            return Err(fault(Reason::WrongType, slot, wanted));
        }
    };
    match parts.timeframe {
        Some(said) if said != timeframe => {
            let detail = format!(
                "`{}` is \"{timeframe}\" but the subject says \"{said}\"; send the bar under its own timeframe",
                slot.name()
            );
            Err(Fault::new(Reason::Mismatch, detail))
        }
        _ => Ok(Some(timeframe)),
    }
}

fn timestamp(slot: &Slot<'_>, now: Timestamp) -> Result<Timestamp, Fault> {
    let read = match &slot.value {
        Scalar::Int(epoch) => Ok(Timestamp::from_epoch(*epoch)),
        Scalar::Number(epoch) => Timestamp::from_epoch_f64(*epoch),
        Scalar::Text(text) => text.parse(),
        Scalar::HugeNumber(_) => {
            return Err(fault(Reason::BadNumber, slot, "no epoch is that large"));
        }
        Scalar::BrokenText(_) => {
            let wanted = "use RFC 3339 or an epoch";
            return Err(fault(Reason::BadTimestamp, slot, wanted));
        }
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested => {
            let wanted = "a timestamp is RFC 3339 text or an epoch number";
            return Err(fault(Reason::WrongType, slot, wanted));
        }
    };
    let timestamp = read.map_err(|error| {
        let detail = format!("`{}`: {error}", slot.name());
        Fault::new(Reason::BadTimestamp, detail)
    })?;
    if timestamp.nanos() > now.nanos().saturating_add(AHEAD_NANOS) {
        let wanted =
            format!("that is {timestamp}, more than 24 h ahead of {now}; check unit and clock");
        return Err(fault(Reason::Future, slot, &wanted));
    }
    Ok(timestamp)
}

/// A number as JSON number or decimal text. Not finite only where the text says so by name.
fn number(slot: &Slot<'_>) -> Result<f64, Fault> {
    match &slot.value {
        #[allow(clippy::cast_precision_loss)] // to the nearest double, as any number is read
        Scalar::Int(value) => Ok(*value as f64),
        Scalar::Number(value) => Ok(*value),
        Scalar::Text(text) => match text.parse::<f64>() {
            Ok(value) if value.is_finite() || !text.bytes().any(|b| b.is_ascii_digit()) => {
                Ok(value)
            }
            Ok(_) => Err(fault(Reason::BadNumber, slot, "no double is that large")),
            Err(_) => Err(fault(Reason::BadNumber, slot, "write a decimal number")),
        },
        Scalar::HugeNumber(_) => Err(fault(Reason::BadNumber, slot, "no double is that large")),
        Scalar::BrokenText(_) => Err(fault(Reason::BadNumber, slot, "write a decimal number")),
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested => {
            let wanted = "it must be a number, or a decimal number in a string";
            Err(fault(Reason::WrongType, slot, wanted))
        }
    }
}

fn price(slot: &Slot<'_>) -> Result<f64, Fault> {
    let price = number(slot)?;
    if price.is_finite() && price > 0.0 {
        Ok(price)
    } else {
        Err(fault(
            Reason::BadPrice,
            slot,
            "a price is finite and above zero",
        ))
    }
}

fn volume(slot: &Slot<'_>) -> Result<f64, Fault> {
    if slot.value == Scalar::Absent {
        return Ok(0.0);
    }
    let volume = number(slot)?;
    if volume == 0.0 {
        Ok(0.0) // -0.0 is the same volume and must not make a correction of a duplicate
    } else if volume.is_finite() && volume > 0.0 {
        Ok(volume)
    } else {
        Err(fault(
            Reason::BadVolume,
            slot,
            "a volume is finite and not below zero",
        ))
    }
}

fn finality(slot: &Slot<'_>, rule: FinalRule) -> Result<Finality, Fault> {
    let flag = match &slot.value {
        Scalar::Absent => None,
        Scalar::Bool(true) | Scalar::Int(1) => Some(true),
        Scalar::Bool(false) | Scalar::Int(0) => Some(false),
        Scalar::Text(text) if text == "true" => Some(true),
        Scalar::Text(text) if text == "false" => Some(false),
        _ => return Err(fault(Reason::WrongType, slot, "it must be true or false")),
    };
    Ok(match (flag, rule) {
        (Some(true), _) | (None, FinalRule::Flag) => Finality::Final,
        (Some(false), FinalRule::Flag) => Finality::Forming,
        (Some(false) | None, FinalRule::Next) => Finality::UntilNext,
    })
}

fn source<'a>(fields: &mut Fields<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    match fields.take(Field::Source) {
        Scalar::Absent => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        other => {
            let detail = format!("`source` is {}; it must be a string", shown(&other));
            Err(Fault::new(Reason::WrongType, detail))
        }
    }
}

#[cfg(test)]
mod tests;
