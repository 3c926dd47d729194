//! Finds the layout of a table in the first lines of a text.

use super::super::header::{self, Role};
use super::super::number::{self, NumberStyle};
use super::super::preset::Preset;
use super::{DELIMITERS, Header, LINES_BEFORE, LOOKED_AT, Layout};

/// Finds the table in the first part of a text.
pub fn find(
    head: &[u8],
    columns: Option<&[String]>,
    delimiter: Option<u8>,
    preset: Option<Preset>,
) -> Result<Layout, String> {
    let lines = Lines::of(head);
    let delimiters = delimiter.map_or(DELIMITERS.to_vec(), |one| vec![one]);
    if lines.0.is_empty() {
        return Err(EMPTY.to_owned());
    }
    if let Some(columns) = columns {
        return lines.with_columns(&Header::of_columns(columns)?, &delimiters);
    }
    for at in 0..lines.0.len() {
        let found = delimiters
            .iter()
            .filter_map(|delimiter| {
                let (header, more) = lines.header(at, *delimiter)?;
                Some((header.known(), *delimiter, header, more))
            })
            .max_by_key(|(known, ..)| *known);
        if let Some((_, delimiter, header, more)) = found {
            let last = at + more;
            return Ok(Layout {
                delimiter,
                header,
                skip: lines.0[last].end,
                lines: lines.0[last].number,
                header_line: Some(lines.0[at].number),
            });
        }
    }
    let delimiter = lines.likely(&delimiters);
    if let Some(preset) = preset
        && let Some(columns) = preset.columns(lines.width(delimiter))
    {
        return lines.with_columns(&Header::of_columns(columns)?, &[delimiter]);
    }
    Err(lines.unreadable(delimiter))
}

/// Said of a file without a row.
pub const EMPTY: &str = "the input has no bars";

struct FoundLine<'a> {
    text: &'a [u8],
    number: u64,
    end: usize,
}

/// The first lines that are not blank.
struct Lines<'a>(Vec<FoundLine<'a>>);

impl<'a> Lines<'a> {
    fn of(head: &'a [u8]) -> Self {
        let mut lines = Vec::new();
        let (mut at, mut number) = (0, 0);
        while at < head.len() && lines.len() < LINES_BEFORE {
            let length = head[at..]
                .iter()
                .position(|b| *b == b'\n')
                .map_or(head.len() - at, |end| end + 1);
            number += 1;
            let text = &head[at..at + length];
            at += length;
            if !text.trim_ascii().is_empty() {
                lines.push(FoundLine {
                    text,
                    number,
                    end: at,
                });
            }
        }
        Self(lines)
    }

