//! Wilder's moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "rma",
    (Convention::TaLib, "RMA"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Rma::new(p.bars(0)).into(),
)
.fading(|p| 15 * p.bars(0));

/// `RMA = RMA₋₁ + (close − RMA₋₁) / n`.
///
/// Seeded with the SMA of the first `n` closes; first value at bar `n − 1`. Agrees with an
/// infinitely long history to 1e-6 after about `15·n` bars. Source: TA-Lib `RMA`,
/// TradingView `ta.rma`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rma {
    mean: Smoothed,
}

impl Rma {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            mean: Smoothed::wilder(period),
        }
    }
}

impl Next<Bars<'_>> for Rma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        self.mean.push(bars.bar().close)
    }
}

impl Reset for Rma {
    fn reset(&mut self) {
        *self = Self::new(self.period());
    }
}

impl Period for Rma {
    fn period(&self) -> usize {
        self.mean.period()
    }
}
