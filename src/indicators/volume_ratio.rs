//! Volume against its average.

use serde::{Deserialize, Serialize};
use ta::{Next, Period, Reset};

use super::entry::{Convention, Entry, Param, VALUE};
use super::slices::mean;
use super::{Bars, last};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "volume_ratio",
    (Convention::Own, "volume / SMA of volume"),
    &[Param::period(20, 1)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| VolumeRatio::new(p.bars(0)).into(),
);

/// `volume / SMA(volume, n)`; none while the average is 0.
///
/// First value at bar `n − 1`. Windowed. The definition is ours.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct VolumeRatio {
    period: usize,
}

impl VolumeRatio {
    /// Over `period` bars (at least 1).
    #[must_use]
    pub const fn new(period: usize) -> Self {
        Self { period }
    }
}

impl Next<Bars<'_>> for VolumeRatio {
    type Output = Option<f64>;

    #[inline]
    fn next(&mut self, bars: Bars<'_>) -> Self::Output {
        let average = last(bars.volume, self.period).map(mean)?;
        (average > 0.0).then(|| bars.bar().volume / average)
    }
}

impl Reset for VolumeRatio {
    fn reset(&mut self) {}
}

impl Period for VolumeRatio {
    fn period(&self) -> usize {
        self.period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(volume: &[f64]) -> Option<f64> {
        let ones = vec![1.0; volume.len()];
        VolumeRatio::new(3).next(Bars {
            timestamps: &vec![0; volume.len()],
            open: &ones,
            high: &ones,
            low: &ones,
            close: &ones,
            volume,
        })
    }

    #[test]
    fn the_newest_volume_is_part_of_its_average() {
        assert_eq!(ratio(&[9.0, 1.0, 2.0, 3.0]), Some(1.5));
        assert_eq!(ratio(&[2.0, 3.0]), None);
        assert_eq!(ratio(&[0.0, 0.0, 0.0]), None);
    }
}
