//! Double exponential moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "dema",
    (Convention::TaLib, "DEMA"),
    &[Param::period(20, 1)],
    VALUE,
    |p| 2 * (p.bars(0) - 1),
    |p| Dema::new(p.bars(0)).into(),
)
.fading(|p| 9 * p.bars(0));

/// `2 · EMA − EMA(EMA)`.
///
/// Each average is seeded with the mean of its own first `n` inputs; first value at bar
/// `2·(n − 1)`. Source: TA-Lib `DEMA`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Dema {
    first: Smoothed,
    second: Smoothed,
}

impl Dema {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            first: Smoothed::exponential(period),
            second: Smoothed::exponential(period),
        }
    }
}

impl Next<Bars<'_>> for Dema {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let first = self.first.push(bars.bar().close)?;
        let second = self.second.push(first)?;
        Some(2.0 * first - second)
    }
}

impl Reset for Dema {
    fn reset(&mut self) {
        *self = Self::new(self.period());
    }
}

impl Period for Dema {
    fn period(&self) -> usize {
        self.first.period()
    }
}
