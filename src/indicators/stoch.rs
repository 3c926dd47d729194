//! Stochastic oscillator, slow and fast.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param};
use super::recent::Recent;
use super::slices::{highest, lowest, mean};

const SLOW: &[Param] = &[
    Param::period(14, 1),
    Param::bars("k", 3, 1),
    Param::bars("d", 3, 1),
];
const OUTPUTS: &[&str] = &["k", "d"];

/// The slow stochastic.
pub const SLOW_TALIB: Entry = Entry::new(
    "stoch",
    (Convention::TaLib, "STOCH (SMA)"),
    SLOW,
    OUTPUTS,
    |p| p.bars(0) + p.bars(1) + p.bars(2) - 3,
    |p| Stochastic::new(p.bars(0), p.bars(1), p.bars(2)).into(),
);

/// The variant that says %K before %D and nothing while the range is 0.
pub const SLOW_TRADINGVIEW: Entry = Entry::new(
    "stoch@tv",
    (Convention::TradingView, "ta.stoch, ta.sma"),
    SLOW,
    OUTPUTS,
    |p| p.bars(0) + p.bars(1) - 2,
    |p| Stochastic::tradingview(p.bars(0), p.bars(1), p.bars(2)).into(),
)
.fading(|p| p.bars(0) + p.bars(1) + p.bars(2) - 2);

/// The fast stochastic.
pub const FAST_TALIB: Entry = Entry::new(
    "stochf",
    (Convention::TaLib, "STOCHF (SMA)"),
    &[Param::period(14, 1), Param::bars("d", 3, 1)],
    OUTPUTS,
    |p| p.bars(0) + p.bars(1) - 2,
    |p| Stochastic::new(p.bars(0), 1, p.bars(1)).into(),
);

/// `raw = 100 · (close − lowest low) / (highest high − lowest low)` over the last `n` bars,
/// `%K = SMA(raw, k)`, `%D = SMA(%K, d)`. The fast one has `k = 1`.
///
/// Both from bar `n + k + d − 3`; a range of 0 (to 1e-14 of the price) gives a raw value of 0.
/// Source: TA-Lib `STOCH`, `STOCHF`. TradingView's %K starts with itself, at bar `n + k − 2`,
/// and there is none while the range is 0.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stochastic {
    period: usize,
    tradingview: bool,
    raw: Recent,
    k: Recent,
}

impl Stochastic {
    /// Over `period` bars, smoothed over `k` for %K and `d` for %D (each at least 1).
    #[must_use]
    pub fn new(period: usize, k: usize, d: usize) -> Self {
        Self {
            period,
            tradingview: false,
            raw: Recent::new(k),
            k: Recent::new(d),
        }
    }

    /// The variant of TradingView.
    #[must_use]
    pub fn tradingview(period: usize, k: usize, d: usize) -> Self {
        Self {
            tradingview: true,
            ..Self::new(period, k, d)
        }
    }
}

clone_in_place!(Stochastic {
    period,
    tradingview,
    raw,
    k
});

/// Position of `value` between `low` and `high`, 0…100; `flat` if the two are equal to 1e-14.
#[inline]
pub(super) fn position(value: f64, low: f64, high: f64, flat: f64) -> f64 {
    let range = high - low;
    if range.abs() <= 1e-14 * (high.abs() + low.abs()) {
        flat
    } else {
        (value - low) / range * 100.0
    }
}

/// A mean in which a value that is none makes the mean none.
#[inline]
pub(super) fn mean_of(recent: &Recent) -> Option<f64> {
    recent.full().map(mean).filter(|mean| !mean.is_nan())
}

impl Next<Bars<'_>> for Stochastic {
    /// %K, %D.
    type Output = [Option<f64>; 2];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let Some(tail) = bars.tail(self.period) else {
            return [None; 2];
        };
        let flat = if self.tradingview { f64::NAN } else { 0.0 };
        let (low, high) = (lowest(tail.low), highest(tail.high));
        self.raw.push(position(bars.bar().close, low, high, flat));
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

impl Reset for Stochastic {
    fn reset(&mut self) {
        self.raw.reset();
        self.k.reset();
    }
}
