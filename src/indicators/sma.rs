//! Simple moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::mean;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "sma",
    (Convention::TaLib, "SMA"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Sma::new(p.bars(0)).into(),
);

/// Arithmetic mean of the last `n` closes.
///
/// First value at bar `n − 1`. Windowed: computed afresh from the slice at each bar, so it
/// cannot drift. Source: TA-Lib `SMA`, TradingView `ta.sma`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sma {
    period: usize,
}

impl Sma {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Sma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map(mean)
    }
}

impl Reset for Sma {
    fn reset(&mut self) {}
}

impl Period for Sma {
    fn period(&self) -> usize {
        self.period
    }
}
