//! MACD with fixed weights.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param};
use super::macd::{Macd, OUTPUTS};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "macdfix",
    (Convention::TaLib, "MACDFIX"),
    &[Param::bars("signal", 9, 1)],
    OUTPUTS,
    |p| p.bars(0) + 24,
    |p| MacdFix::new(p.bars(0)).into(),
)
.fading(|p| 8 * (26 + p.bars(0)));

/// [`Macd`] over 12 and 26 bars whose weights are 0.15 and 0.075, as they were first published,
/// in place of `2 / (n + 1)`.
///
/// Seeds and first bars are those of [`Macd`]. Source: TA-Lib `MACDFIX`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MacdFix(Macd);

impl MacdFix {
    /// The signal over `signal` lines, at least 1.
    #[must_use]
    pub const fn new(signal: usize) -> Self {
        Self(Macd::of(
            Smoothed::new(12, 0.15),
            Smoothed::new(26, 0.075),
            Smoothed::exponential(signal),
        ))
    }
}

impl Next<Bars<'_>> for MacdFix {
    /// Line, signal, histogram.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        self.0.next(bars)
    }
}

impl Reset for MacdFix {
    fn reset(&mut self) {
        self.0.reset();
    }
}
