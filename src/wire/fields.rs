//! The fields of a market-data object, read out of JSON.
//!
//! Reading is syntax only. It settles which of several spellings of a field counts (the
//! native name before the aliases, an earlier alias before a later one, the last of equal
//! keys, `null` as if absent) and leaves what a value means to [`super::decode`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::dialects::{Candle, Completion};
pub(super) use super::names::{Field, Marks};
use super::names::{GRANULARITY, Key, MAX_NAMES, PRICE, STARTS, VOLUME_OF, W, currency};
use super::scan;

/// The fields of a bar that is written as a row, in order.
const ROW: [Field; 6] = [
    Field::Timestamp,
    Field::Open,
    Field::High,
    Field::Low,
    Field::Close,
    Field::Volume,
];

/// A field's value as JSON has it, borrowed where the JSON holds it verbatim.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    /// Not there, or `null`.
    Absent,
    Bool(bool),
    Int(u64),
    /// A number with a sign, a fraction or an exponent, or beyond 64 bits.
    Number(f64),
    Text(Cow<'a, str>),
    /// An array or object.
    Nested,
    /// A number beyond the range of doubles, as written.
    HugeNumber(&'a str),
    /// A string with escapes that stand for no character, as written.
    BrokenText(&'a str),
}

impl Scalar<'_> {
    /// True if there is no value.
    #[inline]
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value, leaving none.
    #[inline]
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Absent)
    }
}

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
    /// When `text` is no JSON.
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

/// The entries of an object, in order.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(Written(key)) = map.next_key()? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A key as it is written, borrowed where it has no escapes.
struct Written<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Written<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Written<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Written<'de>, E> {
                Ok(Written(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Written<'de>, E> {
                Ok(Written(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_identifier(Text)
    }
}

/// Every spelling's value as raw JSON, of which those that count are read in a second pass.
struct Careful<'a> {
    spellings: [[Option<&'a RawValue>; MAX_NAMES]; Field::ALL.len()],
    marks: Marks,
}

impl<'de> Deserialize<'de> for Careful<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Careful<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Careful<'de>, A::Error> {
                let mut careful = Careful {
                    spellings: [[None; MAX_NAMES]; Field::ALL.len()],
                    marks: Marks::NONE,
                };
                while let Some(Known(key)) = map.next_key()? {
                    let raw = map.next_value::<&'de RawValue>()?;
                    let value = (raw.get() != "null").then_some(raw);
                    match key {
                        None => {}
                        Some(Key::Mark(mark)) if value.is_some() || mark == Marks::VENDOR => {
                            careful.marks.add(mark);
                        }
                        Some(Key::Mark(_)) => {}
                        Some(Key::Of(field, rank)) => {
                            let other =
                                value.is_some_and(|raw| !matches!(raw.get(), "true" | "false"));
                            if !is_w(field, rank) || !other {
                                careful.spellings[field as usize][usize::from(rank)] = value;
                            }
                        }
                    }
                }
                Ok(careful)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The value of a piece of valid JSON.
pub(super) fn scalar(json: &str) -> Scalar<'_> {
    if let Some(number) = scan::number(json) {
        return number;
    }
    serde_json::from_str(json).unwrap_or_else(|_| {
        if json.starts_with('"') {
            Scalar::BrokenText(json)
        } else {
            Scalar::HugeNumber(json)
        }
    })
}

/// A key, if it is one of ours.
struct Known(Option<Key>);

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Known;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Known, E> {
                Ok(Known(Key::of(key)))
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Absent)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Int(value))
            }

            #[allow(clippy::cast_precision_loss)] // to the nearest double, as numbers are read
            fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Number(value))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests;
