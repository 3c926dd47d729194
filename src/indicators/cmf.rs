//! Chaikin money flow.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{sum_of, sum_over};
use super::{Bars, ad::flow};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "cmf",
    (Convention::TaLib, "CMF"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Cmf::new(p.bars(0)).into(),
);

/// `Σ CLV · volume / Σ volume` over the last `n` bars, with the close location value of
/// [`super::ad`]; 0 when nothing traded. Range −1…1.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `CMF`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Cmf {
    period: usize,
}

impl Cmf {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Cmf {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        bars.tail(self.period).map(|bars| {
            let traded = sum_of(bars.volume, |v| v);
            if traded > 0.0 {
                sum_over(self.period, |i| {
                    flow(bars.high[i], bars.low[i], bars.close[i], bars.volume[i])
                }) / traded
            } else {
                0.0
            }
        })
    }
}

impl Reset for Cmf {
    fn reset(&mut self) {}
}

impl Period for Cmf {
    fn period(&self) -> usize {
        self.period
    }
}
