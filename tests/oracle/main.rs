//! Every column of the oracle against the indicator that covers it, every bar, warm-up
//! included. The data and where it comes from: `tests/data/oracle/README.md`.

mod columns;
mod data;
mod docs;
mod odd;

use std::path::Path;

use columns::{Column, EXPORT_15M, EXPORT_30M, TALIB, TRADINGVIEW};
use data::{Set, Table};

/// Result of the comparison of a column.
pub struct Outcome {
    pub column: &'static str,
    pub item: &'static str,
    pub rows: usize,
    /// The worst relative error, with a floor of a thousandth of the median.
    pub worst: f64,
    /// Rows beyond the tolerance.
    pub over: usize,
    /// Rows where one side has a value and the other has none.
    pub missing: usize,
}

/// Runs one column over a set.
fn compare(set: &Set, table: &Table, column: &Column) -> Outcome {
    let ours = set.run(column);
    let mut cells: Vec<_> = table.column(column.name).collect();
    // an export of a chart may end earlier in one column than in another
    while cells.last().is_some_and(|(_, expected)| expected.is_none()) {
        cells.pop();
    }
    let mut pairs = Vec::new();
    let mut missing = 0;
    for (at, expected) in cells {
        if columns::IGNORED.contains(&(column.name, at)) {
            continue;
        }
        let ours = ours[set.row(at)];
        match expected {
            Some(expected) if !ours.is_nan() => pairs.push((expected, ours)),
            None if ours.is_nan() || column.partial => {}
            _ => missing += 1,
        }
    }
    let mut sizes: Vec<f64> = pairs.iter().map(|(e, _)| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
    let floor = (1e-3 * median).max(1e-300);
    let errors: Vec<f64> = pairs
        .iter()
        .map(|(e, x)| (e - x).abs() / e.abs().max(floor))
        .collect();
    Outcome {
        column: column.name,
        item: column.item,
        rows: errors.len(),
        worst: errors.iter().copied().fold(0.0, f64::max),
        over: errors.iter().filter(|&&e| e > column.tolerance()).count(),
        missing,
    }
}

/// Every set with its table and the columns of it that the catalogue covers.
pub fn outcomes(root: &Path) -> Vec<(&'static str, Vec<Outcome>)> {
    let mut all = Vec::new();
    for (name, set, file, columns) in [
        ("SPY daily, TA-Lib", "spy_1d", "talib.csv", TALIB),
        ("SPY 1m, TA-Lib", "spy_1m", "talib.csv", TALIB),
        (
            "SPY daily, TradingView",
            "spy_1d",
            "tradingview.csv",
            TRADINGVIEW,
        ),
        (
            "SPY 1m, TradingView",
            "spy_1m",
            "tradingview.csv",
            TRADINGVIEW,
        ),
        (
            "EURUSD 30m, chart export",
            "tv_eurusd_30m",
            "tradingview_export.csv",
            EXPORT_30M,
        ),
        (
            "EURUSD 15m, chart export",
            "tv_eurusd_15m_vwap",
            "tradingview_export.csv",
            EXPORT_15M,
        ),
    ] {
        let bars = Set::read(root, set);
        let table = Table::read(root, set, file);
        let outcomes = columns
            .iter()
            .map(|column| compare(&bars, &table, column))
            .collect();
        all.push((name, outcomes));
    }
    all
}

fn check(root: &Path) {
    let mut bad = Vec::new();
    for (set, outcomes) in outcomes(root) {
        for o in outcomes {
            if o.rows == 0 || o.missing > 0 || o.over > 0 {
                bad.push(format!(
                    "{set}: {} ({}): {} rows, worst {:.1e}, {} over, {} one-sided",
                    o.column, o.item, o.rows, o.worst, o.over, o.missing
                ));
            }
        }
    }
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

#[test]
fn every_column_matches_at_every_bar() {
    check(&data::kept());
}

/// Says nothing where the whole sets are not at hand: what is kept here is part of them.
#[test]
fn every_column_matches_at_every_bar_of_the_whole_sets() {
    if let Some(root) = data::whole() {
        check(&root);
    }
}

/// A column that nobody compares is one that nobody checks.
#[test]
fn every_column_is_compared_or_named_as_not_covered() {
    for (set, file, columns) in [
        ("spy_1d", "talib.csv", TALIB),
        ("spy_1d", "tradingview.csv", TRADINGVIEW),
        ("tv_eurusd_30m", "tradingview_export.csv", EXPORT_30M),
        ("tv_eurusd_15m_vwap", "tradingview_export.csv", EXPORT_15M),
    ] {
        for name in Table::read(&data::kept(), set, file).names() {
            assert!(
                columns.iter().any(|c| c.name == name)
                    || columns::NOT_COVERED.contains(&name.as_str()),
                "{set}/{file}: {name}"
            );
        }
    }
}
