//! The fields of a market-data object: their names, and reading them out of JSON.
//!
//! Reading is syntax only. It settles which of several spellings of a field counts (the
//! native name before the aliases, an earlier alias before a later one, the last of equal
//! keys, `null` as if absent) and leaves what a value means to [`super::decode`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::scan;

/// What a market-data object may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Symbol,
    Timeframe,
    Timestamp,
    Open,
    High,
    Low,
    Close,
    Volume,
    Final,
    Source,
}

/// The rank of `price` among the names of [`Field::Close`]: alone, it makes a quote.
const PRICE: u8 = 3;

/// More than any field has names.
const MAX_NAMES: usize = 5;

impl Field {
    pub(super) const ALL: [Self; 10] = [
        Self::Symbol,
        Self::Timeframe,
        Self::Timestamp,
        Self::Open,
        Self::High,
        Self::Low,
        Self::Close,
        Self::Volume,
        Self::Final,
        Self::Source,
    ];

    /// Its names, the native one first, then the aliases in their order of precedence.
    pub(super) const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Symbol => &["symbol", "s", "S", "sym", "ticker"],
            Self::Timeframe => &["timeframe", "tf", "interval", "i"],
            Self::Timestamp => &["timestamp", "t", "ts", "time"],
            Self::Open => &["open", "open_price", "o"],
            Self::High => &["high", "high_price", "h"],
            Self::Low => &["low", "low_price", "l"],
            Self::Close => &["close", "close_price", "c", "price"],
            Self::Volume => &["volume", "v", "vol"],
            Self::Final => &["final", "x", "closed"],
            Self::Source => &["source"],
        }
    }

    /// The field of a key and the key's rank among its names. The same as a search through
    /// [`Self::names`], as a decision tree: this runs for every key of every message.
    const fn of(key: &str) -> Option<(Self, u8)> {
        Some(match key.as_bytes() {
            b"symbol" => (Self::Symbol, 0),
            b"s" => (Self::Symbol, 1),
            b"S" => (Self::Symbol, 2),
            b"sym" => (Self::Symbol, 3),
            b"ticker" => (Self::Symbol, 4),
            b"timeframe" => (Self::Timeframe, 0),
            b"tf" => (Self::Timeframe, 1),
            b"interval" => (Self::Timeframe, 2),
            b"i" => (Self::Timeframe, 3),
            b"timestamp" => (Self::Timestamp, 0),
            b"t" => (Self::Timestamp, 1),
            b"ts" => (Self::Timestamp, 2),
            b"time" => (Self::Timestamp, 3),
            b"open" => (Self::Open, 0),
            b"open_price" => (Self::Open, 1),
            b"o" => (Self::Open, 2),
            b"high" => (Self::High, 0),
            b"high_price" => (Self::High, 1),
            b"h" => (Self::High, 2),
            b"low" => (Self::Low, 0),
            b"low_price" => (Self::Low, 1),
            b"l" => (Self::Low, 2),
            b"close" => (Self::Close, 0),
            b"close_price" => (Self::Close, 1),
            b"c" => (Self::Close, 2),
            b"price" => (Self::Close, PRICE),
            b"volume" => (Self::Volume, 0),
            b"v" => (Self::Volume, 1),
            b"vol" => (Self::Volume, 2),
            b"final" => (Self::Final, 0),
            b"x" => (Self::Final, 1),
            b"closed" => (Self::Final, 2),
            b"source" => (Self::Source, 0),
            _ => return None,
        })
    }
}

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

/// One field of one object: which of its names counted, and the value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot<'a> {
    field: Field,
    rank: u8,
    pub(super) value: Scalar<'a>,
}

impl Slot<'_> {
    /// The key as the sender wrote it.
    pub(super) fn name(&self) -> &'static str {
        let names = self.field.names();
        names
            .get(usize::from(self.rank))
            .copied()
            .unwrap_or(names[0])
    }
}

/// All fields of one object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fields<'a> {
    slots: [Slot<'a>; Field::ALL.len()],
}

impl<'a> Fields<'a> {
    const NONE: Self = Self {
        slots: {
            let mut slots = [const {
                Slot {
                    field: Field::Symbol,
                    rank: u8::MAX,
                    value: Scalar::Absent,
                }
            }; Field::ALL.len()];
            let mut at = 0;
            while at < slots.len() {
                slots[at].field = Field::ALL[at];
                at += 1;
            }
            slots
        },
    };

