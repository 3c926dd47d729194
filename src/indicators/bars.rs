//! What an indicator is shown: the last bars of one series, column by column.

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

impl Bars<'_> {
    /// How many bars the window holds.
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
    /// When the window has no more than `n` bars.
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
