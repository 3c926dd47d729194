//! One JSON object or array per line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{BufRead, Read};

use serde_json::value::RawValue;

use super::{Defaults, Line, LineError, SYMBOL, TIMEFRAME};

/// The longest line that is read as one.
const MAX_LINE: u64 = 16 << 20;

pub(super) struct JsonLines<R> {
    input: R,
    defaults: Defaults,
    number: u64,
    ended: bool,
}

impl<R: BufRead> JsonLines<R> {
    pub const fn new(input: R, defaults: Defaults) -> Self {
        Self {
            input,
            defaults,
            number: 0,
            ended: false,
        }
    }

    /// The next line that is not blank; none at the end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        loop {
            self.number += 1;
            let number = self.number;
            let read = |error| LineError::Read { number, error };
            let mut line = Vec::new();
            let limited = (&mut self.input)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line);
            let count = limited.map_err(read)?;
            if count == 0 {
                return Ok(None);
            }
            if count as u64 == MAX_LINE && !line.ends_with(b"\n") {
                self.input.skip_until(b'\n').map_err(read)?;
                let reason = format!("is longer than {MAX_LINE} bytes");
                return Err(LineError::Bad { number, reason });
            }
            let mut text = line.trim_ascii();
            if number == 1 {
                text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            }
            if !text.is_empty() {
                return Ok(Some(text.to_vec()));
            }
        }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.line() {
            Ok(Some(line)) => Some(Ok(Line {
                number: self.number,
                payload: fill_in(line, &self.defaults),
            })),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = matches!(error, LineError::Read { .. });
                Some(Err(error))
            }
        }
    }
}

/// Puts the defaults into bars that name no symbol or timeframe. What is no JSON stays as it
/// is: the decoder says better what is wrong with it.
fn fill_in(line: Vec<u8>, defaults: &Defaults) -> Vec<u8> {
    if *defaults == Defaults::default() {
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
                    .map(|bar| with_defaults(bar.get(), defaults))
                    .collect();
                format!("[{}]", bars.join(",")).into_bytes()
            })
    } else {
        match with_defaults(text, defaults) {
            Cow::Owned(text) => Some(text.into_bytes()),
            Cow::Borrowed(_) => None,
        }
    };
    filled.unwrap_or(line)
}

fn with_defaults<'a>(bar: &'a str, defaults: &Defaults) -> Cow<'a, str> {
    let Ok(fields) = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(bar) else {
        return bar.into();
    };
    let names = |known: &[&str]| {
        let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        fields.keys().any(|name| is_known(name))
    };
    let mut added = Vec::new();
    if let Some(symbol) = defaults.symbol.as_ref().filter(|_| !names(SYMBOL)) {
        added.push(format!(
            "\"symbol\":{}",
            serde_json::Value::from(symbol.as_str())
        ));
    }
    if let Some(timeframe) = defaults.timeframe.filter(|_| !names(TIMEFRAME)) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_no_json_passes_as_it_is(line in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assume!(serde_json::from_slice::<serde_json::Value>(&line).is_err());
            prop_assert_eq!(fill_in(line.clone(), &defaults()), line);
        }

        #[test]
        fn a_bar_keeps_all_its_fields(
            fields in prop::collection::hash_map("[a-z]{1,3}|symbol|tf", "[0-9]{1,20}", 0..6),
        ) {
            let members: Vec<String> =
                fields.iter().map(|(name, digits)| format!("\"{name}\":1{digits}")).collect();
            let line = format!("{{{}}}", members.join(",")).into_bytes();
            let filled = fill_in(line, &defaults());
            let after: HashMap<String, &RawValue> = serde_json::from_slice(&filled).unwrap();
            for (name, digits) in &fields {
                prop_assert_eq!(after[name].get(), format!("1{digits}"));
            }
            prop_assert!(SYMBOL.iter().any(|name| after.contains_key(*name)));
            prop_assert!(TIMEFRAME.iter().any(|name| after.contains_key(*name)));
        }
    }

    fn defaults() -> Defaults {
        Defaults {
            symbol: Some("A\"B".to_owned()),
            timeframe: Some("5m".parse().unwrap()),
        }
    }

    fn lines(text: &[u8], defaults: Defaults) -> Vec<(u64, String)> {
        JsonLines::new(text, defaults)
            .map(Result::unwrap)
            .map(|line| {
                (
                    line.number,
                    String::from_utf8_lossy(&line.payload).into_owned(),
                )
            })
            .collect()
    }

    #[test]
    fn lines_are_numbered_as_in_the_file_and_blank_ones_passed_over() {
        let text = b"\xef\xbb\xbf{\"c\":1.10}\r\n\n  \n[{\"c\":2}]\nnonsense \xff";
        assert_eq!(
            lines(text, Defaults::default()),
            [
                (1, "{\"c\":1.10}".to_owned()),
                (4, "[{\"c\":2}]".to_owned()),
                (5, "nonsense \u{fffd}".to_owned()),
            ]
        );
    }

    #[test]
    fn defaults_are_added_only_where_a_bar_names_none_and_digits_stay() {
        let filled = |line: &str| lines(line.as_bytes(), defaults())[0].1.clone();
        assert_eq!(
            filled(r#"{"c":1.10e0}"#),
            r#"{"symbol":"A\"B","timeframe":"5m","c":1.10e0}"#
        );
        assert_eq!(filled(r#"{"S":"X","i":"1m"}"#), r#"{"S":"X","i":"1m"}"#);
        assert_eq!(
            filled(r#"{"ticker":"X","c":0.1}"#),
            r#"{"timeframe":"5m","ticker":"X","c":0.1}"#
        );
        assert_eq!(
            filled(r#"[{"s":"X","tf":"1h"}, {}, 7]"#),
            r#"[{"s":"X","tf":"1h"},{"symbol":"A\"B","timeframe":"5m"},7]"#
        );
        assert_eq!(filled("{\"c\":"), "{\"c\":");
        assert_eq!(filled("7"), "7");
    }

    #[test]
    fn a_line_without_end_is_refused_and_the_next_one_read() {
        let limit = usize::try_from(MAX_LINE).unwrap();
        let mut text = vec![b'x'; limit];
        text.extend_from_slice(b"yyy\n{}\n");
        let mut lines = JsonLines::new(text.as_slice(), Defaults::default());
        assert!(matches!(
            lines.next(),
            Some(Err(LineError::Bad { number: 1, .. }))
        ));
        assert_eq!(lines.next().unwrap().unwrap().number, 2);
        assert!(lines.next().is_none());
    }
}
