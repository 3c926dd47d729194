//! Standard deviation.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::mean_and_variance;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "stddev",
    (Convention::TaLib, "STDDEV"),
    &[Param::period(20, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| StdDev::new(p.bars(0)).into(),
);

/// Population standard deviation (divided by `n`) of the last `n` closes.
///
/// First value at bar `n − 1`. Windowed and two-pass: a spike leaves with the window and
/// equal closes give exactly 0. Source: TA-Lib `STDDEV`, TradingView `ta.stdev`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StdDev {
    period: usize,
}

impl StdDev {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for StdDev {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map(|closes| mean_and_variance(closes).1.sqrt())
    }
}

impl Reset for StdDev {
    fn reset(&mut self) {}
}

impl Period for StdDev {
    fn period(&self) -> usize {
        self.period
    }
}
