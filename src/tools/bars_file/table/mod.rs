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
mod spacing;
mod time;

use std::collections::{HashMap, VecDeque};
use std::io::Read;

use csv::ByteRecord;
use serde_json::Value;

use super::{BAD_LINE, Line, LineError, ReadOptions};
use crate::market::{Timeframe, Timestamp};
use crate::wire::Reason;

use csv_rows::CsvRows;
use layout::{Columns, Header, PriceColumns};
use number::{NumberStyle, is_absent, is_json_number, shifted};
pub use preset::Preset;
use spacing::{Sequence, Steps};
use time::{Form, TimeReader};
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

/// Turns rows into messages.
struct Reading {
    columns: Columns,
    times: TimeReader,
    style: NumberStyle,
    /// Prices that are whole numbers are in units of 10⁻⁹.
    fixed_point: bool,
    options: ReadOptions,
    /// The timeframe of rows that name none.
    timeframe: Option<Timeframe>,
    symbols: HashMap<String, u32>,
    watch: Watch,
    outside: u64,
}

/// Counts rows that have the time of the row before.
#[derive(Debug, Default)]
struct Watch {
    newest: HashMap<u32, Timestamp>,
    rows: u64,
    same: u64,
    /// A time as a spreadsheet shortens it.
    shortened: Option<String>,
}

/// Rows in the order of time.
struct Sorted {
    bytes: Vec<u8>,
    rows: std::vec::IntoIter<Kept>,
}

/// Where a row is kept.
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
        let named = reading.columns.named(header);
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
                let told = "the newest row comes first; the rows are put in the order of time";
                table.notes.push(told.to_owned());
                table.sort()?;
            }
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
                self.reading.watch.row(&row);
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

impl Reading {
    fn new(
        header: &Header,
        delimiter: u8,
        options: ReadOptions,
        sample: &[Vec<String>],
        notes: &mut Vec<String>,
    ) -> Result<Self, String> {
        let default = TimeReader {
            format: options.time_format.clone(),
            ..TimeReader::default()
        };
        let columns = header.columns(sample, &default, options.symbol.as_deref())?;
        let cells = |at: usize| {
            sample
                .iter()
                .filter_map(move |row| row.get(at))
                .map(String::as_str)
        };
        let named = header::zone_of(&header.names[columns.time]);
        let told = options
            .zone
            .clone()
            .or(named)
            .or_else(|| options.preset.and_then(Preset::zone));
        let times = TimeReader {
            zone: told.unwrap_or_else(|| options.default_zone.clone()),
            day_zone: options
                .zone
                .clone()
                .unwrap_or_else(|| options.default_zone.clone()),
            format: options.time_format.clone(),
            day_first: time::day_first(cells(columns.time))?,
        };
        if let Some(why) = cells(columns.time).find_map(|cell| times.ambiguity(cell)) {
            return Err(why);
        }
        if let Some(day_first) = times.day_first {
            let order = if day_first {
                "day first"
            } else {
                "month first"
            };
            notes.push(format!("dates are written with the {order}"));
        }
        let prices = columns
            .sets
            .iter()
            .flat_map(PriceColumns::prices)
            .flat_map(|(_, at)| cells(at));
        let style = NumberStyle::of(prices, delimiter);
        if style == NumberStyle::Comma {
            notes.push("numbers are written with a decimal comma".to_owned());
        }
        let symbols: Vec<&str> = columns
            .symbol
            .map(|at| cells(at).collect())
            .unwrap_or_default();
        if options.symbol.is_none()
            && columns.sets.iter().any(|set| set.symbol.is_none())
            && columns.symbol.is_none()
        {
            return Err("no column names the symbol; give it with --symbol".to_owned());
        }
        if let Some(symbol) = &options.symbol {
            let first = symbols.first().copied().unwrap_or_default();
            let other = symbols.iter().find(|symbol| **symbol != first).copied();
            let other = other.or_else(|| columns.sets.get(1)?.symbol.as_deref());
            if let Some(other) = other {
                let first = columns.sets[0].symbol.as_deref().unwrap_or(first);
                return Err(format!(
                    "there are several symbols, such as `{first}` and `{other}`; --symbol {symbol} would \
                     make one series of them: leave it out"
                ));
            }
        }
        let fixed_point =
            columns.record_type.is_some() || options.preset == Some(Preset::Databento);
        Ok(Self {
            fixed_point,
            columns,
            times,
            style,
            timeframe: options.timeframe,
            options,
            symbols: HashMap::new(),
            watch: Watch::default(),
            outside: 0,
        })
    }

