//! Aroon.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::Bars;
use super::entry::{Convention, Entry, Param};
use super::slices::{float, highest, lowest};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "aroon",
    (Convention::TaLib, "AROON, AROONOSC"),
    &[Param::period(14, 2)],
    &["down", "up", "oscillator"],
    |p| p.bars(0),
    |p| Aroon::new(p.bars(0)).into(),
);

/// Age of the extremes of the last `n + 1` bars, as `100 · (n − bars since) / n` for the lowest low
/// (down) and the highest high (up), the later of equal ones. The oscillator is up − down.
///
/// First values at bar `n`. Windowed. Source: TA-Lib `AROON`, `AROONOSC`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Aroon {
    period: usize,
}

impl Aroon {
    /// Over `period` bars (at least 2).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for Aroon {
    type Output = [Option<f64>; 3];

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let n = self.period;
        bars.tail(n + 1).map_or([None; 3], |bars| {
            let (top, bottom) = (highest(bars.high), lowest(bars.low));
            // the extremes are in the slices they were found in
            let high = bars.high.iter().rposition(|&x| x >= top).unwrap_or(0);
            let low = bars.low.iter().rposition(|&x| x <= bottom).unwrap_or(0);
            let factor = 100.0 / float(n);
            let (down, up) = (factor * float(low), factor * float(high));
            [
                Some(down),
                Some(up),
                Some(factor * (float(high) - float(low))),
            ]
        })
    }
}

impl Reset for Aroon {
    fn reset(&mut self) {}
}

impl Period for Aroon {
    fn period(&self) -> usize {
        self.period
    }
}
