//! Variance.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::mean_and_variance;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "var",
    (Convention::TaLib, "VAR"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Variance::new(p.bars(0)).into(),
);

/// Population variance (divided by `n`) of the last `n` closes.
///
/// First value at bar `n − 1`. Windowed and two-pass. Source: TA-Lib `VAR`, TradingView
/// `ta.variance`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Variance {
    period: usize,
}

impl Variance {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Variance {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map(|closes| mean_and_variance(closes).1)
    }
}

impl Reset for Variance {
    fn reset(&mut self) {}
}

impl Period for Variance {
    fn period(&self) -> usize {
        self.period
    }
}