    /// Looks at the times of the first rows, and finds out the timeframe where nothing else tells.
    fn look(&mut self, sample: &[Vec<String>], notes: &mut Vec<String>) -> Result<Steps, String> {
        let mut steps = Steps::default();
        let mut newest: HashMap<&str, Timestamp> = HashMap::new();
        let (mut forms, mut different) = (Vec::new(), std::collections::BTreeSet::new());
        for row in sample {
            let cell = |at: usize| row.get(at).map_or("", String::as_str);
            let clock = self.columns.clock.map(&cell);
            let Ok(read) = self.times.read(cell(self.columns.time), clock) else {
                continue;
            };
            forms.push(read.form);
            different.insert(read.at);
            let symbol = self.columns.symbol.map_or("", cell);
            if let Some(before) = newest.insert(symbol, read.at) {
                steps.count(read.at.nanos().saturating_sub(before.nanos()));
            }
        }
        if forms.contains(&Form::Naive) {
            let zone = &self.times.zone;
            let otherwise = if self.options.zone.is_some() {
                ""
            } else {
                "; --timezone names another"
            };
            notes.push(format!(
                "times without an offset are read as {zone}{otherwise}"
            ));
        }
        let named = self.timeframe.is_some()
            || self.columns.timeframe.is_some()
            || self.columns.record_type.is_some();
        if named || forms.is_empty() {
            return Ok(steps);
        }
        match steps.timeframe() {
            Ok(timeframe) => {
                notes.push(format!(
                    "the timeframe is {timeframe}, by the distance of the rows; --timeframe names another"
                ));
                self.timeframe = Some(timeframe);
            }
            Err(_) if forms.len() == 1 && forms[0] == Form::Day => {
                notes.push("the timeframe is taken for 1d, as the row has a date; --timeframe names another".to_owned());
                self.timeframe = Some(Timeframe::DAY);
            }
            Err(_) if forms.len() == 1 => {
                let timeframe = self.options.default_timeframe;
                notes.push(format!(
                    "one row does not tell its timeframe: it is taken for {timeframe} \
                     (TECHNICAL_DEFAULT_TIMEFRAME); --timeframe names another"
                ));
                self.timeframe = Some(timeframe);
            }
            Err(why) => {
                return Err(format!(
                    "the timeframe is not known: {why} ({} rows, {} different times); name it with --timeframe",
                    forms.len(),
                    different.len()
                ));
            }
        }
        Ok(steps)
    }

