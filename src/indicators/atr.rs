//! Average true range.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;
use super::true_range::TrueRange;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "atr",
    (Convention::TaLib, "ATR"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Atr::new(p.bars(0)).into(),
)
.fading(|p| 15 * p.bars(0));

/// The variant that counts the first bar.
pub const TRADINGVIEW: Entry = Entry::new(
    "atr@tv",
    (Convention::TradingView, "ta.atr"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Atr::tradingview(p.bars(0)).into(),
)
.fading(|p| 15 * p.bars(0));

/// Wilder's mean of the true range, in price.
///
/// Seeded with the mean of the true ranges of bars 1…n; first value at bar `n`. Source:
/// TA-Lib `ATR`. TradingView's `ta.atr` counts `high − low` of bar 0 as its true range and so
/// starts at bar `n − 1`; the two agree to 1e-6 after about 165 bars.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Atr {
    range: TrueRange,
    mean: Smoothed,
}

impl Atr {
    /// Over `period` true ranges (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            range: TrueRange::new(),
            mean: Smoothed::wilder(period),
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(period: usize) -> Self {
        Self {
            range: TrueRange::tradingview(),
            mean: Smoothed::wilder(period),
        }
    }
}

impl Next<Bars<'_>> for Atr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        self.mean.push(self.range.next(bars)?)
    }
}

impl Reset for Atr {
    fn reset(&mut self) {
        self.mean.reset();
    }
}

impl Period for Atr {
    fn period(&self) -> usize {
        self.mean.period()
    }
}
