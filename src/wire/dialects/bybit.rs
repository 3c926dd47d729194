//! Bybit, version 5.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{in_order, minutes, text};
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "bybit",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("topic", "kline.*"),
        ("data.start", ""),
        ("data.interval", ""),
        ("data.confirm", ""),
    ],
    notes: Notes {
        bars: "`{\"topic\":\"kline.5.BTCUSDT\",\"data\":[{start,interval,open,high,low,close,volume,confirm}]}`, the symbol from the topic",
        time: "`start`, in ms; `timestamp` is the time of the last trade",
        complete: "`confirm`",
        other: "`publicTrade` is trades: `p`, `v`, `T`, `seq`",
        source: "https://bybit-exchange.github.io/docs/v5/websocket/public/kline",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    if let Some(op) = message.str_of("op") {
        let is_answer = ["ret_msg", "retMsg", "success", "conn_id", "connId", "args"]
            .iter()
            .any(|key| message.get(key).is_some());
        return match op {
            "ping" | "pong" => ignored(Ignored::Heartbeat),
            _ if message.field("success") == Scalar::Bool(false) => ignored(Ignored::Error),
            _ if is_answer && message.get("table").is_none() => ignored(Ignored::Acknowledgement),
            _ => None,
        };
    }
    let topic = message.str_of("topic")?;
    let data = message.get("data")?;
    let (kind, rest) = topic.split_once('.')?;
    match kind {
        "kline" | "kline_lt" => {
            let (interval, symbol) = rest.split_once('.')?;
            data.is_array().then(|| {
                in_order(
                    data.items()
                        .map(|bar| candle(bar, interval, symbol))
                        .collect(),
                )
            })
        }
        "publicTrade" => {
            let names = ["s", "T", "p", "v", "seq"];
            let trades = data.items().map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "tickers" | "tickers_lt" => ignored(Ignored::Ticker),
        "orderbook" => ignored(Ignored::OrderBook),
        "liquidation" | "allLiquidation" | "insurance" | "adlAlert" | "priceLimit" | "rpi" => {
            ignored(Ignored::Other)
        }
        _ => None,
    }
}

fn candle<'a>(bar: Node<'_, 'a>, interval: &'a str, symbol: &'a str) -> Candle<'a> {
    let interval = match bar.field("interval") {
        Scalar::Absent => text(interval),
        interval => interval,
    };
    let timeframe = match &interval {
        Scalar::Text(letter) if letter == "D" => text("1d"),
        Scalar::Text(letter) if letter == "W" => text("1w"),
        Scalar::Text(letter) if letter == "M" => text("1M"),
        _ => minutes(interval),
    };
    Candle::of(bar, ["start", "open", "high", "low", "close", "volume"])
        .with_symbol(text(symbol))
        .with_timeframe(timeframe)
        .with_flag(bar.field("confirm"))
}