    /// The messages of a row: one, or one for each symbol side by side.
    fn rows(&mut self, number: u64, row: &ByteRecord, to: &mut VecDeque<Result<Row, LineError>>) {
        let bad = |name: &'static str, reason: String| {
            Err(LineError::Bad {
                number,
                name,
                reason,
            })
        };
        let have = row.len();
        let want = self.columns.width;
        // a delimiter at the end of a line makes an empty cell
        let beyond = row.iter().skip(want).any(|cell| !cell.is_empty());
        if have < want || beyond {
            to.push_back(bad(
                BAD_LINE,
                format!("has {have} cells where the header has {want}"),
            ));
            return;
        }
        let time = match self.time(row) {
            Ok(time) => time,
            Err(reason) => {
                let name = Reason::BadTimestamp.name();
                to.push_back(bad(name, format!("{name}: {reason}")));
                return;
            }
        };
        if !self.options.covers(time.0) {
            self.outside += 1;
            return;
        }
        for at in 0..self.columns.sets.len() {
            // a symbol that did not trade has empty cells beside the others
            let set = &self.columns.sets[at];
            if set.symbol.is_some() && set.prices().all(|(_, at)| is_absent(&text(row, at))) {
                continue;
            }
            match self.row(number, row, &time, at) {
                Ok(row) => to.push_back(Ok(row)),
                Err((name, reason)) => to.push_back(bad(name, reason)),
            }
        }
    }

    fn time(&mut self, row: &ByteRecord) -> Result<(Timestamp, String), String> {
        let cell = text(row, self.columns.time);
        if is_absent(&cell) {
            return Err("the row has no time".to_owned());
        }
        let clock = self.columns.clock.map(|at| text(row, at));
        let at = self.times.read(&cell, clock.as_deref())?.at;
        let cell = cell.as_ref();
        if cell.contains(['e', 'E'])
            && cell.parse::<f64>().is_ok()
            && self.watch.shortened.is_none()
        {
            self.watch.shortened = Some(cell.to_owned());
        }
        let as_it_stands = clock.is_none() && self.times.format.is_none();
        let json = if as_it_stands && is_epoch(cell, at) {
            cell.to_owned()
        } else if as_it_stands && cell.ends_with('Z') && cell.parse() == Ok(at) {
            format!("\"{cell}\"")
        } else {
            format!("\"{at}\"")
        };
        Ok((at, json))
    }

    fn row(
        &mut self,
        number: u64,
        row: &ByteRecord,
        (time, json): &(Timestamp, String),
        set: usize,
    ) -> Result<Row, (&'static str, String)> {
        let set = &self.columns.sets[set];
        let mut fields = vec![format!("\"timestamp\":{json}")];
        for (name, at) in set.prices() {
            let cell = utf8(row, at, name)?;
            if is_absent(cell) {
                continue;
            }
            let number = self.style.read(cell);
            let fixed = if self.fixed_point {
                fixed_point(&number)
            } else {
                None
            };
            fields.push(number_field(name, fixed.as_deref().unwrap_or(&number)));
        }
        if let Some(volume) = self.volume(row, set)? {
            fields.push(number_field("volume", &volume));
        }
        let named = self
            .columns
            .symbol
            .map(|at| utf8(row, at, "symbol"))
            .transpose()?;
        let named = named
            .filter(|symbol| !symbol.is_empty())
            .or(set.symbol.as_deref());
        let named = named.map(str::to_owned);
        let id = self.symbol_id(named.as_deref())?;
        if let Some(symbol) = self.options.symbol.clone().or(named) {
            fields.push(format!("\"symbol\":{}", Value::from(symbol)));
        }
        let cell = |at: Option<usize>, name| at.map(|at| utf8(row, at, name)).transpose();
        let timeframe = match (
            self.timeframe,
            self.columns.timeframe,
            self.columns.record_type,
        ) {
            (Some(timeframe), _, _) => Some(timeframe.to_string()),
            (None, Some(at), _) => {
                Some(utf8(row, at, "timeframe")?.to_owned()).filter(|cell| !cell.is_empty())
            }
            (None, None, Some(at)) => Some(record_timeframe(utf8(row, at, "rtype")?)?.to_owned()),
            (None, None, None) => None,
        };
        if let Some(timeframe) = timeframe {
            fields.push(format!("\"timeframe\":{}", Value::from(timeframe)));
        }
        if let Some(flag) = cell(self.columns.is_final, "final")?.filter(|cell| !cell.is_empty()) {
            fields.push(match flag.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => format!("\"final\":{word}"),
                "1" => "\"final\":true".to_owned(),
                "0" => "\"final\":false".to_owned(),
                _ => format!("\"final\":{}", Value::from(flag)),
            });
        }
        if let Some(source) = cell(self.columns.source, "source")?.filter(|cell| !cell.is_empty()) {
            fields.push(format!("\"source\":{}", Value::from(source)));
        }
        Ok(Row {
            number,
            time: *time,
            symbol: id,
            payload: format!("{{{}}}", fields.join(",")).into_bytes(),
        })
    }

    fn volume(
        &self,
        row: &ByteRecord,
        set: &PriceColumns,
    ) -> Result<Option<String>, (&'static str, String)> {
        let mut found = None;
        for at in [set.volume, set.ticks].into_iter().flatten() {
            let cell = utf8(row, at, "volume")?;
            if is_absent(cell) {
                continue;
            }
            let volume = self.style.read_volume(cell).into_owned();
            let zero = volume.parse() == Ok(0.0);
            found = Some(volume);
            if !zero {
                break;
            }
        }
        Ok(found)
    }

    /// The number of a symbol. With `--symbol`, all rows have to be of one.
    fn symbol_id(&mut self, named: Option<&str>) -> Result<u32, (&'static str, String)> {
        let named = named.unwrap_or_default();
        if let Some(id) = self.symbols.get(named) {
            return Ok(*id);
        }
        if let (Some(given), Some(first)) = (&self.options.symbol, self.symbols.keys().next()) {
            let name = Reason::Mismatch.name();
            return Err((
                name,
                format!(
                    "{name}: the symbol is `{named}`, that of the rows before `{first}`; --symbol {given} \
                     would make one series of them: leave it out"
                ),
            ));
        }
        let id = u32::try_from(self.symbols.len()).unwrap_or(u32::MAX);
        if self.symbols.len() < SYMBOLS {
            self.symbols.insert(named.to_owned(), id);
        }
        Ok(id)
    }

    fn last_notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.outside > 0 {
            let outside = std::mem::take(&mut self.outside);
            notes.push(format!("{outside} rows are outside --from and --to"));
        }
        let Watch {
            rows,
            same,
            shortened,
            ..
        } = std::mem::take(&mut self.watch);
        if same > 0 {
            let mut text = format!(
                "{same} of {rows} rows have the time of the row before: there are only {} different times",
                rows - same
            );
            if let Some(cell) = shortened {
                text += &format!(
                    "; a spreadsheet has shortened them, as in `{cell}`: nothing can be rescued, export the \
                     times as text"
                );
            }
            notes.push(text);
        }
        notes
    }
}

