//! A bar as a dialect finds it: values as they stand in the message, under known names.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use super::super::fields::Scalar;
use super::super::tape::Node;
use super::Reading;
use crate::market::Finality;

/// The way to tell if a bar is complete.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::wire) enum Completion<'a> {
    /// The dialect knows.
    Is(Finality),
    /// By this flag; without one, when the next bar comes.
    Flag(Scalar<'a>),
}

/// One bar, its values still to be judged.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::wire) struct Candle<'a> {
    /// The bytes that hold it.
    pub text: &'a str,
    /// Absent where only the subject has it.
    pub symbol: Scalar<'a>,
    /// Absent where only the subject has it.
    pub timeframe: Scalar<'a>,
    /// Opening time of the bar.
    pub start: Scalar<'a>,
    pub open: Scalar<'a>,
    pub high: Scalar<'a>,
    pub low: Scalar<'a>,
    pub close: Scalar<'a>,
    pub volume: Scalar<'a>,
    pub completion: Completion<'a>,
    /// The zone of the clocks that `start` is read by, where the message names one.
    pub zone: Option<Cow<'a, str>>,
    /// True if high or low was widened to the open.
    pub widened: bool,
}

impl<'a> Candle<'a> {
    /// The candle in an object with these names of start, open, high, low, close and volume. It
    /// has no symbol and no timeframe yet, and is complete when the next one comes.
    pub fn of(node: Node<'_, 'a>, names: [&str; 6]) -> Self {
        Self::from_values(node.text(), node.fields(names))
    }

    /// The candle in an array with these places of start, open, high, low, close and volume.
    pub fn of_row(node: Node<'_, 'a>, places: [usize; 6]) -> Self {
        let value = |place| node.at(place).map_or(Scalar::Absent, Node::scalar);
        Self::from_values(node.text(), places.map(value))
    }

    /// A candle in `text`, without any value yet.
    pub const fn empty(text: &'a str) -> Self {
        Self {
            text,
            symbol: Scalar::Absent,
            timeframe: Scalar::Absent,
            start: Scalar::Absent,
            open: Scalar::Absent,
            high: Scalar::Absent,
            low: Scalar::Absent,
            close: Scalar::Absent,
            volume: Scalar::Absent,
            completion: Completion::Is(Finality::UntilNext),
            zone: None,
            widened: false,
        }
    }

    fn from_values(text: &'a str, values: [Scalar<'a>; 6]) -> Self {
        let [start, open, high, low, close, volume] = values;
        Self {
            start,
            open,
            high,
            low,
            close,
            volume,
            ..Self::empty(text)
        }
    }

    pub fn with_symbol(self, symbol: Scalar<'a>) -> Self {
        Self { symbol, ..self }
    }

    pub fn with_timeframe(self, timeframe: Scalar<'a>) -> Self {
        Self { timeframe, ..self }
    }

    pub fn with_flag(self, flag: Scalar<'a>) -> Self {
        Self {
            completion: Completion::Flag(flag),
            ..self
        }
    }

    pub fn with_finality(self, finality: Finality) -> Self {
        Self {
            completion: Completion::Is(finality),
            ..self
        }
    }

    /// Widens high and low to the open, which may lie outside of them.
    pub fn widened_to_open(mut self) -> Self {
        if let (Some(open), Some(high), Some(low)) =
            (number(&self.open), number(&self.high), number(&self.low))
        {
            self.widened = open > high || open < low;
            if open > high {
                self.high = self.open.clone();
            }
            if open < low {
                self.low = self.open.clone();
            }
        }
        self
    }

    /// Its start as a number, to sort by; `None` for a text that is no number, which sorts as text.
    fn epoch(&self) -> Option<f64> {
        number(&self.start)
    }

    fn cmp_start(&self, other: &Self) -> Ordering {
        match (self.epoch(), other.epoch(), &self.start, &other.start) {
            (Some(a), Some(b), ..) => a.total_cmp(&b),
            // times of one vendor are of one form
            (None, None, Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// Several bars of one message: sorted by time, and where they have no flag, all complete but the
/// newest of each series. Of several with one time, the last is the one that is complete.
pub(super) fn in_order(mut candles: Vec<Candle<'_>>) -> Reading<'_> {
    candles.sort_by(Candle::cmp_start);
    let mut following = HashMap::new();
    let mut complete = Vec::new();
    for (at, candle) in candles.iter().enumerate().rev() {
        let series = (named(&candle.symbol), named(&candle.timeframe));
        let next = following.insert(series, candle);
        if next.is_some_and(|next| candle.cmp_start(next) == Ordering::Less) {
            complete.push(at);
        }
    }
    for at in complete {
        if candles[at].completion == Completion::Is(Finality::UntilNext) {
            candles[at].completion = Completion::Is(Finality::History);
        }
    }
    Reading::Bars(candles)
}

/// A number that is near enough to compare by.
fn number(value: &Scalar<'_>) -> Option<f64> {
    match value {
        #[allow(clippy::cast_precision_loss)]
        Scalar::Int(value) => Some(*value as f64),
        Scalar::Number(value) => Some(*value),
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    }
}

fn named<'s>(value: &'s Scalar<'_>) -> &'s str {
    match value {
        Scalar::Text(text) => text,
        _ => "",
    }
}

/// A text of its own.
pub(super) fn text<'a>(text: impl Into<Cow<'a, str>>) -> Scalar<'a> {
    Scalar::Text(text.into())
}

/// The timeframe of so many minutes.
pub(super) fn of_minutes(minutes: u64) -> Scalar<'static> {
    text(match minutes {
        10_080 => "1w".to_owned(),
        _ if minutes > 0 && minutes.is_multiple_of(1_440) => format!("{}d", minutes / 1_440),
        _ if minutes > 0 && minutes.is_multiple_of(60) => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
    })
}

/// The timeframe of a number of minutes, as number or text; anything else stays as it is.
pub(super) fn minutes(value: Scalar<'_>) -> Scalar<'_> {
    match &value {
        Scalar::Int(minutes) => of_minutes(*minutes),
        Scalar::Text(digits) => match digits.parse() {
            Ok(minutes) => of_minutes(minutes),
            Err(_) => value,
        },
        _ => value,
    }
}
