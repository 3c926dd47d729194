//! Moving average convergence / divergence.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{Bars, last, sma::mean};

/// `line = EMA(fast) − EMA(slow)`, `signal = EMA(line)`, `histogram = line − signal`.
///
/// TA-Lib's seeds: both averages start at bar `slow − 1`, the fast one from the mean of the
/// `fast` closes that end there; the signal starts from the mean of the first `signal` lines.
/// Nothing is said before the signal exists: all three from bar `slow + signal − 2`. Outputs
/// in price units. Source: TA-Lib `MACD`. TradingView's `ta.macd` seeds the fast average at
/// bar `fast − 1` and agrees to 1e-6 after about 150 bars.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Macd {
    fast: usize,
    slow: usize,
    signal: usize,
    /// Values of the line seen, counted up to `signal`.
    lines: usize,
    fast_ema: f64,
    slow_ema: f64,
    /// Sum of the lines while seeding, their EMA after.
    signal_ema: f64,
}

impl Macd {
    /// Averages over `fast` < `slow` bars, the signal over `signal` lines, each at least 1.
    #[must_use]
    pub const fn new(fast: usize, slow: usize, signal: usize) -> Self {
        Self {
            fast,
            slow,
            signal,
            lines: 0,
            fast_ema: 0.0,
            slow_ema: 0.0,
            signal_ema: 0.0,
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn smooth(previous: f64, value: f64, period: usize) -> f64 {
    (value - previous) * (2.0 / (period as f64 + 1.0)) + previous
}

impl Next<Bars<'_>> for Macd {
    /// Line, signal, histogram.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        if self.lines == 0 {
            let (Some(fast), Some(slow)) =
                (last(bars.close, self.fast), last(bars.close, self.slow))
            else {
                return [None; 3];
            };
            self.fast_ema = mean(fast);
            self.slow_ema = mean(slow);
        } else {
            let close = bars.bar().close;
            self.fast_ema = smooth(self.fast_ema, close, self.fast);
            self.slow_ema = smooth(self.slow_ema, close, self.slow);
        }
        let line = self.fast_ema - self.slow_ema;
        if self.lines < self.signal {
            self.lines += 1;
            self.signal_ema += line;
            if self.lines < self.signal {
                return [None; 3];
            }
            #[allow(clippy::cast_precision_loss)]
            let n = self.signal as f64;
            self.signal_ema /= n;
        } else {
            self.signal_ema = smooth(self.signal_ema, line, self.signal);
        }
        [
            Some(line),
            Some(self.signal_ema),
            Some(line - self.signal_ema),
        ]
    }
}

impl Reset for Macd {
    fn reset(&mut self) {
        *self = Self::new(self.fast, self.slow, self.signal);
    }
}
