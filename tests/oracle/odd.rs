//! Prices out of the ordinary against TA-Lib: below zero, zero, tiny, huge, and such that never move.
//!
//! The sets and TA-Lib's values: `tests/data/oracle/odd`, made by `make.py` there.

use std::fmt::Write as _;

use technical_analysis_agent::indicators::{Bars, Entry, catalogue, parse};

use crate::columns::{Column, ODD, TALIB};
use crate::data::{Set, Table, kept};

const SETS: [&str; 6] = ["negative", "below", "zeros", "flat", "nano", "tera"];

/// Columns that have no value at some bars where TA-Lib has one: the sets in which that is so, and the
/// reason. Everywhere else a value on one side only is an error.
pub const NONE_HERE: &[(&str, &[&str], &str)] = &[
    (
        "natr_14",
        &["negative", "below", "zeros", "flat"],
        "the range as a share of the close is none where the close is not above zero; TA-Lib has the sign \
         of the close, and 0 where it is 0",
    ),
    (
        "mfi_14",
        &["negative", "below", "zeros", "flat"],
        "a flow of money is price times volume, and none at a typical price that is not above zero; TA-Lib \
         sums flows of both signs, and has 0 where their total is not above zero",
    ),
    (
        "roc_10",
        &["negative", "below", "zeros", "flat"],
        OF_EARLIER,
    ),
    (
        "rocp_10",
        &["negative", "below", "zeros", "flat"],
        OF_EARLIER,
    ),
    (
        "rocr_10",
        &["negative", "below", "zeros", "flat"],
        OF_EARLIER,
    ),
    (
        "rocr100_10",
        &["negative", "below", "zeros", "flat"],
        OF_EARLIER,
    ),
    (
        "ppo_12_26_ema",
        &["negative", "below", "flat"],
        "a difference as a share of the slow average is none where that is not above zero; TA-Lib has the \
         other sign there",
    ),
    (
        "trix_18",
        &["negative", "below", "flat"],
        "a change as a share of the average before is none where that is not above zero; TA-Lib has the \
         other sign there",
    ),
];

const OF_EARLIER: &str = "a share of the earlier close is none where that is not above zero; TA-Lib \
    has the other sign there, and 0 where it is 0";

/// The column called `name`.
fn named(name: &str) -> &'static Column {
    let mut known = TALIB.iter().chain(ODD);
    let found = known.find(|column| column.name == name);
    found.unwrap_or_else(|| panic!("{name} is compared"))
}

/// A column of one set: bars compared, and those where only one side has a value.
struct Found {
    compared: usize,
    none_here: usize,
    faults: Vec<String>,
}

fn compare(set: &Set, table: &Table, column: &Column) -> Found {
    let ours = set.run(column);
    // an error counts against a thousandth of the column's usual size where a value is near zero
    let cells = table.column(column.name);
    let mut sizes: Vec<f64> = cells
        .filter_map(|(_, value)| value.map(f64::abs).filter(|size| *size > 0.0))
        .collect();
    sizes.sort_by(f64::total_cmp);
    let floor = 1e-3 * sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
    let mut found = Found {
        compared: 0,
        none_here: 0,
        faults: Vec::new(),
    };
    for (at, expected) in table.column(column.name) {
        let value = ours[set.row(at)];
        match expected {
            None if value.is_nan() => {}
            Some(_) if value.is_nan() => found.none_here += 1,
            Some(expected) => {
                found.compared += 1;
                let off = (value - expected).abs();
                // also where both are 0 in a column of nothing else
                if off > column.tolerance() * expected.abs().max(floor) || off.is_nan() {
                    found
                        .faults
                        .push(format!("{at}: {value}, TA-Lib {expected}"));
                }
            }
            None => found.faults.push(format!("{at}: {value}, TA-Lib none")),
        }
    }
    found
}

