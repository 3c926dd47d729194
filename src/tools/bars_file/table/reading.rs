//! Turns the rows of a table into messages, each in the digits of the file.

mod cells;
mod watch;

use std::collections::{HashMap, VecDeque};

use csv::ByteRecord;
use serde_json::Value;

use super::header;
use super::layout::{Columns, Header, PriceColumns};
use super::number::{NumberStyle, is_absent};
use super::preset::Preset;
use super::spacing::Steps;
use super::time::{self, Form, TimeReader};
use super::{BAD_LINE, LineError, ReadOptions, Row, SYMBOLS};
use crate::market::{Timeframe, Timestamp};
use crate::wire::Reason;
use cells::{fixed_point, is_epoch, number_field, record_timeframe, text, utf8};
use watch::Watch;

/// Turns rows into messages.
pub(super) struct Reading {
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

impl Reading {
    pub fn new(
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
        let zone = options
            .zone
            .clone()
            .or(named)
            .or_else(|| options.preset.and_then(Preset::zone));
        let times = TimeReader {
            zone: zone.unwrap_or_else(|| options.default_zone.clone()),
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
        notes.extend(without_volume(&columns, header));
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
    pub fn look(
        &mut self,
        sample: &[Vec<String>],
        notes: &mut Vec<String>,
    ) -> Result<Steps, String> {
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
        let named = self.is_of_trades()
            || self.timeframe.is_some()
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
    pub fn rows(
        &mut self,
        number: u64,
        row: &ByteRecord,
        to: &mut VecDeque<Result<Row, LineError>>,
    ) {
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
        if cell.contains(['e', 'E']) && cell.parse::<f64>().is_ok() {
            self.watch.shortened(cell);
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
            fields.push(number_field(set.volume_name(), &volume));
        }
        if let Some(at) = set.trade_id {
            // as text: the digits of a long number are kept
            let id = utf8(row, at, "trade_id")?;
            if !is_absent(id) {
                fields.push(format!("\"trade_id\":{}", Value::from(id)));
            }
        }
        let of_trades = set.is_of_trades();
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
            self.timeframe.filter(|_| !of_trades),
            self.columns.timeframe,
            self.columns.record_type,
        ) {
            (Some(timeframe), _, _) => Some(timeframe.to_string()),
            _ if of_trades => None,
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

    /// The columns that are read.
    pub const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// True if the rows are trades, of which several may have one time.
    pub fn is_of_trades(&self) -> bool {
        self.columns.sets.iter().any(PriceColumns::is_of_trades)
    }

    /// Takes note of a row that is returned.
    pub fn returned(&mut self, row: &Row) {
        if !self.is_of_trades() {
            self.watch.row(row);
        }
    }

    /// Notes that only the end of the table can give.
    pub fn last_notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.outside > 0 {
            let outside = std::mem::take(&mut self.outside);
            notes.push(format!("{outside} rows are outside --from and --to"));
        }
        notes.extend(std::mem::take(&mut self.watch).note());
        notes
    }
}

/// A note that no column is known as the volume and another column was not read.
fn without_volume(columns: &Columns, header: &Header) -> Option<String> {
    let has_volume = |set: &PriceColumns| set.volume.or(set.ticks).is_some();
    if columns.sets.iter().any(has_volume) {
        return None;
    }
    let read = columns.named(header);
    let is_read = |name: &String| name.is_empty() || read.iter().any(|(_, read)| read == name);
    let other = header.names.iter().find(|name| !is_read(name))?;
    Some(format!(
        "no column is known as the volume, which is 0, and `{other}` is not read; name all columns in their \
         order with --columns where one is the volume"
    ))
}