    fn cells(&self, at: usize, delimiter: u8) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(self.0[at].text);
        let mut record = csv::ByteRecord::new();
        if !matches!(reader.read_byte_record(&mut record), Ok(true)) {
            return Vec::new();
        }
        record
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).into_owned())
            .collect()
    }

    /// The header at a line, and how many further lines belong to it.
    fn header(&self, at: usize, delimiter: u8) -> Option<(Header, usize)> {
        let first = self.cells(at, delimiter);
        let index = header::plain(first.first()?);
        if first.len() > 1
            && matches!(index.as_str(), "price" | "ticker" | "tickers" | "")
            && at + 1 < self.0.len()
        {
            let second = self.cells(at + 1, delimiter);
            let below = second
                .first()
                .map(|name| header::plain(name))
                .unwrap_or_default();
            if matches!(below.as_str(), "price" | "ticker" | "tickers" | "")
                && second
                    .iter()
                    .skip(1)
                    .all(|cell| cell.parse::<f64>().is_err())
                && let Some(header) = Header::two_level(first.clone(), second)
            {
                let is_index = |cells: &[String]| {
                    let blank = cells.iter().skip(1).all(String::is_empty);
                    blank
                        && cells
                            .first()
                            .is_some_and(|name| matches!(Role::of(name), Some(Role::Time { .. })))
                };
                let third = at + 2 < self.0.len() && is_index(&self.cells(at + 2, delimiter));
                return Some((header, 1 + usize::from(third)));
            }
        }
        let header = Header::new(first);
        header.is_complete().then_some((header, 0))
    }

    fn rows(&self, from: usize, delimiter: u8) -> Vec<Vec<String>> {
        let end = self.0.len().min(from + LOOKED_AT);
        (from..end).map(|at| self.cells(at, delimiter)).collect()
    }

    /// The delimiter that gives the most cells on most lines.
    fn likely(&self, delimiters: &[u8]) -> u8 {
        let cells = |delimiter: u8| -> usize { self.rows(0, delimiter).iter().map(Vec::len).sum() };
        // of equal ones the first
        let best = delimiters
            .iter()
            .rev()
            .max_by_key(|delimiter| cells(**delimiter));
        best.copied().unwrap_or(b',')
    }

    fn width(&self, delimiter: u8) -> usize {
        let rows = self.rows(0, delimiter);
        rows.iter().map(Vec::len).max().unwrap_or_default()
    }

    /// The table whose columns are given: it begins with the first line that fits.
    fn with_columns(&self, header: &Header, delimiters: &[u8]) -> Result<Layout, String> {
        if !header.is_complete() {
            return Err("--columns names no time or no close; both are needed".to_owned());
        }
        let read_to = header
            .roles
            .iter()
            .rposition(Option::is_some)
            .unwrap_or_default();
        let numeric: Vec<usize> = (header.roles.iter().enumerate())
            .filter(|(_, role)| {
                matches!(
                    role,
                    Some(Role::Open | Role::High | Role::Low | Role::Close { .. })
                )
            })
            .map(|(at, _)| at)
            .collect();
        let is_row = |cells: &[String]| {
            let is_number = |at: &usize| {
                cells.get(*at).is_some_and(|cell| {
                    number::is_absent(cell)
                        || [NumberStyle::Point, NumberStyle::Comma]
                            .iter()
                            .any(|style| number::is_json_number(&style.read(cell)))
                })
            };
            cells.len() > read_to && numeric.iter().all(is_number)
        };
        for at in 0..self.0.len() {
            for delimiter in delimiters {
                let cells = self.cells(at, *delimiter);
                if !is_row(&cells) {
                    continue;
                }
                let header = header.clone().with_width(cells.len());
                return Ok(Layout {
                    delimiter: *delimiter,
                    header,
                    skip: at.checked_sub(1).map_or(0, |before| self.0[before].end),
                    lines: at.checked_sub(1).map_or(0, |before| self.0[before].number),
                    header_line: None,
                });
            }
        }
        let delimiter = self.likely(delimiters);
        Err(format!(
            "no line fits the {} columns that are named; line {} has {}: {}",
            header.names.len(),
            self.0[0].number,
            self.cells(0, delimiter).len(),
            shown(&self.cells(0, delimiter)),
        ))
    }

    /// The reason why there is no table that can be read, and what would read it.
    fn unreadable(&self, delimiter: u8) -> String {
        let best = (0..self.0.len()).max_by_key(|at| {
            let known = Header::new(self.cells(*at, delimiter)).known();
            (known, std::cmp::Reverse(*at))
        });
        let best = best.unwrap_or_default();
        let header = Header::new(self.cells(best, delimiter));
        let number = self.0[best].number;
        if header.known() > 0 {
            let rows = self.rows(best + 1, delimiter);
            let missing = match (header.has_time(), header.has_close()) {
                (false, false) => "neither a time nor a close",
                (false, true) => "no time",
                _ => "no close",
            };
            return format!(
                "line {number} names {missing}; found {}. Name the columns with --columns {}{}",
                shown(&header.names),
                header.suggestion(&rows, None),
                incomplete(&header.suggestion(&rows, None)),
            );
        }
        let cells = self.cells(0, delimiter);
        let mut rows = self.rows(0, delimiter);
        let is_number = |cell: &String| cell.replace(',', ".").parse::<f64>().is_ok();
        let is_data = cells.iter().filter(|cell| is_number(cell)).count() >= 4;
        if !is_data {
            // a header in words that are not known
            rows.remove(0);
        }
        let nameless = Header::new(vec!["-".to_owned(); cells.len()]);
        let suggestion = nameless.suggestion(&rows, None);
        let what = if is_data {
            "there is no header; line"
        } else {
            "no column has a known name; line"
        };
        let preset = match (is_data, cells.len()) {
            (true, 12) => " or --preset binance",
            (true, 7 | 8) if cells[0].bytes().all(|b| b.is_ascii_digit()) => " or --preset kraken",
            (true, 6..=9) if cells[1].contains(':') => " or --preset mt5",
            _ => "",
        };
        format!(
            "{what} {} is {}. Name the columns with --columns {suggestion}{preset}{}",
            self.0[0].number,
            shown(&cells),
            incomplete(&suggestion),
        )
    }
}

fn incomplete(suggestion: &str) -> &'static str {
    let has = |name: &str| suggestion.split(',').any(|column| column == name);
    if (has("time") || has("date")) && (has("close") || has("price")) {
        ""
    } else {
        ", with time, open, high, low, close and volume in their places"
    }
}

/// Cells as an error shows them.
fn shown(cells: &[String]) -> String {
    const MOST: usize = 16;
    let cut = |cell: &String| format!("`{}`", cell.chars().take(32).collect::<String>());
    let mut text = cells
        .iter()
        .take(MOST)
        .map(cut)
        .collect::<Vec<_>>()
        .join(", ");
    if cells.len() > MOST {
        text += &format!(" and {} more", cells.len() - MOST);
    }
    text
}
