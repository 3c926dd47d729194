//! Money flow index.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "mfi",
    (Convention::TaLib, "MFI"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Mfi::new(p.bars(0)).into(),
);

/// The variant that counts bar 0 and says 100 when no money left.
pub const TRADINGVIEW: Entry = Entry::new(
    "mfi@tv",
    (Convention::TradingView, "ta.mfi(hlc3)"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Mfi::tradingview(p.bars(0)).into(),
)
.reading(|p| p.bars(0) + 1);

/// `100 · P / (P + N)`, where `P` and `N` sum `typical price · volume` over the last `n` bars
/// whose typical price rose and fell. Range 0…100.
///
/// First value at bar `n`. Windowed. Prices equal to 1e-14 count for neither; no flow at all
/// gives 0. Source: TA-Lib `MFI` (0.8). TradingView's `ta.mfi` starts at bar `n − 1`, with
/// bar 0 in both sums, calls prices equal to 1e-10 and says 100 when nothing fell. None where a
/// typical price is not above zero.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Mfi {
    period: usize,
    tradingview: bool,
}

impl Mfi {
    /// Over `period` changes (at least 1).
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

impl Next<Bars<'_>> for Mfi {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        let (bars, mut rose, mut fell) = match bars.tail(n + 1) {
            Some(bars) => (bars, 0.0, 0.0),
            None if self.tradingview && bars.len() == n && bars.typical(0) > 0.0 => {
                let flow = bars.typical(0) * bars.volume[0];
                (bars, flow, flow)
            }
            None => return None,
        };
        let mut before = bars.typical(0);
        for i in 1..bars.len() {
            let price = bars.typical(i);
            if price <= 0.0 {
                return None;
            }
            let change = price - before;
            let equal = if self.tradingview {
                1e-10
            } else {
                1e-14 * (price.abs() + before.abs())
            };
            before = price;
            let flow = if change.abs() <= equal {
                0.0
            } else {
                price * bars.volume[i]
            };
            // no branch on the direction, which is a coin toss
            let up = if change > 0.0 { flow } else { 0.0 };
            rose += up;
            fell += flow - up;
        }
        let total = rose + fell;
        Some(if self.tradingview && fell <= 0.0 {
            100.0
        } else if total > 0.0 {
            100.0 * (rose / total)
        } else {
            0.0
        })
    }
}

impl Reset for Mfi {
    fn reset(&mut self) {}
}

impl Period for Mfi {
    fn period(&self) -> usize {
        self.period
    }
}
