//! KuCoin: spot and futures.

use super::super::print::Print;
use super::super::tape::Node;
use super::candle::text;
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "kucoin",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("topic", "/market/candles:*"),
        ("data.candles", ""),
        ("data.symbol", ""),
        ("type", "message"),
    ],
    notes: Notes {
        bars: "`{\"topic\":\"/market/candles:BTC-USDT_1hour\",\"data\":{\"symbol\",\"candles\":[time,open,close,high,low,volume,turnover]}}`: the close stands before the high",
        time: "the first value, text in s",
        complete: "the next one comes",
        other: "`/market/match` is trades: `price`, `size`, `time`, `sequence`",
        source: "https://www.kucoin.com/docs/websocket/spot-trading/public-channels/klines",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let ignored = |kind| Some(Reading::Ignored(kind));
    let kind = message.str_of("type")?;
    if message.get("id").is_some() {
        match kind {
            "welcome" | "ack" => return ignored(Ignored::Acknowledgement),
            "pong" => return ignored(Ignored::Heartbeat),
            "error" => return ignored(Ignored::Error),
            _ => {}
        }
    }
    let topic = message.str_of("topic").filter(|_| kind == "message")?;
    let data = message.get("data")?;
    let (place, rest) = topic.split_once(':').unwrap_or((topic, ""));
    match place {
        "/market/candles" | "/contractMarket/limitCandle" => {
            let (symbol, timeframe) = rest.rsplit_once('_')?;
            let row = data.get("candles").filter(|row| row.is_array())?;
            let candle = Candle::of_row(row, [0, 1, 3, 4, 2, 5]);
            Some(Reading::Bar(
                candle
                    .with_symbol(text(symbol))
                    .with_timeframe(text(spelt(timeframe))),
            ))
        }
        "/market/match" | "/contractMarket/execution" => {
            let time = if data.get("time").is_some() {
                "time"
            } else {
                "ts"
            };
            let print = Print::of(data, ["symbol", time, "price", "size", "sequence"]);
            Some(Reading::Trades(vec![print]))
        }
        "/market/ticker" | "/contractMarket/tickerV2" | "/contractMarket/ticker" => {
            ignored(Ignored::Quote)
        }
        "/market/snapshot" | "/contractMarket/snapshot" => ignored(Ignored::Ticker),
        _ if place.contains("level2") || place.contains("level3") => ignored(Ignored::OrderBook),
        "/spotMarket/level1" => ignored(Ignored::Quote),
        "/indicator/index" | "/indicator/markPrice" => ignored(Ignored::Other),
        _ if place.starts_with("/market/") || place.starts_with("/contract") => {
            ignored(Ignored::Other)
        }
        _ => None,
    }
}

/// `1min`, `1hour`, `1day` and `1week` as others spell them.
fn spelt(timeframe: &str) -> String {
    for (long, short) in [("min", "m"), ("hour", "h"), ("day", "d"), ("week", "w")] {
        if let Some(count) = timeframe.strip_suffix(long) {
            return format!("{count}{short}");
        }
    }
    timeframe.to_owned()
}
