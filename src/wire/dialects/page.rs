//! The table of dialects in the documentation.

use super::REGISTRY;

/// The dialects as a table in Markdown, for `docs/inputs.md`.
#[must_use]
pub fn markdown_table() -> String {
    let mut table = String::from(
        "| dialect | live bar | open time | complete when | trades and other messages |\n|---|---|---|---|---|\n",
    );
    for dialect in REGISTRY {
        let notes = &dialect.notes;
        table.push_str(&format!(
            "| [{}]({}) | {} | {} | {} | {} |\n",
            dialect.name, notes.source, notes.bars, notes.time, notes.complete, notes.other
        ));
    }
    table
}
