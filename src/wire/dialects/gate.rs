//! Gate, version 4: spot and futures.

use std::borrow::Cow;

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::{in_order, text};
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "gate",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("channel", "spot.candlesticks"),
        ("event", "update"),
        ("result.n", ""),
        ("result.t", ""),
        ("result.w", ""),
    ],
    notes: Notes {
        bars: "`{\"channel\":\"spot.candlesticks\",\"event\":\"update\",\"result\":{t,o,h,l,c,v,a,n,w}}`, timeframe and symbol from `n`; volume is `a`, and `v` in futures, which have no `a`",
        time: "`t`, in s",
        complete: "`w`; without it, the next one comes",
        other: "`spot.trades` and `futures.trades` are trades: `price`, `amount` or `size`, `create_time_ms`, `id`",
        source: "https://www.gate.com/docs/developers/apiv4/ws/en/#candlesticks-channel",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let (market, channel) = message.str_of("channel")?.split_once('.')?;
    if !matches!(market, "spot" | "futures" | "delivery" | "options") {
        return None;
    }
    let ignored = |kind| Some(Reading::Ignored(kind));
    if channel == "pong" {
        return ignored(Ignored::Heartbeat);
    }
    let event = message.str_of("event")?;
    if message.get("error").is_some() {
        return ignored(Ignored::Error);
    }
    if !matches!(event, "update" | "all") {
        return ignored(Ignored::Acknowledgement);
    }
    let result = message.get("result")?;
    if channel == "candlesticks" && is_of_no_trades(result) {
        return ignored(Ignored::Other);
    }
    match channel {
        "candlesticks" if result.is_array() => Some(in_order(result.items().map(candle).collect())),
        "candlesticks" => Some(Reading::Bar(candle(result))),
        "trades" if result.is_array() => Some(Reading::Trades(result.items().map(trade).collect())),
        "trades" => Some(Reading::Trades(vec![trade(result)])),
        "tickers" => ignored(Ignored::Ticker),
        "book_ticker" => ignored(Ignored::Quote),
        _ if channel.starts_with("order_book") => ignored(Ignored::OrderBook),
        _ => ignored(Ignored::Other),
    }
}

/// A trade: of spot with its pair and amount, of futures with its contract and a size that is below
/// zero where the taker sold.
fn trade<'a>(result: Node<'_, 'a>) -> Print<'a> {
    let time = if result.get("create_time_ms").is_some() {
        "create_time_ms"
    } else {
        "create_time"
    };
    if result.get("currency_pair").is_some() {
        return Print::of(result, ["currency_pair", time, "price", "amount", "id"]);
    }
    let mut print = Print::of(result, ["contract", time, "price", "size", "id"]);
    print.size = match print.size {
        Scalar::Number(size) => Scalar::Number(size.abs()),
        Scalar::Text(Cow::Borrowed(size)) => text(size.strip_prefix('-').unwrap_or(size)),
        size => size,
    };
    print
}

/// True for the candles of mark and index prices, whose names begin `1m_mark_` and `1m_index_`.
fn is_of_no_trades(result: Node<'_, '_>) -> bool {
    let candle = result.at(0).unwrap_or(result);
    let name = candle.str_of("n").and_then(|name| name.split_once('_'));
    name.is_some_and(|(_, symbol)| symbol.starts_with("mark_") || symbol.starts_with("index_"))
}

fn candle<'a>(result: Node<'_, 'a>) -> Candle<'a> {
    let volume = if result.get("a").is_some() { "a" } else { "v" };
    let candle = Candle::of(result, ["t", "o", "h", "l", "c", volume]).with_flag(result.field("w"));
    match result.str_of("n").and_then(|name| name.split_once('_')) {
        Some(("7d", symbol)) => candle.with_symbol(text(symbol)).with_timeframe(text("1w")),
        Some((timeframe, symbol)) => candle
            .with_symbol(text(symbol))
            .with_timeframe(text(timeframe)),
        None => candle,
    }
}
