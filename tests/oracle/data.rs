//! Reading the sets, and running an indicator over one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use technical_analysis_agent::indicators::{Bars, parse};
use technical_analysis_agent::market::Timestamp;

use crate::columns::{Column, Source};

/// The bars of one set, column by column.
pub struct Set {
    rows: HashMap<String, usize>,
    timestamps: Vec<i64>,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
}

/// The sets as they are kept here: small, so not every row of each.
pub fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle")
}

/// The sets as they came, whole, where they lie beside the project.
pub fn whole() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracle");
    beside.is_dir().then_some(beside)
}

fn read(root: &Path, set: &str, file: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_path(root.join(set).join(file)).unwrap();
    let header = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let rows = reader
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect();
    (header, rows)
}

impl Set {
    pub fn read(root: &Path, set: &str) -> Self {
        let (_, rows) = read(root, set, "ohlcv.csv");
        let column = |i: usize| rows.iter().map(|row| row[i].parse().unwrap()).collect();
        Self {
            rows: rows
                .iter()
                .zip(0..)
                .map(|(row, i)| (row[0].clone(), i))
                .collect(),
            timestamps: rows
                .iter()
                .map(|row| row[0].parse::<Timestamp>().unwrap().nanos())
                .collect(),
            open: column(1),
            high: column(2),
            low: column(3),
            close: column(4),
            volume: column(5),
        }
    }

    pub fn row(&self, timestamp: &str) -> usize {
        self.rows[timestamp]
    }

    pub fn len(&self) -> usize {
        self.close.len()
    }

    /// The bars up to and including `last`, no more than `window` of them.
    pub fn window(&self, last: usize, window: usize) -> Bars<'_> {
        let range = (last + 1).saturating_sub(window)..=last;
        Bars {
            timestamps: &self.timestamps[range.clone()],
            open: &self.open[range.clone()],
            high: &self.high[range.clone()],
            low: &self.low[range.clone()],
            close: &self.close[range.clone()],
            volume: &self.volume[range],
        }
    }

    /// The set with all four prices replaced by one price of each bar.
    fn flattened(&self, price: impl Fn(f64, f64, f64, f64) -> f64) -> Self {
        let prices: Vec<f64> = (0..self.len())
            .map(|i| price(self.open[i], self.high[i], self.low[i], self.close[i]))
            .collect();
        Self {
            rows: self.rows.clone(),
            timestamps: self.timestamps.clone(),
            open: prices.clone(),
            high: prices.clone(),
            low: prices.clone(),
            close: prices,
            volume: self.volume.clone(),
        }
    }

    /// The column's output at every bar, shown no more of the past than the look-back.
    pub fn run(&self, column: &Column) -> Vec<f64> {
        let set = match column.source {
            Source::Bars => return self.output(column),
            Source::Close => self.flattened(|_, _, _, c| c),
            Source::High => self.flattened(|_, h, _, _| h),
            Source::Hl2 => self.flattened(|_, h, l, _| (h + l) / 2.0),
            Source::Hlc3 => self.flattened(|_, h, l, c| (h + l + c) / 3.0),
            Source::Hlcc4 => self.flattened(|_, h, l, c| (h + l + c + c) / 4.0),
            Source::Ohlc4 => self.flattened(|o, h, l, c| (o + h + l + c) / 4.0),
        };
        set.output(column)
    }

    fn output(&self, column: &Column) -> Vec<f64> {
        let spec = parse(column.item).unwrap().remove(0);
        let at = spec
            .outputs()
            .iter()
            .position(|name| *name == column.output)
            .unwrap_or_else(|| panic!("{} has no {}", column.item, column.output));
        let mut out = vec![f64::NAN; spec.outputs().len()];
        let mut instance = spec.build();
        (0..self.len())
            .map(|last| {
                instance.update(self.window(last, spec.look_back()), &mut out);
                out[at]
            })
            .collect()
    }
}

/// Expected values by timestamp.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn read(root: &Path, set: &str, file: &str) -> Self {
        let (header, rows) = read(root, set, file);
        Self { header, rows }
    }

    pub fn names(&self) -> Vec<String> {
        self.header[1..].to_vec()
    }

    /// Timestamp and value, none where the cell is empty.
    pub fn column<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, Option<f64>)> {
        let at = self.header.iter().position(|h| h == name);
        let at = at.unwrap_or_else(|| panic!("no column {name}"));
        self.rows
            .iter()
            .map(move |row| (row[0].as_str(), row[at].parse().ok()))
    }
}
