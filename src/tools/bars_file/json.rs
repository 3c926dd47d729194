//! JSON: a value per line, or values that span lines.
//!
//! An array on one line is one message, as a source would send it. An array that spans lines or is
//! larger than a message is taken apart: its objects are messages of their own, rows of numbers
//! stay together as far as a message goes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufRead};

use serde_json::value::RawValue;

use super::{BAD_LINE, Line, LineError, ReadOptions, SYMBOL, TIMEFRAME};

/// The longest line, and the longest value over several lines, that is read as one.
const MAX_VALUE: usize = 16 << 20;
/// Bytes of an array up to which it is one message.
const MAX_ARRAY: usize = 64 << 10;
/// Rows of numbers in one message.
const MAX_ROWS: usize = 1_000;

pub(super) struct Json<R> {
    bytes: Bytes<R>,
    options: ReadOptions,
    /// Within an array that is taken apart.
    in_array: bool,
    ended: bool,
}

/// A value that was read, or what kept it from being read.
type Found = Result<Option<Line>, LineError>;

impl<R: BufRead> Json<R> {
    pub const fn new(input: R, options: ReadOptions) -> Self {
        Self {
            bytes: Bytes::new(input),
            options,
            in_array: false,
            ended: false,
        }
    }

    fn message(&mut self) -> Found {
        loop {
            if self.in_array {
                if let Some(line) = self.element()? {
                    return Ok(Some(line));
                }
                self.in_array = false;
                self.bytes.skip_blank()?;
            }
            let Some(first) = self.bytes.next_sign()? else {
                return Ok(None);
            };
            match first {
                b'[' => match self.array()? {
                    Some(line) => return Ok(Some(line)),
                    None => self.in_array = true,
                },
                b'{' => return self.object(true).map(Some),
                _ => return self.line(self.bytes.line, Vec::new()).map(Some),
            }
        }
    }

    /// An array that is one message; none where it is to be taken apart, from after its bracket.
    fn array(&mut self) -> Found {
        let number = self.bytes.line;
        let (mut text, mut nesting) = (Vec::new(), Nesting::default());
        while let Some(byte) = self.bytes.next()? {
            text.push(byte);
            if nesting.ends_with(byte) {
                return self.rest_of_line(number, text).map(Some);
            }
            if byte == b'\n' && nesting.in_string {
                // no text in JSON goes on in another line
                text.pop();
                return Ok(Some(Line::new(number, text)));
            }
            if byte == b'\n' || text.len() > MAX_ARRAY {
                let first = text[1..].trim_ascii_start().first().copied();
                let first = match first {
                    Some(first) => Some(first),
                    None => self.bytes.next_sign()?,
                };
                // a row of numbers is one bar, however it is written
                if !matches!(first, Some(b'{' | b'[')) && text.len() <= MAX_VALUE {
                    continue;
                }
                text.remove(0);
                self.bytes.put_back(text, number);
                return Ok(None);
            }
        }
        Ok(Some(Line::new(number, text)))
    }

    /// The next message of an array that is taken apart; none at its end.
    fn element(&mut self) -> Found {
        let (mut rows, mut number) = (Vec::new(), 0);
        let mut count = 0;
        loop {
            let next = self.bytes.next_sign()?;
            let row = next == Some(b'[');
            if count > 0
                && (next.is_none_or(|byte| !matches!(byte, b'[' | b','))
                    || count == MAX_ROWS
                    || rows.len() > MAX_ARRAY)
            {
                rows.push(b']');
                return Ok(Some(Line::new(number, rows)));
            }
            match next {
                None => return Ok(None),
                Some(b',') => {
                    self.bytes.next()?;
                }
                Some(b']') => {
                    self.bytes.next()?;
                    return Ok(None);
                }
                Some(b'{') => return self.object(false).map(Some),
                Some(_) if row => {
                    let line = self.object(false)?;
                    if count == 0 {
                        number = line.number;
                    }
                    rows.push(if count == 0 { b'[' } else { b',' });
                    rows.extend_from_slice(&line.payload);
                    count += 1;
                }
                Some(_) => return self.scalar().map(Some),
            }
        }
    }

    /// An object, or an array within an array.
    fn object(&mut self, alone: bool) -> Result<Line, LineError> {
        let number = self.bytes.line;
        let (mut text, mut nesting) = (Vec::new(), Nesting::default());
        while let Some(byte) = self.bytes.next()? {
            if byte == b'\n' {
                // a line that was cut off must not take the next ones with it
                let next = self.bytes.peek()?;
                if nesting.in_string || matches!(next, Some(b'{' | b'[')) {
                    break;
                }
            }
            text.push(byte);
            if text.len() > MAX_VALUE {
                return Err(self.too_long(number)?);
            }
            if nesting.ends_with(byte) {
                return if alone {
                    self.rest_of_line(number, text)
                } else {
                    Ok(Line::new(number, text))
                };
            }
        }
        Ok(Line::new(number, text.trim_ascii().to_vec()))
    }

