//! Bollinger bands.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param};
use super::slices::mean_and_variance;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "bb",
    (Convention::TaLib, "BBANDS"),
    &[
        Param::period(20, 2),
        Param::real("deviations", 2.0, 0.01, 100.0),
    ],
    &["upper", "middle", "lower", "width", "percent_b"],
    |p| p.bars(0) - 1,
    |p| Bands::new(p.bars(0), p.real(1)).into(),
);

/// `middle = SMA(n)`, `upper, lower = middle ± k · σ`, where σ is the *population* standard
/// deviation of the last `n` closes (divided by `n`, not `n − 1`).
///
/// First values at bar `n − 1`. Windowed and two-pass: a spike leaves with the window and
/// leaves nothing behind. Source: TA-Lib `BBANDS`, TradingView `ta.bb`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Bollinger {
    period: usize,
    deviations: f64,
}

impl Bollinger {
    /// Over `period` bars, `deviations` (> 0) wide to either side.
    #[must_use]
    pub const fn new(period: usize, deviations: f64) -> Self {
        Self { period, deviations }
    }
}

impl Next<Bars<'_>> for Bollinger {
    /// Upper, middle, lower.
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map_or([None; 3], |closes| {
            let (mean, variance) = mean_and_variance(closes);
            let half = self.deviations * variance.sqrt();
            [Some(mean + half), Some(mean), Some(mean - half)]
        })
    }
}

impl Reset for Bollinger {
    fn reset(&mut self) {}
}

impl Period for Bollinger {
    fn period(&self) -> usize {
        self.period
    }
}

/// [`Bollinger`] with the width (upper − lower, in price) and %B (`(close − lower) / width`;
/// none while the width is 0).
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Bands {
    bands: Bollinger,
}

impl Bands {
    /// Over `period` bars, `deviations` (> 0) wide to either side.
    #[must_use]
    pub const fn new(period: usize, deviations: f64) -> Self {
        Self {
            bands: Bollinger::new(period, deviations),
        }
    }
}

impl Next<Bars<'_>> for Bands {
    /// Upper, middle, lower, width, %B.
    type Output = [Option<f64>; 5];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let [Some(upper), Some(middle), Some(lower)] = self.bands.next(bars) else {
            return [None; 5];
        };
        let width = upper - lower;
        let share = (width > 0.0).then(|| (bars.bar().close - lower) / width);
        [Some(upper), Some(middle), Some(lower), Some(width), share]
    }
}

impl Reset for Bands {
    fn reset(&mut self) {}
}

impl Period for Bands {
    fn period(&self) -> usize {
        self.bands.period
    }
}
