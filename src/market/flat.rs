//! Bars of one price, for tests.

use std::borrow::Cow;

use super::{Bar, BarEvent, Finality, Timeframe, Timestamp};

impl Bar {
    /// A bar whose four prices are `price`.
    pub(crate) fn flat(timestamp: Timestamp, price: f64, volume: f64) -> Self {
        Self {
            timestamp,
            open: price,
            high: price,
            low: price,
            close: price,
            volume,
        }
    }
}

impl<'a> BarEvent<'a> {
    /// The final one-minute bar of `symbol` in minute `minute` of 1970, at one price and without a source.
    pub(crate) fn flat(
        symbol: impl Into<Cow<'a, str>>,
        minute: i64,
        price: f64,
        volume: f64,
    ) -> Self {
        let timestamp = Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos());
        Self {
            symbol: symbol.into(),
            timeframe: Timeframe::MINUTE,
            bar: Bar::flat(timestamp, price, volume),
            finality: Finality::Final,
            adjusted: false,
            source: None,
        }
    }
}
