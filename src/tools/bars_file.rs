//! Files of bars: JSON lines or CSV, read line by line as the messages a market-data source
//! would send.
//!
//! Promises the number of the line that each message or mistake comes from, and digits as
//! they stand in the file. Whether a message is a good bar is for [`crate::wire`] to say.

mod csv_lines;
mod json_lines;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::Format;
use crate::market::Timeframe;

use csv_lines::CsvLines;
use json_lines::JsonLines;

/// What a bar names, other than its symbol and timeframe, in the order of native name first.
const SYMBOL: &[&str] = &["symbol", "s", "sym", "ticker"];
const TIMEFRAME: &[&str] = &["timeframe", "tf", "interval", "i"];

/// For bars that name no symbol or timeframe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The symbol.
    pub symbol: Option<String>,
    /// The timeframe.
    pub timeframe: Option<Timeframe>,
}

/// A message made of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line it begins on, from 1.
    pub number: u64,
    /// A bar or an array of bars, in JSON unless the line is not.
    pub payload: Vec<u8>,
}

/// Why a line gives no message.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is bad; the next may be good.
    #[error("line {number}: {reason}")]
    Bad {
        /// The line, from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read any further.
    #[error("line {number}: the file cannot be read: {error}")]
    Read {
        /// The line, from 1.
        number: u64,
        /// What keeps it from being read.
        error: io::Error,
    },
}

/// Why a file of bars cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or not ours to read.
    #[error("{path} cannot be opened: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What keeps it from being opened.
        error: io::Error,
    },
    /// The name does not tell.
    #[error("{path}: the format is not known; name it with --format jsonl or --format csv", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The columns are not those of bars.
    #[error("{path}: {reason}", path = path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The lines of one file. Blank ones are passed over.
pub struct BarsFile {
    lines: Lines,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

enum Lines {
    Json(JsonLines<BufReader<Input>>),
    Csv(CsvLines<Input>),
}

type Input = Counted<Box<dyn Read + Send>>;

impl BarsFile {
    /// Opens `path`, or standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be opened, its format is not known or its header is not one of bars.
    pub fn open(
        path: &Path,
        format: Option<Format>,
        defaults: Defaults,
    ) -> Result<Self, OpenError> {
        let stdin = path == Path::new("-");
        let format = match format.or_else(|| by_extension(path)) {
            Some(format) => format,
            None if stdin => Format::Jsonl,
            None => return Err(OpenError::Format { path: path.into() }),
        };
        let refuse = |error| OpenError::File {
            path: path.into(),
            error,
        };
        let (input, size): (Box<dyn Read + Send>, Option<u64>) = if stdin {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(refuse)?;
            let about = file.metadata().map_err(refuse)?;
            let size = about.is_file().then_some(about.len());
            (Box::new(file), size)
        };
        let mut opened =
            Self::from_reader(input, format, defaults).map_err(|reason| OpenError::Header {
                path: path.into(),
                reason,
            })?;
        opened.size = size;
        Ok(opened)
    }

    /// Reads bars from `input`, whose size is not known.
    ///
    /// # Errors
    /// Why its header is not one of bars.
    pub fn from_reader(
        input: Box<dyn Read + Send>,
        format: Format,
        defaults: Defaults,
    ) -> Result<Self, String> {
        let read = Arc::new(AtomicU64::new(0));
        let input = Counted {
            inner: input,
            read: Arc::clone(&read),
        };
        let lines = match format {
            Format::Jsonl => Lines::Json(JsonLines::new(BufReader::new(input), defaults)),
            Format::Csv => Lines::Csv(CsvLines::new(input, defaults)?),
        };
        let size = None;
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
}

impl Iterator for BarsFile {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.lines {
            Lines::Json(lines) => lines.next(),
            Lines::Csv(lines) => lines.next(),
        }
    }
}

fn by_extension(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        _ => None,
    }
}

/// Counts what goes through it, for a progress bar.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_format_and_standard_input_is_json_lines() {
        let format = |path: &str| by_extension(Path::new(path));
        assert_eq!(format("a/b.csv"), Some(Format::Csv));
        assert_eq!(format("b.CSV"), Some(Format::Csv));
        for name in ["b.jsonl", "b.ndjson", "b.json"] {
            assert_eq!(format(name), Some(Format::Jsonl));
        }
        assert_eq!(format("b.parquet"), None);
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str, format| {
            BarsFile::open(&dir.path().join(name), format, Defaults::default()).err()
        };
        assert!(matches!(
            open("missing.csv", None),
            Some(OpenError::File { .. })
        ));
        assert!(matches!(open("bars", None), Some(OpenError::Format { .. })));
        std::fs::write(dir.path().join("bars"), "time,price\n").unwrap();
        assert!(open("bars", Some(Format::Csv)).is_none());
        std::fs::write(dir.path().join("x.csv"), "day,price\n").unwrap();
        assert!(matches!(
            open("x.csv", None),
            Some(OpenError::Header { .. })
        ));
    }

    #[test]
    fn a_file_is_read_to_its_end_and_its_size_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bars.jsonl");
        std::fs::write(&path, "{\"a\":1}\n{\"a\":2}").unwrap();
        let mut file = BarsFile::open(&path, None, Defaults::default()).unwrap();
        assert_eq!(file.size(), Some(15));
        let lines: Vec<Line> = file.by_ref().map(Result::unwrap).collect();
        let payload = b"{\"a\":2}".to_vec();
        assert_eq!(lines[1], Line { number: 2, payload });
        assert_eq!(lines.len(), 2);
        assert_eq!(file.bytes_read(), 15);
    }
}
