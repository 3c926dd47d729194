//! Bollinger bands.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::{Bars, last, sma::mean};

/// `middle = SMA(n)`, `upper, lower = middle ± k · σ`, where σ is the *population* standard
/// deviation of the last `n` closes (divided by `n`, not `n − 1`).
///
/// First values at bar `n − 1`. Windowed and two-pass: a spike leaves with the window and
/// leaves nothing behind. Source: TA-Lib `BBANDS`, TradingView `ta.bb`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bollinger {
    period: usize,
    deviations: f64,
}

impl Bollinger {
    /// Over `period` bars, `deviations` (> 0) wide to either side.
    #[must_use]
    pub const fn new(period: usize, deviations: f64) -> Self {
        Self { period, deviations }
    }
}

/// Mean and population variance of a slice, two-pass.
#[inline]
#[must_use]
pub fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let mean = mean(values);
    #[allow(clippy::cast_precision_loss)]
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, squares / n)
}

impl Next<Bars<'_>> for Bollinger {
    /// Upper, middle, lower.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map_or([None; 3], |closes| {
            let (mean, variance) = mean_and_variance(closes);
            let half = self.deviations * variance.sqrt();
            [Some(mean + half), Some(mean), Some(mean - half)]
        })
    }
}

impl Reset for Bollinger {
    fn reset(&mut self) {}
}

impl Period for Bollinger {
    fn period(&self) -> usize {
        self.period
    }
}
