//! Simple moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::{Bars, last};

/// Arithmetic mean of the last `n` closes.
///
/// First value at bar `n − 1`. Windowed: computed afresh from the slice at each bar, so it
/// cannot drift. Source: TA-Lib `SMA`, TradingView `ta.sma`.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// The mean of a slice; `NaN` of an empty one.
#[inline]
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss)] // a window is far below 2⁵²
    let n = values.len() as f64;
    values.iter().sum::<f64>() / n
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