    /// Reads an object. `text` begins with `{`, white space aside.
    ///
    /// # Errors
    /// When `text` is no JSON.
    pub(super) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        match Self::everyday(text) {
            Some(fields) => Ok(fields),
            None => serde_json::from_str(text).map(|Careful(fields)| fields),
        }
    }

    /// Fields read in one pass. It knows the JSON that [`scan`] knows, and it has forgotten the
    /// alias that should count when a name before it is taken back by a later `null`: all else
    /// is left to [`Careful`].
    fn everyday(text: &'a str) -> Option<Self> {
        let mut fields = Self::NONE;
        let mut overruled = false;
        scan::entries(text, |key, value| {
            let Some((field, rank)) = Field::of(key) else {
                return;
            };
            let slot = &mut fields.slots[field as usize];
            if value == Scalar::Absent {
                overruled |= slot.rank == rank;
            } else if rank <= slot.rank {
                slot.rank = rank;
                slot.value = value;
            }
        })?;
        (!overruled).then_some(fields)
    }

    pub(super) fn slot(&self, field: Field) -> &Slot<'a> {
        &self.slots[field as usize]
    }

    /// The value of a field, leaving it absent.
    pub(super) fn take(&mut self, field: Field) -> Scalar<'a> {
        std::mem::replace(&mut self.slots[field as usize].value, Scalar::Absent)
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.slot(field).value != Scalar::Absent
    }

    /// Whether it gives a `price` and nothing else of a bar's prices.
    pub(super) fn is_quote(&self) -> bool {
        self.slot(Field::Close).rank == PRICE
            && !self.has(Field::Open)
            && !self.has(Field::High)
            && !self.has(Field::Low)
    }
}

/// Fields read in two passes: first every spelling's value as raw JSON, then those that count.
struct Careful<'a>(Fields<'a>);

