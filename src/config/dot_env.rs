//! `.env` in the working directory, as dotenvy understands it, with the number of every line
//! that it does not. The process environment is left as it is.
//!
//! Two things are not as in dotenvy: a `$` is a `$`, because a password may hold one and must not be
//! changed in silence, and of two lines with one key the last holds, as in a shell.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use super::environment::Environment;
use super::source::Layer;
use super::violation::Violation;

/// The content of a `.env`.
#[derive(Debug, Default)]
pub(super) struct DotEnv {
    pub values: Layer,
    pub bad_lines: Vec<Violation>,
    /// Values that may be meant otherwise than they are understood: the variable, and the remark.
    pub remarks: Vec<(String, String)>,
}

/// Reads it; a file that is not there is an empty one.
pub(super) fn read(environment: &dyn Environment) -> Result<DotEnv, Violation> {
    let refusal = |reason| Violation::DotEnv { line: None, reason };
    let text = match environment.read(Path::new(".env")) {
        Ok(bytes) => String::from_utf8(bytes)
            .map_err(|_| refusal("is not UTF-8; save it in that encoding".to_owned()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DotEnv::default()),
        Err(error) => return Err(refusal(format!("cannot be read: {error}"))),
    };
    parse(&text).map_err(|reason| refusal(format!("cannot be read: {reason}")))
}

fn parse(text: &str) -> Result<DotEnv, String> {
    let text = text.trim_start_matches('\u{feff}');
    let stand_in = ('\u{e000}'..='\u{f8ff}')
        .find(|c| !text.contains(*c))
        .ok_or("it holds every character of the private use area")?;
    let literal = literal_dollars(text, stand_in);
    let source: Vec<&str> = text.lines().collect();
    let mut file = DotEnv::default();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let line = Rc::new(Cell::new(0));
    let lines = Lines {
        rest: literal.as_bytes(),
        taken: Rc::clone(&line),
    };
    let mut done = 0;
    for item in dotenvy::from_read_iter(lines) {
        match item {
            Ok((name, value)) => {
                let (at, raw) = place_of(&name, &source, done..line.get());
                let value = value.replace(stand_in, "$");
                let mut remark = |text: String| file.remarks.push((name.clone(), text));
                if let Some(first) = seen.insert(name.clone(), at) {
                    remark(format!(
                        "{name} is set twice in .env, on line {first} and on line {at}; line {at} holds"
                    ));
                }
                if value.contains("${") {
                    remark(format!(
                        "{name} (.env line {at}) is taken literally: nothing is put in place of ${{…}}"
                    ));
                }
                if value.is_empty() && raw.starts_with('#') {
                    remark(format!(
                        "{name} (.env line {at}) is empty: what begins with # is a comment; quote a value that does"
                    ));
                }
                file.values.insert(name, value.into());
            }
            // the text is not shown: it may hold a secret
            Err(dotenvy::Error::LineParse(bad, _)) => file.bad_lines.push(Violation::DotEnv {
                line: Some(line.get() + 1 - bad.lines().count().clamp(1, line.get().max(1))),
                reason:
                    "is no NAME=value (quote a value that has spaces, put one with a backslash \
                         in single quotes, close every quote)"
                        .to_owned(),
            }),
            Err(error) => return Err(error.to_string()),
        }
        done = line.get();
    }
    Ok(file)
}

/// The text with every `$` that dotenvy would substitute replaced by a character that it leaves
/// alone. A `$` behind a backslash is one already.
fn literal_dollars(text: &str, stand_in: char) -> String {
    let mut escaped = false;
    text.chars()
        .map(|c| {
            let is_escaped = escaped;
            escaped = c == '\\' && !is_escaped;
            if c == '$' && !is_escaped { stand_in } else { c }
        })
        .collect()
}

/// The number of the line that sets `name`, and the text after its `=`.
fn place_of<'a>(name: &str, source: &[&'a str], lines: std::ops::Range<usize>) -> (usize, &'a str) {
    let last = lines.end;
    for at in lines {
        let Some(text) = source.get(at) else { break };
        let text = text.trim_start();
        let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
        if let Some(value) = text
            .strip_prefix(name)
            .and_then(|rest| rest.trim_start().strip_prefix('='))
        {
            return (at + 1, value);
        }
    }
    (last, "")
}

