//! Tables of bars: CSV in the shapes that people have, and the rows of Parquet files.
//!
//! The first rows are looked at to find the columns, the form of times and numbers, the order and
//! the timeframe; then every row becomes the message that a source would send. Digits stay as they
//! stand in the file.

mod csv_rows;
mod header;
mod layout;
mod number;
mod preset;
mod reading;
mod spacing;
mod time;

use std::collections::VecDeque;
use std::io::Read;

use csv::ByteRecord;

use super::{BAD_LINE, Line, LineError, ReadOptions};
use crate::market::Timestamp;

use csv_rows::CsvRows;
use layout::Header;
pub use preset::Preset;
use reading::Reading;
use spacing::Sequence;
pub use time::{InvalidTimeFormat, TimeFormat};

/// Rows that are looked at before the first is given out.
const SAMPLE_ROWS: usize = 1_000;
/// Bytes of them.
const SAMPLE_BYTES: usize = 4 << 20;
/// Bytes of rows that are kept to be put in order.
const SORT_BYTES: usize = 512 << 20;
/// Symbols whose last time is remembered.
const SYMBOLS: usize = 100_000;

/// The rows of a table, one after another.
pub(super) trait Rows: Send {
    /// Reads the next row and tells its line, or its number where there are no lines.
    fn next_row(&mut self, row: &mut ByteRecord) -> Option<Result<u64, LineError>>;
}

/// A row that is a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    number: u64,
    time: Timestamp,
    /// The number of its symbol.
    symbol: u32,
    payload: Vec<u8>,
}

pub(super) struct Table {
    rows: Box<dyn Rows>,
    reading: Reading,
    /// Rows that were read to find the layout, and were not returned yet.
    sample: VecDeque<(u64, ByteRecord)>,
    queue: VecDeque<Result<Row, LineError>>,
    sorted: Option<Sorted>,
    ended: bool,
    notes: Vec<String>,
    /// The names of the columns that are read.
    named: Vec<(&'static str, String)>,
}

/// Rows in the order of time.
struct Sorted {
    bytes: Vec<u8>,
    rows: std::vec::IntoIter<Kept>,
}

/// The place of a row.
#[derive(Debug, Clone, Copy)]
struct Kept {
    time: Timestamp,
    number: u64,
    symbol: u32,
    start: u32,
    length: u32,
}

impl Table {
    /// A table in text.
    pub fn of_text(
        input: impl Read + Send + 'static,
        options: ReadOptions,
    ) -> Result<Self, String> {
        let (rows, layout) = CsvRows::open(input, &options)?;
        let mut notes = Vec::new();
        if let Some(line) = layout.header_line.filter(|line| *line > 1) {
            notes.push(format!("the header is line {line}"));
        }
        Self::open(
            Box::new(rows),
            &layout.header,
            layout.delimiter,
            options,
            notes,
        )
    }

    /// A table whose columns are known.
    #[cfg(feature = "parquet")]
    pub fn of_rows(
        rows: impl Rows + 'static,
        names: Vec<String>,
        options: ReadOptions,
    ) -> Result<Self, String> {
        let shown = names.join(", ");
        let mut header = Header::new(names);
        if let Some(columns) = &options.columns {
            header = Header::of_columns(columns)?.with_width(header.names.len());
        }
        if !header.is_complete() {
            return Err(format!(
                "the columns {shown} name no time or no close; name all columns of the file in their \
                 order with --columns: {}",
                header::NAMES,
            ));
        }
        Self::open(Box::new(rows), &header, b',', options, Vec::new())
    }

