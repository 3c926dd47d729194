//! Rates of change as fractions and ratios: ROCP, ROCR and ROCR100.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::{Bars, last};

/// The change as a fraction.
pub const ROCP: Entry = Entry::new(
    "rocp",
    (Convention::TaLib, "ROCP"),
    &[Param::period(10, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Rocp::new(p.bars(0)).into(),
);

/// The ratio.
pub const ROCR: Entry = Entry::new(
    "rocr",
    (Convention::TaLib, "ROCR"),
    &[Param::period(10, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Rocr::new(p.bars(0), 1.0).into(),
);

/// The ratio in percent.
pub const ROCR100: Entry = Entry::new(
    "rocr100",
    (Convention::TaLib, "ROCR100"),
    &[Param::period(10, 1)],
    VALUE,
    |p| p.bars(0),
    |p| Rocr::new(p.bars(0), 100.0).into(),
);

windowed! {
    /// `(close − close₋ₙ) / close₋ₙ`; none where the earlier close is not above zero.
    ///
    /// First value at bar `n`. Windowed. Source: TA-Lib `ROCP`.
    Rocp: |bars, n| {
        let closes = last(bars.close, n + 1)?;
        (closes[0] > 0.0).then(|| (closes[n] - closes[0]) / closes[0])
    }
}

/// `scale · close / close₋ₙ`; none where the earlier close is not above zero.
///
/// First value at bar `n`. Windowed. Source: TA-Lib `ROCR` (scale 1) and `ROCR100` (100).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rocr {
    period: usize,
    scale: f64,
}

impl Rocr {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize, scale: f64) -> Self {
        Self { period, scale }
    }
}

impl Next<Bars<'_>> for Rocr {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let closes = last(bars.close, self.period + 1)?;
        (closes[0] > 0.0).then(|| self.scale * (closes[self.period] / closes[0]))
    }
}

impl Reset for Rocr {
    fn reset(&mut self) {}
}
