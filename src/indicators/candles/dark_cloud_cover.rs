//! Dark cloud cover.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::{BEARISH, Candles};
use crate::indicators::Bars;
use crate::indicators::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "dark_cloud_cover",
    (Convention::TaLib, "CDLDARKCLOUDCOVER"),
    &[Param::real("penetration", 0.5, 0.0, 10.0)],
    VALUE,
    |_| 11,
    |p| DarkCloudCover::new(p.real(0)).into(),
);

/// A long white body, then a black one that opens above the high and closes within the first,
/// more than the penetration down: −100.
///
/// First value at bar 11. Source: TA-Lib `CDLDARKCLOUDCOVER`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct DarkCloudCover {
    penetration: f64,
}

impl DarkCloudCover {
    /// Recognises the pattern; `penetration` is the share of the first body (at least 0).
    #[must_use]
    pub const fn new(penetration: f64) -> Self {
        Self { penetration }
    }
}

impl Next<Bars<'_>> for DarkCloudCover {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let c = Candles::of(bars, 12)?;
        let found = c.white(1)
            && c.black(0)
            && c.open(0) > c.high(1)
            && c.close(0) > c.open(1)
            && c.close(0) < c.close(1) - c.body(1) * self.penetration
            && c.long_body(1);
        Some(if found { BEARISH } else { 0.0 })
    }
}

impl Reset for DarkCloudCover {
    fn reset(&mut self) {}
}
