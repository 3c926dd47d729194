//! Linear regression.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{float, mean, sum_over};
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "linreg",
    (Convention::TaLib, "LINEARREG"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| LinReg::new(p.bars(0)).into(),
);

/// The value at the newest bar of the least-squares line through the last `n` closes.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `LINEARREG`, TradingView
/// `ta.linreg(close, n, 0)`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LinReg {
    period: usize,
}

impl LinReg {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for LinReg {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period)
            .map(|closes| mean(closes) + slope(closes) * (float(self.period) - 1.0) / 2.0)
    }
}

impl Reset for LinReg {
    fn reset(&mut self) {}
}

impl Period for LinReg {
    fn period(&self) -> usize {
        self.period
    }
}

/// The slope of the least-squares line, per bar: `Σ (x − x̄)(y − y₀) / Σ (x − x̄)²`.
#[inline]
#[must_use]
pub fn slope(values: &[f64]) -> f64 {
    let n = float(values.len());
    let (centre, anchor) = ((n - 1.0) / 2.0, values[values.len() - 1]);
    let covariance = sum_over(values.len(), |i| (float(i) - centre) * (values[i] - anchor));
    covariance * 12.0 / (n * (n * n - 1.0))
}
