//! Exponential moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::{Bars, last, sma::mean};

/// `EMA = EMA₋₁ + α · (close − EMA₋₁)` with `α = 2 / (n + 1)`.
///
/// Seeded with the SMA of the first `n` closes; first value at bar `n − 1`. Agrees with an
/// infinitely long history to 1e-6 after about `7·n` bars. Source: TA-Lib `EMA`,
/// TradingView `ta.ema`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ema {
    period: usize,
    value: Option<f64>,
}

impl Ema {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            period,
            value: None,
        }
    }
}

impl Next<Bars<'_>> for Ema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        #[allow(clippy::cast_precision_loss)]
        let alpha = 2.0 / (self.period as f64 + 1.0);
        self.value = match self.value {
            Some(previous) => Some((bars.bar().close - previous) * alpha + previous),
            None => last(bars.close, self.period).map(mean),
        };
        self.value
    }
}

impl Reset for Ema {
    fn reset(&mut self) {
        self.value = None;
    }
}

impl Period for Ema {
    fn period(&self) -> usize {
        self.period
    }
}