    fn open(
        mut rows: Box<dyn Rows>,
        header: &Header,
        delimiter: u8,
        options: ReadOptions,
        mut notes: Vec<String>,
    ) -> Result<Self, String> {
        let mut sample = VecDeque::new();
        let mut queue = VecDeque::new();
        let (mut bytes, mut ended) = (0, false);
        while sample.len() < SAMPLE_ROWS && bytes < SAMPLE_BYTES {
            let mut row = ByteRecord::new();
            match rows.next_row(&mut row) {
                Some(Ok(number)) => {
                    bytes += row.as_slice().len();
                    sample.push_back((number, row));
                }
                Some(Err(error)) => {
                    ended = matches!(error, LineError::Read { .. });
                    queue.push_back(Err(error));
                }
                None => ended = true,
            }
            if ended {
                break;
            }
        }
        let texts: Vec<Vec<String>> = sample
            .iter()
            .map(|(_, row)| {
                row.iter()
                    .map(|cell| String::from_utf8_lossy(cell).into_owned())
                    .collect()
            })
            .collect();
        notes.extend(
            options
                .preset
                .and_then(Preset::note)
                .filter(|_| options.zone.is_none())
                .map(str::to_owned),
        );
        let mut reading = Reading::new(header, delimiter, options, &texts, &mut notes)?;
        let steps = reading.look(&texts, &mut notes)?;
        let named = reading.columns().named(header);
        let sequence = steps.sequence();
        let mut table = Self {
            rows,
            reading,
            sample,
            queue,
            sorted: None,
            ended,
            notes,
            named,
        };
        match sequence {
            Sequence::OldestFirst => {}
            Sequence::NewestFirst => {
                let note = "the newest row comes first; the rows are put in the order of time";
                table.notes.push(note.to_owned());
                table.sort()?;
            }
            // trades may be late
            Sequence::Mixed if table.reading.is_of_trades() => {}
            Sequence::Mixed => table.notes.push(format!(
                "{} of the first {} rows go back in time and will be refused; sort the file by time",
                steps.back,
                steps.back + steps.forward + steps.none + 1
            )),
        }
        Ok(table)
    }

    /// The fields of a message with the columns that they are read from.
    pub fn columns(&self) -> Vec<(&'static str, String)> {
        self.named.clone()
    }

    /// The notes so far.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Reads all rows and puts them in order.
    fn sort(&mut self) -> Result<(), String> {
        let (mut bytes, mut rows) = (Vec::new(), Vec::new());
        let mut errors = VecDeque::new();
        while let Some(next) = self.unsorted() {
            let row = match next {
                Ok(row) => row,
                Err(error) => {
                    errors.push_back(Err(error));
                    continue;
                }
            };
            let used = bytes.len() + row.payload.len() + (rows.len() + 1) * size_of::<Kept>();
            let (Ok(start), Ok(length)) =
                (u32::try_from(bytes.len()), u32::try_from(row.payload.len()))
            else {
                return Err(too_large());
            };
            if used > SORT_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&row.payload);
            rows.push(Kept {
                time: row.time,
                number: row.number,
                symbol: row.symbol,
                start,
                length,
            });
        }
        // of rows with the same time, the one further down is the older
        rows.reverse();
        rows.sort_by_key(|row| row.time);
        self.queue = errors;
        self.ended = true;
        self.sorted = Some(Sorted {
            bytes,
            rows: rows.into_iter(),
        });
        Ok(())
    }

    /// The next row in the order of the file.
    fn unsorted(&mut self) -> Option<Result<Row, LineError>> {
        loop {
            if let Some(row) = self.queue.pop_front() {
                return Some(row);
            }
            let (number, row) = match self.sample.pop_front() {
                Some(row) => row,
                None if self.ended => return None,
                None => {
                    let mut row = ByteRecord::new();
                    match self.rows.next_row(&mut row) {
                        Some(Ok(number)) => (number, row),
                        Some(Err(error)) => {
                            self.ended = matches!(error, LineError::Read { .. });
                            return Some(Err(error));
                        }
                        None => {
                            self.ended = true;
                            return None;
                        }
                    }
                }
            };
            self.reading.rows(number, &row, &mut self.queue);
        }
    }

    fn next_row(&mut self) -> Option<Result<Row, LineError>> {
        let Some(sorted) = &mut self.sorted else {
            return self.unsorted();
        };
        if let Some(error) = self.queue.pop_front() {
            return Some(error);
        }
        let kept = sorted.rows.next()?;
        let start = kept.start as usize;
        Some(Ok(Row {
            number: kept.number,
            time: kept.time,
            symbol: kept.symbol,
            payload: sorted.bytes[start..start + kept.length as usize].to_vec(),
        }))
    }
}

/// True if a bar may have a column of this name.
#[cfg(feature = "parquet")]
pub(super) fn is_column(name: &str) -> bool {
    let known = |name: &str| header::Role::of(name).is_some() || header::is_nameless(name);
    match header::two_levels(name) {
        Some((first, second)) => known(&first) || known(&second),
        None => known(name),
    }
}

fn too_large() -> String {
    format!(
        "the newest row comes first, and the rows are more than the {} MiB that are sorted in memory; \
         take a part with --from and --to, or sort the file first",
        SORT_BYTES >> 20
    )
}

impl Iterator for Table {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_row() {
            Some(Ok(row)) => {
                self.reading.returned(&row);
                Some(Ok(Line {
                    number: row.number,
                    payload: row.payload,
                }))
            }
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.notes.extend(self.reading.last_notes());
                None
            }
        }
    }
}
