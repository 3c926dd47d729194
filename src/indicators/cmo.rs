//! Chande momentum oscillator.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::rsi::Moves;
use super::slices::sum_over;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "cmo",
    (Convention::TaLib, "CMO"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0),
    |p| Cmo::new(p.bars(0)).into(),
)
.fading(|p| 20 * p.bars(0));

/// The variant of plain sums.
pub const TRADINGVIEW: Entry = Entry::new(
    "cmo@tv",
    (Convention::TradingView, "ta.cmo"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0),
    |p| CmoTv::new(p.bars(0)).into(),
);

/// `100 · (G − L) / (G + L)` with gains and losses smoothed as in [`super::Rsi`]; 0 for prices
/// that never moved. Range −100…100.
///
/// Seeded with the mean of the first `n` changes; first value at bar `n`. Source: TA-Lib `CMO`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cmo {
    moves: Moves,
}

impl Cmo {
    /// Over `period` changes (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            moves: Moves::new(period),
        }
    }
}

impl Next<Bars<'_>> for Cmo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let (gain, loss) = self.moves.push(bars)?;
        let total = gain + loss;
        Some(if total > 0.0 {
            100.0 * ((gain - loss) / total)
        } else {
            0.0
        })
    }
}

impl Reset for Cmo {
    fn reset(&mut self) {
        *self = Self::new(self.moves.period);
    }
}

impl Period for Cmo {
    fn period(&self) -> usize {
        self.moves.period
    }
}

/// `100 · (Σ gains − Σ losses) / (Σ gains + Σ losses)` over the last `n` changes; none when
/// the price did not move.
///
/// First value at bar `n`. Windowed. Source: TradingView `ta.cmo`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CmoTv {
    period: usize,
}

impl CmoTv {
    /// Over `period` changes (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for CmoTv {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        let closes = last(bars.close, n + 1)?;
        let way = sum_over(n, |i| (closes[i + 1] - closes[i]).abs());
        // gains − losses is what is left of the way
        (way > 0.0).then(|| 100.0 * (closes[n] - closes[0]) / way)
    }
}

impl Reset for CmoTv {
    fn reset(&mut self) {}
}

impl Period for CmoTv {
    fn period(&self) -> usize {
        self.period
    }
}
