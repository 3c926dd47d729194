//! Input of an indicator: the last bars of one series, column by column.

use crate::market::{Bar, Timestamp};

/// The window of a series up to and including its newest bar, oldest first, as one
/// contiguous slice per column. All columns have the same length, at least 1.
#[derive(Debug, Clone, Copy)]
pub struct Bars<'a> {
    /// Open times in nanoseconds since the epoch.
    pub timestamps: &'a [i64],
    /// Open prices.
    pub open: &'a [f64],
    /// High prices.
    pub high: &'a [f64],
    /// Low prices.
    pub low: &'a [f64],
    /// Close prices.
    pub close: &'a [f64],
    /// Volumes.
    pub volume: &'a [f64],
}

/// The last `n` values of a column, or nothing while there are fewer.
#[inline]
#[must_use]
pub fn last(column: &[f64], n: usize) -> Option<&[f64]> {
    column.len().checked_sub(n).map(|from| &column[from..])
}

impl<'a> Bars<'a> {
    /// The bar at `index`, counted from the oldest.
    #[must_use]
    pub fn at(self, index: usize) -> Bar {
        Bar {
            timestamp: Timestamp::from_nanos(self.timestamps[index]),
            open: self.open[index],
            high: self.high[index],
            low: self.low[index],
            close: self.close[index],
            volume: self.volume[index],
        }
    }

    /// The last `n` bars, or nothing while there are fewer.
    #[inline]
    #[must_use]
    pub fn tail(self, n: usize) -> Option<Bars<'a>> {
        let from = self.len().checked_sub(n)?;
        Some(Bars {
            timestamps: &self.timestamps[from..],
            open: &self.open[from..],
            high: &self.high[from..],
            low: &self.low[from..],
            close: &self.close[from..],
            volume: &self.volume[from..],
        })
    }

    /// The window as it was `n` bars ago, or nothing when it did not hold a bar then.
    #[inline]
    #[must_use]
    pub fn ago(self, n: usize) -> Option<Bars<'a>> {
        let to = self.len().checked_sub(n).filter(|&to| to > 0)?;
        Some(Bars {
            timestamps: &self.timestamps[..to],
            open: &self.open[..to],
            high: &self.high[..to],
            low: &self.low[..to],
            close: &self.close[..to],
            volume: &self.volume[..to],
        })
    }

    /// The typical price `(high + low + close) / 3` of the bar at `index`, oldest first.
    #[inline]
    #[must_use]
    pub fn typical(&self, index: usize) -> f64 {
        (self.high[index] + self.low[index] + self.close[index]) / 3.0
    }

    /// The newest bar's true range: `max(high − low, |high − close₋₁|, |low − close₋₁|)`;
    /// nothing at the first bar of a series.
    #[inline]
    #[must_use]
    pub fn true_range(&self) -> Option<f64> {
        (self.len() > 1).then(|| self.true_range_at(self.len() - 1))
    }

    /// The true range of the bar at `index`, which must have one before it.
    #[inline]
    #[must_use]
    pub fn true_range_at(&self, index: usize) -> f64 {
        let (high, low, before) = (self.high[index], self.low[index], self.close[index - 1]);
        greater(
            high - low,
            greater((high - before).abs(), (low - before).abs()),
        )
    }

    /// Number of bars in the window.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.close.len()
    }

    /// Never true of a window that is handed to an indicator.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.close.is_empty()
    }

    /// The newest bar.
    ///
    /// # Panics
    /// On an empty window, which no indicator is ever handed.
    #[inline]
    #[must_use]
    pub const fn bar(&self) -> Bar {
        self.back(0)
    }

    /// The bar `n` before the newest.
    ///
    /// # Panics
    /// If the window has only `n` bars or fewer.
    #[inline]
    #[must_use]
    pub const fn back(&self, n: usize) -> Bar {
        let at = self.len() - 1 - n;
        Bar {
            timestamp: Timestamp::from_nanos(self.timestamps[at]),
            open: self.open[at],
            high: self.high[at],
            low: self.low[at],
            close: self.close[at],
            volume: self.volume[at],
        }
    }

    /// The close before the newest, if there is one.
    #[inline]
    #[must_use]
    pub const fn previous_close(&self) -> Option<f64> {
        match self.len() {
            0 | 1 => None,
            n => Some(self.close[n - 2]),
        }
    }
}

#[inline]
fn greater(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}
