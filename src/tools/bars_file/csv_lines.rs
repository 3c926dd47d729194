//! A header line, then one bar per line.

use std::io::Read;

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Trim};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Defaults, Line, LineError, SYMBOL, TIMEFRAME};

/// The fields a column may be, each with the names it may have, in lower case.
const FIELDS: &[(Kind, &[&str])] = &[
    (Kind::Number, &["timestamp", "t", "ts", "time"]),
    (Kind::Number, &["open", "open_price", "o"]),
    (Kind::Number, &["high", "high_price", "h"]),
    (Kind::Number, &["low", "low_price", "l"]),
    (Kind::Number, &["close", "close_price", "c", "price"]),
    (Kind::Number, &["volume", "v", "vol"]),
    (Kind::Text, SYMBOL),
    (Kind::Text, TIMEFRAME),
    (Kind::Flag, &["final", "x", "closed"]),
    (Kind::Text, &["source"]),
];

/// How a cell is written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it stands where it is a JSON number, else in quotes.
    Number,
    /// In quotes.
    Text,
    /// As it stands where it is `true` or `false`, else in quotes.
    Flag,
}

/// A column that is read.
#[derive(Debug)]
struct Column {
    at: usize,
    kind: Kind,
    /// The name it has in JSON: the header's, in lower case.
    name: String,
}

pub(super) struct CsvLines<R> {
    reader: Reader<R>,
    columns: Vec<Column>,
    width: usize,
    /// What a bar without the column gets: JSON fields, if any.
    symbol: Option<String>,
    timeframe: Option<String>,
    record: ByteRecord,
    ended: bool,
}

impl<R: Read> CsvLines<R> {
    /// Reads the header; other columns than those of bars are passed over.
    pub fn new(input: R, defaults: Defaults) -> Result<Self, String> {
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .trim(Trim::All)
            .from_reader(input);
        let header = reader.headers().map_err(|error| error.to_string())?.clone();
        let mut columns = Vec::new();
        let mut named = [None; FIELDS.len()];
        for (at, cell) in header.iter().enumerate() {
            let name = cell.trim_start_matches('\u{feff}').to_lowercase();
            let field = FIELDS
                .iter()
                .position(|(_, names)| names.contains(&name.as_str()));
            let Some(field) = field else {
                continue;
            };
            if let Some(other) = named[field].replace(cell) {
                return Err(format!("columns `{other}` and `{cell}` mean the same"));
            }
            let kind = FIELDS[field].0;
            columns.push(Column { at, kind, name });
        }
        let has = |field: &str| {
            let at = FIELDS.iter().position(|(_, names)| names[0] == field);
            at.is_some_and(|at| named[at].is_some())
        };
        for field in ["timestamp", "close"] {
            if !has(field) {
                return Err(format!(
                    "the header names no {field}; it should be \
                     timestamp,open,high,low,close,volume[,symbol,timeframe]"
                ));
            }
        }
        let text = |name: &str, value: String| format!("\"{name}\":{}", Value::from(value));
        Ok(Self {
            width: header.len(),
            columns,
            symbol: defaults.symbol.map(|symbol| text("symbol", symbol)),
            timeframe: defaults
                .timeframe
                .map(|timeframe| text("timeframe", timeframe.to_string())),
            reader,
            record: ByteRecord::new(),
            ended: false,
        })
    }

    fn message(&self) -> Result<Vec<u8>, String> {
        if self.record.len() != self.width {
            let (have, want) = (self.record.len(), self.width);
            return Err(format!("has {have} cells where the header has {want}"));
        }
        let mut fields = Vec::with_capacity(self.columns.len() + 2);
        let (mut symbol, mut timeframe) = (self.symbol.as_ref(), self.timeframe.as_ref());
        for Column { at, kind, name } in &self.columns {
            let cell = std::str::from_utf8(&self.record[*at])
                .map_err(|_| format!("`{name}` is not UTF-8"))?;
            if cell.is_empty() {
                continue;
            }
            if SYMBOL.contains(&name.as_str()) {
                symbol = None;
            } else if TIMEFRAME.contains(&name.as_str()) {
                timeframe = None;
            }
            let bare = match kind {
                Kind::Number => is_json_number(cell),
                Kind::Flag => matches!(cell, "true" | "false"),
                Kind::Text => false,
            };
            fields.push(if bare {
                format!("\"{name}\":{cell}")
            } else {
                format!("\"{name}\":{}", Value::from(cell))
            });
        }
        fields.extend(symbol.cloned());
        fields.extend(timeframe.cloned());
        Ok(format!("{{{}}}", fields.join(",")).into_bytes())
    }
}

