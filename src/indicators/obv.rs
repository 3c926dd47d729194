//! On-balance volume.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "obv",
    (Convention::TaLib, "OBV"),
    &[],
    VALUE,
    |_| 0,
    |_| Obv::new().into(),
)
.endless();

/// The variant that starts from 0.
pub const TRADINGVIEW: Entry = Entry::new(
    "obv@tv",
    (Convention::TradingView, "ta.obv"),
    &[],
    VALUE,
    |_| 1,
    |_| Obv::tradingview().into(),
)
.endless();

/// The running sum of volume, added when the close rose and taken away when it fell.
///
/// Starts with the volume of bar 0, as TA-Lib `OBV`; the variant starts from 0 and says
/// nothing at bar 0, as TradingView `ta.obv`: less by that volume for ever.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Obv {
    tradingview: bool,
    total: Option<f64>,
}

impl Obv {
    /// From the first volume.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tradingview: false,
            total: None,
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview() -> Self {
        Self {
            tradingview: true,
            total: None,
        }
    }
}

impl Next<Bars<'_>> for Obv {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let bar = bars.bar();
        let (Some(total), Some(before)) = (self.total, bars.previous_close()) else {
            self.total = Some(if self.tradingview { 0.0 } else { bar.volume });
            return self.total.filter(|_| !self.tradingview);
        };
        self.total = Some(if bar.close > before {
            total + bar.volume
        } else if bar.close < before {
            total - bar.volume
        } else {
            total
        });
        self.total
    }
}

impl Reset for Obv {
    fn reset(&mut self) {
        self.total = None;
    }
}
