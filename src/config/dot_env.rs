//! `.env` in the working directory, as dotenvy understands it, with the number of every line
//! that it does not. The process environment is left as it is.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use super::environment::Environment;
use super::settings::Layer;
use super::violation::Violation;

/// What a `.env` holds.
#[derive(Debug, Default)]
pub(super) struct DotEnv {
    pub values: Layer,
    pub bad_lines: Vec<Violation>,
}

/// Reads it; a file that is not there is an empty one.
pub(super) fn read(environment: &dyn Environment) -> Result<DotEnv, Violation> {
    let refusal = |reason| Violation::DotEnv { line: None, reason };
    let text = match environment.read(Path::new(".env")) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| refusal("is not UTF-8".to_owned()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(DotEnv::default()),
        Err(error) => return Err(refusal(format!("cannot be read: {error}"))),
    };
    parse(&text).map_err(|error| refusal(format!("cannot be read: {error}")))
}

fn parse(text: &str) -> Result<DotEnv, dotenvy::Error> {
    let mut file = DotEnv::default();
    let line = Rc::new(Cell::new(0));
    let lines = Lines {
        rest: text.trim_start_matches('\u{feff}').as_bytes(),
        taken: Rc::clone(&line),
    };
    for item in dotenvy::from_read_iter(lines) {
        match item {
            // the first of two wins, as when dotenvy loads the file itself
            Ok((name, value)) => {
                file.values.entry(name).or_insert_with(|| value.into());
            }
            // the text is not shown: it may hold a secret
            Err(dotenvy::Error::LineParse(bad, _)) => file.bad_lines.push(Violation::DotEnv {
                line: Some(line.get() + 1 - bad.lines().count().clamp(1, line.get().max(1))),
                reason: "is no NAME=value (quote a value that has spaces, close every quote)"
                    .to_owned(),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(file)
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
}
