//! One value of a JSON document, unless it has others within it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scan;

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
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Absent)
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
