//! Binance: spot and futures streams, alone or combined, and rows of klines.

use super::super::fields::Scalar;
use super::super::tape::Node;
use super::candle::in_order;
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "binance",
    certain: |_| true,
    read,
    shape: &[
        ("e", "kline"),
        ("k.t", ""),
        ("k.i", ""),
        ("k.o", ""),
        ("k.x", ""),
    ],
    notes: Notes {
        bars: "`{\"e\":\"kline\",\"s\",\"k\":{t,i,o,h,l,c,v,x}}`, also within `{\"stream\",\"data\"}`; `continuous_kline` with its pair in `ps`; rows of 12 values, the symbol and timeframe from the subject",
        time: "`k.t`, in ms or µs",
        complete: "`k.x`; the newest of several rows with the next one",
        other: "`trade`, `aggTrade` (where `t` and `a` are ids) are trades",
        source: "https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md",
    },
};

/// The values of a row: open time, prices, volume, close time, quote volume, trades, …
const ROW: usize = 12;

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    if message.is_array() {
        return rows(message);
    }
    let combined = message.str_of("stream").and(message.get("data"));
    let event = combined.unwrap_or(message);
    if event.is_array() && combined.is_some() {
        // arrays come on streams of all tickers
        return Some(Reading::Ignored(Ignored::Ticker));
    }
    let Some(kind) = event.str_of("e") else {
        return without_event(event);
    };
    let ignored = |kind| Some(Reading::Ignored(kind));
    match kind {
        "kline" => kline(event, event.field("s")),
        "continuous_kline" => kline(event, event.field("ps")),
        "trade" | "aggTrade" => Some(Reading::Trades(1)),
        "bookTicker" => ignored(Ignored::Quote),
        "depthUpdate" => ignored(Ignored::OrderBook),
        _ if kind.ends_with("Ticker") || kind == "avgPrice" => ignored(Ignored::Ticker),
        // no prices of trades
        "markPriceUpdate" | "markPrice_kline" | "indexPrice_kline" | "forceOrder"
        | "contractInfo" | "compositeIndex" | "assetIndexUpdate" => ignored(Ignored::Other),
        _ => None,
    }
}

fn kline<'a>(event: Node<'_, 'a>, symbol: Scalar<'a>) -> Option<Reading<'a>> {
    let kline = event.get("k").filter(|kline| kline.is_object())?;
    let mut candle = Candle::of(kline, ["t", "o", "h", "l", "c", "v"]);
    candle.text = event.text();
    let symbol = match symbol {
        Scalar::Absent => kline.field("s"),
        symbol => symbol,
    };
    Some(Reading::Bar(
        candle
            .with_symbol(symbol)
            .with_timeframe(kline.field("i"))
            .with_flag(kline.field("x")),
    ))
}

fn rows<'a>(rows: Node<'_, 'a>) -> Option<Reading<'a>> {
    let is_row = |row: Node<'_, '_>| {
        row.is_array()
            && row.items().count() == ROW
            && matches!(row.at(0).map(Node::scalar), Some(Scalar::Int(_)))
            && matches!(row.at(1).map(Node::scalar), Some(Scalar::Text(_)))
            && matches!(row.at(6).map(Node::scalar), Some(Scalar::Int(_)))
    };
    let first = rows.at(0)?;
    let candle = |row| Candle::of_row(row, [0, 1, 2, 3, 4, 5]);
    if is_row(rows) {
        return Some(Reading::Bar(candle(rows)));
    }
    is_row(first).then(|| in_order(rows.items().map(candle).collect()))
}

/// Messages without a kind: answers, books and quotes of the spot market.
fn without_event<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let has = |keys: &[&str]| keys.iter().all(|key| message.get(key).is_some());
    let keys: Vec<&str> = message.items().map(Node::key).collect();
    let kind = if has(&["u", "s", "b", "B", "a", "A"]) {
        Ignored::Quote
    } else if has(&["lastUpdateId", "bids", "asks"]) {
        Ignored::OrderBook
    } else if keys == ["result", "id"] || keys == ["id", "result"] {
        Ignored::Acknowledgement
    } else if is_error(message, &keys)
        || (keys.len() == 2
            && message
                .get("error")
                .is_some_and(|error| is_error(error, &[])))
    {
        Ignored::Error
    } else {
        return None;
    };
    Some(Reading::Ignored(kind))
}

/// True if a message is `{"code","msg"}`, and nothing else but an id.
fn is_error(message: Node<'_, '_>, keys: &[&str]) -> bool {
    let known = |key: &&str| ["code", "msg", "id"].contains(key);
    message.get("code").is_some() && message.get("msg").is_some() && keys.iter().all(known)
}
