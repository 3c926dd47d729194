//! Triangular moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{float, sum_over};
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "trima",
    (Convention::TaLib, "TRIMA"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Trima::new(p.bars(0)).into(),
);

/// Mean of the last `n` closes with weights that rise from 1 to the middle and fall back to
/// 1: `1 2 3 2 1` for 5, `1 2 3 3 2 1` for 6.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `TRIMA`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Trima {
    period: usize,
}

impl Trima {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Trima {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        last(bars.close, n).map(|closes| {
            let weighted = sum_over(n, |i| closes[i] * float((i + 1).min(n - i)));
            let half = float(n.div_ceil(2)) * (float(n / 2) + 1.0);
            weighted / half
        })
    }
}

impl Reset for Trima {
    fn reset(&mut self) {}
}

impl Period for Trima {
    fn period(&self) -> usize {
        self.period
    }
}
