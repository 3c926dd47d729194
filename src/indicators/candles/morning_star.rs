//! Morning star.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BULLISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "morning_star",
    (Convention::TaLib, "CDLMORNINGSTAR"),
    &[Param::real("penetration", 0.3, 0.0, 10.0)],
    VALUE,
    |_| 12,
    |p| MorningStar::new(p.real(0)).into(),
);

/// A long black body, a short one below it, and a white one that is not short and closes
/// more than the penetration up the first: +100.
///
/// First value at bar 12. Source: TA-Lib `CDLMORNINGSTAR`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MorningStar {
    penetration: f64,
}

impl MorningStar {
    /// Recognises the pattern; `penetration` is the share of the first body (at least 0).
    #[must_use]
    pub const fn new(penetration: f64) -> Self {
        Self { penetration }
    }
}

impl Next<Bars<'_>> for MorningStar {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 13)?;
        let found = c.black(2)
            && c.white(0)
            && c.top(1) < c.bottom(2)
            && c.close(0) > c.close(2) + c.body(2) * self.penetration
            && c.long_body(2)
            && c.body(1) <= c.usual_body(1)
            && c.long_body(0);
        Some(if found { BULLISH } else { 0.0 })
    }
}

impl Reset for MorningStar {
    fn reset(&mut self) {}
}
