//! Chaikin oscillator.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::ad::flow;
use super::entry::{Convention, Entry, Param, VALUE, fast_before_slow};
use super::slices::float;

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "adosc",
    (Convention::TaLib, "ADOSC"),
    &[Param::bars("fast", 3, 2), Param::bars("slow", 10, 2)],
    VALUE,
    |p| p.bars(1) - 1,
    |p| Adosc::new(p.bars(0), p.bars(1)).into(),
)
.fading(|p| 11 * p.bars(1))
.checked(fast_before_slow);

/// `EMA(AD, fast) − EMA(AD, slow)` of the accumulation / distribution line of [`super::ad`].
///
/// Both averages are seeded with the line of bar 0; first value at bar `slow − 1`. What is
/// kept is how far each average is from the line: that does not grow with the line, so that
/// the difference loses no digits in a long life. Source: TA-Lib `ADOSC`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Adosc {
    fast: usize,
    slow: usize,
    /// Bars seen, counted up to `slow`.
    seen: usize,
    /// Each average minus the line.
    fast_gap: f64,
    slow_gap: f64,
}

impl Adosc {
    /// Averages over `fast` < `slow` bars, each at least 2.
    #[must_use]
    pub const fn new(fast: usize, slow: usize) -> Self {
        Self {
            fast,
            slow,
            seen: 0,
            fast_gap: 0.0,
            slow_gap: 0.0,
        }
    }
}

impl Next<Bars<'_>> for Adosc {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let bar = bars.bar();
        if self.seen > 0 {
            let flow = flow(bar.high, bar.low, bar.close, bar.volume);
            let keep = |n: usize| 1.0 - 2.0 / (float(n) + 1.0);
            self.fast_gap = (self.fast_gap - flow) * keep(self.fast);
            self.slow_gap = (self.slow_gap - flow) * keep(self.slow);
        }
        self.seen = (self.seen + 1).min(self.slow);
        (self.seen == self.slow).then_some(self.fast_gap - self.slow_gap)
    }
}

impl Reset for Adosc {
    fn reset(&mut self) {
        *self = Self::new(self.fast, self.slow);
    }
}