    /// Something in an array that is neither object nor array.
    fn scalar(&mut self) -> Result<Line, LineError> {
        let number = self.bytes.line;
        let (mut text, mut in_string, mut escaped) = (Vec::new(), false, false);
        while let Some(byte) = self.bytes.peek()? {
            if !in_string && matches!(byte, b',' | b']' | b'\n') {
                break;
            }
            in_string ^= byte == b'"' && !escaped;
            escaped = in_string && byte == b'\\' && !escaped;
            text.push(byte);
            self.bytes.next()?;
            if text.len() > MAX_VALUE {
                return Err(self.too_long(number)?);
            }
        }
        Ok(Line::new(number, text.trim_ascii().to_vec()))
    }

    /// A value with what follows it on its line, which makes it no JSON unless it is a comma.
    fn rest_of_line(&mut self, number: u64, text: Vec<u8>) -> Result<Line, LineError> {
        let length = text.len();
        let mut line = self.line(number, text)?;
        if line.payload[length..].trim_ascii() == b"," {
            line.payload.truncate(length);
        }
        Ok(line)
    }

    /// The rest of a line after `text`.
    fn line(&mut self, number: u64, mut text: Vec<u8>) -> Result<Line, LineError> {
        while let Some(byte) = self.bytes.next()? {
            if byte == b'\n' {
                break;
            }
            text.push(byte);
            if text.len() > MAX_VALUE {
                return Err(self.too_long(number)?);
            }
        }
        text.truncate(text.trim_ascii_end().len());
        Ok(Line::new(number, text))
    }

    fn too_long(&mut self, number: u64) -> Result<LineError, LineError> {
        while self.bytes.next()?.is_some_and(|byte| byte != b'\n') {}
        Ok(LineError::Bad {
            number,
            name: BAD_LINE,
            reason: format!("is longer than {MAX_VALUE} bytes"),
        })
    }
}

/// Finds the end of a value: the open brackets, text aside.
#[derive(Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Goes over a byte, and tells whether the value ends with it.
    const fn ends_with(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// The bytes of an input with the number of their line.
struct Bytes<R> {
    input: R,
    /// Bytes that were read ahead and put back.
    ahead: Vec<u8>,
    at: usize,
    /// The line of the next byte, from 1.
    line: u64,
    begun: bool,
}

impl<R: BufRead> Bytes<R> {
    const fn new(input: R) -> Self {
        Self {
            input,
            ahead: Vec::new(),
            at: 0,
            line: 1,
            begun: false,
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, LineError> {
        if let Some(byte) = self.ahead.get(self.at) {
            return Ok(Some(*byte));
        }
        loop {
            match self.input.fill_buf() {
                Ok(bytes) if !self.begun && bytes.starts_with(b"\xef\xbb\xbf") => {
                    self.input.consume(3);
                    self.begun = true;
                }
                Ok(bytes) => {
                    self.begun = true;
                    return Ok(bytes.first().copied());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let number = self.line;
                    return Err(LineError::Read { number, error });
                }
            }
        }
    }

    fn next(&mut self) -> Result<Option<u8>, LineError> {
        let byte = self.peek()?;
        let Some(byte) = byte else {
            return Ok(None);
        };
        if self.at < self.ahead.len() {
            self.at += 1;
        } else {
            self.input.consume(1);
        }
        self.line += u64::from(byte == b'\n');
        Ok(Some(byte))
    }

    /// The next byte that is no white space, without taking it.
    fn next_sign(&mut self) -> Result<Option<u8>, LineError> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.next()?;
        }
        Ok(None)
    }

    /// Goes to the end of the line if there is nothing more on it.
    fn skip_blank(&mut self) -> Result<(), LineError> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() && byte != b',' {
                break;
            }
            self.next()?;
        }
        Ok(())
    }

    /// Takes back bytes that were read from line `line` on.
    fn put_back(&mut self, mut bytes: Vec<u8>, line: u64) {
        bytes.extend_from_slice(&self.ahead[self.at..]);
        self.ahead = bytes;
        self.at = 0;
        self.line = line;
    }
}

impl<R: BufRead> Iterator for Json<R> {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.message() {
            Ok(Some(line)) => Some(Ok(Line {
                number: line.number,
                payload: fill_in(line.payload, &self.options),
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
fn fill_in(line: Vec<u8>, options: &ReadOptions) -> Vec<u8> {
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

#[cfg(test)]
mod tests;
