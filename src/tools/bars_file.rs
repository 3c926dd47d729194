//! Files of bars: tables and JSON, read as the messages that a market-data source would send.
//!
//! Promises the number of the line that each message or mistake comes from, and digits as they
//! stand in the file. Whether a message is a good bar is for [`crate::wire`] to say.

mod input;
mod json;
#[cfg(feature = "parquet")]
mod parquet_rows;
mod table;
mod zip;

use std::borrow::Cow;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;

use crate::market::{Timeframe, Timestamp, Zone};
use crate::wire::{Decoder, InputRules, SubjectParts};

use input::{Content, Opened};
use json::Json;
use table::Table;
pub use table::{InvalidTimeFormat, Preset, TimeFormat};

/// A format of bars in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON: an object or array per line, or over several lines.
    #[value(alias = "json")]
    Jsonl,
    /// A table in text: a header, then one bar per line.
    Csv,
}

/// The names of a symbol and of a timeframe in JSON, the native one first.
const SYMBOL: &[&str] = &["symbol", "s", "sym", "ticker"];
const TIMEFRAME: &[&str] = &["timeframe", "tf", "interval", "i"];

/// The reason of a line that gives no message at all.
pub const BAD_LINE: &str = "bad_line";

/// The largest message, where the configuration does not say.
const MAX_PAYLOAD: usize = 256 << 10;

/// Options for reading files.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The symbol of every row of a table, and of JSON that names none.
    pub symbol: Option<String>,
    /// The timeframe of every row of a table, and of JSON that names none.
    pub timeframe: Option<Timeframe>,
    /// The vendor of the files.
    pub preset: Option<Preset>,
    /// The names of the columns of a table, in order; `-` is one that is not read.
    pub columns: Option<Vec<String>>,
    /// The form of the times in a table.
    pub time_format: Option<TimeFormat>,
    /// The zone of times without an offset in a table.
    pub zone: Option<Zone>,
    /// The zone where neither the options nor the table tell.
    pub default_zone: Zone,
    /// The separator of the cells of a table.
    pub delimiter: Option<u8>,
    /// Only rows from then on.
    pub from: Option<Timestamp>,
    /// Only rows before.
    pub to: Option<Timestamp>,
    /// The timeframe of a single row that tells none.
    pub default_timeframe: Timeframe,
    /// Reads the times of bars in JSON.
    pub decoder: Decoder,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            symbol: None,
            timeframe: None,
            preset: None,
            columns: None,
            time_format: None,
            zone: None,
            default_zone: Zone::UTC,
            delimiter: None,
            from: None,
            to: None,
            default_timeframe: Timeframe::MINUTE,
            decoder: Decoder::new(InputRules::new(MAX_PAYLOAD, Timeframe::MINUTE)),
        }
    }
}

impl ReadOptions {
    /// The symbol and timeframe for a message that has no place for them: rows of numbers get those
    /// of the options.
    #[must_use]
    pub fn parts(&self, message: &str) -> SubjectParts<'_> {
        let mut signs = message.bytes().filter(|byte| !byte.is_ascii_whitespace());
        let in_array = signs.next() == Some(b'[');
        let row = signs
            .next()
            .is_some_and(|byte| matches!(byte, b'[' | b'-' | b'"' | b'0'..=b'9'));
        if !in_array || !row {
            return SubjectParts::default();
        }
        SubjectParts {
            symbol: self.symbol.as_deref().map(Cow::Borrowed),
            timeframe: self.timeframe,
        }
    }

    /// True if a bar that opens at `time` is asked for.
    #[must_use]
    pub fn covers(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }
}

/// A message of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line it begins on, from 1.
    pub number: u64,
    /// A bar or an array of bars, in JSON unless the line is not.
    pub payload: Vec<u8>,
}

impl Line {
    const fn new(number: u64, payload: Vec<u8>) -> Self {
        Self { number, payload }
    }
}

/// The reason why a line gives no message.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is bad; the next may be good.
    #[error("line {number}: {reason}")]
    Bad {
        /// The line, from 1.
        number: u64,
        /// The name of the reason, to count by.
        name: &'static str,
        /// The reason why it is invalid.
        reason: String,
    },
    /// The file cannot be read any further.
    #[error("line {number}: the file cannot be read: {error}")]
    Read {
        /// The line, from 1.
        number: u64,
        /// The error of the operating system.
        error: io::Error,
    },
}

/// The reason why a file of bars cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, not ours to read, or no text.
    #[error("{path} cannot be read: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The table cannot be understood.
    #[error("{path}: {reason}", path = path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The fault, and the option that would help.
        reason: String,
    },
}

/// The messages of one file.
pub struct BarsFile {
    lines: Lines,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

enum Lines {
    Json(Box<Json<BufReader<input::Input>>>),
    Table(Box<Table>),
}

impl BarsFile {
    /// Opens `path`, or standard input for `-`. Without a format, the extension tells it, else the
    /// content.
    ///
    /// # Errors
    /// If it cannot be read, or the table in it not be understood.
    pub fn open(
        path: &Path,
        format: Option<Format>,
        options: ReadOptions,
    ) -> Result<Self, OpenError> {
        let opened = input::open(path).map_err(|error| OpenError::File {
            path: path.into(),
            error,
        })?;
        let format = format.or_else(|| by_extension(path));
        Self::of(opened, Some(path), format, options).map_err(|reason| OpenError::Table {
            path: path.into(),
            reason,
        })
    }

