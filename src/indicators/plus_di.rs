//! Plus directional indicator.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::directional::Directional;
use super::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "plus_di",
    (Convention::TaLib, "PLUS_DI"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0),
    |p| PlusDi::new(p.bars(0)).into(),
)
.fading(|p| 16 * p.bars(0));

/// The variant with TradingView's seed and ties.
pub const TRADINGVIEW: Entry = Entry::new(
    "plus_di@tv",
    (Convention::TradingView, "ta.dmi"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0),
    |p| PlusDi::tradingview(p.bars(0)).into(),
)
.fading(|p| 16 * p.bars(0));

/// `+DI = 100 · smoothed movement / smoothed true range`, Wilder's smoothing. Range 0…100; 0
/// while nothing has moved.
///
/// First value at bar `n`. TA-Lib seeds with the sums over bars 1…n−1, the variant with those
/// over bars 1…n. Source: TA-Lib `PLUS_DI`, TradingView `ta.dmi`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PlusDi {
    movement: Directional,
}

impl PlusDi {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            movement: Directional::new(period, false),
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(period: usize) -> Self {
        Self {
            movement: Directional::new(period, true),
        }
    }
}

impl Next<Bars<'_>> for PlusDi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        self.movement.push(bars).map(|indices| indices.0)
    }
}

impl Reset for PlusDi {
    fn reset(&mut self) {
        self.movement.reset();
    }
}

impl Period for PlusDi {
    fn period(&self) -> usize {
        self.movement.period
    }
}
