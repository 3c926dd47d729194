//! Vortex.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param};
use super::slices::sum_over;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "vortex",
    (Convention::TaLib, "VORTEX"),
    &[Param::period(14, 2)],
    &["plus", "minus"],
    |p| p.bars(0),
    |p| Vortex::new(p.bars(0)).into(),
);

/// `VI+ = Σ |high − low₋₁| / Σ TR` and `VI− = Σ |low − high₋₁| / Σ TR` over the last `n` bars;
/// 0 when nothing moved.
///
/// First values at bar `n`. Windowed. Source: TA-Lib `VORTEX`; Botes and Siepman, 2010.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Vortex {
    period: usize,
}

impl Vortex {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Vortex {
    type Output = [Option<f64>; 2];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        bars.tail(n + 1).map_or([None; 2], |bars| {
            let range = sum_over(n, |i| bars.true_range_at(i + 1));
            if range > 0.0 {
                let plus = sum_over(n, |i| (bars.high[i + 1] - bars.low[i]).abs());
                let minus = sum_over(n, |i| (bars.low[i + 1] - bars.high[i]).abs());
                [Some(plus / range), Some(minus / range)]
            } else {
                [Some(0.0); 2]
            }
        })
    }
}

impl Reset for Vortex {
    fn reset(&mut self) {}
}

impl Period for Vortex {
    fn period(&self) -> usize {
        self.period
    }
}
