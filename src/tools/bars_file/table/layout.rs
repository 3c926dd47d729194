//! The layout of a table: its start, the separator of its cells, and its columns.

mod columns;
mod head;

use super::header::{self, IN_CURRENCY, PRICE, Role, TICKS};
use super::number::{self};
use super::time::{Form, TimeReader, is_clock};

pub(super) use columns::{Columns, PriceColumns};
pub(super) use head::find;

/// Lines that may come before the header.
const LINES_BEFORE: usize = 50;
/// Rows that are looked at to find out what a column holds.
const LOOKED_AT: usize = 20;
/// Separators of cells, the usual one first.
const DELIMITERS: [u8; 4] = *b",;\t|";

/// The names of the columns, and where they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub names: Vec<String>,
    /// The symbol of each column, in a table with several symbols side by side.
    pub symbols: Option<Vec<String>>,
    roles: Vec<Option<Role>>,
    /// Columns in which a date and a time of day are known to stand, by option.
    date: Option<usize>,
    clock: Option<usize>,
}

/// A table in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub delimiter: u8,
    pub header: Header,
    /// Bytes before the first row.
    pub skip: usize,
    /// Lines before the first row.
    pub lines: u64,
    /// The line of the header, from 1; none where there is no header.
    pub header_line: Option<u64>,
}

impl Header {
    pub fn new(names: Vec<String>) -> Self {
        let roles = names.iter().map(|name| Role::of(name)).collect();
        let mut header = Self {
            names,
            symbols: None,
            roles,
            date: None,
            clock: None,
        };
        let levels: Vec<_> = header
            .names
            .iter()
            .map(|name| header::two_levels(name))
            .collect();
        if levels.iter().flatten().count() > 1 {
            let (first, second): (Vec<_>, Vec<_>) = std::iter::zip(levels, &header.names)
                .map(|(levels, name)| levels.unwrap_or_else(|| (name.clone(), String::new())))
                .unzip();
            if let Some(wide) = Self::two_level(first, second) {
                header = wide;
            }
        }
        header
    }

    /// The columns that `--columns` or a preset name.
    pub fn of_columns(columns: &[impl AsRef<str>]) -> Result<Self, String> {
        let names: Vec<String> = columns
            .iter()
            .map(|name| name.as_ref().trim().to_owned())
            .collect();
        let mut header = Self::new(names);
        for (at, name) in header.names.iter().enumerate() {
            let plain = header::plain(name);
            match plain.as_str() {
                "clock" => header.clock = Some(at),
                "date" => header.date = Some(at),
                _ => {}
            }
            if name != "-" && header.roles[at].is_none() && !header::is_of_trades(name) {
                return Err(format!(
                    "--columns: `{name}` is no column of bars or trades; use {}",
                    header::NAMES
                ));
            }
        }
        // date,time is the same as date,clock
        if let (Some(date), None) = (header.date, header.clock) {
            header.clock = (header.names.iter())
                .position(|name| name == "time")
                .filter(|at| *at != date);
        }
        Ok(header)
    }

    /// The same with further columns that are not read.
    pub fn with_width(mut self, width: usize) -> Self {
        if width > self.names.len() {
            self.names.resize(width, "-".to_owned());
            self.roles.resize(width, None);
        }
        self
    }

    /// A header of two lines: names of columns, and symbols.
    fn two_level(first: Vec<String>, second: Vec<String>) -> Option<Self> {
        let known = |names: &[String]| {
            let roles = names.iter().skip(1).filter_map(|name| Role::of(name));
            let is_price = |role: &Role| {
                matches!(
                    role,
                    Role::Open | Role::High | Role::Low | Role::Close { .. }
                )
            };
            roles.filter(is_price).count()
        };
        if first.len() != second.len() {
            return None;
        }
        let (mut names, mut symbols) = if known(&first) >= known(&second) {
            (first, second)
        } else {
            (second, first)
        };
        // the first column is the index, whatever stands above it
        "time".clone_into(names.first_mut()?);
        symbols.first_mut()?.clear();
        let complete =
            known(&names) >= 1 && symbols.iter().skip(1).any(|symbol| !symbol.is_empty());
        complete.then(|| Self {
            roles: names.iter().map(|name| Role::of(name)).collect(),
            names,
            symbols: Some(symbols),
            date: None,
            clock: None,
        })
    }

    fn has(&self, wanted: impl Fn(Role) -> bool) -> bool {
        self.roles.iter().flatten().any(|role| wanted(*role))
    }

    fn has_time(&self) -> bool {
        let nameless = self
            .names
            .first()
            .is_some_and(|name| header::is_nameless(name));
        self.has(|role| matches!(role, Role::Time { .. })) || nameless || self.date.is_some()
    }

