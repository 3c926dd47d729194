//! Sum and extremes of the last closes: SUM, MIN, MAX and MINMAX.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::{highest, lowest, sum_of};
use super::{Bars, last};

/// The sum.
pub const SUM: Entry = Entry::new(
    "sum",
    (Convention::TaLib, "SUM"),
    &[Param::period(30, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Sum::new(p.bars(0)).into(),
);

/// The lowest.
pub const MIN: Entry = Entry::new(
    "min",
    (Convention::TaLib, "MIN"),
    &[Param::period(30, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Min::new(p.bars(0)).into(),
);

/// The highest.
pub const MAX: Entry = Entry::new(
    "max",
    (Convention::TaLib, "MAX"),
    &[Param::period(30, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Max::new(p.bars(0)).into(),
);

/// Both extremes.
pub const MINMAX: Entry = Entry::new(
    "minmax",
    (Convention::TaLib, "MINMAX"),
    &[Param::period(30, 2)],
    &["min", "max"],
    |p| p.bars(0) - 1,
    |p| MinMax::new(p.bars(0)).into(),
);

windowed! {
    /// The sum of the last `n` closes.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `SUM`.
    Sum: |bars, n| last(bars.close, n).map(|closes| sum_of(closes, |close| close))
}

windowed! {
    /// The lowest of the last `n` closes.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `MIN`, TradingView `ta.lowest(close, n)`.
    Min: |bars, n| last(bars.close, n).map(lowest)
}

windowed! {
    /// The highest of the last `n` closes.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `MAX`, TradingView `ta.highest(close, n)`.
    Max: |bars, n| last(bars.close, n).map(highest)
}

/// The lowest and the highest of the last `n` closes.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `MINMAX`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MinMax {
    period: usize,
}

impl MinMax {
    /// Over `period` bars.
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for MinMax {
    /// Lowest, highest.
    type Output = [Option<f64>; 2];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let closes = last(bars.close, self.period);
        [closes.map(lowest), closes.map(highest)]
    }
}

impl Reset for MinMax {
    fn reset(&mut self) {}
}
