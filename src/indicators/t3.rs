//! Tillson's T3.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::smoothing::Smoothed;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "t3",
    (Convention::TaLib, "T3"),
    &[Param::period(5, 2), Param::real("factor", 0.7, 0.0, 1.0)],
    VALUE,
    |p| 6 * (p.bars(0) - 1),
    |p| T3::new(p.bars(0), p.real(1)).into(),
)
.fading(|p| 12 * p.bars(0));

/// `c₁·E₆ + c₂·E₅ + c₃·E₄ + c₄·E₃`, where `Eₖ` is the k-fold EMA and the `c` come from
/// `(1 + v − v·E)³`: `c₁ = −v³`, `c₂ = 3v² + 3v³`, `c₃ = −6v² − 3v − 3v³`,
/// `c₄ = 1 + 3v + v³ + 3v²`.
///
/// Each average is seeded with the mean of its own first `n` inputs; first value at bar
/// `6·(n − 1)`. Source: TA-Lib `T3`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct T3 {
    factor: f64,
    averages: [Smoothed; 6],
}

impl T3 {
    /// Over `period` bars (at least 2) with a volume factor of 0 to 1.
    #[must_use]
    pub const fn new(period: usize, factor: f64) -> Self {
        Self {
            factor,
            averages: [Smoothed::exponential(period); 6],
        }
    }
}

impl Next<Bars<'_>> for T3 {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let mut e = [0.0; 6];
        let mut value = bars.bar().close;
        for (average, e) in self.averages.iter_mut().zip(&mut e) {
            value = average.push(value)?;
            *e = value;
        }
        let v = self.factor;
        let (v2, v3) = (v * v, v * v * v);
        Some(
            -v3 * e[5]
                + 3.0 * (v2 + v3) * e[4]
                + (-6.0 * v2 - 3.0 * (v + v3)) * e[3]
                + (1.0 + 3.0 * v + v3 + 3.0 * v2) * e[2],
        )
    }
}

impl Reset for T3 {
    fn reset(&mut self) {
        *self = Self::new(self.period(), self.factor);
    }
}

impl Period for T3 {
    fn period(&self) -> usize {
        self.averages[0].period()
    }
}