    fn has_close(&self) -> bool {
        self.has(|role| matches!(role, Role::Close { .. }))
    }

    fn known(&self) -> usize {
        self.roles.iter().flatten().count()
    }

    /// True if it tells enough to make bars of the rows.
    pub fn is_complete(&self) -> bool {
        self.has_time() && self.has_close() && self.names.len() > 1
    }

    /// The columns to read, by names and by what stands in the first rows. `symbol` is the one
    /// that every row is of, where it is known.
    pub fn columns(
        &self,
        rows: &[Vec<String>],
        reader: &TimeReader,
        symbol: Option<&str>,
    ) -> Result<Columns, String> {
        let rows = &rows[..rows.len().min(LOOKED_AT)];
        let (time, clock) = self.time(rows, reader)?;
        let first = |wanted: Role| self.roles.iter().position(|role| *role == Some(wanted));
        let symbol_at = first(Role::Symbol);
        let named = symbol.or_else(|| rows.first()?.get(symbol_at?).map(String::as_str));
        let sets = match &self.symbols {
            None => vec![self.prices(|_| true, named)?],
            Some(symbols) => {
                let mut known: Vec<&String> = Vec::new();
                for symbol in symbols.iter().filter(|symbol| !symbol.is_empty()) {
                    if !known.contains(&symbol) {
                        known.push(symbol);
                    }
                }
                let sets = known.into_iter().map(|symbol| {
                    let mut set = self.prices(|at| symbols[at] == *symbol, Some(symbol))?;
                    set.symbol = Some(symbol.clone());
                    Ok(set)
                });
                sets.collect::<Result<_, String>>()?
            }
        };
        Ok(Columns {
            width: self.names.len(),
            time,
            clock,
            symbol: symbol_at,
            timeframe: first(Role::Timeframe),
            is_final: first(Role::Final),
            source: first(Role::Source),
            record_type: first(Role::RecordType),
            sets,
        })
    }

    /// The column of the time, and that of the time of day where the first has only dates.
    fn time(
        &self,
        rows: &[Vec<String>],
        reader: &TimeReader,
    ) -> Result<(usize, Option<usize>), String> {
        if let Some(date) = self.date {
            return Ok((date, self.clock));
        }
        let cells = |at: usize| {
            rows.iter()
                .filter_map(move |row| row.get(at))
                .map(String::as_str)
        };
        let mostly = |at: usize, is: &dyn Fn(&str) -> bool| {
            let all = cells(at).filter(|cell| !number::is_absent(cell)).count();
            all > 0 && 2 * cells(at).filter(|cell| is(cell)).count() >= all
        };
        let form = |at: usize| {
            let reads =
                |cell: &str| reader.read(cell, None).is_ok() || reader.ambiguity(cell).is_some();
            if !mostly(at, &reads) {
                return None;
            }
            let read = cells(at).find_map(|cell| reader.read(cell, None).ok());
            Some(read.map_or(Form::Day, |read| read.form))
        };
        let mut candidates: Vec<(u8, usize, bool)> = (self.roles.iter().enumerate())
            .filter_map(|(at, role)| match role {
                Some(Role::Time { rank, clock }) => Some((*rank, at, *clock)),
                _ => None,
            })
            .collect();
        candidates.sort_by_key(|(rank, at, _)| (*rank, *at));
        if candidates.is_empty() {
            return Ok((0, None));
        }
        // a whole time before a date, among columns of the same rank
        let readable = candidates
            .iter()
            .filter_map(|(rank, at, _)| Some((*rank, form(*at)?, *at)));
        let chosen = readable.min_by_key(|(rank, form, at)| (*rank, *form == Form::Day, *at));
        let at = match chosen {
            Some((_, form, at)) if form != Form::Day => return Ok((at, None)),
            Some((_, _, at)) => at,
            None => candidates[0].1,
        };
        let clock = candidates
            .iter()
            .find(|(_, other, clock)| *clock && *other != at && mostly(*other, &is_clock));
        Ok((at, clock.map(|(_, at, _)| *at)))
    }

