//! Chaikin accumulation / distribution line.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "ad",
    (Convention::TaLib, "AD"),
    &[],
    VALUE,
    |_| 0,
    |_| Ad::new().into(),
)
.endless();

/// The running sum of `CLV · volume`, with the close location value
/// `CLV = ((close − low) − (high − close)) / (high − low)`, 0 for a bar without range.
///
/// First value at bar 0. Source: TA-Lib `AD`, TradingView `ta.accdist`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Ad {
    total: f64,
}

impl Ad {
    /// From 0.
    #[must_use]
    pub const fn new() -> Self {
        Self { total: 0.0 }
    }
}

/// A bar's money flow, `CLV · volume`.
#[inline]
pub(super) fn flow(high: f64, low: f64, close: f64, volume: f64) -> f64 {
    let range = high - low;
    if range > 0.0 {
        ((close - low) - (high - close)) / range * volume
    } else {
        0.0
    }
}

impl Next<Bars<'_>> for Ad {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let bar = bars.bar();
        self.total += flow(bar.high, bar.low, bar.close, bar.volume);
        Some(self.total)
    }
}

impl Reset for Ad {
    fn reset(&mut self) {
        self.total = 0.0;
    }
}
