//! Momentum.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "mom",
    (Convention::TaLib, "MOM"),
    &[Param::period(10, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Mom::new(p.bars(0)).into(),
);

/// `close − close₋ₙ`, in price.
///
/// First value at bar `n`. Windowed. Source: TA-Lib `MOM`, TradingView `ta.mom`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Mom {
    period: usize,
}

impl Mom {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Mom {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period + 1).map(|closes| closes[self.period] - closes[0])
    }
}

impl Reset for Mom {
    fn reset(&mut self) {}
}

impl Period for Mom {
    fn period(&self) -> usize {
        self.period
    }
}
