//! The variables, each declared once with its type, default, example and meaning and with the reader
//! that knows its range. `--help`, `.env.example`, the README's table, the output of `config` and
//! the check for unknown keys are all made from these declarations.
//!
//! A variable is a type (`Variable`), so that a rule names it and a misspelt name does not compile.
//! The variables of a section are the fields of one struct, into which envy reads their texts.

pub(super) mod agent;
pub(super) mod analysis;
pub(super) mod durable;
pub(super) mod input;
pub(super) mod nats;
pub(super) mod process;

use serde::{Deserialize, Deserializer};

/// Every variable by section.
pub const SECTIONS: &[Section] = &[
    nats::SECTION,
    process::SECTION,
    agent::SECTION,
    input::SECTION,
    analysis::SECTION,
    durable::SECTION,
];

/// The value of a variable that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read like any other value.
    Text(&'static str),
    /// Worked out from other values, in the way described.
    Derived(&'static str),
    /// Nothing.
    None,
}

/// One variable.
#[derive(Debug)]
pub struct Key {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// Its default.
    pub fallback: Fallback,
    /// Its purpose, in a line.
    pub meaning: &'static str,
    /// A valid value.
    pub example: &'static str,
    /// True if its value must be masked.
    pub secret: bool,
    /// True if it may be read from the file named in `<name>_FILE`: secrets, and what may hold one.
    pub from_file: bool,
}

/// Variables that belong together.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Its variables.
    pub keys: &'static [&'static Key],
}

impl Key {
    /// The default as it is shown to people; `–` for none.
    #[must_use]
    pub const fn default_text(&self) -> &'static str {
        match self.fallback {
            Fallback::Text(text) | Fallback::Derived(text) => text,
            Fallback::None => "–",
        }
    }

    /// Returns whether `name` is its name, or that of the variable for its file.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let base = if self.from_file {
            name.strip_suffix("_FILE")
        } else {
            None
        };
        self.name == name || base == Some(self.name)
    }

    /// The variable that names a file to read this one from, if it may come from one.
    #[must_use]
    pub fn file_variable(&self) -> Option<String> {
        self.from_file.then(|| format!("{}_FILE", self.name))
    }
}

/// Every variable there is, in the order they are listed.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys).copied()
}

/// The variable called `name` in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name.eq_ignore_ascii_case(name))
}

/// A variable, as a type that stands for it.
pub(super) trait Variable {
    /// The type of its value.
    type Value: Clone;
    /// Its declaration.
    const KEY: &'static Key;

    /// Reads its text.
    ///
    /// # Errors
    /// A description of a valid text.
    fn read(text: &str) -> Result<Self::Value, String>;
}

/// The value of a variable, or the reason of its refusal; `None` if it has neither a text nor a
/// default.
pub(super) struct Entry<V: Variable>(pub Option<Result<V::Value, String>>);

impl<V: Variable> Entry<V> {
    /// True if it has a text.
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

impl<V: Variable> Default for Entry<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, V: Variable> Deserialize<'de> for Entry<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Some(V::read(&text))))
    }
}

/// Declares the variables of a section: each as a type, and all of them as one struct.
macro_rules! section {
    ($values:ident, $title:literal: $($key:ident: $type:ty = $read:expr, $about:expr;)+) => {
        $(
            #[allow(non_camel_case_types)]
            pub(in crate::config) struct $key;

            impl $crate::config::keys::Variable for $key {
                type Value = $type;
                const KEY: &'static $crate::config::keys::Key = &$about.named(stringify!($key));

                fn read(text: &str) -> Result<$type, String> {
                    ($read)(text)
                }
            }
        )+

        /// The variables of the section, by name.
        pub(in crate::config) const SECTION: $crate::config::keys::Section =
            $crate::config::keys::Section {
                title: $title,
                keys: &[$(<$key as $crate::config::keys::Variable>::KEY),+],
            };

        /// The values of the section.
        #[allow(non_snake_case)]
        #[derive(Default)]
        pub(in crate::config) struct $values {
            $(pub $key: $crate::config::keys::Entry<$key>,)+
        }

        impl<'de> serde::Deserialize<'de> for $values {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $values;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("variables with their texts")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$values, A::Error> {
                        let mut values = $values::default();
                        while let Some(name) = map.next_key::<String>()? {
                            match name {
                                $(
                                    // envy gives names in lower case
                                    name if name.eq_ignore_ascii_case(stringify!($key)) => {
                                        values.$key = map.next_value()?;
                                    }
                                )+
                                _ => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(values)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}
use section;

impl Key {
    /// The same variable under a name.
    const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// The same variable, which may also be read from a file.
    const fn or_file(self) -> Self {
        Self {
            from_file: true,
            ..self
        }
    }
}

/// A variable with a default.
const fn set(default: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key {
        fallback: Fallback::Text(default),
        ..unset(example, meaning)
    }
}

/// A variable without a default.
const fn unset(example: &'static str, meaning: &'static str) -> Key {
    Key {
        name: "",
        fallback: Fallback::None,
        meaning,
        example,
        secret: false,
        from_file: false,
    }
}

/// A secret.
const fn secret(example: &'static str, meaning: &'static str) -> Key {
    Key {
        secret: true,
        from_file: true,
        ..unset(example, meaning)
    }
}

/// A variable whose default is worked out from other values.
const fn derived(default: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key {
        fallback: Fallback::Derived(default),
        ..unset(example, meaning)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::durable::DurableValues;
    use super::*;

    #[test]
    fn no_two_variables_have_one_name() {
        let names: BTreeSet<&str> = all().map(|key| key.name).collect();
        assert_eq!(names.len(), all().count());
    }

    #[test]
    fn envy_reads_each_variable_of_a_section_by_its_own_reader() {
        let texts = [
            ("TECHNICAL_PARTITIONS", "8"),
            ("TECHNICAL_LEASE_SECS", "1"),
            ("NATS_URL", "nats://elsewhere"),
        ];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let values: DurableValues = envy::from_iter(texts).unwrap();
        assert_eq!(values.TECHNICAL_PARTITIONS.0, Some(Ok(8)));
        let refused = Some(Err(
            "must be a whole number from 2 to 3600 (seconds)".to_owned()
        ));
        assert_eq!(values.TECHNICAL_LEASE_SECS.0, refused);
        assert_eq!(values.TECHNICAL_BARS_STREAM.0, None);
    }
}
