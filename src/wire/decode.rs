//! Market data in: a message's bytes to bars, element by element.
//!
//! Tolerant in form (names, aliases, numbers as text, objects or arrays), strict in meaning:
//! what comes out is a valid [`Bar`], everything else is refused with a reason and a text
//! that tells the sender what to change. No input panics. A bar whose symbol and source need
//! no unescaping is decoded without allocating.

mod array;
mod envelope;
mod history;
mod snapshot;
mod trade;
mod values;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::dialects::{DialectRule, GENERIC, Ignored};
use super::fields::{Field, Fields, Marks};
use super::rules::{GridRule, InputRules};
use super::subject::{SubjectParts, SubjectRefusal};
use super::tape::Tape;
use super::{Reason, grid};
use crate::market::{Bar, BarEvent, Timestamp, TradeEvent};
use array::Array;
pub(super) use array::split as split_array;

/// Elements taken from one message.
pub const ELEMENTS_MAX: usize = 4_096;

/// Characters of a value that a detail shows.
const SHOWN_CHARS: usize = 64;

/// Input that is not taken in, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal<'a> {
    /// The kind of fault.
    pub reason: Reason,
    /// The mistake and its remedy, for a human.
    pub detail: Cow<'static, str>,
    /// The refused bytes: the message, or the one element of its array. Of elements that are too
    /// many, all of them, from the first to the end of the array.
    pub payload: &'a [u8],
    /// Elements refused: 1, but for [`Reason::TooManyElements`].
    pub elements: usize,
    /// The symbol, where it could be read.
    pub symbol: Option<Cow<'a, str>>,
}

/// One element of a message, and what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Element<'a> {
    /// The dialect that read it, or `generic`.
    pub dialect: &'static str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its content.
    pub content: Content<'a>,
}