    /// Reads bars from `input`, whose size is not known.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    pub fn from_reader(
        input: Box<dyn io::Read + Send>,
        format: Option<Format>,
        options: ReadOptions,
    ) -> Result<Self, String> {
        let opened = input::unpack(input, None).map_err(|error| error.to_string())?;
        Self::of(opened, None, format, options)
    }

    fn of(
        opened: Opened,
        path: Option<&Path>,
        format: Option<Format>,
        options: ReadOptions,
    ) -> Result<Self, String> {
        let Opened {
            input,
            content,
            read,
            size,
        } = opened;
        if content == Content::Parquet {
            let table = parquet(input, path.filter(|_| size.is_some()), options)?;
            let (lines, size) = (Lines::Table(Box::new(table)), None);
            return Ok(Self { lines, read, size });
        }
        let format = format.unwrap_or(match content {
            Content::Parquet | Content::Json | Content::Blank => Format::Jsonl,
            Content::Text => Format::Csv,
        });
        let lines = match format {
            Format::Jsonl => Lines::Json(Box::new(Json::new(BufReader::new(input), options))),
            Format::Csv => Lines::Table(Box::new(Table::of_text(input, options)?)),
        };
        Ok(Self { lines, read, size })
    }

    /// Bytes read so far, ahead of the lines by a buffer.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The size in bytes, where it is known.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// The fields of a message with the names of the columns that they are read from, for a table.
    #[must_use]
    pub fn columns(&self) -> Option<Vec<(&'static str, String)>> {
        match &self.lines {
            Lines::Json(_) => None,
            Lines::Table(table) => Some(table.columns()),
        }
    }

    /// Notes for the user about the reading of the file. Each comes once, some only at the end.
    pub fn notes(&mut self) -> Vec<String> {
        match &mut self.lines {
            Lines::Json(lines) => lines.notes(),
            Lines::Table(table) => table.notes(),
        }
    }
}

impl Iterator for BarsFile {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.lines {
            Lines::Json(lines) => lines.next(),
            Lines::Table(lines) => lines.next(),
        }
    }
}

/// The table of a Parquet file, which is read in places where it is a file of its own.
#[cfg(feature = "parquet")]
fn parquet(
    input: input::Input,
    path: Option<&Path>,
    options: ReadOptions,
) -> Result<Table, String> {
    let every = options.columns.is_some();
    let (rows, names) = match path {
        Some(path) => parquet_rows::of_file(path, every)?,
        None => parquet_rows::of_input(input, every)?,
    };
    Table::of_rows(rows, names, options)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: input::Input, _: Option<&Path>, _: ReadOptions) -> Result<Table, String> {
    Err("is a Parquet file, and this program was built without the feature `parquet`; save it as CSV".to_owned())
}

fn by_extension(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let packed = [".gz", ".zst", ".zstd", ".zip"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    let name = packed.unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "csv" | "tsv" => Some(Format::Csv),
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format_and_else_the_content() {
        let format = |path: &str| by_extension(Path::new(path));
        for name in [
            "a/b.csv",
            "b.CSV",
            "b.tsv",
            "b.csv.gz",
            "b.csv.zst",
            "b.csv.zip",
        ] {
            assert_eq!(format(name), Some(Format::Csv), "{name}");
        }
        for name in ["b.jsonl", "b.ndjson", "b.json", "b.json.gz"] {
            assert_eq!(format(name), Some(Format::Jsonl), "{name}");
        }
        for name in ["b.txt", "b", "b.gz", "-", "csv"] {
            assert_eq!(format(name), None, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str, text: Option<&str>| {
            let path = dir.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let options = ReadOptions {
                symbol: Some("A".to_owned()),
                ..ReadOptions::default()
            };
            BarsFile::open(&path, None, options)
        };
        assert!(matches!(
            open("missing.csv", None),
            Err(OpenError::File { .. })
        ));
        let table = |name, text| {
            matches!(
                open(name, Some(text)),
                Ok(BarsFile {
                    lines: Lines::Table(_),
                    ..
                })
            )
        };
        assert!(table("bars", "time,close\n1704067200,2\n"));
        assert!(!table("bars", " [{\"c\":1}]"));
        assert!(!table("bars", ""));
        assert!(matches!(
            open("x.csv", Some("day,price\n")).map(|_| ()),
            Ok(())
        ));
        let error = open("x.csv", Some("day,prices\n"))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("no close; found `day`, `prices`"), "{error}");
    }

    #[test]
    fn a_file_is_read_to_its_end_and_its_size_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bars.jsonl");
        std::fs::write(&path, "{\"a\":1}\n{\"a\":2}").unwrap();
        let mut file = BarsFile::open(&path, None, ReadOptions::default()).unwrap();
        assert_eq!(file.size(), Some(15));
        let lines: Vec<Line> = file.by_ref().map(Result::unwrap).collect();
        let payload = b"{\"a\":2}".to_vec();
        assert_eq!(lines[1], Line { number: 2, payload });
        assert_eq!(lines.len(), 2);
        assert_eq!(file.bytes_read(), 15);
    }
}
