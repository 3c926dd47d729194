//! Angle, intercept and forecast of the regression line through the closes.

use super::entry::{Convention, Entry, Param, VALUE};
use super::last;
use super::linreg::slope;
use super::slices::{float, mean};

/// The angle.
pub const ANGLE: Entry = Entry::new(
    "linreg_angle",
    (Convention::TaLib, "LINEARREG_ANGLE"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| LinRegAngle::new(p.bars(0)).into(),
);

/// The start of the line.
pub const INTERCEPT: Entry = Entry::new(
    "linreg_intercept",
    (Convention::TaLib, "LINEARREG_INTERCEPT"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| LinRegIntercept::new(p.bars(0)).into(),
);

/// The forecast for the next bar.
pub const TSF: Entry = Entry::new(
    "tsf",
    (Convention::TaLib, "TSF"),
    &[Param::period(14, 2)],
    VALUE,
    |p| p.bars(0) - 1,
    |p| Tsf::new(p.bars(0)).into(),
);

windowed! {
    /// `atan(slope)` in degrees, of the least-squares line through the last `n` closes.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `LINEARREG_ANGLE`.
    LinRegAngle: |bars, n| last(bars.close, n).map(|closes| slope(closes).atan().to_degrees())
}

windowed! {
    /// The value at the oldest of `n` bars of the least-squares line through their closes.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `LINEARREG_INTERCEPT`.
    LinRegIntercept: |bars, n| last(bars.close, n)
        .map(|closes| mean(closes) - slope(closes) * (float(n) - 1.0) / 2.0)
}

windowed! {
    /// The value one bar ahead of the least-squares line through the last `n` closes.
    ///
    /// First value at bar `n − 1`. Windowed. Source: TA-Lib `TSF`.
    Tsf: |bars, n| last(bars.close, n)
        .map(|closes| mean(closes) + slope(closes) * (float(n) + 1.0) / 2.0)
}
