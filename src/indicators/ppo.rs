//! Percentage price oscillator.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE, fast_before_slow};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "ppo",
    (Convention::TaLib, "PPO (EMA)"),
    &[Param::bars("fast", 12, 1), Param::bars("slow", 26, 2)],
    VALUE,
    |p| p.bars(1) - 1,
    |p| Ppo::new(p.bars(0), p.bars(1)).into(),
)
.fading(|p| 11 * p.bars(1))
.checked(fast_before_slow);

/// `100 · (EMA(fast) − EMA(slow)) / EMA(slow)` of the close, in percent; none where the slow one is not above zero.
///
/// Each average is seeded with the mean of its own first closes; first value at bar `slow − 1`. Source: TA-Lib `PPO` with EMAs,
/// its default since 0.8.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ppo {
    fast: Smoothed,
    slow: Smoothed,
}

impl Ppo {
    /// Averages over `fast` < `slow` bars.
    #[must_use]
    pub const fn new(fast: usize, slow: usize) -> Self {
        Self {
            fast: Smoothed::exponential(fast),
            slow: Smoothed::exponential(slow),
        }
    }
}

impl Next<Bars<'_>> for Ppo {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let close = bars.bar().close;
        let (fast, slow) = (self.fast.push(close), self.slow.push(close));
        let (fast, slow) = fast.zip(slow)?;
        (slow > 0.0).then(|| 100.0 * ((fast - slow) / slow))
    }
}

impl Reset for Ppo {
    fn reset(&mut self) {
        self.fast.reset();
        self.slow.reset();
    }
}
