//! Wilder's directional movement, the common root of +DI, −DI, DX, ADX and ADXR.

use serde::{Deserialize, Serialize};

use super::Bars;
use super::slices::float;
use super::smoothing::Smoothed;

/// +DI and −DI of a bar.
pub(super) type Indices = (f64, f64);

/// Smoothed directional movement over smoothed true range, by either convention.
///
/// `+DM = high − high₋₁` when that is positive and above `low₋₁ − low`, else 0; `−DM` the
/// other way round. TA-Lib smooths Wilder's *sums* (`S = S₋₁ − S₋₁/n + x`), seeded with the
/// sum over bars 1…n−1, and compares the movements exactly; TradingView smooths means, seeded
/// over bars 1…n, and takes movements that differ by no more than 1e-10 for equal.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Directional {
    pub(super) period: usize,
    tradingview: bool,
    /// Changes seen, counted up to `period`.
    seen: usize,
    plus: f64,
    minus: f64,
    range: f64,
    /// The last indices, repeated by TradingView while the range is 0.
    indices: Indices,
}

impl Directional {
    pub(super) const fn new(period: usize, tradingview: bool) -> Self {
        Self {
            period,
            tradingview,
            seen: 0,
            plus: 0.0,
            minus: 0.0,
            range: 0.0,
            indices: (0.0, 0.0),
        }
    }

    pub(super) const fn reset(&mut self) {
        *self = Self::new(self.period, self.tradingview);
    }

    /// +DI and −DI, from bar `n` on; `(0, 0)` while nothing has moved.
    #[inline]
    pub(super) fn push(&mut self, bars: Bars<'_>) -> Option<Indices> {
        let range = bars.true_range()?;
        let (plus, minus) = movements(bars, if self.tradingview { 1e-10 } else { 0.0 });
        let n = float(self.period);
        let seed = if self.tradingview {
            self.period
        } else {
            self.period - 1
        };
        if self.seen < seed {
            self.plus += plus;
            self.minus += minus;
            self.range += range;
        } else {
            // sums, in both conventions: only ratios of them are ever used
            self.plus += plus - self.plus / n;
            self.minus += minus - self.minus / n;
            self.range += range - self.range / n;
        }
        self.seen = (self.seen + 1).min(self.period);
        if self.seen < self.period {
            return None;
        }
        if self.range > 0.0 {
            self.indices = (
                100.0 * (self.plus / self.range),
                100.0 * (self.minus / self.range),
            );
        } else if !self.tradingview {
            self.indices = (0.0, 0.0);
        }
        Some(self.indices)
    }
}

/// +DM and −DM of the newest of at least two bars; changes within `tie` of each other are equal.
#[inline]
pub(super) fn movements(bars: Bars<'_>, tie: f64) -> (f64, f64) {
    let at = bars.len() - 1;
    let up = bars.high[at] - bars.high[at - 1];
    let down = bars.low[at - 1] - bars.low[at];
    let plus = if up > tie && up - down > tie { up } else { 0.0 };
    let minus = if down > tie && down - up > tie {
        down
    } else {
        0.0
    };
    (plus, minus)
}

/// `100 · |+DI − −DI| / (+DI + −DI)`; none when neither moved.
#[inline]
pub(super) fn dx((plus, minus): Indices) -> Option<f64> {
    let total = plus + minus;
    (total.abs() >= 1e-14).then(|| 100.0 * ((minus - plus).abs() / total))
}

/// The average of DX.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Average {
    pub(super) indices: Directional,
    mean: Smoothed,
    value: Option<f64>,
}

impl Average {
    pub(super) const fn new(period: usize, smoothing: usize, tradingview: bool) -> Self {
        Self {
            indices: Directional::new(period, tradingview),
            mean: Smoothed::wilder(smoothing),
            value: None,
        }
    }

    pub(super) const fn reset(&mut self) {
        self.indices.reset();
        self.mean.reset();
        self.value = None;
    }

    /// ADX: a bar without any movement counts 0 in the seed and in TradingView, and leaves
    /// TA-Lib's average as it is.
    #[inline]
    pub(super) fn push(&mut self, bars: Bars<'_>) -> Option<f64> {
        let dx = dx(self.indices.push(bars)?);
        if dx.is_some() || self.indices.tradingview || self.mean.is_seeding() {
            self.value = self.mean.push(dx.unwrap_or(0.0));
        }
        self.value
    }
}
