//! Ultimate oscillator.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "ultosc",
    (Convention::TaLib, "ULTOSC"),
    &[
        Param::bars("short", 7, 1),
        Param::bars("middle", 14, 1),
        Param::bars("long", 28, 1),
    ],
    VALUE,
    |p| p.bars(2),
    |p| Ultimate::new(p.bars(0), p.bars(1), p.bars(2)).into(),
)
.checked(|p| {
    if p.real(0) <= p.real(1) && p.real(1) <= p.real(2) {
        Ok(())
    } else {
        Err("short, middle and long must be in rising order")
    }
});

/// `100 · (4·A₁ + 2·A₂ + A₃) / 7`, where `A = Σ (close − true low) / Σ true range` over the
/// short, middle and long period, and `true low = min(low, close₋₁)`. Range 0…100.
///
/// First value at bar `long`. Windowed; a period without any range counts 0. Source: TA-Lib
/// `ULTOSC`; Williams, 1985.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ultimate {
    periods: [usize; 3],
}

impl Ultimate {
    /// Over `short` ≤ `middle` ≤ `long` bars, each at least 1.
    #[must_use]
    pub const fn new(short: usize, middle: usize, long: usize) -> Self {
        Self {
            periods: [short, middle, long],
        }
    }
}

impl Next<Bars<'_>> for Ultimate {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let bars = bars.tail(self.periods[2] + 1)?;
        let (mut pressure, mut range, mut done, mut total) = (0.0, 0.0, 0, 0.0);
        for (period, weight) in self.periods.into_iter().zip([4.0, 2.0, 1.0]) {
            // each period contains the shorter ones: go on from there, into the past
            for i in (bars.len() - period..bars.len() - done).rev() {
                let (low, before) = (bars.low[i], bars.close[i - 1]);
                pressure += bars.close[i] - if before < low { before } else { low };
                range += bars.true_range_at(i);
            }
            done = period;
            if range > 0.0 {
                total += weight * (pressure / range);
            }
        }
        Some(100.0 * (total / 7.0))
    }
}

impl Reset for Ultimate {
    fn reset(&mut self) {}
}
