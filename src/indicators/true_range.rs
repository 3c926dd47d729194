//! True range.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "trange",
    (Convention::TaLib, "TRANGE"),
    &[],
    VALUE,
    |_| 1,
    |_| TrueRange::new().into(),
);

/// The variant with a value at the first bar.
pub const TRADINGVIEW: Entry = Entry::new(
    "trange@tv",
    (Convention::TradingView, "ta.tr(true)"),
    &[],
    VALUE,
    |_| 0,
    |_| TrueRange::tradingview().into(),
);

/// `max(high − low, |high − close₋₁|, |low − close₋₁|)`, in price.
///
/// First value at bar 1, as TA-Lib `TRANGE`; the variant says `high − low` at bar 0, as
/// TradingView `ta.tr(true)`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct TrueRange {
    from_first: bool,
}

impl TrueRange {
    /// None at the first bar.
    #[must_use]
    pub const fn new() -> Self {
        Self { from_first: false }
    }

    /// The variant of TradingView.
    #[must_use]
    pub const fn tradingview() -> Self {
        Self { from_first: true }
    }
}

impl Next<Bars<'_>> for TrueRange {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        bars.true_range()
            .or_else(|| self.from_first.then(|| first_range(bars)))
    }
}

impl Reset for TrueRange {
    fn reset(&mut self) {}
}

/// Substitute for the true range of the first bar: `high − low`.
#[inline]
pub(super) fn first_range(bars: Bars<'_>) -> f64 {
    let bar = bars.bar();
    bar.high - bar.low
}