impl<'de> Deserialize<'de> for Careful<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Careful<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Careful<'de>, A::Error> {
                let mut spellings = [[None::<&'de RawValue>; MAX_NAMES]; Field::ALL.len()];
                while let Some(Key(key)) = map.next_key()? {
                    let raw = map.next_value::<&'de RawValue>()?;
                    if let Some((field, rank)) = key {
                        let value = (raw.get() != "null").then_some(raw);
                        spellings[field as usize][usize::from(rank)] = value;
                    }
                }
                let mut fields = Fields::NONE;
                for (slot, spellings) in fields.slots.iter_mut().zip(spellings) {
                    for (rank, raw) in (0..).zip(spellings) {
                        if let Some(raw) = raw {
                            slot.rank = rank;
                            slot.value = scalar(raw.get());
                            break;
                        }
                    }
                }
                Ok(Careful(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The value of a piece of valid JSON.
fn scalar(json: &str) -> Scalar<'_> {
    serde_json::from_str(json).unwrap_or_else(|_| {
        if json.starts_with('"') {
            Scalar::BrokenText(json)
        } else {
            Scalar::HugeNumber(json)
        }
    })
}

/// A key, if it is one of ours.
struct Key(Option<(Field, u8)>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(Key(Field::of(key)))
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
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn value(json: &str, field: Field) -> Scalar<'_> {
        Fields::read(json).unwrap().take(field)
    }

    #[test]
    fn the_decision_tree_knows_every_name_and_no_other() {
        for field in Field::ALL {
            assert!(field.names().len() <= MAX_NAMES);
            for (rank, name) in (0..).zip(field.names()) {
                assert_eq!(Field::of(name), Some((field, rank)), "{name}");
            }
        }
        assert_eq!(Field::Close.names()[usize::from(PRICE)], "price");
        for name in ["", "T", "Symbol", "open ", "closing", "sources"] {
            assert_eq!(Field::of(name), None, "{name}");
        }
    }

    #[test]
    fn of_several_spellings_the_first_name_counts_and_of_equal_keys_the_last() {
        for (json, expected) in [
            (r#"{"c":1,"close":2,"price":3}"#, Scalar::Int(2)),
            (r#"{"price":3,"c":1}"#, Scalar::Int(1)),
            (r#"{"close":1,"close":2}"#, Scalar::Int(2)),
            (r#"{"close":null,"c":7}"#, Scalar::Int(7)),
            (r#"{"close":5,"close":null}"#, Scalar::Absent),
            (r#"{"close":5,"c":7,"close":null}"#, Scalar::Int(7)),
            (r#"{"c":7,"close":5,"close":null}"#, Scalar::Int(7)),
            (r#"{"close":5,"c":7,"c":null}"#, Scalar::Int(5)),
            (r#"{"close":1e400,"close":5}"#, Scalar::Int(5)),
            (r#"{"close":1e400,"c":5}"#, Scalar::HugeNumber("1e400")),
            (r#"{"\u0063lose":4}"#, Scalar::Int(4)),
        ] {
            assert_eq!(value(json, Field::Close), expected, "{json}");
        }
    }

    #[test]
    fn values_keep_their_json_type() {
        for (json, expected) in [
            ("null", Scalar::Absent),
            ("true", Scalar::Bool(true)),
            ("18446744073709551615", Scalar::Int(u64::MAX)),
            ("18446744073709551616", Scalar::Number(2f64.powi(64))),
            ("-3", Scalar::Number(-3.0)),
            ("0.1", Scalar::Number(0.1)),
            (r#""x\n""#, Scalar::Text("x\n".into())),
            ("[[1e999]]", Scalar::Nested),
            (r#"{"a":{}}"#, Scalar::Nested),
            (r#""\ud800""#, Scalar::BrokenText(r#""\ud800""#)),
            ("-1e400", Scalar::HugeNumber("-1e400")),
        ] {
            let object = format!(r#"{{"open":{json}}}"#);
            assert_eq!(value(&object, Field::Open), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for json in [r#"{"a":1"#, "{} {}", r#"{"open":01}"#, r#"{"\ud800":1}"#] {
            assert!(Fields::read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn the_everyday_object_is_read_in_one_pass() {
        for json in [
            r#"{"symbol":"BTCUSDT","timeframe":"1m","timestamp":"2026-01-31T14:30:00Z","open":67123.45,"high":67180.02,"low":67101.9,"close":67155.31,"volume":12.84513}"#,
            r#" { "s" : "é/€" , "t":1769869800000, "o":"67.1","c":0.1, "x":true, "v":null,"n":0 } "#,
        ] {
            assert!(Fields::everyday(json).is_some(), "{json}");
        }
    }

    fn any_value() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::sample::select(vec![
                "null", "true", "false", "[1]", "{}", "", "-1.5", "nul"
            ])
            .prop_map(str::to_owned),
            "[0-9]{1,21}",
            "[0-9]{1,12}\\.[0-9]{0,12}([eE][+-]?[0-9]{1,3})?",
            "\"[a-z0-9/é\\\\\"\u{1}\u{7f} ]{0,4}\"",
        ]
    }

    proptest! {
        /// What is read in one pass is JSON, and says the same.
        #[test]
        fn both_ways_of_reading_agree(
            entries in proptest::collection::vec(
                (
                    proptest::sample::select(
                        vec!["close", "c", "price", "s", "sym", "x", "other", "\\u0063", "a\"b"]),
                    any_value(),
                ),
                0..6,
            ),
            space in "[ \t\n\r]{0,2}",
            (at, other) in (any::<proptest::sample::Index>(), "[ -~]?"),
        ) {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
                .collect();
            let whole = format!("{space}{{{}}}{space}", entries.join(","));
            let mut damaged: Vec<char> = whole.chars().collect();
            let at = at.index(damaged.len());
            damaged.splice(at..=at, other.chars());
            for json in [whole, damaged.into_iter().collect()] {
                if let Some(fields) = Fields::everyday(&json) {
                    let careful = serde_json::from_str(&json).map(|Careful(fields)| fields);
                    prop_assert_eq!(Ok(fields), careful.map_err(|e| e.to_string()), "{}", json);
                }
            }
        }

        /// The standard library reads numbers by another algorithm.
        #[test]
        fn a_number_is_the_nearest_double(number in "(0|[1-9][0-9]{0,9})\\.[0-9]{1,14}") {
            let json = format!("{{\"open\":{number}}}");
            let expected = Scalar::Number(number.parse().unwrap());
            prop_assert_eq!(value(&json, Field::Open), expected);
        }
    }
}
