//! Readers of a variable's text, which say what would be valid.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::secret::Secret;

/// A whole number in `range`.
pub fn whole(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> {
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

/// Like [`whole`], for counts of things in memory.
pub fn count(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<usize, String> {
    let parse = whole(u64::from(*range.start())..=u64::from(*range.end()));
    move |text| usize::try_from(parse(text)?).map_err(|error| error.to_string())
}

/// A number in `range`.
pub fn number(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<f64, String> {
    move |text| {
        text.parse()
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| format!("must be a number from {} to {}", range.start(), range.end()))
    }
}

/// Seconds in `range`, a fraction allowed.
pub fn seconds(range: RangeInclusive<f64>) -> impl Fn(&str) -> Result<Duration, String> {
    let parse = number(range);
    move |text| {
        let seconds = parse(text).map_err(|reason| format!("{reason} (seconds)"))?;
        Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
    }
}

/// Whole seconds in `range`.
pub fn whole_seconds(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> {
    let parse = whole(range);
    move |text| {
        parse(text)
            .map(Duration::from_secs)
            .map_err(|reason| format!("{reason} (seconds)"))
    }
}

/// One of a few words, in any case.
pub fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
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
pub fn name(text: &str) -> Result<String, String> {
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
pub const MAX_NAME: usize = 128;

/// The name of a stream, as NATS takes it.
pub fn stream_name(text: &str) -> Result<String, String> {
    let name = name(text)?;
    if name.contains([' ', '.', '*', '>', '/', '\\']) {
        return Err("must not contain a space or any of . * > / \\".to_owned());
    }
    Ok(name)
}

/// Like `read`, but 0 means never.
pub fn or_never(
    read: impl Fn(&str) -> Result<Duration, String>,
) -> impl Fn(&str) -> Result<Option<Duration>, String> {
    move |text| read(text).map(|time| (!time.is_zero()).then_some(time))
}

/// Like `read`, but 0 means unlimited.
pub fn or_unlimited(
    read: impl Fn(&str) -> Result<u64, String>,
) -> impl Fn(&str) -> Result<Option<u64>, String> {
    move |text| read(text).map(|bound| (bound > 0).then_some(bound))
}

/// Any type that parses itself.
pub fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// A path.
#[allow(clippy::unnecessary_wraps)]
pub fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

/// Any text.
#[allow(clippy::unnecessary_wraps)]
pub fn any_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Any secret.
#[allow(clippy::unnecessary_wraps)]
pub fn any_secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.to_owned()))
}
