//! Kraken, version 2 of its web sockets.

use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{in_order, minutes};
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "kraken",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("channel", "ohlc"),
        ("data", ""),
        ("data.interval_begin", ""),
        ("data.interval", ""),
        ("data.symbol", ""),
    ],
    notes: Notes {
        bars: "`{\"channel\":\"ohlc\",\"type\",\"data\":[{symbol,interval,interval_begin,open,high,low,close,volume}]}`, minutes as `interval`",
        time: "`interval_begin`; `timestamp` is the end of the interval",
        complete: "the next one comes; of several, all but the newest",
        other: "`trade` is trades: `price`, `qty`, `timestamp`, `trade_id`",
        source: "https://docs.kraken.com/api/docs/websocket-v2/ohlc",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    if let Some(method) = message.str_of("method") {
        let is_answer = message.get("success").is_some() || message.get("time_in").is_some();
        return match method {
            "pong" => ignored(Ignored::Heartbeat),
            _ if message.get("error").is_some() => ignored(Ignored::Error),
            _ if is_answer => ignored(Ignored::Acknowledgement),
            _ => None,
        };
    }
    if message.get("error").and(message.get("time_in")).is_some() {
        return ignored(Ignored::Error);
    }
    let channel = message.str_of("channel")?;
    if channel == "heartbeat" {
        return ignored(Ignored::Heartbeat);
    }
    let data = message.get("data").filter(|data| data.is_array())?;
    match channel {
        "ohlc" => Some(in_order(data.items().map(candle).collect())),
        "trade" => {
            let names = ["symbol", "timestamp", "price", "qty", "trade_id"];
            let trades = data.items().map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "ticker" => ignored(Ignored::Ticker),
        "book" | "level3" => ignored(Ignored::OrderBook),
        "status" => ignored(Ignored::Status),
        "instrument" | "executions" | "balances" => ignored(Ignored::Other),
        _ => None,
    }
}

fn candle<'a>(data: Node<'_, 'a>) -> Candle<'a> {
    let names = ["interval_begin", "open", "high", "low", "close", "volume"];
    Candle::of(data, names)
        .with_symbol(data.field("symbol"))
        .with_timeframe(minutes(data.field("interval")))
}
