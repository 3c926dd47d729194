//! Hyperliquid.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::in_order;
use super::{Candle, Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "hyperliquid",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("channel", "candle"),
        ("data.t", ""),
        ("data.s", ""),
        ("data.i", ""),
        ("data.o", ""),
    ],
    notes: Notes {
        bars: "`{\"channel\":\"candle\",\"data\":{t,T,s,i,o,c,h,l,v,n}}`, or an array of such candles",
        time: "`t`, in ms",
        complete: "the next one comes: there is no flag",
        other: "`trades` is trades: `px`, `sz`, `time`, `tid`",
        source: "https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    if is_candle(message) {
        return Some(Reading::Bar(candle(message)));
    }
    let channel = message.str_of("channel")?;
    let ignored = |kind| Some(Reading::Ignored(kind));
    if channel == "pong" {
        return ignored(Ignored::Heartbeat);
    }
    // messages of other vendors with a channel have these beside it
    if ["event", "events", "type"]
        .iter()
        .any(|key| message.get(key).is_some())
    {
        return None;
    }
    let data = message.get("data")?;
    match channel {
        "candle" if data.is_array() => Some(in_order(data.items().map(candle).collect())),
        "candle" => Some(Reading::Bar(candle(data))),
        "trades" => {
            let names = ["coin", "time", "px", "sz", "tid"];
            let trades = data.items().map(|trade| Print::of(trade, names));
            Some(Reading::Trades(trades.collect()))
        }
        "l2Book" => ignored(Ignored::OrderBook),
        "bbo" | "allMids" => ignored(Ignored::Quote),
        "subscriptionResponse" => ignored(Ignored::Acknowledgement),
        "error" => ignored(Ignored::Error),
        "activeAssetCtx"
        | "activeSpotAssetCtx"
        | "activeAssetData"
        | "notification"
        | "webData2"
        | "webData3"
        | "post"
        | "openOrders"
        | "spotState"
        | "twapStates"
        | "clearinghouseState"
        | "allDexsClearinghouseState"
        | "allDexsAssetCtxs"
        | "userHistoricalOrders"
        | "userNonFundingLedgerUpdates"
        | "userTwapHistory"
        | "userTwapSliceFills"
        | "orderUpdates"
        | "userEvents"
        | "user"
        | "userFills"
        | "userFundings" => ignored(Ignored::Other),
        _ => None,
    }
}

/// True for a candle without its envelope, as a request is answered with an array of them.
fn is_candle(message: Node<'_, '_>) -> bool {
    let has = |key: &&str| message.get(key).is_some();
    let end = message.get("T").map(Node::scalar);
    matches!(end, Some(Scalar::Int(_)))
        && ["t", "s", "i", "o", "c", "h", "l", "v", "n"]
            .iter()
            .all(has)
        && message.get("x").is_none()
}

fn candle<'a>(data: Node<'_, 'a>) -> Candle<'a> {
    Candle::of(data, ["t", "o", "h", "l", "c", "v"])
        .with_symbol(data.field("s"))
        .with_timeframe(data.field("i"))
}
