//! An object read by the library, whatever JSON it is.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::is_w;
use crate::wire::names::{Field, Key, MAX_NAMES, Marks};

/// The entries of an object, in order.
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

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
pub(super) struct Careful<'a> {
    pub(super) spellings: [[Option<&'a RawValue>; MAX_NAMES]; Field::ALL.len()],
    pub(super) marks: Marks,
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
