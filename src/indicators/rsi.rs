//! Relative strength index.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;

/// Wilder's RSI: `100 · G / (G + L)`, where `G` and `L` are the smoothed gains and losses of
/// the close: `G = (G₋₁ · (n − 1) + gain) / n`.
///
/// Seeded with the mean of the first `n` changes; first value at bar `n`, range 0…100. Prices
/// that never moved give 0, as in TA-Lib's C library. Source: TA-Lib `RSI`; TradingView
/// `ta.rsi` has the same values but for prices that never moved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rsi {
    period: usize,
    /// Changes seen, counted up to `period`.
    changes: usize,
    /// Sums while seeding, smoothed means after.
    gain: f64,
    loss: f64,
}

impl Rsi {
    /// Over `period` changes (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            period,
            changes: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }
}

impl Next<Bars<'_>> for Rsi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let change = bars.bar().close - bars.previous_close()?;
        let (gain, loss) = (change.max(0.0), (-change).max(0.0));
        #[allow(clippy::cast_precision_loss)]
        let n = self.period as f64;
        if self.changes < self.period {
            self.changes += 1;
            self.gain += gain;
            self.loss += loss;
            if self.changes < self.period {
                return None;
            }
            self.gain /= n;
            self.loss /= n;
        } else {
            self.gain = (self.gain * (n - 1.0) + gain) / n;
            self.loss = (self.loss * (n - 1.0) + loss) / n;
        }
        let total = self.gain + self.loss;
        Some(if total == 0.0 {
            0.0
        } else {
            100.0 * self.gain / total
        })
    }
}

impl Reset for Rsi {
    fn reset(&mut self) {
        *self = Self::new(self.period);
    }
}

impl Period for Rsi {
    fn period(&self) -> usize {
        self.period
    }
}
