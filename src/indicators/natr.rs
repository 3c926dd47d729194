//! Normalised average true range.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::{Atr, Bars};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "natr",
    (Convention::TaLib, "NATR"),
    &[Param::period(14, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Natr::new(p.bars(0)).into(),
)
.fading(|p| 15 * p.bars(0));

/// `100 · ATR / close`, in percent; none where the close is not above zero.
///
/// Seed and first value as [`Atr`]: bar `n`. Source: TA-Lib `NATR`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Natr {
    atr: Atr,
}

impl Natr {
    /// Over `period` true ranges (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            atr: Atr::new(period),
        }
    }
}

impl Next<Bars<'_>> for Natr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let atr = self.atr.next(bars)?;
        let close = bars.bar().close;
        (close > 0.0).then(|| atr / close * 100.0)
    }
}

impl Reset for Natr {
    fn reset(&mut self) {
        self.atr.reset();
    }
}

impl Period for Natr {
    fn period(&self) -> usize {
        self.atr.period()
    }
}
