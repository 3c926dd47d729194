//! Absolute price oscillator.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE, fast_before_slow};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "apo",
    (Convention::TaLib, "APO (EMA)"),
    &[Param::bars("fast", 12, 1), Param::bars("slow", 26, 2)],
    VALUE,
    |p| p.bars(1) - 1,
    |p| Apo::new(p.bars(0), p.bars(1)).into(),
)
.fading(|p| 11 * p.bars(1))
.checked(fast_before_slow);

/// `EMA(fast) − EMA(slow)` of the close, in price.
///
/// Each average is seeded with the mean of its own first closes; first value at bar `slow − 1`. Source: TA-Lib `APO` with EMAs,
/// its default since 0.8.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Apo {
    fast: Smoothed,
    slow: Smoothed,
}

impl Apo {
    /// Averages over `fast` < `slow` bars.
    #[must_use]
    pub const fn new(fast: usize, slow: usize) -> Self {
        Self {
            fast: Smoothed::exponential(fast),
            slow: Smoothed::exponential(slow),
        }
    }
}

impl Next<Bars<'_>> for Apo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let close = bars.bar().close;
        let (fast, slow) = (self.fast.push(close), self.slow.push(close));
        let (fast, slow) = fast.zip(slow)?;
        Some(fast - slow)
    }
}

impl Reset for Apo {
    fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
    }
}
