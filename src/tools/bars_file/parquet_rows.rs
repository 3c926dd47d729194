//! Rows of Parquet files, as the text that a table of CSV would have.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use csv::ByteRecord;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::LineError;
use super::table::{Rows, is_column};
use crate::market::Timestamp;

/// Bytes of a file that cannot be read in places, such as one from standard input.
const IN_MEMORY: u64 = 512 << 20;

pub(super) struct ParquetRows {
    rows: RowIter<'static>,
    kinds: Vec<Kind>,
    number: u64,
}

/// The meaning of the numbers in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// A time in units of so many nanoseconds.
    Time {
        unit: i64,
        /// True for a point in time, false for the time that local clocks show.
        utc: bool,
    },
}

/// The rows of a file on disk with the names of their columns. Columns that no bar has are not
/// read, unless `every` one may be named by its place.
pub(super) fn of_file(path: &Path, every: bool) -> Result<(ParquetRows, Vec<String>), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = SerializedFileReader::new(file).map_err(unreadable)?;
    ParquetRows::new(Box::new(reader), every)
}

/// Like [`of_file`], for input that is read into memory first.
pub(super) fn of_input(
    input: impl Read,
    every: bool,
) -> Result<(ParquetRows, Vec<String>), String> {
    let mut bytes = Vec::new();
    let read = input.take(IN_MEMORY + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > IN_MEMORY {
        return Err(format!(
            "a Parquet file of more than {} MiB has to be a file, not a pipe",
            IN_MEMORY >> 20
        ));
    }
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(unreadable)?;
    ParquetRows::new(Box::new(reader), every)
}

#[allow(clippy::needless_pass_by_value)] // the form `map_err` takes
fn unreadable(error: ParquetError) -> String {
    format!("the Parquet file cannot be read: {error}")
}

impl ParquetRows {
    fn new(reader: Box<dyn FileReader>, every: bool) -> Result<(Self, Vec<String>), String> {
        let schema = reader.metadata().file_metadata().schema().clone();
        let columns: Vec<_> = schema
            .get_fields()
            .iter()
            .filter(|column| column.is_primitive() && (every || is_column(column.name())))
            .cloned()
            .collect();
        let names = columns.iter().map(|column| column.name().to_owned());
        let names: Vec<String> = names.collect();
        let kinds = columns.iter().map(|column| kind(column)).collect();
        let wanted = Type::group_type_builder(schema.name())
            .with_fields(columns)
            .build()
            .map_err(unreadable)?;
        let rows = RowIter::from_file_into(reader)
            .project(Some(wanted))
            .map_err(unreadable)?;
        let rows = Self {
            rows,
            kinds,
            number: 0,
        };
        Ok((rows, names))
    }
}

fn kind(column: &Type) -> Kind {
    match column.get_basic_info().logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => Kind::Time {
            unit: match time.unit {
                TimeUnit::MILLIS => 1_000_000,
                TimeUnit::MICROS => 1_000,
                TimeUnit::NANOS => 1,
            },
            utc: time.is_adjusted_to_u_t_c,
        },
        _ => Kind::Plain,
    }
}

impl Rows for ParquetRows {
    fn next_row(&mut self, row: &mut ByteRecord) -> Option<Result<u64, LineError>> {
        self.number += 1;
        let number = self.number;
        match self.rows.next()? {
            Ok(read) => {
                row.clear();
                for ((_, field), kind) in read.get_column_iter().zip(&self.kinds) {
                    row.push_field(text(field, *kind).as_bytes());
                }
                Some(Ok(number))
            }
            Err(error) => {
                let error = io::Error::other(error);
                Some(Err(LineError::Read { number, error }))
            }
        }
    }
}

fn text(field: &Field, kind: Kind) -> String {
    let time = |value: i64| match kind {
        Kind::Time { unit, utc } => {
            let text = Timestamp::from_nanos(value.saturating_mul(unit)).to_string();
            if utc {
                text
            } else {
                text.trim_end_matches('Z').to_owned()
            }
        }
        Kind::Plain => value.to_string(),
    };
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
        Field::Float(number) => shortest(format!("{number:?}")),
        Field::Double(number) => shortest(format!("{number:?}")),
        Field::Long(value) | Field::TimestampMicros(value) | Field::TimestampMillis(value) => {
            match (field, kind) {
                // an old way to say the unit, without a logical type
                (Field::TimestampMicros(value), Kind::Plain) => {
                    Timestamp::from_nanos(value.saturating_mul(1_000)).to_string()
                }
                (Field::TimestampMillis(value), Kind::Plain) => {
                    Timestamp::from_nanos(value.saturating_mul(1_000_000)).to_string()
                }
                _ => time(*value),
            }
        }
        Field::Date(days) => {
            let nanos = i64::from(*days).saturating_mul(86_400_000_000_000);
            Timestamp::from_nanos(nanos)
                .to_string()
                .chars()
                .take(10)
                .collect()
        }
        other => other.to_string(),
    }
}

/// A whole number without the point that Rust writes.
fn shortest(text: String) -> String {
    match text.strip_suffix(".0") {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
