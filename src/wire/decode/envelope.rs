//! Messages of vendors: which dialect knows one, and the bars, trades and other things in it.

use super::{Content, Decoder, ELEMENTS_MAX, Element, Fault, Refusal};
use crate::market::{BarEvent, Finality, Timestamp};
use crate::wire::Reason;
use crate::wire::dialects::{
    Candle, Completion, Dialect, DialectRule, GENERIC, REGISTRY, Reading, everyday, unknown,
};
use crate::wire::fields::{Fields, Scalar};
use crate::wire::subject::SubjectParts;
use crate::wire::tape::{Node, Tape};

/// A message that a dialect has read.
pub(super) struct Recognised<'a> {
    dialect: &'static Dialect,
    reading: Reading<'a>,
}

impl Decoder {
    /// The dialect that knows a message, and its reading.
    pub(super) fn recognise<'a>(&self, message: Node<'_, 'a>) -> Option<Recognised<'a>> {
        let read = |dialect: &'static Dialect| {
            let reading = dialect.read(message)?;
            Some(Recognised { dialect, reading })
        };
        match self.rules.dialect {
            DialectRule::Auto => REGISTRY
                .into_iter()
                .filter(|dialect| dialect.is_certain(message))
                .find_map(read),
            DialectRule::Generic => None,
            DialectRule::Only(dialect) => read(dialect),
        }
    }

    /// Hands the bar of a message that a dialect reads from its text to `each`, as [`Self::vendor`]
    /// would; false when there is none.
    pub(super) fn everyday<'a>(
        &self,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
        each: &mut impl FnMut(Element<'a>),
    ) -> bool {
        let Some(dialect) = everyday(text).filter(|dialect| self.asks(dialect)) else {
            return false;
        };
        let mut candle = Candle::empty(text);
        if !dialect.everyday(text, &mut candle) {
            return false;
        }
        each(self.candle(dialect, &mut candle, parts, now));
        true
    }

    /// True if messages of a dialect are read by it.
    fn asks(&self, dialect: &Dialect) -> bool {
        match self.rules.dialect {
            DialectRule::Auto => true,
            DialectRule::Generic => false,
            DialectRule::Only(only) => only.name == dialect.name,
        }
    }

    /// Hands what is in a message of a dialect to `each`; false when no dialect knows it.
    pub(super) fn vendor<'a>(
        &self,
        text: &'a str,
        tape: &Tape<'a>,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
        each: &mut impl FnMut(Element<'a>),
    ) -> bool {
        let Some(Recognised { dialect, reading }) = self.recognise(tape.root()) else {
            return false;
        };
        let whole = |content| Element {
            dialect: dialect.name,
            bytes: text.as_bytes(),
            content,
        };
        let refuse = |reason, detail: String| {
            let fault = Fault::new(reason, detail);
            fault.refusal(text.as_bytes(), parts.borrowed())
        };
        match reading {
            Reading::Bar(mut candle) => each(self.candle(dialect, &mut candle, parts, now)),
            Reading::Bars(candles) => self.candles(dialect, candles, text, parts, now, each),
            Reading::Ignored(kind) => each(whole(Content::Ignored(kind))),
            Reading::Trades(trades) if self.rules.trades.is_some() => {
                self.trades(dialect, trades, text, parts, now, each);
            }
            Reading::Trades(trades) => {
                let detail = format!(
                    "{} trades of {}: send the bars of the vendor instead, or set TECHNICAL_TRADES to have bars built from trades",
                    trades.len(),
                    dialect.name
                );
                let refusal = Refusal {
                    elements: trades.len().max(1),
                    ..refuse(Reason::Trade, detail)
                };
                each(whole(Content::Refused(refusal)));
            }
            Reading::Refused(reason, detail) => {
                each(whole(Content::Refused(refuse(reason, detail))));
            }
        }
        true
    }

    fn candles<'a>(
        &self,
        dialect: &'static Dialect,
        mut candles: Vec<Candle<'a>>,
        text: &'a str,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
        each: &mut impl FnMut(Element<'a>),
    ) {
        if candles.is_empty() {
            return each(nothing_in(dialect, "bar", text, parts));
        }
        // the newest are kept: bars that are older than what is kept of a series are late
        let excess = candles.len().saturating_sub(ELEMENTS_MAX);
        let beyond: Vec<Candle<'a>> = candles.drain(..excess).collect();
        for mut candle in candles {
            each(self.candle(dialect, &mut candle, parts, now));
        }
        if excess > 0 {
            let texts = beyond.iter().map(|candle| candle.text);
            each(left_over(dialect, "bars", texts, text, parts));
        }
    }

    fn candle<'a>(
        &self,
        dialect: &'static Dialect,
        candle: &mut Candle<'a>,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Element<'a> {
        Element {
            dialect: dialect.name,
            bytes: candle.text.as_bytes(),
            content: Content::of(self.judge(candle, parts, now)),
        }
    }

    /// The bar of a candle, if all of its values are good.
    pub(super) fn judge<'a>(
        &self,
        candle: &mut Candle<'a>,
        parts: &'a SubjectParts<'a>,
        now: Timestamp,
    ) -> Result<BarEvent<'a>, Refusal<'a>> {
        let text = candle.text;
        let mut event = match candle.zone.take() {
            None => self.read(&mut Fields::of_candle(candle), text, parts, now),
            Some(zone) => match self.by_clocks_of(&zone) {
                Ok(decoder) => decoder.read(&mut Fields::of_candle(candle), text, parts, now),
                Err(fault) => Err(fault.refusal(text.as_bytes(), parts.borrowed())),
            },
        }?;
        event.adjusted |= candle.widened;
        event.finality = match (&candle.completion, event.finality.is_final()) {
            (Completion::Is(finality), _) => *finality,
            (Completion::Flag(Scalar::Absent), _) => Finality::UntilNext,
            (Completion::Flag(_), true) => Finality::Final,
            (Completion::Flag(_), false) => Finality::Forming,
        };
        Ok(event)
    }

    /// This decoder, with the clocks that a message names.
    fn by_clocks_of(&self, zone: &str) -> Result<Self, Fault> {
        let zone = zone.parse().map_err(|error| {
            let detail = format!("the message names its time zone, but {error}");
            Fault::new(Reason::BadTimestamp, detail)
        })?;
        let mut decoder = self.clone();
        decoder.rules.zone = zone;
        Ok(decoder)
    }

    /// The refusal of a message that no dialect knows and that has nothing of a bar.
    pub(super) fn unknown<'a>(
        &self,
        text: &'a str,
        tape: &Tape<'a>,
        parts: &'a SubjectParts<'a>,
    ) -> Element<'a> {
        let only = match self.rules.dialect {
            DialectRule::Only(dialect) => Some(dialect),
            DialectRule::Auto | DialectRule::Generic => None,
        };
        let fault = Fault::new(Reason::UnknownShape, unknown(tape.root(), only));
        Element {
            dialect: only.map_or(GENERIC, |dialect| dialect.name),
            bytes: text.as_bytes(),
            content: Content::Refused(fault.refusal(text.as_bytes(), parts.borrowed())),
        }
    }
}

