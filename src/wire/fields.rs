//! The fields of a market-data object, read out of JSON.
//!
//! Reading is syntax only. It settles which of several spellings of a field counts (the
//! native name before the aliases, an earlier alias before a later one, the last of equal
//! keys, `null` as if absent) and leaves what a value means to [`super::decode`].

mod careful;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::dialects::{Candle, Completion};
pub(super) use super::names::{Field, Marks};
use super::names::{GRANULARITY, Key, PRICE, STARTS, VOLUME_OF, W, currency};
use super::print::Print;
pub(super) use super::scalar::{Scalar, scalar};
use super::scan;
use careful::{Careful, Entries};

/// The fields of a bar that is written as a row, in order.
const ROW: [Field; 6] = [
    Field::Timestamp,
    Field::Open,
    Field::High,
    Field::Low,
    Field::Close,
    Field::Volume,
];

/// One field of one object: which of its names counted, and the value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot<'a> {
    rank: u8,
    pub(super) value: Scalar<'a>,
}

/// All fields of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fields<'a> {
    slots: [Slot<'a>; Field::ALL.len()],
    marks: Marks,
    text: &'a str,
}

impl<'a> Fields<'a> {
    /// No fields yet, of the object `text`.
    pub(super) const fn none(text: &'a str) -> Self {
        Self {
            slots: [const {
                Slot {
                    rank: u8::MAX,
                    value: Scalar::Absent,
                }
            }; Field::ALL.len()],
            marks: Marks::NONE,
            text,
        }
    }

