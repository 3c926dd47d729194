//! TRIX.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "trix",
    (Convention::TaLib, "TRIX"),
    &[Param::period(18, 1)],
    VALUE,
    |p| 3 * (p.bars(0) - 1) + 1,
    |p| Trix::new(p.bars(0)).into(),
)
.fading(|p| 14 * p.bars(0));

/// `100 · (E₃ / E₃₋₁ − 1)` with `E₃` the EMA of the EMA of the EMA, in percent;
/// none where the one before is not above zero.
///
/// Each average is seeded with the mean of its own first `n` inputs; first value at bar
/// `3·(n − 1) + 1`. Source: TA-Lib `TRIX`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Trix {
    first: Smoothed,
    second: Smoothed,
    third: Smoothed,
    /// The third average one bar ago.
    before: Option<f64>,
}

impl Trix {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            first: Smoothed::exponential(period),
            second: Smoothed::exponential(period),
            third: Smoothed::exponential(period),
            before: None,
        }
    }
}

impl Next<Bars<'_>> for Trix {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let first = self.first.push(bars.bar().close)?;
        let second = self.second.push(first)?;
        let third = self.third.push(second)?;
        let before = self.before.replace(third)?;
        (before > 0.0).then(|| (third / before - 1.0) * 100.0)
    }
}

impl Reset for Trix {
    fn reset(&mut self) {
        *self = Self::new(self.period());
    }
}

impl Period for Trix {
    fn period(&self) -> usize {
        self.first.period()
    }
}