/// Gives one line per read, so that the reader's place is known.
struct Lines<'a> {
    rest: &'a [u8],
    taken: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.rest.iter().position(|b| *b == b'\n');
        let line = end.map_or(self.rest.len(), |end| end + 1);
        let count = line.min(buffer.len());
        let (given, rest) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(given);
        if given.ends_with(b"\n") || (rest.is_empty() && !given.is_empty()) {
            self.taken.set(self.taken.get() + 1);
        }
        self.rest = rest;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_counted_from_where_it_begins() {
        let bad = |text: &str| -> Vec<Option<usize>> {
            let lines = parse(text).unwrap().bad_lines;
            let number = |violation: &Violation| match violation {
                Violation::DotEnv { line, .. } => *line,
                Violation::Keys { .. } => None,
            };
            lines.iter().map(number).collect()
        };
        assert_eq!(bad("A=1\n# two words\n\nB=two words\nC=3\n"), [Some(4)]);
        assert_eq!(bad("what"), [Some(1)]);
        assert_eq!(bad("A=1\nB=\"open\nC=3\n"), [Some(2)]);
        assert_eq!(bad("A=two words\nA=two words\n"), [Some(1), Some(2)]);
        assert_eq!(bad("\u{feff}A='x\ny'\r\nwhat now\n"), [Some(3)]);
    }

    fn values(text: &str) -> Vec<(String, String)> {
        let file = parse(text).unwrap();
        assert!(file.bad_lines.is_empty(), "{:?}", file.bad_lines);
        let plain =
            |(name, value): (String, std::ffi::OsString)| (name, value.into_string().unwrap());
        file.values.into_iter().map(plain).collect()
    }

    fn value(line: &str) -> String {
        values(line).remove(0).1
    }

    #[test]
    fn a_dollar_is_a_dollar() {
        for (line, meant) in [
            ("A=pa$word", "pa$word"),
            ("A=$", "$"),
            ("A=a$", "a$"),
            ("A=${HOME}/$PATH", "${HOME}/$PATH"),
            ("A=\"pa$word ${X}\"", "pa$word ${X}"),
            ("A='pa$word'", "pa$word"),
            // as it had to be written where it was substituted
            (r"A=pa\$word", "pa$word"),
            (r#"A="pa\$word""#, "pa$word"),
            (r"A='pa\$word'", r"pa\$word"),
            (r"A=pa\\$word", r"pa\$word"),
            ("A=\u{e000}$x", "\u{e000}$x"),
        ] {
            assert_eq!(value(line), meant, "{line}");
        }
    }

    #[test]
    fn the_usual_forms_are_understood() {
        for line in [
            "A=b c",
            "\u{feff}A='b c'",
            "export A=\"b c\"\r",
            "  A = 'b c'  # why",
            r"A=b\ c",
        ] {
            let quoted = line.replace("=b c", "='b c'");
            assert_eq!(
                values(&format!("{quoted}\n")),
                [("A".to_owned(), "b c".to_owned())],
                "{line:?}"
            );
        }
        assert_eq!(value("A=b#c"), "b#c");
        assert_eq!(values("A=1\r\n\r\nB=2\r\n").len(), 2);
    }

    #[test]
    fn of_two_lines_with_one_key_the_last_holds_and_both_are_named() {
        let file = parse("A=1\n# A=0\nexport B='x\ny'\n\nA=2\nB=3\nC=4\n").unwrap();
        assert_eq!(file.values["A"], "2");
        assert_eq!(file.values["B"], "3");
        let remarks: Vec<&str> = file.remarks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            remarks,
            [
                "A is set twice in .env, on line 1 and on line 6; line 6 holds",
                "B is set twice in .env, on line 3 and on line 7; line 7 holds",
            ]
        );
    }

    #[test]
    fn what_may_not_be_meant_is_remarked() {
        let remarks = |text: &str| parse(text).unwrap().remarks;
        assert_eq!(remarks("A=1 # one\nB='#x'\nC=\nD= # none\nE=a$b\n"), []);
        let hash = remarks("X=1\nA=#x\n");
        assert!(hash[0].1.contains("A (.env line 2) is empty"), "{hash:?}");
        let braces = remarks("A=${B}\n");
        assert!(braces[0].1.contains("taken literally"), "{braces:?}");
    }
}
