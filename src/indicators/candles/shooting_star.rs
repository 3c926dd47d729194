//! Shooting star.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BEARISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "shooting_star",
    (Convention::TaLib, "CDLSHOOTINGSTAR"),
    &[],
    VALUE,
    |_| 11,
    |_| ShootingStar::new().into(),
);

/// A short body above the body before it, an upper shadow longer than it, next to no lower
/// shadow: −100.
///
/// First value at bar 11. Source: TA-Lib `CDLSHOOTINGSTAR`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ShootingStar;

impl ShootingStar {
    /// Recognises the pattern.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for ShootingStar {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let found = c.bottom(0) > c.top(1)
            && c.upper_shadow(0) > c.body(0)
            && c.short_body(0)
            && c.lower_shadow(0) < c.very_short(0);
        Some(if found { BEARISH } else { 0.0 })
    }
}

impl Reset for ShootingStar {
    fn reset(&mut self) {}
}
