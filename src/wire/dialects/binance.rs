//! Binance: spot and futures streams, alone or combined, and rows of klines.

use std::borrow::Cow;

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::scan;
use super::super::tape::Node;
use super::candle::in_order;
use super::{Candle, Completion, Dialect, Everyday, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "binance",
    certain: |_| true,
    read,
    everyday: Some(Everyday {
        prefix: r#"{"e":"kline""#,
        read: everyday,
    }),
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
        other: "`trade`, `aggTrade` (where `t` and `a` are ids) are trades: `p`, `q`, `T`",
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
        // futures streams have entries such as deliveries that are no trades
        "trade" if !matches!(event.str_of("X"), None | Some("MARKET")) => ignored(Ignored::Other),
        "trade" => trade(event, "t"),
        "aggTrade" => trade(event, "a"),
        "bookTicker" => ignored(Ignored::Quote),
        "depthUpdate" => ignored(Ignored::OrderBook),
        _ if kind.ends_with("Ticker") || kind == "avgPrice" => ignored(Ignored::Ticker),
        "serverShutdown" => ignored(Ignored::Status),
        // no prices of trades
        "markPriceUpdate" | "markPrice_kline" | "indexPrice_kline" | "forceOrder"
        | "contractInfo" | "compositeIndex" | "assetIndexUpdate" => ignored(Ignored::Other),
        _ => None,
    }
}

/// Reads the kline of a message in which nothing else has fields of its own.
fn everyday<'a>(text: &'a str, candle: &mut Candle<'a>) -> bool {
    let mut is_kline = false;
    let mut other = false;
    let mut symbol = Scalar::Absent;
    let mut complete = Scalar::Absent;
    let outer = |key, value| match key {
        "e" => is_kline = matches!(value, Scalar::Text(Cow::Borrowed("kline"))),
        "s" => symbol = value,
        "k" | "stream" | "data" => other = true,
        _ => {}
    };
    let kline = |key: &str, value| {
        let field = match key {
            "t" => &mut candle.start,
            "s" => &mut candle.symbol,
            "i" => &mut candle.timeframe,
            "o" => &mut candle.open,
            "h" => &mut candle.high,
            "l" => &mut candle.low,
            "c" => &mut candle.close,
            "v" => &mut candle.volume,
            "x" => &mut complete,
            _ => return,
        };
        *field = value;
    };
    let read = scan::entries_within(text, "k", outer, kline);
    if read.is_none() || !is_kline || other {
        *candle = Candle::empty(text);
        return false;
    }
    candle.text = text.trim_ascii();
    if !symbol.is_absent() {
        candle.symbol = symbol;
    }
    candle.completion = Completion::Flag(complete);
    true
}

fn kline<'a>(event: Node<'_, 'a>, symbol: Scalar<'a>) -> Option<Reading<'a>> {
    let kline = event.get("k").filter(|kline| kline.is_object())?;
    let mut candle = Candle::of(kline, ["t", "o", "h", "l", "c", "v"]);
    candle.text = event.text();
    let [own, timeframe, complete] = kline.fields(["s", "i", "x"]);
    let symbol = if symbol.is_absent() { own } else { symbol };
    Some(Reading::Bar(
        candle
            .with_symbol(symbol)
            .with_timeframe(timeframe)
            .with_flag(complete),
    ))
}

/// A trade with its id under `id`.
fn trade<'a>(event: Node<'_, 'a>, id: &str) -> Option<Reading<'a>> {
    let print = Print::of(event, ["s", "T", "p", "q", id]);
    Some(Reading::Trades(vec![print]))
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

#[cfg(test)]
mod tests {
    use super::super::super::tape::Tape;
    use super::*;

    use proptest::prelude::*;

    /// An object of these keys, each with a value, some of which are no JSON.
    fn object(keys: Vec<&'static str>) -> impl Strategy<Value = String> {
        let value = proptest::sample::select(vec![
            "1769869800000",
            "\"67123.45\"",
            "67.5",
            "\"kline\"",
            "\"kline\"",
            "\"1m\"",
            "true",
            "null",
            "-1",
            "\"\\u0041\"",
            "\"\n\"",
            "[1]",
            "{}",
            "NaN",
        ]);
        let entry = (proptest::sample::select(keys), value);
        proptest::collection::vec(entry, 0..8).prop_map(|entries| {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("\"{key}\" : {value}"))
                .collect();
            entries.join(",")
        })
    }

    proptest! {
        /// Reading the text and reading all values of the message give the same candle.
        #[test]
        fn both_ways_of_reading_agree(
            before in object(vec!["e", "E", "s"]),
            kline in object(vec!["t", "s", "i", "o", "h", "l", "c", "v", "x", "f", "e"]),
            after in object(vec!["e", "s", "k", "stream", "data", "x"]),
            (first, last) in (any::<bool>(), any::<bool>()),
        ) {
            let mut parts = vec!["\"e\":\"kline\"".to_owned()];
            parts.extend((first && !before.is_empty()).then_some(before));
            parts.push(format!("\"k\":{{{kline}}}"));
            parts.extend((last && !after.is_empty()).then_some(after));
            let text = format!(" {{{}}}\n", parts.join(","));
            let mut candle = Candle::empty(&text);
            if everyday(&text, &mut candle) {
                let tape = Tape::read(&text).expect("what is read from the text is JSON");
                prop_assert_eq!(read(tape.root()), Some(Reading::Bar(candle)), "{}", text);
            }
        }
    }

    #[test]
    fn the_everyday_kline_is_read_from_its_text() {
        let text = r#"{"e":"kline","E":1769869860012,"s":"BTCUSDT","k":{"t":1769869800000,"T":1769869859999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"67123.45","c":"67155.31","h":"67180.02","l":"67101.90","v":"12.84513","n":100,"x":true,"q":"862544.1","V":"6.2","Q":"416310.5","B":"0"}}"#;
        let mut candle = Candle::empty(text);
        assert!(everyday(text, &mut candle));
        assert_eq!(candle.start, Scalar::Int(1_769_869_800_000));
        assert_eq!(candle.symbol, Scalar::Text("BTCUSDT".into()));
        for other in [
            r#"{"e":"kline","s":"A","k":{"t":1},"k":{"o":1}}"#,
            r#"{"e":"trade","s":"A","k":{"t":1}}"#,
            r#"{"e":"kline","s":"A","k":{"t":{}}}"#,
            r#"{"e":"kline","s":"A"}"#,
            r#"{"stream":"x","data":1,"e":"kline","k":{}}"#,
        ] {
            let mut candle = Candle::empty(other);
            assert!(!everyday(other, &mut candle), "{other}");
            assert_eq!(candle, Candle::empty(other));
        }
    }
}
