//! Twelve Data: time series, and what its web socket sends.

use super::super::fields::Scalar;
use super::super::tape::Node;
use super::candle::in_order;
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "twelvedata",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("meta.symbol", ""),
        ("meta.interval", ""),
        ("values", ""),
        ("values.datetime", ""),
    ],
    notes: Notes {
        bars: "`{\"meta\":{symbol,interval,exchange_timezone},\"values\":[{datetime,open,high,low,close,volume}]}`",
        time: "`datetime`, by the clocks of `meta.exchange_timezone`",
        complete: "all but the newest; that with the next one",
        other: "`{\"event\":\"price\"}` is a price without a trade",
        source: "https://twelvedata.com/docs#time-series",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    if let Some(event) = message.str_of("event") {
        return match event {
            "price" if message.get("symbol").is_some() => ignored(Ignored::Quote),
            "heartbeat" => ignored(Ignored::Heartbeat),
            "subscribe-status" | "unsubscribe-status" | "reset-status" => {
                ignored(Ignored::Acknowledgement)
            }
            _ => None,
        };
    }
    if message.str_of("status") == Some("error") && message.get("code").is_some() {
        return ignored(Ignored::Error);
    }
    let meta = message.get("meta")?;
    let values = message.get("values").filter(|values| values.is_array())?;
    meta.get("symbol").and(meta.get("interval"))?;
    let names = ["datetime", "open", "high", "low", "close", "volume"];
    let candle = |value| {
        let mut candle = Candle::of(value, names)
            .with_symbol(meta.field("symbol"))
            .with_timeframe(meta.field("interval"));
        candle.zone = match meta.field("exchange_timezone") {
            Scalar::Text(zone) => Some(zone),
            _ => None,
        };
        candle
    };
    Some(in_order(values.items().map(candle).collect()))
}
