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

/// The catalogue as a table in Markdown.
#[must_use]
pub fn catalogue_markdown() -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&TITLES.map(str::to_owned));
    text.push_str(&line(&TITLES.map(|_| "---".to_owned())));
    for entry in CATALOGUE {
        let mut row = row(entry);
        row[0] = format!("`{}`", row[0]);
        text.push_str(&line(&row));
    }
    text
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
    warmup: usize,
    converges: Option<usize>,
}

/// The catalogue as a JSON array of
/// `{"name","params":[{"name","default","min","max"}],"outputs","convention","source","warmup","converges"}`;
/// a time of day is a string, `converges` is `null` for what is cumulative.
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
                warmup: entry.warmup(&defaults),
                converges: entry.converges(&defaults),
            }
        })
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}
