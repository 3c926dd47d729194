//! Exponential moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "ema",
    (Convention::TaLib, "EMA"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Ema::new(p.bars(0)).into(),
)
.fading(|p| 7 * p.bars(0));

/// `EMA = EMA₋₁ + α · (close − EMA₋₁)` with `α = 2 / (n + 1)`.
///
/// Seeded with the SMA of the first `n` closes; first value at bar `n − 1`. Agrees with an
/// infinitely long history to 1e-6 after about `7·n` bars. Source: TA-Lib `EMA`,
/// TradingView `ta.ema`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ema {
    mean: Smoothed,
}

impl Ema {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            mean: Smoothed::exponential(period),
        }
    }
}

impl Next<Bars<'_>> for Ema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        self.mean.push(bars.bar().close)
    }
}

impl Reset for Ema {
    fn reset(&mut self) {
        *self = Self::new(self.period());
    }
}

impl Period for Ema {
    fn period(&self) -> usize {
        self.mean.period()
    }
}
