//! Gate, version 4: spot and futures.

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
        other: "`spot.trades` is trades",
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
    match channel {
        "candlesticks" if result.is_array() => Some(in_order(result.items().map(candle).collect())),
        "candlesticks" => Some(Reading::Bar(candle(result))),
        "trades" if result.is_array() => Some(Reading::Trades(result.items().count())),
        "trades" => Some(Reading::Trades(1)),
        "tickers" => ignored(Ignored::Ticker),
        "book_ticker" => ignored(Ignored::Quote),
        _ if channel.starts_with("order_book") => ignored(Ignored::OrderBook),
        _ => ignored(Ignored::Other),
    }
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
