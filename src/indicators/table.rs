//! The catalogue as a table for people and as JSON for programs.

use serde::Serialize;

use super::entry::{Entry, VALUE};
use super::registry::CATALOGUE;

/// Every indicator that can be asked for.
#[must_use]
pub fn catalogue() -> &'static [Entry] {
    CATALOGUE
}

const TITLES: [&str; 7] = [
    "indicator",
    "outputs",
    "ranges",
    "first",
    "settled",
    "convention",
    "source",
];

/// A row of the table: name with defaults, outputs, ranges, first bar, convergence, convention.
fn row(entry: &Entry) -> [String; 7] {
    let defaults = entry.defaults();
    let params: Vec<String> = entry
        .params
        .iter()
        .map(|p| format!("{}={}", p.name, p.text(p.default)))
        .collect();
    let ranges: Vec<String> = entry
        .params
        .iter()
        .map(|p| format!("{}…{}", p.text(p.min), p.text(p.max)))
        .collect();
    [
        if params.is_empty() {
            entry.name.to_owned()
        } else {
            format!("{}({})", entry.name, params.join(","))
        },
        if entry.outputs == VALUE {
            "–".to_owned()
        } else {
            entry.outputs.join(" ")
        },
        if ranges.is_empty() {
            "–".to_owned()
        } else {
            ranges.join(" ")
        },
        entry.warmup(&defaults).to_string(),
        entry
            .converges(&defaults)
            .map_or_else(|| "never".to_owned(), |bars| bars.to_string()),
        entry.convention.to_string(),
        entry.source.to_owned(),
    ]
}

/// The catalogue as aligned text: name with the defaults of its parameters, outputs, ranges,
/// first bar with a value (counted from 0), bars until it agrees with an infinite history to
/// 1e-6, convention and source.
#[must_use]
pub fn catalogue_table() -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(CATALOGUE.iter().map(row));
    let widths: Vec<usize> = (0..TITLES.len())
        .map(|column| rows.iter().map(|r| width(&r[column])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, column) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', column + 2 - width(cell)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[derive(Serialize)]
struct ParamRow {
    name: &'static str,
    default: serde_json::Value,
    min: serde_json::Value,
    max: serde_json::Value,
}

#[derive(Serialize)]
struct EntryRow {
    name: &'static str,
    params: Vec<ParamRow>,
    outputs: &'static [&'static str],
    convention: String,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    talib: Option<&'static str>,
    warmup: usize,
    converges: Option<usize>,
}

/// The catalogue as a JSON array of
/// `{"name","params":[{"name","default","min","max"}],"outputs","convention","source","talib","warmup","converges"}`;
/// a time of day is a string, `talib` is the function of TA-Lib that it equals, if there is one, and
/// `converges` is `null` for what is cumulative.
#[must_use]
pub fn catalogue_json() -> String {
    let rows: Vec<EntryRow> = CATALOGUE
        .iter()
        .map(|entry| {
            let defaults = entry.defaults();
            EntryRow {
                name: entry.name,
                params: entry
                    .params
                    .iter()
                    .map(|p| ParamRow {
                        name: p.name,
                        default: p.json(p.default),
                        min: p.json(p.min),
                        max: p.json(p.max),
                    })
                    .collect(),
                outputs: entry.outputs,
                convention: entry.convention.to_string(),
                source: entry.source,
                talib: entry.talib(),
                warmup: entry.warmup(&defaults),
                converges: entry.converges(&defaults),
            }
        })
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_per_indicator() {
        let table = catalogue_table();
        assert_eq!(table.lines().count(), CATALOGUE.len() + 1);
        let atr = table.lines().find(|l| l.starts_with("atr(")).unwrap();
        let cells: Vec<&str> = atr.split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "atr(period=14)",
                "–",
                "1…1000",
                "14",
                "210",
                "TA-Lib",
                "ATR"
            ]
        );
        let columns: Vec<usize> = ["first", "settled", "convention"]
            .iter()
            .map(|title| table.lines().next().unwrap().find(title).unwrap())
            .collect();
        assert!(columns.is_sorted());
    }

    #[test]
    fn the_json_says_what_a_program_needs() {
        let rows: Vec<serde_json::Value> = serde_json::from_str(&catalogue_json()).unwrap();
        let find = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!(
            *find("stoch"),
            serde_json::json!({
                "name": "stoch",
                "params": [
                    {"name": "period", "default": 14, "min": 1, "max": 1000},
                    {"name": "k", "default": 3, "min": 1, "max": 1000},
                    {"name": "d", "default": 3, "min": 1, "max": 1000},
                ],
                "outputs": ["k", "d"],
                "convention": "TA-Lib",
                "source": "STOCH (SMA)",
                "talib": "STOCH",
                "warmup": 17,
                "converges": 18,
            })
        );
        assert_eq!(find("vwap")["params"][0]["default"], "00:00");
        assert_eq!(find("obv")["converges"], serde_json::Value::Null);
        assert_eq!(find("sar@tv")["convention"], "TradingView");
        assert_eq!(find("sar@tv").get("talib"), None);
        assert_eq!(find("doji")["talib"], "CDLDOJI");
    }
}
