//! JSON: a value per line, or values that span lines.
//!
//! An array on one line is one message, as a source would send it. An array that spans lines or is
//! larger than a message is taken apart: its objects are messages of their own, rows of numbers
//! stay together as far as a message goes. As in one message, its bars are in the order of time.

mod defaults;
mod elements;

use std::io::{self, BufRead};

use super::{BAD_LINE, Line, LineError, ReadOptions};
use defaults::fill_in;
use elements::{Elements, Part};

/// The longest line, and the longest value over several lines, that is read as one.
const MAX_VALUE: usize = 16 << 20;
/// Bytes of an array up to which it is one message.
const MAX_ARRAY: usize = 64 << 10;

pub(super) struct Json<R> {
    bytes: Bytes<R>,
    options: ReadOptions,
    /// The array that is being taken apart.
    array: Option<Elements>,
    /// True if the user was told that bars were sorted.
    is_told: bool,
    notes: Vec<String>,
    ended: bool,
}

/// A value that was read, or what kept it from being read.
type Found = Result<Option<Line>, LineError>;

impl<R: BufRead> Json<R> {
    pub const fn new(input: R, options: ReadOptions) -> Self {
        Self {
            bytes: Bytes::new(input),
            options,
            array: None,
            is_told: false,
            notes: Vec::new(),
            ended: false,
        }
    }

    /// The notes since the last call.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn filled(&self, line: Line) -> Line {
        Line {
            payload: fill_in(line.payload, &self.options),
            ..line
        }
    }

    fn message(&mut self) -> Found {
        loop {
            if let Some(array) = &mut self.array {
                let read = || part(&mut self.bytes, &self.options);
                if let Some(line) = array.next(read, &self.options)? {
                    self.notes.extend(array.note().filter(|_| !self.is_told));
                    self.is_told |= !self.notes.is_empty();
                    return Ok(Some(line));
                }
                self.array = None;
                self.bytes.skip_blank()?;
            }
            let Some(first) = self.bytes.next_sign()? else {
                return Ok(None);
            };
            match first {
                b'[' => match self.array()? {
                    Some(line) => return Ok(Some(self.filled(line))),
                    None => self.array = Some(Elements::default()),
                },
                b'{' => {
                    let line = self.bytes.object(true)?;
                    return Ok(Some(self.filled(line)));
                }
                _ => return self.bytes.line(self.bytes.line, Vec::new()).map(Some),
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
                return self.bytes.rest_of_line(number, text).map(Some);
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
}

/// The next element of an array that is taken apart; none at its end.
fn part<R: BufRead>(
    bytes: &mut Bytes<R>,
    options: &ReadOptions,
) -> Result<Option<Part>, LineError> {
    loop {
        match bytes.next_sign()? {
            None => return Ok(None),
            Some(b',') => {
                bytes.next()?;
            }
            Some(b']') => {
                bytes.next()?;
                return Ok(None);
            }
            Some(sign @ (b'{' | b'[')) => {
                let Line { number, payload } = bytes.object(false)?;
                return Ok(Some(Part {
                    line: Line::new(number, fill_in(payload, options)),
                    is_row: sign == b'[',
                }));
            }
            Some(_) => {
                let line = bytes.scalar()?;
                let is_row = false;
                return Ok(Some(Part { line, is_row }));
            }
        }
    }
}

/// Values of JSON.
impl<R: BufRead> Bytes<R> {
    /// An object, or an array within an array.
    fn object(&mut self, alone: bool) -> Result<Line, LineError> {
        let number = self.line;
        let (mut text, mut nesting) = (Vec::new(), Nesting::default());
        while let Some(byte) = self.next()? {
            if byte == b'\n' {
                // a line that was cut off must not take the next ones with it
                let next = self.peek()?;
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
        let number = self.line;
        let (mut text, mut in_string, mut escaped) = (Vec::new(), false, false);
        while let Some(byte) = self.peek()? {
            if !in_string && matches!(byte, b',' | b']' | b'\n') {
                break;
            }
            in_string ^= byte == b'"' && !escaped;
            escaped = in_string && byte == b'\\' && !escaped;
            text.push(byte);
            self.next()?;
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
        while let Some(byte) = self.next()? {
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
        while self.next()?.is_some_and(|byte| byte != b'\n') {}
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
            Ok(Some(line)) => Some(Ok(line)),
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

#[cfg(test)]
mod tests;
