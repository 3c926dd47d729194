//! Hanging man.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BEARISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "hanging_man",
    (Convention::TaLib, "CDLHANGINGMAN"),
    &[],
    VALUE,
    |_| 11,
    |_| HangingMan::new().into(),
);

/// The candle of a hammer at or above the high of the bar before: −100.
///
/// First value at bar 11. Source: TA-Lib `CDLHANGINGMAN`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct HangingMan;

impl HangingMan {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for HangingMan {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let found = c.lower_shadow(0) > c.body(0)
            && c.short_body(0)
            && c.upper_shadow(0) < c.very_short(0)
            && c.bottom(0) >= c.high(1) - c.near(1);
        Some(if found { BEARISH } else { 0.0 })
    }
}

impl Reset for HangingMan {
    fn reset(&mut self) {}
}
