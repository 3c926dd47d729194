//! Slope of the linear regression.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::{Bars, last, linreg::slope};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "linreg_slope",
    (Convention::TaLib, "LINEARREG_SLOPE"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| LinRegSlope::new(p.bars(0)).into(),
);

/// The slope of the least-squares line through the last `n` closes, in price per bar.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `LINEARREG_SLOPE`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LinRegSlope {
    period: usize,
}

impl LinRegSlope {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for LinRegSlope {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.close, self.period).map(slope)
    }
}

impl Reset for LinRegSlope {
    fn reset(&mut self) {}
}

impl Period for LinRegSlope {
    fn period(&self) -> usize {
        self.period
    }
}
