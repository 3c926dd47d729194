//! Rows of text: cells between delimiters.

use std::io::{self, Cursor, Read};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Trim};

use super::super::{BAD_LINE, LineError, ReadOptions};
use super::Rows;
use super::layout::{self, Layout};

/// Bytes in which the header is looked for.
const HEAD: usize = 64 * 1024;

pub(super) struct CsvRows {
    reader: Reader<Box<dyn Read + Send>>,
    /// Lines before the first row.
    before: u64,
    ended: bool,
}

impl CsvRows {
    /// Finds the table in `input`.
    pub fn open(
        input: impl Read + Send + 'static,
        options: &ReadOptions,
    ) -> Result<(Self, Layout), String> {
        let mut input = LineFeeds::new(input);
        let mut head = Vec::new();
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        (&mut input)
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        if head.starts_with(b"\xef\xbb\xbf") {
            head.drain(..3);
        }
        let columns = options.columns.as_deref();
        let layout = layout::find(&head, columns, options.delimiter, options.preset)?;
        head.drain(..layout.skip);
        let rest: Box<dyn Read + Send> = Box::new(Cursor::new(head).chain(input));
        let reader = ReaderBuilder::new()
            .delimiter(layout.delimiter)
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(rest);
        let rows = Self {
            reader,
            before: layout.lines,
            ended: false,
        };
        Ok((rows, layout))
    }
}

impl Rows for CsvRows {
    fn next_row(&mut self, row: &mut ByteRecord) -> Option<Result<u64, LineError>> {
        if self.ended {
            return None;
        }
        let read = self.reader.read_byte_record(row);
        let end = self.before + self.reader.position().line();
        match read {
            Ok(true) => {
                // every row ends with a line feed; those within quotes are lines of it, too
                let within = row.as_slice().iter().filter(|b| **b == b'\n').count() as u64;
                Some(Ok(end.saturating_sub(1 + within)))
            }
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(match error.into_kind() {
                    ErrorKind::Io(error) => LineError::Read { number: end, error },
                    other => LineError::Bad {
                        number: end,
                        name: BAD_LINE,
                        reason: format!("{other:?}"),
                    },
                }))
            }
        }
    }
}

/// Text in which every line ends with a line feed alone, the last one included.
struct LineFeeds<R> {
    inner: R,
    buffer: Box<[u8]>,
    /// The part of the buffer that was not returned yet.
    ready: std::ops::Range<usize>,
    after_return: bool,
    last: u8,
    ended: bool,
}

impl<R: Read> LineFeeds<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: vec![0; 64 * 1024].into(),
            ready: 0..0,
            after_return: false,
            last: b'\n',
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.ready.is_empty() && !self.ended {
            let count = self.inner.read(&mut self.buffer)?;
            if count == 0 {
                self.ended = true;
                if self.last != b'\n' {
                    self.buffer[0] = b'\n';
                    self.ready = 0..1;
                }
                return Ok(());
            }
            let mut to = 0;
            for from in 0..count {
                let byte = self.buffer[from];
                let second = byte == b'\n' && self.after_return;
                self.after_return = byte == b'\r';
                if second {
                    continue;
                }
                self.last = if byte == b'\r' { b'\n' } else { byte };
                self.buffer[to] = self.last;
                to += 1;
            }
            self.ready = 0..to;
        }
        Ok(())
    }
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = self.ready.len().min(to.len());
        let start = self.ready.start;
        to[..count].copy_from_slice(&self.buffer[start..start + count]);
        self.ready.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn numbered(text: &str) -> Vec<(u64, Vec<String>)> {
        let options = ReadOptions::default();
        let (mut rows, _) = CsvRows::open(Cursor::new(text.to_owned()), &options).unwrap();
        let mut row = ByteRecord::new();
        let mut all = Vec::new();
        while let Some(number) = rows.next_row(&mut row) {
            let cells = row
                .iter()
                .map(|cell| String::from_utf8_lossy(cell).into_owned());
            all.push((number.unwrap(), cells.collect()));
        }
        all
    }

    #[test]
    fn rows_have_the_numbers_of_their_lines_whatever_ends_a_line() {
        let text = "# made by hand\n\ntime,close\n1,2\n\n\n3,\"4\n5\"\n6,7";
        let expected = [4, 7, 9];
        for end in ["\n", "\r\n", "\r"] {
            let rows = numbered(&text.replace('\n', end));
            let numbers: Vec<u64> = rows.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, expected, "{end:?}");
            assert_eq!(rows[1].1[1], "4\n5", "{end:?}");
        }
        assert_eq!(
            numbered("\u{feff}time,close\r\n1,2\r\n"),
            [(2, vec!["1".to_owned(), "2".to_owned()])]
        );
    }

    proptest! {
        #[test]
        fn ends_of_lines_are_evened_wherever_reads_are_cut(text in "[ab\r\n]{0,40}", step in 1_usize..9) {
            struct Slow<'a>(&'a [u8], usize);
            impl Read for Slow<'_> {
                fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                    let count = self.1.min(self.0.len()).min(to.len());
                    to[..count].copy_from_slice(&self.0[..count]);
                    self.0 = &self.0[count..];
                    Ok(count)
                }
            }
            let mut read = String::new();
            LineFeeds::new(Slow(text.as_bytes(), step)).read_to_string(&mut read).unwrap();
            let mut expected = text.replace("\r\n", "\n").replace('\r', "\n");
            if !expected.is_empty() && !expected.ends_with('\n') {
                expected.push('\n');
            }
            prop_assert_eq!(read, expected);
        }
    }
}
