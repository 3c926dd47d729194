//! Relative strength index.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::float;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "rsi",
    (Convention::TaLib, "RSI"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0),
    |p| Rsi::new(p.bars(0)).into(),
)
.fading(|p| 15 * p.bars(0));

/// The variant that reads 100 while the price has not moved.
pub const TRADINGVIEW: Entry = Entry::new(
    "rsi@tv",
    (Convention::TradingView, "ta.rsi"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0),
    |p| Rsi::tradingview(p.bars(0)).into(),
)
.fading(|p| 15 * p.bars(0));

/// Wilder's RSI: `100 · G / (G + L)`, where `G` and `L` are the smoothed gains and losses of
/// the close: `G = (G₋₁ · (n − 1) + gain) / n`.
///
/// Seeded with the mean of the first `n` changes; first value at bar `n`, range 0…100. Prices
/// that never moved give 0, as in TA-Lib's C library. Source: TA-Lib `RSI`; TradingView
/// `ta.rsi` has the same values but 100 for prices that never moved.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rsi {
    moves: Moves,
    flat: f64,
}

impl Rsi {
    /// Over `period` changes (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            moves: Moves::new(period),
            flat: 0.0,
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(period: usize) -> Self {
        Self {
            moves: Moves::new(period),
            flat: 100.0,
        }
    }
}

impl Next<Bars<'_>> for Rsi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let (gain, loss) = self.moves.push(bars)?;
        let total = gain + loss;
        Some(if total > 0.0 {
            100.0 * (gain / total)
        } else {
            self.flat
        })
    }
}

impl Reset for Rsi {
    fn reset(&mut self) {
        self.moves = Moves::new(self.moves.period);
    }
}

impl Period for Rsi {
    fn period(&self) -> usize {
        self.moves.period
    }
}

/// The gains and losses of the close as Wilder smooths them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Moves {
    pub(super) period: usize,
    /// Changes seen, counted up to `period`.
    seen: usize,
    /// Sums while seeding, smoothed means after.
    gain: f64,
    loss: f64,
}

impl Moves {
    pub(super) const fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            gain: 0.0,
            loss: 0.0,
        }
    }

    /// The smoothed gain and loss, once `period` changes were seen.
    #[inline]
    pub(super) fn push(&mut self, bars: Bars<'_>) -> Option<(f64, f64)> {
        let change = bars.bar().close - bars.previous_close()?;
        let (gain, loss) = if change > 0.0 {
            (change, 0.0)
        } else {
            (0.0, -change)
        };
        let n = float(self.period);
        if self.seen < self.period {
            self.seen += 1;
            self.gain += gain;
            self.loss += loss;
            if self.seen < self.period {
                return None;
            }
            self.gain /= n;
            self.loss /= n;
        } else {
            self.gain = (self.gain * (n - 1.0) + gain) / n;
            self.loss = (self.loss * (n - 1.0) + loss) / n;
        }
        Some((self.gain, self.loss))
    }
}
