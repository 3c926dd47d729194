//! Doji.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "doji",
    (Convention::TaLib, "CDLDOJI"),
    &[],
    VALUE,
    |_| 10,
    |_| Doji::new().into(),
);

/// A body of at most a tenth of the usual range: +100 (which says nothing of direction).
///
/// First value at bar 10. Source: TA-Lib `CDLDOJI`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Doji;

impl Doji {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for Doji {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 11)?;
        let found = c.body(0) <= c.very_short(0);
        Some(if found { BULLISH } else { 0.0 })
    }
}

impl Reset for Doji {
    fn reset(&mut self) {}
}
