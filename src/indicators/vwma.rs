//! Volume-weighted moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{sum_of, sum_over};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "vwma",
    (Convention::TaLib, "VWMA"),
    &[Param::period(20, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Vwma::new(p.bars(0)).into(),
);

/// `Σ close · volume / Σ volume` over the last `n` bars; none when nothing traded.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `VWMA`, TradingView `ta.vwma`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Vwma {
    period: usize,
}

impl Vwma {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Vwma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        let bars = bars.tail(n)?;
        let traded = sum_of(bars.volume, |v| v);
        (traded > 0.0).then(|| sum_over(n, |i| bars.close[i] * bars.volume[i]) / traded)
    }
}

impl Reset for Vwma {
    fn reset(&mut self) {}
}

impl Period for Vwma {
    fn period(&self) -> usize {
        self.period
    }
}
