//! Williams %R.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{highest, lowest};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "willr",
    (Convention::TaLib, "WILLR"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Willr::new(p.bars(0)).into(),
);

/// The variant that says nothing while the range is 0.
pub const TRADINGVIEW: Entry = Entry::new(
    "willr@tv",
    (Convention::TradingView, "ta.wpr"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Willr::tradingview(p.bars(0)).into(),
);

/// `−100 · (highest high − close) / (highest high − lowest low)` over the last `n` bars.
/// Range −100…0; a range of 0 (to 1e-14 of the price) gives 0, and none in the variant.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `WILLR`, TradingView `ta.wpr`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Willr {
    period: usize,
    tradingview: bool,
}

impl Willr {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            period,
            tradingview: false,
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview(period: usize) -> Self {
        Self {
            period,
            tradingview: true,
        }
    }
}

impl Next<Bars<'_>> for Willr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let tail = bars.tail(self.period)?;
        let (low, high) = (lowest(tail.low), highest(tail.high));
        let range = high - low;
        if range <= 1e-14 * (high.abs() + low.abs()) {
            return (!self.tradingview).then_some(0.0);
        }
        Some((high - bars.bar().close) / range * -100.0)
    }
}

impl Reset for Willr {
    fn reset(&mut self) {}
}

impl Period for Willr {
    fn period(&self) -> usize {
        self.period
    }
}
