//! Hull moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::recent::Recent;
use super::slices::{float, weighted_mean};
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "hma",
    (Convention::TaLib, "HMA"),
    &[Param::period(16, 2)],
    VALUE,
    |p| p.bars(0) + p.bars(0).isqrt() - 2,
    |p| Hma::new(p.bars(0)).into(),
);

/// `WMA(2 · WMA(close, ⌊n/2⌋) − WMA(close, n), ⌊√n⌋)`.
///
/// First value at bar `n + ⌊√n⌋ − 2`. The inner averages are windowed, the outer one runs over
/// the last `⌊√n⌋` of their differences. Source: TA-Lib `HMA`, TradingView `ta.hma`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hma {
    period: usize,
    raw: Recent,
}

impl Hma {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub fn new(period: usize) -> Self {
        Self {
            period,
            raw: Recent::new(period.isqrt()),
        }
    }
}

clone_in_place!(Hma { period, raw });

impl Next<Bars<'_>> for Hma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let closes = last(bars.close, self.period)?;
        let half = &closes[self.period - self.period / 2..];
        self.raw
            .push(2.0 * weighted_mean(half) - weighted_mean(closes));
        let n = float(self.raw.full()?.len());
        let weighted: f64 = self.raw.iter().zip(1..).map(|(x, i)| x * float(i)).sum();
        Some(weighted / (n * (n + 1.0) / 2.0))
    }
}

impl Reset for Hma {
    fn reset(&mut self) {
        self.raw.reset();
    }
}

impl Period for Hma {
    fn period(&self) -> usize {
        self.period
    }
}
