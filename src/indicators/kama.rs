//! Kaufman's adaptive moving average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::sum_over;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "kama",
    (Convention::TaLib, "KAMA"),
    &[Param::period(10, 2)],
    VALUE,
    |p| p.bars(0),
    |p| Kama::new(p.bars(0)).into(),
)
.fading(|p| 22 * p.bars(0));

/// `KAMA = KAMA₋₁ + c · (close − KAMA₋₁)`, `c = (ER · (2/3 − 2/31) + 2/31)²`, with the
/// efficiency ratio `ER = |close − close₋ₙ| / Σ |close − close₋₁|` over the last `n` changes:
/// 1 when the price never turned or never moved.
///
/// Seeded with the close before the first value, at bar `n`. The efficiency is computed
/// afresh from the slice. Source: TA-Lib `KAMA` (fast 2, slow 30).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Kama {
    period: usize,
    value: Option<f64>,
}

impl Kama {
    /// Over `period` changes (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self {
            period,
            value: None,
        }
    }
}

impl Next<Bars<'_>> for Kama {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        const SLOW: f64 = 2.0 / 31.0;
        const FAST: f64 = 2.0 / 3.0;
        let n = self.period;
        let closes = last(bars.close, n + 1)?;
        let way = sum_over(n, |i| (closes[i + 1] - closes[i]).abs());
        let net = closes[n] - closes[0];
        // not |net|: TA-Lib asks the signed change
        let efficiency = if way <= 0.0 || way <= net {
            1.0
        } else {
            (net / way).abs().min(1.0)
        };
        let c = efficiency * (FAST - SLOW) + SLOW;
        let before = self.value.unwrap_or(closes[n - 1]);
        self.value = Some(before + (closes[n] - before) * (c * c));
        self.value
    }
}

impl Reset for Kama {
    fn reset(&mut self) {
        self.value = None;
    }
}

impl Period for Kama {
    fn period(&self) -> usize {
        self.period
    }
}
