//! Triple exponential moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "tema",
    (Convention::TaLib, "TEMA"),
    &[Param::period(20, 1)],
    VALUE,
    |p| 3 * (p.bars(0) - 1),
    |p| Tema::new(p.bars(0)).into(),
)
.fading(|p| 10 * p.bars(0));

/// `3 · EMA − 3 · EMA(EMA) + EMA(EMA(EMA))`.
///
/// Each average is seeded with the mean of its own first `n` inputs; first value at bar
/// `3·(n − 1)`. Source: TA-Lib `TEMA`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Tema {
    first: Smoothed,
    second: Smoothed,
    third: Smoothed,
}

impl Tema {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            first: Smoothed::exponential(period),
            second: Smoothed::exponential(period),
            third: Smoothed::exponential(period),
        }
    }
}

impl Next<Bars<'_>> for Tema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let first = self.first.push(bars.bar().close)?;
        let second = self.second.push(first)?;
        let third = self.third.push(second)?;
        Some(3.0 * (first - second) + third)
    }
}

impl Reset for Tema {
    fn reset(&mut self) {
        *self = Self::new(self.period());
    }
}

impl Period for Tema {
    fn period(&self) -> usize {
        self.first.period()
    }
}
