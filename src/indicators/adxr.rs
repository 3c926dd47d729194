//! Average directional movement rating.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::recent::Recent;
use super::{Adx, Bars};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "adxr",
    (Convention::TaLib, "ADXR"),
    &[Param::period(14, 2)],
    VALUE,
    |p| 3 * p.bars(0) - 2,
    |p| Adxr::new(p.bars(0)).into(),
)
.fading(|p| 19 * p.bars(0));

/// `(ADX + ADX₋₍ₙ₋₁₎) / 2`. Range 0…100.
///
/// First value at bar `3n − 2`. Source: TA-Lib `ADXR`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Adxr {
    adx: Adx,
    recent: Recent,
}

impl Adxr {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub fn new(period: usize) -> Self {
        Self {
            adx: Adx::new(period),
            recent: Recent::new(period),
        }
    }
}

clone_in_place!(Adxr { adx, recent });

impl Next<Bars<'_>> for Adxr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let adx = self.adx.next(bars)?;
        self.recent.push(adx);
        Some(f64::midpoint(adx, self.recent.oldest()?))
    }
}

impl Reset for Adxr {
    fn reset(&mut self) {
        self.adx.reset();
        self.recent.reset();
    }
}

impl Period for Adxr {
    fn period(&self) -> usize {
        self.adx.period()
    }
}
