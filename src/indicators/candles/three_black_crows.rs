//! Three black crows.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BEARISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "three_black_crows",
    (Convention::TaLib, "CDL3BLACKCROWS"),
    &[],
    VALUE,
    |_| 13,
    |_| ThreeBlackCrows::new().into(),
);

/// After a white candle, three black bodies with next to no lower shadow, each closing lower
/// and opening within the one before, the first closing under the high of the white: −100.
///
/// First value at bar 13. Source: TA-Lib `CDL3BLACKCROWS`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ThreeBlackCrows;

impl ThreeBlackCrows {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for ThreeBlackCrows {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 14)?;
        let found = c.white(3)
            && (0..3).all(|ago| c.black(ago))
            && (0..2).all(|ago| c.open(ago) < c.open(ago + 1) && c.open(ago) > c.close(ago + 1))
            && c.high(3) > c.close(2)
            && c.close(2) > c.close(1)
            && c.close(1) > c.close(0)
            && (0..3).all(|ago| c.lower_shadow(ago) < c.very_short(ago));
        Some(if found { BEARISH } else { 0.0 })
    }
}

impl Reset for ThreeBlackCrows {
    fn reset(&mut self) {}
}
