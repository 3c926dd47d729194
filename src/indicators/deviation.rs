//! Average deviation.

use super::entry::{Convention, Entry, Param, VALUE};
use super::last;
use super::slices::{float, mean, sum_of};

/// The entry of the catalogue.
pub const TALIB: Entry = Entry::new(
    "avgdev",
    (Convention::TaLib, "AVGDEV"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| AvgDev::new(p.bars(0)).into(),
);

windowed! {
    /// The mean distance of the last `n` closes from their mean.
    ///
    /// First value at bar `n − 1`. Windowed and two-pass. Source: TA-Lib `AVGDEV`.
    AvgDev: |bars, n| {
        let closes = last(bars.close, n)?;
        let centre = mean(closes);
        Some(sum_of(closes, |close| (close - centre).abs()) / float(n))
    }
}
