//! Times that repeat: a sign of times that a spreadsheet has shortened.

use std::collections::HashMap;

use crate::market::Timestamp;
use crate::tools::bars_file::table::Row;

/// Counts rows that have the time of the row before.
#[derive(Debug, Default)]
pub(super) struct Watch {
    newest: HashMap<u32, Timestamp>,
    rows: u64,
    same: u64,
    /// A time as a spreadsheet shortens it.
    shortened: Option<String>,
}

impl Watch {
    /// Notes a time as a spreadsheet shortens it.
    pub fn shortened(&mut self, cell: &str) {
        self.shortened.get_or_insert_with(|| cell.to_owned());
    }

    /// Counts a row.
    pub fn row(&mut self, row: &Row) {
        self.rows += 1;
        if self.newest.insert(row.symbol, row.time) == Some(row.time) {
            self.same += 1;
        }
    }

    /// The note on repeated times, if there are any.
    pub fn note(self) -> Option<String> {
        let Self {
            rows,
            same,
            shortened,
            ..
        } = self;
        if same == 0 {
            return None;
        }
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
        Some(text)
    }
}
