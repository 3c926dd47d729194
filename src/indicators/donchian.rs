//! Donchian channel.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param};
use super::slices::{highest, lowest};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "dc",
    (Convention::TaLib, "DONCHIAN"),
    &[Param::period(20, 1)],
    &["upper", "middle", "lower"],
    |p| p.bars(0) - 1,
    |p| Donchian::new(p.bars(0)).into(),
);

/// Highest high and lowest low of the last `n` bars, the newest included, and their middle.
///
/// First values at bar `n − 1`. Windowed. Source: TA-Lib `DONCHIAN`, TradingView
/// `ta.highest`, `ta.lowest`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Donchian {
    period: usize,
}

impl Donchian {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Donchian {
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        bars.tail(self.period).map_or([None; 3], |bars| {
            let (upper, lower) = (highest(bars.high), lowest(bars.low));
            [Some(upper), Some(f64::midpoint(upper, lower)), Some(lower)]
        })
    }
}

impl Reset for Donchian {
    fn reset(&mut self) {}
}

impl Period for Donchian {
    fn period(&self) -> usize {
        self.period
    }
}
