//! One price for a bar: MEDPRICE, TYPPRICE, WCLPRICE and AVGPRICE.

use super::entry::{Convention, Entry, VALUE};

/// The median price.
pub const MEDPRICE: Entry = Entry::new(
    "medprice",
    (Convention::TaLib, "MEDPRICE"),
    &[],
    VALUE,
    |_| 0,
    |_| MedPrice.into(),
);

/// The typical price.
pub const TYPPRICE: Entry = Entry::new(
    "typprice",
    (Convention::TaLib, "TYPPRICE"),
    &[],
    VALUE,
    |_| 0,
    |_| TypPrice.into(),
);

/// The weighted close.
pub const WCLPRICE: Entry = Entry::new(
    "wclprice",
    (Convention::TaLib, "WCLPRICE"),
    &[],
    VALUE,
    |_| 0,
    |_| WclPrice.into(),
);

/// The average price.
pub const AVGPRICE: Entry = Entry::new(
    "avgprice",
    (Convention::TaLib, "AVGPRICE"),
    &[],
    VALUE,
    |_| 0,
    |_| AvgPrice.into(),
);

stateless! {
    /// `(high + low) / 2`. First value at bar 0. Source: TA-Lib `MEDPRICE`, TradingView `hl2`.
    MedPrice: |bars| {
        let bar = bars.bar();
        Some(f64::midpoint(bar.high, bar.low))
    }
}

stateless! {
    /// `(high + low + close) / 3`. First value at bar 0. Source: TA-Lib `TYPPRICE`, TradingView
    /// `hlc3`.
    TypPrice: |bars| Some(bars.typical(bars.len() - 1))
}

stateless! {
    /// `(high + low + 2 · close) / 4`. First value at bar 0. Source: TA-Lib `WCLPRICE`,
    /// TradingView `hlcc4`.
    WclPrice: |bars| {
        let bar = bars.bar();
        Some((bar.high + bar.low + bar.close * 2.0) / 4.0)
    }
}

stateless! {
    /// `(open + high + low + close) / 4`. First value at bar 0. Source: TA-Lib `AVGPRICE`,
    /// TradingView `ohlc4`.
    AvgPrice: |bars| {
        let bar = bars.bar();
        Some((bar.open + bar.high + bar.low + bar.close) / 4.0)
    }
}
