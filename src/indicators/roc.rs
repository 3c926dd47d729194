//! Rate of change.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "roc",
    (Convention::TaLib, "ROC"),
    &[Param::period(10, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Roc::new(p.bars(0)).into(),
);

/// `100 · (close / close₋ₙ − 1)`, in percent; none where the earlier close is not above zero.
///
/// First value at bar `n`. Windowed. Source: TA-Lib `ROC`, TradingView `ta.roc`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Roc {
    period: usize,
}

impl Roc {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Roc {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let closes = last(bars.close, self.period + 1)?;
        (closes[0] > 0.0).then(|| 100.0 * (closes[self.period] / closes[0] - 1.0))
    }
}

impl Reset for Roc {
    fn reset(&mut self) {}
}

impl Period for Roc {
    fn period(&self) -> usize {
        self.period
    }
}
