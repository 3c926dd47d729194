//! OKX, version 5.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{in_order, text};
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "okx",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[("arg.channel", "candle*"), ("arg.instId", ""), ("data", "")],
    notes: Notes {
        bars: "`{\"arg\":{\"channel\":\"candle1m\",\"instId\"},\"data\":[[ts,o,h,l,c,vol,volCcy,volCcyQuote,confirm]]}`",
        time: "`ts`, in ms; bars of `candle6H` and longer open at midnight in Hong Kong, those of `candle1Dutc` at midnight UTC",
        complete: "`confirm`, the ninth value",
        other: "`trades` is trades: `px`, `sz`, `ts`, `tradeId`; candles of mark and index prices are ignored",
        source: "https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-candlesticks-channel",
    },
};

/// The place of `confirm` in a row.
const CONFIRM: usize = 8;

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    if let Some(event) = message.str_of("event") {
        let is_ours = message.get("arg").is_some() || message.get("connId").is_some();
        return match event {
            "error" if is_ours || message.get("msg").is_some() => ignored(Ignored::Error),
            "subscribe" | "unsubscribe" | "login" | "notice" | "channel-conn-count" if is_ours => {
                ignored(Ignored::Acknowledgement)
            }
            _ => None,
        };
    }
    let arg = message.get("arg")?;
    let channel = arg.str_of("channel")?;
    let data = message.get("data").filter(|data| data.is_array())?;
    if let Some(bar) = channel.strip_prefix("candle") {
        let symbol = arg.field("instId");
        let candle = |row| candle(row, &symbol, bar);
        return Some(in_order(data.items().map(candle).collect()));
    }
    match channel {
        "trades" | "trades-all" => {
            let names = ["instId", "ts", "px", "sz", "tradeId"];
            let trades = data.items().map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "tickers" => ignored(Ignored::Ticker),
        "bbo-tbt" => ignored(Ignored::Quote),
        "status" => ignored(Ignored::Status),
        _ if channel.starts_with("books") => ignored(Ignored::OrderBook),
        "instruments" | "open-interest" | "funding-rate" | "price-limit" | "mark-price"
        | "index-tickers" | "adl-warning" | "block-tickers" | "estimated-price" | "opt-summary"
        | "liquidation-orders" => ignored(Ignored::Other),
        // no prices of trades
        _ if channel.starts_with("mark-price-candle") || channel.starts_with("index-candle") => {
            ignored(Ignored::Other)
        }
        _ => None,
    }
}

fn candle<'a>(row: Node<'_, 'a>, symbol: &Scalar<'a>, bar: &'a str) -> Candle<'a> {
    let flag = match row.at(CONFIRM).map(Node::scalar) {
        None => Scalar::Absent,
        Some(Scalar::Text(flag)) if flag == "0" => Scalar::Bool(false),
        Some(Scalar::Text(flag)) if flag == "1" => Scalar::Bool(true),
        Some(other) => other,
    };
    Candle::of_row(row, [0, 1, 2, 3, 4, 5])
        .with_symbol(symbol.clone())
        .with_timeframe(timeframe(bar))
        .with_flag(flag)
}

/// `1m`, `4H`, `1Dutc`, `1W` and `1M`: a month is the only capital that stays.
fn timeframe(bar: &str) -> Scalar<'_> {
    let bar = bar.strip_suffix("utc").unwrap_or(bar);
    match bar.as_bytes().last() {
        Some(b'H' | b'D' | b'W') => text(bar.to_ascii_lowercase()),
        _ => text(bar),
    }
}
