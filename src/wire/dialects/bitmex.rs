//! BitMEX: bins of trades, which carry the time of their end.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{in_order, text};
use super::{Candle, Dialect, Ignored, Notes, Reading};
use crate::market::{Finality, Timeframe, Timestamp};
use crate::wire::Reason;

pub(super) static DIALECT: Dialect = Dialect {
    name: "bitmex",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("table", "tradeBin*"),
        ("data", ""),
        ("data.timestamp", ""),
        ("data.symbol", ""),
    ],
    notes: Notes {
        bars: "`{\"table\":\"tradeBin1m\",\"data\":[{timestamp,symbol,open,high,low,close,volume}]}`; `open` is the close before, to which high and low are widened",
        time: "`timestamp`, the **end**, less the timeframe",
        complete: "always",
        other: "`trade` is trades: `price`, `size`, `timestamp`, `trdMatchID`",
        source: "https://www.bitmex.com/app/wsAPI",
    },
};

/// Explanation of a bin without its envelope: its time would be taken for that of its open.
const ALONE: &str = "a bin of BitMEX has the time of its end and names no timeframe; send it in its envelope, \
    {\"table\":\"tradeBin1m\",\"data\":[…]}, or set TECHNICAL_DIALECT=generic and TECHNICAL_TIMESTAMP=close";

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    let Some(table) = message.str_of("table") else {
        let has = |key| message.get(key).is_some();
        if has("info") && has("version") {
            return ignored(Ignored::Status);
        }
        if (has("subscribe") || has("unsubscribe")) && has("success") {
            return ignored(Ignored::Acknowledgement);
        }
        if has("homeNotional") && has("open") && has("close") {
            return Some(Reading::Refused(Reason::UnknownShape, ALONE.to_owned()));
        }
        return (has("status") && has("error") && has("request"))
            .then_some(Reading::Ignored(Ignored::Error));
    };
    let data = message.get("data").filter(|data| data.is_array())?;
    if let Some(timeframe) = table.strip_prefix("tradeBin") {
        let candle = |bin| candle(bin, timeframe);
        return Some(in_order(data.items().map(candle).collect()));
    }
    match table {
        "trade" => {
            let names = ["symbol", "timestamp", "price", "size", "trdMatchID"];
            let trades = data.items().map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "quote" => ignored(Ignored::Quote),
        "instrument" => ignored(Ignored::Ticker),
        _ if table.starts_with("quoteBin") => ignored(Ignored::Quote),
        _ if table.starts_with("orderBook") => ignored(Ignored::OrderBook),
        "announcement"
        | "chat"
        | "connected"
        | "funding"
        | "insurance"
        | "liquidation"
        | "publicNotifications"
        | "settlement"
        | "affiliate"
        | "execution"
        | "margin"
        | "order"
        | "position"
        | "privateNotifications"
        | "transact"
        | "wallet" => ignored(Ignored::Other),
        _ => None,
    }
}

fn candle<'a>(bin: Node<'_, 'a>, timeframe: &'a str) -> Candle<'a> {
    let names = ["timestamp", "open", "high", "low", "close", "volume"];
    let mut candle = Candle::of(bin, names)
        .with_symbol(bin.field("symbol"))
        .with_timeframe(text(timeframe))
        .with_finality(Finality::Final)
        .widened_to_open();
    candle.start = opened(candle.start, timeframe);
    candle
}

/// The start of a bin by its end; what cannot be read stays as it is.
fn opened<'a>(end: Scalar<'a>, timeframe: &str) -> Scalar<'a> {
    let (Scalar::Text(written), Ok(timeframe)) = (&end, timeframe.parse::<Timeframe>()) else {
        return end;
    };
    let Ok(at) = written.parse::<Timestamp>() else {
        return end;
    };
    let start = at.nanos().saturating_sub(timeframe.nanos());
    text(Timestamp::from_nanos(start).to_string())
}
