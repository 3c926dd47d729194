//! Smoothed directional movement: PLUS_DM and MINUS_DM.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::directional::movements;
use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::float;

/// The movement up.
pub const PLUS_DM: Entry = Entry::new(
    "plus_dm",
    (Convention::TaLib, "PLUS_DM"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| PlusDm(Total::new(p.bars(0))).into(),
)
.fading(|p| 16 * p.bars(0));

/// The movement down.
pub const MINUS_DM: Entry = Entry::new(
    "minus_dm",
    (Convention::TaLib, "MINUS_DM"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| MinusDm(Total::new(p.bars(0))).into(),
)
.fading(|p| 16 * p.bars(0));

/// Wilder's sum: the plain sum of the first `n − 1` values, then `S += x − S / n`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Total {
    period: usize,
    /// Values seen, counted up to `period − 1`.
    seen: usize,
    sum: f64,
}

impl Total {
    const fn new(period: usize) -> Self {
        Self {
            period,
            seen: 0,
            sum: 0.0,
        }
    }

    #[inline]
    fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen + 1 < self.period {
            self.seen += 1;
            self.sum += value;
        } else {
            self.sum += value - self.sum / float(self.period);
        }
        (self.seen + 1 == self.period).then_some(self.sum)
    }
}

/// Wilder's sum of `+DM`, which is `high − high₋₁` where that is positive and above
/// `low₋₁ − low`, else 0. In price.
///
/// Seeded with the sum over bars 1…n−1; first value at bar `n − 1`. Source: TA-Lib `PLUS_DM`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PlusDm(Total);

/// Wilder's sum of `−DM`, which is `low₋₁ − low` where that is positive and above
/// `high − high₋₁`, else 0. In price.
///
/// Seeded with the sum over bars 1…n−1; first value at bar `n − 1`. Source: TA-Lib `MINUS_DM`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MinusDm(Total);

impl Next<Bars<'_>> for PlusDm {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        bars.previous_close()?;
        self.0.push(movements(bars, 0.0).0)
    }
}

impl Next<Bars<'_>> for MinusDm {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        bars.previous_close()?;
        self.0.push(movements(bars, 0.0).1)
    }
}

impl Reset for PlusDm {
    fn reset(&mut self) {
        self.0 = Total::new(self.0.period);
    }
}

impl Reset for MinusDm {
    fn reset(&mut self) {
        self.0 = Total::new(self.0.period);
    }
}
