//! The recursive mean behind EMA and Wilder's indicators.

use serde::{Deserialize, Serialize};

use super::slices::float;

/// A recursive mean of a stream of values: `mean += α · (value − mean)`, seeded with the
/// plain mean of the first `n` values and silent before.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Smoothed {
    period: usize,
    alpha: f64,
    /// Values seen, counted up to `period`.
    seen: usize,
    /// Their sum while seeding, the mean after.
    mean: f64,
}

impl Smoothed {
    /// The weight of an EMA: `α = 2 / (n + 1)`.
    #[must_use]
    pub const fn exponential(period: usize) -> Self {
        Self::new(period, 2.0 / (float(period) + 1.0))
    }

    /// Wilder's weight: `α = 1 / n`.
    #[must_use]
    pub const fn wilder(period: usize) -> Self {
        Self::new(period, 1.0 / float(period))
    }

    /// A given weight.
    #[must_use]
    pub const fn new(period: usize, alpha: f64) -> Self {
        Self {
            period,
            alpha,
            seen: 0,
            mean: 0.0,
        }
    }

    /// Returns true until the seed is complete.
    #[inline]
    #[must_use]
    pub const fn is_seeding(&self) -> bool {
        self.seen < self.period
    }

    /// Starts from a mean computed elsewhere.
    #[inline]
    pub const fn seed(&mut self, mean: f64) {
        self.seen = self.period;
        self.mean = mean;
    }

    /// Takes in a value and answers with the mean, once it is seeded.
    #[inline]
    pub fn push(&mut self, value: f64) -> Option<f64> {
        if self.seen < self.period {
            self.seen += 1;
            self.mean += value;
            if self.seen < self.period {
                return None;
            }
            self.mean /= float(self.period);
        } else if self.period == 1 {
            self.mean = value;
        } else {
            self.mean += (value - self.mean) * self.alpha;
        }
        Some(self.mean)
    }

    /// Forgets everything.
    pub const fn reset(&mut self) {
        self.seen = 0;
        self.mean = 0.0;
    }

    /// The period.
    #[must_use]
    pub const fn period(&self) -> usize {
        self.period
    }
}
