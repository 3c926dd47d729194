//! Directional movement index.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::directional::{Directional, dx};
use super::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "dx",
    (Convention::TaLib, "DX"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0),
    |p| Dx::new(p.bars(0)).into(),
)
.fading(|p| 18 * p.bars(0));

/// `100 · |+DI − −DI| / (+DI + −DI)`. Range 0…100; while nothing moves it keeps its value,
/// which is 0 before anything did.
///
/// Seed and first value as [`super::PlusDi`]: bar `n`. Source: TA-Lib `DX`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Dx {
    movement: Directional,
    value: f64,
}

impl Dx {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            movement: Directional::new(period, false),
            value: 0.0,
        }
    }
}

impl Next<Bars<'_>> for Dx {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let indices = self.movement.push(bars)?;
        self.value = dx(indices).unwrap_or(self.value);
        Some(self.value)
    }
}

impl Reset for Dx {
    fn reset(&mut self) {
        self.movement.reset();
        self.value = 0.0;
    }
}

impl Period for Dx {
    fn period(&self) -> usize {
        self.movement.period
    }
}