/// The content of an element of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content<'a> {
    /// A bar.
    Bar(BarEvent<'a>),
    /// A trade, where bars are built from them.
    Trade(TradeEvent<'a>),
    /// Something that is understood and needs nothing to be done.
    Ignored(Ignored),
    /// Something that is not taken in.
    Refused(Refusal<'a>),
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
#[derive(Debug, Clone)]
pub struct Decoder {
    rules: InputRules,
}

impl Decoder {
    /// A decoder by these rules.
    #[must_use]
    pub const fn new(rules: InputRules) -> Self {
        Self { rules }
    }

    /// Hands every bar and every refusal in `payload` to `each`, in order, with their own bytes.
    /// `subject` is what the message's subject said, `now` the time to judge the future by.
    pub fn decode<'a>(
        &self,
        payload: &'a [u8],
        subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
        now: Timestamp,
        mut each: impl FnMut(Result<BarEvent<'a>, Refusal<'a>>, &'a [u8]),
    ) {
        self.decode_all(payload, subject, now, |element| match element.content {
            Content::Bar(event) => each(Ok(event), element.bytes),
            Content::Refused(refusal) => each(Err(refusal), element.bytes),
            Content::Trade(_) | Content::Ignored(_) => {}
        });
    }

    /// Hands every element of `payload` to `each`, in order: at least one.
    /// `subject` is what the message's subject said, `now` the time to judge the future by.
    pub fn decode_all<'a>(
        &self,
        payload: &'a [u8],
        subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
        now: Timestamp,
        mut each: impl FnMut(Element<'a>),
    ) {
        let generic = |bytes, content| Element {
            dialect: GENERIC,
            bytes,
            content,
        };
        match self.elements(payload, subject) {
            Ok(Elements::One(text, parts)) => self.element(text, parts, now, &mut each),
            Ok(Elements::Rows(text, tape, parts)) => {
                // it was recognised before
                self.vendor(text, &tape, parts, now, &mut each);
            }
            Ok(Elements::Row(text, Array { texts, .. }, parts)) => {
                let read = self.read(&mut Fields::row(text, &texts), text, parts, now);
                each(generic(text.as_bytes(), Content::of(read)));
            }
            Ok(Elements::Many(Array { texts, rest }, parts)) => {
                let mut elements = Vec::with_capacity(texts.len());
                for text in texts {
                    self.element(text, parts, now, &mut |element| elements.push(element));
                }
                snapshot::in_order(elements).into_iter().for_each(&mut each);
                if let Some((rest, elements)) = rest {
                    let detail = format!(
                        "{elements} elements are left, for {ELEMENTS_MAX} are taken from one message; send fewer bars per message"
                    );
                    let fault = Fault::new(Reason::TooManyElements, detail);
                    let refusal = fault.refusal(rest.as_bytes(), parts.borrowed());
                    let refusal = Refusal {
                        elements,
                        ..refusal
                    };
                    each(generic(rest.as_bytes(), Content::Refused(refusal)));
                }
            }
            Err(fault) => {
                let symbol = subject.as_ref().ok().and_then(SubjectParts::borrowed);
                let refusal = fault.refusal(payload, symbol);
                each(generic(payload, Content::Refused(refusal)));
            }
        }
    }

    fn elements<'a>(
        &self,
        payload: &'a [u8],
        subject: &'a Result<SubjectParts<'a>, SubjectRefusal>,
    ) -> Result<Elements<'a>, Fault> {
        let max = self.rules.max_payload_bytes;
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
                // an array of objects is a message for each of them
                let second = text
                    .bytes()
                    .filter(|byte| !byte.is_ascii_whitespace())
                    .nth(1);
                if second != Some(b'{')
                    && let Some(tape) = Tape::read(text)
                    && self.recognise(tape.root()).is_some()
                {
                    return Ok(Elements::Rows(text, tape, parts));
                }
                let array = Array::read(text).map_err(not_json)?;
                if array.texts.is_empty() {
                    let detail = "the array is empty; send at least one bar, or nothing";
                    return Err(Fault::new(Reason::Empty, detail));
                }
                if array.is_row() {
                    return Ok(Elements::Row(text, array, parts));
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
        each: &mut impl FnMut(Element<'a>),
    ) {
        if self.everyday(text, parts, now, each) {
            return;
        }
        let refuse = |fault: Fault| Element {
            dialect: GENERIC,
            bytes: text.as_bytes(),
            content: Content::Refused(fault.refusal(text.as_bytes(), parts.borrowed())),
        };
        if first_byte(text) != Some(b'{') {
            each(refuse(match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => no_object(text),
                Err(error) => not_json_element(text, error),
            }));
            return;
        }
        let rule = self.rules.dialect;
        let mut fields = Fields::none(text);
        let own = match rule {
            DialectRule::Only(_) => false,
            DialectRule::Auto => fields.read_everyday() && !fields.marks().has(Marks::VENDOR),
            DialectRule::Generic => fields.read_everyday(),
        };
        if own {
            each(self.generic(&mut fields, text, parts, now));
            return;
        }
        let tape = Tape::read(text);
        if let Some(tape) = &tape
            && self.vendor(text, tape, parts, now, each)
        {
            return;
        }
        let mut fields = match Fields::read(text) {
            Ok(fields) => fields,
            Err(error) => return each(refuse(not_json_element(text, error))),
        };
        match (tape, rule) {
            (Some(tape), DialectRule::Only(_)) => each(self.unknown(text, &tape, parts)),
            (Some(tape), DialectRule::Auto)
                if !fields.has_prices()
                    && !fields.is_trade()
                    && (fields.marks().has(Marks::VENDOR) || tape.is_nested()) =>
            {
                each(self.unknown(text, &tape, parts));
            }
            _ => each(self.generic(&mut fields, text, parts, now)),
        }
    }

    /// The bar or trade of the fields that `text` has.
    fn generic<'a>(
        &self,
        fields: &mut Fields<'a>,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Element<'a> {
        let content = if self.rules.trades.is_some() && fields.is_trade() {
            self.generic_trade(fields, text, parts, now)
        } else {
            Content::of(self.read(fields, text, parts, now))
        };
        Element {
            dialect: GENERIC,
            bytes: text.as_bytes(),
            content,
        }
    }

    /// The bar of the fields that `text` has.
    fn read<'a>(
        &self,
        fields: &mut Fields<'a>,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Result<BarEvent<'a>, Refusal<'a>> {
        let payload = text.as_bytes();
        let symbol = match values::symbol(fields, parts) {
            Ok(symbol) => symbol,
            Err(fault) => return Err(fault.refusal(payload, parts.borrowed())),
        };
        let fault = values::trade(fields).or_else(|| values::missing(fields, symbol.is_some()));
        match (symbol, fault) {
            (Some(symbol), None) => self
                .bar(&symbol, fields, parts, now)
                .map_err(|fault| fault.refusal(payload, Some(symbol))),
            (symbol, fault) => {
                let fault = fault.unwrap_or_else(|| Fault::new(Reason::MissingField, "no symbol"));
                Err(fault.refusal(payload, symbol))
            }
        }
    }

    /// The bar of an object that has every field a bar needs.
    fn bar<'a>(
        &self,
        symbol: &Cow<'a, str>,
        fields: &mut Fields<'a>,
        parts: &SubjectParts<'_>,
        now: Timestamp,
    ) -> Result<BarEvent<'a>, Fault> {
        let rules = &self.rules;
        let named = values::timeframe(fields, parts)?;
        let timeframe = named.unwrap_or(rules.default_timeframe);
        let timestamp = values::timestamp(fields, rules, timeframe, now)?;
        if let Some(fault) = values::day_quote(fields, named, timestamp, &rules.zone) {
            return Err(fault);
        }
        if rules.grid == GridRule::Refuse && !grid::is_on(timestamp, timeframe) {
            let detail = grid::misaligned(timestamp, timeframe, named.is_none());
            return Err(Fault::new(Reason::Misaligned, detail));
        }
        let close = values::price(fields, Field::Close, rules.prices)?;
        let open = values::price(fields, Field::Open, rules.prices)?;
        let high = values::price(fields, Field::High, rules.prices)?;
        let low = values::price(fields, Field::Low, rules.prices)?;
        let (high, low, adjusted) = values::range(open, high, low, close)?;
        fields.settle_volume(symbol);
        let bar = Bar {
            timestamp,
            open,
            high,
            low,
            close,
            volume: values::volume(fields)?,
        };
        Ok(BarEvent {
            symbol: symbol.clone(),
            timeframe,
            bar,
            finality: values::finality(fields, rules.final_rule)?,
            adjusted,
            source: values::source(fields)?,
        })
    }
}

/// The elements of a message, and what its subject says of them.
enum Elements<'a> {
    /// An object.
    One(&'a str, &'a SubjectParts<'a>),
    /// An array that a dialect knows.
    Rows(&'a str, Tape<'a>, &'a SubjectParts<'a>),
    /// An array that is one bar.
    Row(&'a str, Array<'a>, &'a SubjectParts<'a>),
    /// Each element by itself.
    Many(Array<'a>, &'a SubjectParts<'a>),
}

fn first_byte(json: &str) -> Option<u8> {
    json.bytes()
        .find(|b| !matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

#[allow(clippy::needless_pass_by_value)] // the form `map_err` takes
fn not_json(error: serde_json::Error) -> Fault {
    Fault::new(Reason::NotJson, format!("payload is no JSON: {error}"))
}

/// Explanation of an element that is no JSON, including the words that many programs write for a
/// number that is none.
fn not_json_element(text: &str, error: serde_json::Error) -> Fault {
    let mut fault = not_json(error);
    if let Some(word) = ["NaN", "Infinity"]
        .iter()
        .find(|word| text.contains(**word))
    {
        fault.detail = format!("{}; write null instead of `{word}`", fault.detail).into();
    }
    fault
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

#[cfg(test)]
mod tests;
