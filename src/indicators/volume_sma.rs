//! Average volume.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::mean;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "volume_sma",
    (Convention::TaLib, "SMA of volume"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| VolumeSma::new(p.bars(0)).into(),
);

/// Arithmetic mean of the last `n` volumes.
///
/// First value at bar `n − 1`. Windowed. Source: TA-Lib `SMA` of the volume.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct VolumeSma {
    period: usize,
}

impl VolumeSma {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for VolumeSma {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        last(bars.volume, self.period).map(mean)
    }
}

impl Reset for VolumeSma {
    fn reset(&mut self) {}
}

impl Period for VolumeSma {
    fn period(&self) -> usize {
        self.period
    }
}
