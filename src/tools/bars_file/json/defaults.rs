//! The symbol and timeframe of the options, in bars that name none.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::tools::bars_file::{ReadOptions, SYMBOL, TIMEFRAME};

/// Puts the defaults into bars that name no symbol or timeframe. What is no JSON stays as it
/// is: the decoder says better what is wrong with it.
pub(super) fn fill_in(line: Vec<u8>, options: &ReadOptions) -> Vec<u8> {
    if options.symbol.is_none() && options.timeframe.is_none() {
        return line;
    }
    let Ok(text) = std::str::from_utf8(&line) else {
        return line;
    };
    let filled = if text.starts_with('[') {
        serde_json::from_str::<Vec<&RawValue>>(text)
            .ok()
            .map(|bars| {
                let bars: Vec<Cow<'_, str>> = bars
                    .iter()
                    .map(|bar| with_defaults(bar.get(), options))
                    .collect();
                format!("[{}]", bars.join(",")).into_bytes()
            })
    } else {
        match with_defaults(text, options) {
            Cow::Owned(text) => Some(text.into_bytes()),
            Cow::Borrowed(_) => None,
        }
    };
    filled.unwrap_or(line)
}

fn with_defaults<'a>(bar: &'a str, options: &ReadOptions) -> Cow<'a, str> {
    let Ok(fields) = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(bar) else {
        return bar.into();
    };
    let names = |known: &[&str]| {
        let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        fields.keys().any(|name| is_known(name))
    };
    let mut added = Vec::new();
    if let Some(symbol) = options.symbol.as_ref().filter(|_| !names(SYMBOL)) {
        added.push(format!(
            "\"symbol\":{}",
            serde_json::Value::from(symbol.as_str())
        ));
    }
    if let Some(timeframe) = options.timeframe.filter(|_| !names(TIMEFRAME)) {
        added.push(format!("\"timeframe\":\"{timeframe}\""));
    }
    match bar.trim_start().strip_prefix('{') {
        Some(rest) if !added.is_empty() => {
            let comma = if fields.is_empty() { "" } else { "," };
            format!("{{{}{comma}{rest}", added.join(",")).into()
        }
        _ => bar.into(),
    }
}
