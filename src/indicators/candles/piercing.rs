//! Piercing line.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "piercing",
    (Convention::TaLib, "CDLPIERCING"),
    &[],
    VALUE,
    |_| 11,
    |_| Piercing::new().into(),
);

/// A long black body, then a long white one that opens below the low and closes in the upper
/// half of the first: +100.
///
/// First value at bar 11. Source: TA-Lib `CDLPIERCING`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Piercing;

impl Piercing {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for Piercing {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let found = c.black(1)
            && c.white(0)
            && c.open(0) < c.low(1)
            && c.close(0) < c.open(1)
            && c.close(0) > c.close(1) + c.body(1) * 0.5
            && c.long_body(1)
            && c.long_body(0);
        Some(if found { BULLISH } else { 0.0 })
    }
}

impl Reset for Piercing {
    fn reset(&mut self) {}
}
