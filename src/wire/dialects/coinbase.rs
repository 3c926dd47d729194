//! Coinbase: Advanced Trade, and what is no bar of the older Exchange feed.

use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{in_order, text};
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "coinbase",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("channel", "candles"),
        ("events", ""),
        ("events.candles.start", ""),
        ("events.candles.product_id", ""),
    ],
    notes: Notes {
        bars: "`{\"channel\":\"candles\",\"events\":[{\"type\",\"candles\":[{start,open,high,low,close,volume,product_id}]}]}`, always of five minutes",
        time: "`start`, text in s",
        complete: "the next one comes; of several, such as a `snapshot`, all but the newest",
        other: "`market_trades`, and `match` of the Exchange feed, are trades: `price`, `size`, `time`, `trade_id`",
        source: "https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let Some(channel) = message.str_of("channel") else {
        return exchange(message);
    };
    let events = message.get("events").filter(|events| events.is_array())?;
    let within = |key| {
        let lists = events.items().filter_map(move |event| event.get(key));
        lists.flat_map(Node::items)
    };
    let ignored = |kind| Some(Reading::Ignored(kind));
    match channel {
        "candles" => Some(in_order(within("candles").map(candle).collect())),
        "market_trades" => {
            let names = ["product_id", "time", "price", "size", "trade_id"];
            let trades = within("trades").map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "heartbeats" => ignored(Ignored::Heartbeat),
        "subscriptions" => ignored(Ignored::Acknowledgement),
        "ticker" | "ticker_batch" => ignored(Ignored::Ticker),
        "level2" | "l2_data" => ignored(Ignored::OrderBook),
        "status" => ignored(Ignored::Status),
        "user" | "futures_balance_summary" => ignored(Ignored::Other),
        _ => None,
    }
}

fn candle<'a>(node: Node<'_, 'a>) -> Candle<'a> {
    Candle::of(node, ["start", "open", "high", "low", "close", "volume"])
        .with_symbol(node.field("product_id"))
        .with_timeframe(text("5m"))
}

fn exchange<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let kind = message.str_of("type")?;
    let of_product = message.get("product_id").is_some();
    let ignored = |kind| Some(Reading::Ignored(kind));
    match kind {
        "match" | "last_match" if of_product => {
            let names = ["product_id", "time", "price", "size", "trade_id"];
            Some(Reading::Trades(vec![Print::of(message, names)]))
        }
        "heartbeat" if of_product => ignored(Ignored::Heartbeat),
        "ticker" if of_product => ignored(Ignored::Ticker),
        "l2update" | "snapshot" | "received" | "open" | "done" | "change" if of_product => {
            ignored(Ignored::OrderBook)
        }
        "subscriptions" if message.get("channels").is_some() => ignored(Ignored::Acknowledgement),
        "error" if message.get("message").is_some() => ignored(Ignored::Error),
        _ => None,
    }
}
