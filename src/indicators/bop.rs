//! Balance of power.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "bop",
    (Convention::TaLib, "BOP"),
    &[],
    VALUE,
    |_| 0,
    |_| Bop::new().into(),
);

/// `(close − open) / (high − low)`; 0 for a bar without range. Range −1…1.
///
/// First value at bar 0. Source: TA-Lib `BOP`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Bop;

impl Bop {
    /// Of each bar alone.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Next<Bars<'_>> for Bop {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let bar = bars.bar();
        let range = bar.high - bar.low;
        Some(if range > 0.0 {
            (bar.close - bar.open) / range
        } else {
            0.0
        })
    }
}

impl Reset for Bop {
    fn reset(&mut self) {}
}
