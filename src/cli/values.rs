//! Values on the command line: each function reads one, or names the valid forms.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::market::{Symbol, Timestamp};
use crate::wire::{Reason, SubjectPattern};

pub(super) fn plain_subject(text: &str) -> Result<String, String> {
    let pattern: SubjectPattern = text.parse().map_err(|invalid| format!("{invalid}"))?;
    if text.contains(['*', '>', '{']) {
        return Err("a subject without wildcards is needed".to_owned());
    }
    Ok(pattern.as_str().to_owned())
}

pub(super) fn symbol(text: &str) -> Result<String, String> {
    Symbol::check(text)
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [one @ (b'\t' | 0x20..=0x7e)] if !one.is_ascii_alphanumeric() && *one != b'"' => Ok(*one),
        _ => Err("must be one character, or tab".to_owned()),
    }
}

pub(super) fn reason() -> impl TypedValueParser<Value = Reason> {
    // the names are those of ALL
    PossibleValuesParser::new(Reason::ALL.map(Reason::name))
        .try_map(|name| Reason::named(&name).ok_or("is no reason"))
}

pub(super) fn stream_name(text: &str) -> Result<String, String> {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !".*>/\\".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Err(
            "must be the name of a stream: no dots, wildcards, slashes or spaces".to_owned(),
        );
    }
    Ok(text.to_owned())
}

pub(super) fn patience(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|wait| *wait <= Duration::from_secs(86_400))
        .ok_or_else(|| "must be a number of seconds from 0 to 86400".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => f64::NAN,
    };
    let duration = number
        .parse()
        .ok()
        .filter(|number: &f64| *number > 0.0 && number * seconds <= 366.0 * 86_400.0)
        .and_then(|number| Duration::try_from_secs_f64(number * seconds).ok());
    duration
        .ok_or_else(|| "must be a number of seconds, or 90s, 15m, 2h, 1d, up to a year".to_owned())
}

/// Reads a time; numbers are refused, as it would not be clear which time they mean.
pub(super) fn stored_time(text: &str) -> Result<Timestamp, String> {
    let invalid = || "must be RFC 3339 with an offset (2026-01-31T14:30:00Z)".to_owned();
    if !text.contains(['T', 't', ' ']) {
        return Err(invalid());
    }
    text.parse().map_err(|_| invalid())
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)
        .ok_or_else(|| "must be a number per second, 0 or more".to_owned())
}
