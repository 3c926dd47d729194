//! Engulfing.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "engulfing",
    (Convention::TaLib, "CDLENGULFING"),
    &[],
    VALUE,
    |_| 2,
    |_| Engulfing::new().into(),
);

/// A body that holds the body before it, of the other colour: +100 white over black, −100
/// black over white; ±80 when they share one end.
///
/// First value at bar 2. Source: TA-Lib `CDLENGULFING`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Engulfing;

impl Engulfing {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for Engulfing {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 3)?;
        if c.white(0) == c.white(1) {
            return Some(0.0);
        }
        let (open, close) = (c.open(0), c.close(0));
        let (before_open, before_close) = (c.open(1), c.close(1));
        let holds = if c.white(0) {
            (close >= before_open && open < before_close)
                || (close > before_open && open <= before_close)
        } else {
            (open >= before_close && close < before_open)
                || (open > before_close && close <= before_open)
        };
        #[allow(clippy::float_cmp)] // a shared end is the same number
        let whole = open != before_close && close != before_open;
        let sign = if c.white(0) { 1.0 } else { -1.0 };
        Some(match (holds, whole) {
            (false, _) => 0.0,
            (true, true) => sign * BULLISH,
            (true, false) => sign * 80.0,
        })
    }
}

impl Reset for Engulfing {
    fn reset(&mut self) {}
}