#[test]
fn odd_prices_give_what_talib_gives_or_nothing_for_a_reason() {
    let mut bad = Vec::new();
    for name in SETS {
        let directory = format!("odd/{name}");
        let set = Set::read(&kept(), &directory);
        let table = Table::read(&kept(), &directory, "talib.csv");
        for name_of_column in table.names() {
            let column = named(&name_of_column);
            let found = compare(&set, &table, column);
            bad.extend(
                found
                    .faults
                    .iter()
                    .map(|fault| format!("{name}, {}: {fault}", column.name)),
            );
            let mut reasons = NONE_HERE.iter();
            let due = reasons.any(|(of, sets, _)| *of == column.name && sets.contains(&name));
            if due != (found.none_here > 0) {
                bad.push(format!(
                    "{name}, {}: no value at {} bars where TA-Lib has one, said to be so: {due}",
                    column.name, found.none_here
                ));
            }
            if found.compared == 0 && !due {
                bad.push(format!("{name}, {}: nothing is compared", column.name));
            }
        }
    }
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}

/// A price that crosses zero leaves values before and after the gap.
#[test]
fn values_come_back_when_prices_are_above_zero_again() {
    for (set, item, output) in [
        ("negative", "natr_14", "value"),
        ("zeros", "roc_10", "value"),
    ] {
        let directory = format!("odd/{set}");
        let bars = Set::read(&kept(), &directory);
        let column = named(item);
        assert_eq!(column.output, output);
        let values = bars.run(column);
        let last_gap = values.iter().rposition(|value| value.is_nan()).unwrap();
        let first = values.iter().position(|value| !value.is_nan()).unwrap();
        assert!(
            first < last_gap && last_gap + 1 < values.len(),
            "{set}, {item}"
        );
    }
}

/// The value of every entry when prices never move, at a price above zero, at zero and below it.
pub fn still_table() -> String {
    let mut text = String::from("| indicator | 5 | 0 | −5 |\n|---|---|---|---|\n");
    for entry in catalogue() {
        let [above, zero, below] = [5.0, 0.0, -5.0].map(|price| still(entry, price));
        writeln!(text, "| `{}` | {above} | {zero} | {below} |", entry.name).unwrap();
    }
    text
}

/// The outputs of an entry with its defaults, when every price is `price`.
fn still(entry: &Entry, price: f64) -> String {
    let spec = parse(entry.name).unwrap().remove(0);
    let look_back = spec.look_back();
    let mut instance = spec.build();
    let mut out = vec![f64::NAN; spec.outputs().len()];
    let count = entry.warmup(&entry.defaults()) + 60;
    let prices = vec![price; look_back];
    let volume = vec![10.0; look_back];
    for last in 0..count {
        let kept = look_back.min(last + 1);
        let stamp = |at: usize| 60_000_000_000 * i64::try_from(at).unwrap();
        let timestamps: Vec<i64> = (last + 1 - kept..=last).map(stamp).collect();
        instance.update(
            Bars {
                timestamps: &timestamps,
                open: &prices[..kept],
                high: &prices[..kept],
                low: &prices[..kept],
                close: &prices[..kept],
                volume: &volume[..kept],
            },
            &mut out,
        );
    }
    let shown = |value: &f64| {
        if value.is_nan() {
            return "none".to_owned();
        }
        // the price itself, as averages have it, to the digits that rounding leaves
        let rounded = (value * 1e6).round() / 1e6;
        if rounded == 0.0 {
            "0".to_owned()
        } else {
            rounded.to_string()
        }
    };
    let values: Vec<String> = out.iter().map(shown).collect();
    if values.iter().all(|value| *value == values[0]) {
        values[0].clone()
    } else {
        values.join(", ")
    }
}

/// The reasons for values that TA-Lib has and the agent has not, for the page.
pub fn none_here_list() -> String {
    let mut text = String::new();
    for (column, _, reason) in NONE_HERE {
        let (name, _) = named(column).item.split_once('(').unwrap();
        writeln!(text, "- `{name}`: {reason}.").unwrap();
    }
    text
}