/// The refusal of a message without any element of a kind, of which `noun` is one.
pub(super) fn nothing_in<'a>(
    dialect: &'static Dialect,
    noun: &str,
    text: &'a str,
    parts: &'a SubjectParts<'a>,
) -> Element<'a> {
    let detail = format!(
        "the message of {} has no {noun}; send at least one",
        dialect.name
    );
    let fault = Fault::new(Reason::Empty, detail);
    Element {
        dialect: dialect.name,
        bytes: text.as_bytes(),
        content: Content::Refused(fault.refusal(text.as_bytes(), parts.borrowed())),
    }
}

/// The refusal of the elements `beyond` the number that is taken from one message.
pub(super) fn left_over<'a>(
    dialect: &'static Dialect,
    nouns: &str,
    beyond: impl ExactSizeIterator<Item = &'a str> + Clone,
    text: &'a str,
    parts: &'a SubjectParts<'a>,
) -> Element<'a> {
    let elements = beyond.len();
    let detail = format!(
        "{elements} {nouns} are left, for {ELEMENTS_MAX} are taken from one message; send fewer {nouns} per message"
    );
    let fault = Fault::new(Reason::TooManyElements, detail);
    let bytes = spanned(text, beyond).as_bytes();
    let refusal = fault.refusal(bytes, parts.borrowed());
    Element {
        dialect: dialect.name,
        bytes,
        content: Content::Refused(Refusal {
            elements,
            ..refusal
        }),
    }
}

/// The part of `text` from the first of these elements to the last.
fn spanned<'a>(text: &'a str, elements: impl Iterator<Item = &'a str> + Clone) -> &'a str {
    let place = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    let from = elements.clone().map(place).min();
    let to = elements.map(|part| place(part) + part.len()).max();
    match (from, to) {
        (Some(from), Some(to)) => &text[from..to],
        _ => text,
    }
}

impl<'a> Content<'a> {
    /// A bar or a refusal, as it was read.
    pub(super) fn of(read: Result<BarEvent<'a>, Refusal<'a>>) -> Self {
        match read {
            Ok(event) => Self::Bar(event),
            Err(refusal) => Self::Refused(refusal),
        }
    }
}
