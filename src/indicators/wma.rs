//! Weighted moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::weighted_mean;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "wma",
    (Convention::TaLib, "WMA"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Wma::new(p.bars(0)).into(),
);

/// Mean of the last `n` closes, weighted 1 for the oldest to `n` for the newest.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `WMA`, TradingView `ta.wma`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Wma {
    period: usize,
}

impl Wma {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Wma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map(weighted_mean)
    }
}

impl Reset for Wma {
    fn reset(&mut self) {}
}

impl Period for Wma {
    fn period(&self) -> usize {
        self.period
    }
}
