//! Middles of ranges: MIDPOINT and MIDPRICE.

use super::entry::{Convention, Entry, Param, VALUE};
use super::last;
use super::slices::{highest, lowest};

/// The middle of the closes.
pub const MIDPOINT: Entry = Entry::new(
    "midpoint",
    (Convention::TaLib, "MIDPOINT"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| MidPoint::new(p.bars(0)).into(),
);

/// The middle of the bars.
pub const MIDPRICE: Entry = Entry::new(
    "midprice",
    (Convention::TaLib, "MIDPRICE"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| MidPrice::new(p.bars(0)).into(),
);

windowed! {
    /// `(highest close + lowest close) / 2` of the last `n` bars.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `MIDPOINT`.
    MidPoint: |bars, n| {
        let closes = last(bars.close, n)?;
        Some(f64::midpoint(highest(closes), lowest(closes)))
    }
}

windowed! {
    /// `(highest high + lowest low) / 2` of the last `n` bars.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `MIDPRICE`.
    MidPrice: |bars, n| {
        let bars = bars.tail(n)?;
        Some(f64::midpoint(highest(bars.high), lowest(bars.low)))
    }
}