impl Watch {
    fn row(&mut self, row: &Row) {
        self.rows += 1;
        if self.newest.insert(row.symbol, row.time) == Some(row.time) {
            self.same += 1;
        }
    }
}

impl PriceColumns {
    /// The columns of prices with their names in a message.
    fn prices(&self) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("open", self.open),
            ("high", self.high),
            ("low", self.low),
            ("close", self.close),
            ("price", self.price),
        ]
        .into_iter()
        .filter_map(|(name, at)| Some((name, at?)))
    }
}

fn text(row: &ByteRecord, at: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(row.get(at).unwrap_or_default())
}

fn utf8<'a>(row: &'a ByteRecord, at: usize, name: &str) -> Result<&'a str, (&'static str, String)> {
    std::str::from_utf8(row.get(at).unwrap_or_default())
        .map_err(|_| (BAD_LINE, format!("`{name}` is not UTF-8")))
}

/// A JSON field: the number as it is written, or a string that the decoder refuses if it is none.
fn number_field(name: &str, number: &str) -> String {
    if is_json_number(number) {
        format!("\"{name}\":{number}")
    } else {
        format!("\"{name}\":{}", Value::from(number))
    }
}

/// True if the decoder reads these digits as this time.
fn is_epoch(cell: &str, at: Timestamp) -> bool {
    let digits = cell.len() >= 9 && cell.bytes().all(|b| b.is_ascii_digit());
    digits
        && cell
            .parse()
            .is_ok_and(|number| Timestamp::from_epoch(number) == at)
}

/// A price in units of 10⁻⁹ in plain digits; none for what has a point already or is undefined.
fn fixed_point(number: &str) -> Option<String> {
    const UNDEFINED: &str = "9223372036854775807";
    let digits = number.strip_prefix('-').unwrap_or(number);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (whole && digits != UNDEFINED)
        .then(|| shifted(number, -9))
        .flatten()
}

/// The timeframe of a type of record of Databento.
fn record_timeframe(cell: &str) -> Result<&'static str, (&'static str, String)> {
    match cell {
        "32" => Ok("1s"),
        "33" => Ok("1m"),
        "34" => Ok("1h"),
        "35" => Ok("1d"),
        _ => {
            let name = Reason::BadTimeframe.name();
            Err((
                name,
                format!("{name}: `rtype` {cell} is no bar; 32 to 35 are"),
            ))
        }
    }
}