    fn prices(
        &self,
        of_set: impl Fn(usize) -> bool,
        symbol: Option<&str>,
    ) -> Result<PriceColumns, String> {
        let mut set = PriceColumns::default();
        let mut currencies: Vec<usize> = Vec::new();
        let mut close_rank = u8::MAX;
        for (at, role) in self.roles.iter().enumerate().filter(|(at, _)| of_set(*at)) {
            let field = match role {
                Some(Role::Open) => &mut set.open,
                Some(Role::High) => &mut set.high,
                Some(Role::Low) => &mut set.low,
                Some(Role::Close { rank }) => {
                    if *rank < close_rank {
                        close_rank = *rank;
                        set.close = Some(at);
                    } else if *rank == close_rank {
                        return Err(self.twice(set.close.unwrap_or(at), at));
                    }
                    continue;
                }
                Some(Role::Volume { rank: IN_CURRENCY }) => {
                    currencies.push(at);
                    continue;
                }
                Some(Role::Volume { rank: TICKS }) => {
                    set.ticks.get_or_insert(at);
                    continue;
                }
                Some(Role::Volume { .. }) => {
                    set.volume.get_or_insert(at);
                    continue;
                }
                _ => continue,
            };
            if let Some(before) = field.replace(at) {
                return Err(self.twice(before, at));
            }
        }
        if set.volume.is_none() {
            // the base currency is that which the symbol begins with, and usually comes first
            let symbol = header::plain(symbol.unwrap_or_default());
            let base = |at: &usize| symbol.starts_with(&header::currency_of(&self.names[*at]));
            let found = currencies.iter().copied().find(base);
            set.volume = found.or(currencies.first().copied());
        }
        if close_rank == PRICE && (set.open.is_none() || set.high.is_none() || set.low.is_none()) {
            set.price = set.close.take();
            let (size, id) = header::of_trades(&self.names);
            set.volume = size.or(set.volume);
            set.trade_id = id;
        }
        Ok(set)
    }

    fn twice(&self, one: usize, other: usize) -> String {
        format!(
            "columns {} `{}` and {} `{}` mean the same; choose with --columns {}",
            one + 1,
            self.names[one],
            other + 1,
            self.names[other],
            self.suggestion(&[], Some(other)),
        )
    }

    /// `--columns` for this table, as far as it can be told.
    fn suggestion(&self, rows: &[Vec<String>], without: Option<usize>) -> String {
        let mut names: Vec<&str> = (self.roles.iter().enumerate())
            .map(|(at, role)| match role {
                _ if without == Some(at) => "-",
                Some(Role::Time { .. }) => "time",
                Some(Role::Open) => "open",
                Some(Role::High) => "high",
                Some(Role::Low) => "low",
                Some(Role::Close { rank: PRICE }) => "price",
                Some(Role::Close { .. }) => "close",
                Some(Role::Volume { .. }) => "volume",
                Some(Role::Symbol) => "symbol",
                Some(Role::Timeframe) => "timeframe",
                Some(Role::Final) => "final",
                Some(Role::Source) => "source",
                Some(Role::RecordType) | None => "-",
            })
            .collect();
        guess(&mut names, rows);
        while names.len() > 1 && names.last() == Some(&"-") {
            names.pop();
        }
        names.join(",")
    }
}

/// Finds columns without a known name by their rows: the time, and four prices in the usual order.
fn guess(names: &mut [&str], rows: &[Vec<String>]) {
    let number = |row: &Vec<String>, at: usize| -> Option<f64> {
        row.get(at)?.replace(',', ".").parse().ok()
    };
    let is_time = |at: usize| {
        let reader = TimeReader::default();
        let reads = |row: &Vec<String>| {
            row.get(at).is_some_and(|cell| {
                reader.read(cell, None).is_ok() || reader.ambiguity(cell).is_some()
            })
        };
        !rows.is_empty() && rows.iter().all(reads)
    };
    if !names.contains(&"time")
        && let Some(at) = (0..names.len()).find(|at| names[*at] == "-" && is_time(*at))
    {
        names[at] = "time";
        let next_is_clock = |row: &Vec<String>| {
            row.get(at + 1)
                .is_some_and(|cell| is_clock(cell) && cell.contains(':'))
        };
        if at + 1 < names.len() && names[at + 1] == "-" && rows.iter().all(next_is_clock) {
            names[at] = "date";
            names[at + 1] = "clock";
        }
    }
    let prices = ["open", "high", "low", "close"];
    if names.iter().any(|name| prices.contains(name)) {
        return;
    }
    let is_bar = |at: usize| {
        let fits = |row: &Vec<String>| {
            let value = |offset| number(row, at + offset);
            let (Some(open), Some(high), Some(low), Some(close)) =
                (value(0), value(1), value(2), value(3))
            else {
                return false;
            };
            high >= open.max(close) && low <= open.min(close)
        };
        names[at..at + 4].iter().all(|name| *name == "-")
            && !rows.is_empty()
            && rows.iter().all(fits)
    };
    if let Some(at) = (0..names.len().saturating_sub(3)).find(|at| is_bar(*at)) {
        names[at..at + 4].copy_from_slice(&prices);
        if !names.contains(&"volume") && names.get(at + 4) == Some(&"-") {
            names[at + 4] = "volume";
        }
    }
}
