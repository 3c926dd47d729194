//! Stochastic RSI.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::entry::{Convention, Entry, Param};
use super::recent::Recent;
use super::slices::{highest, lowest};
use super::stoch::{mean_of, position};
use super::{Bars, Rsi};

const OUTPUTS: &[&str] = &["k", "d"];

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "stochrsi",
    (Convention::TaLib, "STOCHRSI (SMA)"),
    &[
        Param::bars("rsi", 14, 2),
        Param::bars("stoch", 14, 1),
        Param::bars("d", 3, 1),
    ],
    OUTPUTS,
    |p| p.bars(0) + p.bars(1) + p.bars(2) - 2,
    |p| StochRsi::new(p.bars(0), p.bars(1), p.bars(2)).into(),
)
.fading(|p| 18 * p.bars(0) + p.bars(1) + p.bars(2));

/// The variant of the built-in chart indicator.
pub const TRADINGVIEW: Entry = Entry::new(
    "stochrsi@tv",
    (Convention::TradingView, "chart indicator Stoch RSI"),
    &[
        Param::bars("rsi", 14, 2),
        Param::bars("stoch", 14, 2),
        Param::bars("k", 3, 1),
        Param::bars("d", 3, 1),
    ],
    OUTPUTS,
    |p| p.bars(0) + p.bars(1) + p.bars(2) - 2,
    |p| StochRsi::tradingview(p.bars(0), p.bars(1), p.bars(2), p.bars(3)).into(),
)
.fading(|p| 18 * p.bars(0) + p.bars(1) + p.bars(2) + p.bars(3));

/// `raw = 100 · (RSI − lowest RSI) / (highest RSI − lowest RSI)` over the last values of the
/// RSI.
///
/// TA-Lib: `%K = raw`, `%D = SMA(raw, d)`, both from bar `rsi + stoch + d − 2`; a range of 0
/// gives 0. TradingView: `%K = SMA(raw, k)` from bar `rsi + stoch + k − 2`, `%D = SMA(%K, d)`
/// from `d − 1` bars later; none while the range is 0. So TradingView's %K is TA-Lib's %D.
/// Source: TA-Lib `STOCHRSI`; TradingView's indicator of the chart.
#[derive(Debug, Serialize, Deserialize)]
pub struct StochRsi {
    tradingview: bool,
    rsi: Rsi,
    strengths: Recent,
    raw: Recent,
    k: Recent,
}

impl StochRsi {
    /// The RSI over `rsi` changes, its range over `stoch` values, %D over `d`.
    #[must_use]
    pub fn new(rsi: usize, stoch: usize, d: usize) -> Self {
        Self {
            tradingview: false,
            rsi: Rsi::new(rsi),
            strengths: Recent::new(stoch),
            raw: Recent::new(1),
            k: Recent::new(d),
        }
    }

    /// The variant of TradingView, with %K over `k` raw values.
    #[must_use]
    pub fn tradingview(rsi: usize, stoch: usize, k: usize, d: usize) -> Self {
        Self {
            tradingview: true,
            rsi: Rsi::tradingview(rsi),
            strengths: Recent::new(stoch),
            raw: Recent::new(k),
            k: Recent::new(d),
        }
    }
}

clone_in_place!(StochRsi {
    tradingview,
    rsi,
    strengths,
    raw,
    k
});

impl Next<Bars<'_>> for StochRsi {
    /// %K, %D.
    type Output = [Option<f64>; 2];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let Some(rsi) = self.rsi.next(bars) else {
            return [None; 2];
        };
        self.strengths.push(rsi);
        let Some(strengths) = self.strengths.full() else {
            return [None; 2];
        };
        let flat = if self.tradingview { f64::NAN } else { 0.0 };
        self.raw
            .push(position(rsi, lowest(strengths), highest(strengths), flat));
        if self.raw.full().is_none() {
            return [None; 2];
        }
        let k = mean_of(&self.raw);
        self.k.push(k.unwrap_or(f64::NAN));
        let d = mean_of(&self.k);
        if self.tradingview || self.k.full().is_some() {
            [k, d]
        } else {
            [None; 2]
        }
    }
}

impl Reset for StochRsi {
    fn reset(&mut self) {
        self.rsi.reset();
        self.strengths.reset();
        self.raw.reset();
        self.k.reset();
    }
}
