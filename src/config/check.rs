//! From text to values, one variable at a time, with everything that is wrong noted down.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::{self, Fallback, Key};
use super::settings::{Settings, Source};
use super::violation::{Given, Violation};

/// A variable and its text.
pub(super) struct Field<'a> {
    pub key: &'static Key,
    pub text: Option<&'a str>,
}

impl<'a> Field<'a> {
    /// `name` is the variable's in any case.
    pub fn new(name: &str, text: Option<&'a String>) -> Self {
        let key = keys::find(name).expect("every field of `Raw` is a listed variable");
        let text = text.map(String::as_str);
        Self { key, text }
    }
}

/// The field of [`super::raw::Raw`] with its key: `field!(raw.nats_url)`.
macro_rules! field {
    ($raw:ident.$name:ident) => {
        $crate::config::check::Field::new(stringify!($name), $raw.$name.as_ref())
    };
}
pub(super) use field;

/// Collects what is wrong.
pub(super) struct Check<'a> {
    settings: &'a Settings,
    bad: BTreeSet<&'static str>,
    pub violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            bad: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// Reads a variable that has a default. Where its text is refused, the default stands in,
    /// so that all the others can still be checked.
    pub fn read<T>(&mut self, field: &Field<'_>, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let Fallback::Text(default) = field.key.fallback else {
            unreachable!("{} has a default text", field.key.name)
        };
        let text = field.text.unwrap_or(default);
        parse(text).unwrap_or_else(|reason| {
            self.refuse(&[field.key], reason);
            parse(default).unwrap_or_else(|reason| {
                unreachable!("the default of {} is valid, but {reason}", field.key.name)
            })
        })
    }

    /// Reads a variable that may be missing.
    pub fn read_optional<T>(
        &mut self,
        field: &Field<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(field.text?)
            .map_err(|reason| self.refuse(&[field.key], reason))
            .ok()
    }

    /// Returns whether a variable is set, rather than left to its default.
    pub fn is_set(&self, name: &str) -> bool {
        keys::find(name).is_some_and(|key| self.settings.given(key).source != Source::Default)
    }

    /// A rule about the values of `names`, which says nothing when one of them is refused
    /// already.
    pub fn require(&mut self, holds: bool, names: &[&'static str], reason: impl Into<String>) {
        let refused = names.iter().any(|name| self.bad.contains(name));
        self.require_set(holds || refused, names, reason);
    }

    /// A rule about which of `names` are set, whatever their values.
    pub fn require_set(&mut self, holds: bool, names: &[&'static str], reason: impl Into<String>) {
        if holds {
            return;
        }
        let keys: Vec<&'static Key> = names
            .iter()
            .map(|name| keys::find(name).expect("rules name listed variables"))
            .collect();
        let given = keys.iter().map(|key| self.settings.given(key)).collect();
        let reason = reason.into();
        self.violations.push(Violation::Keys { given, reason });
    }

    fn refuse(&mut self, keys: &[&'static Key], reason: String) {
        self.bad.extend(keys.iter().map(|key| key.name));
        let given: Vec<Given> = keys.iter().map(|key| self.settings.given(key)).collect();
        self.violations.push(Violation::Keys { given, reason });
    }
}

/// A whole number in `range`.
pub(super) fn whole(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let value = text
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok());
        value
            .flatten()
            .filter(|value| range.contains(value))
            .ok_or_else(|| {
                format!(
                    "must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            })
    }
}

/// As [`whole`], for counts of things in memory.
pub(super) fn count(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<usize, String> {
    let parse = whole(u64::from(*range.start())..=u64::from(*range.end()));
    move |text| usize::try_from(parse(text)?).map_err(|error| error.to_string())
}

/// A number in `range`.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> {
    move |text| {
        text.parse()
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| format!("must be a number from {} to {}", range.start(), range.end()))
    }
}

/// Seconds in `range`, a fraction allowed.
pub(super) fn seconds(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<Duration, String> {
    let parse = number(range);
    move |text| {
        let seconds = parse(text).map_err(|reason| format!("{reason} (seconds)"))?;
        Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
    }
}

/// Whole seconds in `range`.
pub(super) fn whole_seconds(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<Duration, String> {
    let parse = whole(range);
    move |text| {
        parse(text)
            .map(Duration::from_secs)
            .map_err(|reason| format!("{reason} (seconds)"))
    }
}

/// One of a few words, in any case.
pub(super) fn one_of<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let known = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        known.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}", words.join(", "))
        })
    }
}

/// A name that people and headers can carry: 1 to 128 bytes of printable text.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.len() > MAX_NAME {
        return Err(format!(
            "has {} bytes; at most {MAX_NAME} are allowed",
            text.len()
        ));
    }
    if text
        .chars()
        .any(|c| c.is_control() || (c.is_whitespace() && c != ' '))
    {
        return Err("must be printable".to_owned());
    }
    Ok(text.to_owned())
}

/// The longest name of an agent or group, in bytes.
pub(super) const MAX_NAME: usize = 128;

/// The name of a stream, as NATS takes it.
pub(super) fn stream_name(text: &str) -> Result<String, String> {
    let name = name(text)?;
    if name.contains([' ', '.', '*', '>', '/', '\\']) {
        return Err("must not contain a space or any of . * > / \\".to_owned());
    }
    Ok(name)
}
