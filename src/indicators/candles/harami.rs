//! Harami.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "harami",
    (Convention::TaLib, "CDLHARAMI"),
    &[],
    VALUE,
    |_| 11,
    |_| Harami::new().into(),
);

/// A short body within the long body before it: +100 after a black one, −100 after a white
/// one; ±80 when they share an end.
///
/// First value at bar 11. Source: TA-Lib `CDLHARAMI`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Harami;

impl Harami {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for Harami {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let (top, bottom) = (c.top(0), c.bottom(0));
        let (outer_top, outer_bottom) = (c.top(1), c.bottom(1));
        let within = top <= outer_top && bottom >= outer_bottom;
        if !(within && c.long_body(1) && c.body(0) <= c.usual_body(0)) {
            return Some(0.0);
        }
        let sign = if c.white(1) { -1.0 } else { 1.0 };
        let whole = top < outer_top && bottom > outer_bottom;
        Some(sign * if whole { BULLISH } else { 80.0 })
    }
}

impl Reset for Harami {
    fn reset(&mut self) {}
}
