//! Hammer.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "hammer",
    (Convention::TaLib, "CDLHAMMER"),
    &[],
    VALUE,
    |_| 11,
    |_| Hammer::new().into(),
);

/// A short body, a lower shadow longer than it, next to no upper shadow, at or below the low
/// of the bar before: +100.
///
/// First value at bar 11. Source: TA-Lib `CDLHAMMER`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Hammer;

impl Hammer {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for Hammer {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let found = c.lower_shadow(0) > c.body(0)
            && c.short_body(0)
            && c.upper_shadow(0) < c.very_short(0)
            && c.bottom(0) <= c.low(1) + c.near(1);
        Some(if found { BULLISH } else { 0.0 })
    }
}

impl Reset for Hammer {
    fn reset(&mut self) {}
}