    /// Reads an object. `text` begins with `{`, white space aside.
    ///
    /// # Errors
    /// If `text` is no JSON.
    pub(super) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut fields = Self::none(text);
        if fields.read_everyday() {
            return Ok(fields);
        }
        Self::careful(text)
    }

    /// Fills the fields of an object that has none yet, in one pass over its text. False when that
    /// cannot be done: the text has JSON that [`scan`] does not read, or a `null` takes back a name
    /// after an alias was passed over for it. What was read by then does not count; [`Self::read`]
    /// reads all JSON.
    pub(super) fn read_everyday(&mut self) -> bool {
        let (slots, marks) = (&mut self.slots, &mut self.marks);
        let mut overruled = false;
        let read = scan::entries(self.text, |key, value| match Key::of(key) {
            None => {}
            // the answer of a vendor may say nothing but `null`
            Some(Key::Mark(mark)) if !value.is_absent() || mark == Marks::VENDOR => {
                marks.add(mark);
            }
            Some(Key::Mark(_)) => {}
            Some(Key::Of(field, rank)) => {
                let slot = &mut slots[field as usize];
                if value.is_absent() {
                    overruled |= slot.rank == rank;
                } else if rank <= slot.rank && (!is_w(field, rank) || is_bool(&value)) {
                    slot.rank = rank;
                    slot.value = value;
                }
            }
        });
        read.is_some() && !overruled
    }

    fn careful(text: &'a str) -> Result<Self, serde_json::Error> {
        let Careful { spellings, marks } = serde_json::from_str(text)?;
        let mut fields = Self::none(text);
        fields.marks = marks;
        for (slot, spellings) in fields.slots.iter_mut().zip(spellings) {
            for (rank, raw) in (0..).zip(spellings) {
                if let Some(raw) = raw {
                    slot.rank = rank;
                    slot.value = scalar(raw.get());
                    break;
                }
            }
        }
        Ok(fields)
    }

    /// The fields of a row that is `text`: time, open, high, low, close and volume.
    pub(super) fn row(text: &'a str, values: &[&'a str]) -> Self {
        let mut fields = Self::none(text);
        for (field, value) in ROW.iter().zip(values) {
            fields.slots[*field as usize] = Slot {
                rank: if *field == Field::Timestamp {
                    STARTS
                } else {
                    0
                },
                value: scalar(value),
            };
        }
        fields
    }

    /// The fields of a bar that a dialect has found, whose values are taken out of it.
    pub(super) fn of_candle(candle: &mut Candle<'a>) -> Self {
        let mut fields = Self::none(candle.text);
        let mut set = |field: Field, value: &mut Scalar<'a>| {
            // the first of a field's names, of which that of the time is one of the bar's start
            let slot = &mut fields.slots[field as usize];
            slot.rank = 0;
            slot.value = value.take();
        };
        set(Field::Symbol, &mut candle.symbol);
        set(Field::Timeframe, &mut candle.timeframe);
        set(Field::Timestamp, &mut candle.start);
        set(Field::Open, &mut candle.open);
        set(Field::High, &mut candle.high);
        set(Field::Low, &mut candle.low);
        set(Field::Close, &mut candle.close);
        set(Field::Volume, &mut candle.volume);
        if let Completion::Flag(flag) = &candle.completion {
            set(Field::Final, &mut flag.clone());
        }
        fields
    }

    /// The symbol and time of a trade that a dialect has found, taken out of it.
    pub(super) fn of_print(print: &mut Print<'a>) -> Self {
        let mut fields = Self::none(print.text);
        fields.slots[Field::Symbol as usize] = Slot {
            rank: 0,
            value: print.symbol.take(),
        };
        fields.slots[Field::Timestamp as usize] = Slot {
            rank: STARTS,
            value: print.time.take(),
        };
        fields
    }

    /// True if it has any of a bar's four prices.
    pub(super) fn has_prices(&self) -> bool {
        [Field::Open, Field::High, Field::Low, Field::Close]
            .into_iter()
            .any(|field| self.has(field))
    }

    pub(super) fn slot(&self, field: Field) -> &Slot<'a> {
        &self.slots[field as usize]
    }

    /// The value of a field, leaving it absent.
    pub(super) fn take(&mut self, field: Field) -> Scalar<'a> {
        self.slots[field as usize].value.take()
    }

    pub(super) fn has(&self, field: Field) -> bool {
        !self.slot(field).value.is_absent()
    }

    /// The kinds of message, other than bars, that its names belong to.
    pub(super) const fn marks(&self) -> Marks {
        self.marks
    }

    /// True if it gives a price and nothing else of a bar's prices.
    pub(super) fn is_trade(&self) -> bool {
        let close = self.slot(Field::Close);
        let priced = match close.value {
            Scalar::Absent => self.marks.has(Marks::TRADE),
            _ => close.rank == PRICE,
        };
        priced && !self.has(Field::Open) && !self.has(Field::High) && !self.has(Field::Low)
    }

    /// True if the time is under a name of the bar's start.
    pub(super) fn has_start(&self) -> bool {
        self.slot(Field::Timestamp).rank < STARTS
    }

    /// True if a number in [`Field::Timeframe`] counts seconds.
    pub(super) fn counts_seconds(&self) -> bool {
        self.slot(Field::Timeframe).rank == GRANULARITY
    }

    /// The volume under the name of the currency that `symbol` begins with, or else under the
    /// first of such names, where there is no other.
    pub(super) fn settle_volume(&mut self, symbol: &str) {
        if self.slot(Field::Volume).rank != VOLUME_OF {
            return;
        }
        let entries = self.entries();
        let mut named = entries
            .iter()
            .filter(|(key, raw)| raw.get() != "null" && currency(key).is_some());
        let of_symbol = named.clone().find(|(key, _)| {
            let code = currency(key).unwrap_or_default();
            symbol
                .get(..code.len())
                .is_some_and(|base| base.eq_ignore_ascii_case(code))
        });
        if let Some((_, raw)) = of_symbol.or_else(|| named.next()) {
            self.slots[Field::Volume as usize].value = scalar(raw.get());
        }
    }

    /// The key of a field as the sender wrote it.
    pub(super) fn name(&self, field: Field) -> Cow<'a, str> {
        let rank = self.slot(field).rank;
        let written = self.last_key(Key::Of(field, rank));
        written.unwrap_or_else(|| {
            let names = field.names();
            Cow::Borrowed(names.get(usize::from(rank)).copied().unwrap_or(names[0]))
        })
    }

    /// A key that says what kind of message it is, as the sender wrote it.
    pub(super) fn mark_name(&self, mark: Marks) -> Cow<'a, str> {
        self.last_key(Key::Mark(mark)).unwrap_or_default()
    }

    fn last_key(&self, wanted: Key) -> Option<Cow<'a, str>> {
        self.entries()
            .into_iter()
            .filter(|(key, raw)| Key::of(key) == Some(wanted) && raw.get() != "null")
            .map(|(key, _)| key)
            .next_back()
    }

    /// Every entry of the object, for what is needed seldom enough to read it again.
    fn entries(&self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        serde_json::from_str(self.text)
            .map(|Entries(entries)| entries)
            .unwrap_or_default()
    }
}

const fn is_w(field: Field, rank: u8) -> bool {
    matches!(field, Field::Final) && rank == W
}

const fn is_bool(value: &Scalar<'_>) -> bool {
    matches!(value, Scalar::Bool(_))
}

#[cfg(test)]
mod tests;
