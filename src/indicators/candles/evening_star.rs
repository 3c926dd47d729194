//! Evening star.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BEARISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "evening_star",
    (Convention::TaLib, "CDLEVENINGSTAR"),
    &[Param::real("penetration", 0.3, 0.0, 10.0)],
    VALUE,
    |_| 12,
    |p| EveningStar::new(p.real(0)).into(),
);

/// A long white body, a short one above it, and a black one that is not short and closes
/// more than the penetration down the first: −100.
///
/// First value at bar 12. Source: TA-Lib `CDLEVENINGSTAR`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct EveningStar {
    penetration: f64,
}

impl EveningStar {
    /// Recognises the pattern; `penetration` is the share of the first body (at least 0).
    #[must_use]
    pub const fn new(penetration: f64) -> Self {
        Self { penetration }
    }
}

impl Next<Bars<'_>> for EveningStar {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 13)?;
        let found = c.white(2)
            && c.black(0)
            && c.bottom(1) > c.top(2)
            && c.close(0) < c.close(2) - c.body(2) * self.penetration
            && c.long_body(2)
            && c.body(1) <= c.usual_body(1)
            && c.long_body(0);
        Some(if found { BEARISH } else { 0.0 })
    }
}

impl Reset for EveningStar {
    fn reset(&mut self) {}
}
