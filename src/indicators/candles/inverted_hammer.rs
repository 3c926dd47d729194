//! Inverted hammer.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "inverted_hammer",
    (Convention::TaLib, "CDLINVERTEDHAMMER"),
    &[],
    VALUE,
    |_| 11,
    |_| InvertedHammer::new().into(),
);

/// A short body below the body before it, an upper shadow longer than it, next to no lower
/// shadow: +100.
///
/// First value at bar 11. Source: TA-Lib `CDLINVERTEDHAMMER`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct InvertedHammer;

impl InvertedHammer {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for InvertedHammer {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let found = c.top(0) < c.bottom(1)
            && c.upper_shadow(0) > c.body(0)
            && c.short_body(0)
            && c.lower_shadow(0) < c.very_short(0);
        Some(if found { BULLISH } else { 0.0 })
    }
}

impl Reset for InvertedHammer {
    fn reset(&mut self) {}
}
