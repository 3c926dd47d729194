//! Average directional movement index.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::directional::Average;
use super::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "adx",
    (Convention::TaLib, "ADX"),
    &[Param::period(14, 2)],
    VALUE,
    |p| 2 * p.bars(0) - 1,
    |p| Adx::new(p.bars(0)).into(),
)
.fading(|p| 18 * p.bars(0));

/// The variant with TradingView's seed and ties.
pub const TRADINGVIEW: Entry = Entry::new(
    "adx@tv",
    (Convention::TradingView, "ta.dmi"),
    &[Param::period(14, 2), Param::bars("smoothing", 14, 1)],
    VALUE,
    |p| p.bars(0) + p.bars(1) - 1,
    |p| Adx::tradingview(p.bars(0), p.bars(1)).into(),
)
.fading(|p| 18 * p.bars(0).max(p.bars(1)));

/// Wilder's mean of DX. Range 0…100.
///
/// Seeded with the mean of the first `n` DX; first value at bar `2n − 1`. A bar at which
/// nothing has moved leaves it as it is. Source: TA-Lib `ADX`. TradingView's `ta.dmi` smooths
/// over a length of its own, `smoothing`, and starts at bar `n + smoothing − 1`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Adx {
    average: Average,
}

impl Adx {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            average: Average::new(period, period, false),
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(period: usize, smoothing: usize) -> Self {
        Self {
            average: Average::new(period, smoothing, true),
        }
    }
}

impl Next<Bars<'_>> for Adx {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        self.average.push(bars)
    }
}

impl Reset for Adx {
    fn reset(&mut self) {
        self.average.reset();
    }
}

impl Period for Adx {
    fn period(&self) -> usize {
        self.average.indices.period
    }
}