impl<R: Read> Iterator for CsvLines<R> {
    type Item = Result<Line, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut record = std::mem::take(&mut self.record);
        let read = self.reader.read_byte_record(&mut record);
        self.record = record;
        match read {
            Ok(true) => {
                let number = self.record.position().map_or(0, csv::Position::line);
                Some(match self.message() {
                    Ok(payload) => Ok(Line { number, payload }),
                    Err(reason) => Err(LineError::Bad { number, reason }),
                })
            }
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                let number = self.reader.position().line();
                Some(Err(match error.into_kind() {
                    ErrorKind::Io(error) => LineError::Read { number, error },
                    other => LineError::Bad {
                        number,
                        reason: format!("{other:?}"),
                    },
                }))
            }
        }
    }
}

fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_cell_arrives_character_by_character(
            close in "[-+.e0-9]{1,20}|[!-~]{1,12}|NaN|-?[0-9]{1,18}(\\.[0-9]{1,18})?",
            symbol in "[ -~é]{1,20}",
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["t", "c", "s"]).unwrap();
            writer.write_record(["1", &close, &symbol]).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let (_, message) = read(&text, Defaults::default()).remove(0).unwrap();
            let fields: HashMap<&str, &RawValue> = serde_json::from_str(&message).unwrap();
            let cell = |name: &str| {
                let value = fields.get(name).map_or("", |value| value.get());
                serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned())
            };
            prop_assert_eq!(cell("c"), close.trim());
            prop_assert_eq!(cell("s"), symbol.trim());
        }
    }

    fn read(text: &str, defaults: Defaults) -> Vec<Result<(u64, String), String>> {
        CsvLines::new(text.as_bytes(), defaults)
            .unwrap()
            .map(|line| match line {
                Ok(line) => Ok((line.number, String::from_utf8(line.payload).unwrap())),
                Err(error) => Err(error.to_string()),
            })
            .collect()
    }

    #[test]
    fn a_line_becomes_the_message_a_source_would_send_with_its_digits_unchanged() {
        let text = "timestamp,open,high,low,close,volume,symbol,timeframe\n\
                    2024-01-02T00:00:00Z,187.150,188.44,183.885,185.64,82488700,AAPL,1d\n\
                    1704240000,1e2,+101,.5,0.1000000000000000055511151231257827,,600519,1d\n";
        let lines = read(text, Defaults::default());
        assert_eq!(
            lines[0].as_ref().unwrap(),
            &(2, r#"{"timestamp":"2024-01-02T00:00:00Z","open":187.150,"high":188.44,"low":183.885,"close":185.64,"volume":82488700,"symbol":"AAPL","timeframe":"1d"}"#.to_owned())
        );
        // what is no JSON number goes in quotes, an empty cell not at all
        assert_eq!(
            lines[1].as_ref().unwrap(),
            &(3, r#"{"timestamp":1704240000,"open":1e2,"high":"+101","low":".5","close":0.1000000000000000055511151231257827,"symbol":"600519","timeframe":"1d"}"#.to_owned())
        );
    }

    #[test]
    fn columns_come_in_any_order_case_and_alias_and_strange_ones_are_passed_over() {
        let defaults = Defaults {
            symbol: Some("X".to_owned()),
            timeframe: Some("1h".parse().unwrap()),
        };
        let text = "\u{feff}Vol, Adj Close ,Price,T,tf,x\r\n5,9,\"7\",1700000000, 5m ,false\r\n5,9,7,1700000000,,no\r\n";
        let lines = read(text, defaults);
        assert_eq!(
            lines[0].as_ref().unwrap().1,
            r#"{"vol":5,"price":7,"t":1700000000,"tf":"5m","x":false,"symbol":"X"}"#
        );
        assert_eq!(
            lines[1].as_ref().unwrap().1,
            r#"{"vol":5,"price":7,"t":1700000000,"x":"no","symbol":"X","timeframe":"1h"}"#
        );
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_the_next_is_read() {
        let lines = read("t,c\n1,2\n1,2,3\n\n1\n4,5\n", Defaults::default());
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[1].as_ref().unwrap_err(),
            "line 3: has 3 cells where the header has 2"
        );
        assert!(lines[2].as_ref().unwrap_err().contains("has 1 cells"));
        assert_eq!(lines[3].as_ref().unwrap().0, 6);
    }

    #[test]
    fn a_header_that_is_not_one_of_bars_is_refused() {
        let refused = |header: &str| {
            CsvLines::new(header.as_bytes(), Defaults::default())
                .err()
                .unwrap()
        };
        assert!(refused("open,high,low,close\n").contains("timestamp"));
        assert!(refused("timestamp,open\n").contains("close"));
        assert!(refused("").contains("timestamp"));
        assert!(refused("t,time,c\n").contains("`t` and `time`"));
    }
}
