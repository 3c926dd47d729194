//! Three white soldiers.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "three_white_soldiers",
    (Convention::TaLib, "CDL3WHITESOLDIERS"),
    &[],
    VALUE,
    |_| 12,
    |_| ThreeWhiteSoldiers::new().into(),
);

/// Three white bodies with next to no upper shadow, each closing higher and opening within or
/// near the one before, none far shorter than the one before, the last not short: +100.
///
/// First value at bar 12. Source: TA-Lib `CDL3WHITESOLDIERS`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ThreeWhiteSoldiers;

impl ThreeWhiteSoldiers {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for ThreeWhiteSoldiers {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 13)?;
        let found = (0..3).all(|ago| c.white(ago))
            && c.close(0) > c.close(1)
            && c.close(1) > c.close(2)
            && c.open(1) > c.open(2)
            && c.open(0) > c.open(1)
            && (0..3).all(|ago| c.upper_shadow(ago) < c.very_short(ago))
            && (0..2).all(|ago| c.open(ago) <= c.close(ago + 1) + c.near(ago + 1))
            && (0..2).all(|ago| c.body(ago) > c.body(ago + 1) - c.far(ago + 1))
            && c.long_body(0);
        Some(if found { BULLISH } else { 0.0 })
    }
}

impl Reset for ThreeWhiteSoldiers {
    fn reset(&mut self) {}
}
