//! Commodity channel index.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{float, sum_over};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "cci",
    (Convention::TaLib, "CCI"),
    &[Param::period(20, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Cci::new(p.bars(0)).into(),
);

/// The variant that says nothing while the price stands still.
pub const TRADINGVIEW: Entry = Entry::new(
    "cci@tv",
    (Convention::TradingView, "ta.cci(hlc3)"),
    &[Param::period(20, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Cci::tradingview(p.bars(0)).into(),
);

/// `(TP − SMA(TP)) / (0.015 · mean |TP − SMA(TP)|)` with the typical price `TP`.
///
/// First value at bar `n − 1`. Windowed. A deviation of 0 (to 1e-14 of the price) gives 0,
/// and none in the variant. Source: TA-Lib `CCI`, TradingView `ta.cci(hlc3, n)`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cci {
    period: usize,
    tradingview: bool,
}

impl Cci {
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

impl Next<Bars<'_>> for Cci {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        let bars = bars.tail(n)?;
        let mean = sum_over(n, |i| bars.typical(i)) / float(n);
        let deviation = sum_over(n, |i| (bars.typical(i) - mean).abs()) / float(n);
        let distance = bars.typical(n - 1) - mean;
        let nothing = 1e-14 * mean.abs();
        if deviation.abs() <= nothing || 0.015 * deviation == 0.0 {
            (!self.tradingview).then_some(0.0)
        } else if distance.abs() <= nothing {
            Some(0.0)
        } else {
            Some(distance / (0.015 * deviation))
        }
    }
}

impl Reset for Cci {
    fn reset(&mut self) {}
}

impl Period for Cci {
    fn period(&self) -> usize {
        self.period
    }
}
