//! Finnhub: trades, and no bars.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::{Dialect, Ignored, Notes, Reading};

pub(super) static DIALECT: Dialect = Dialect {
    name: "finnhub",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[
        ("type", "trade"),
        ("data.p", ""),
        ("data.s", ""),
        ("data.t", ""),
    ],
    notes: Notes {
        bars: "none",
        time: "–",
        complete: "–",
        other: "`{\"type\":\"trade\",\"data\":[{p,s,t,v}]}` is trades, without ids; where `v` is 0, a price without a trade",
        source: "https://finnhub.io/docs/api/websocket-trades",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let kind = message.str_of("type")?;
    let alone = message.items().count() == 1;
    match kind {
        "ping" if alone => Some(Reading::Ignored(Ignored::Heartbeat)),
        "error" if message.get("msg").is_some() => Some(Reading::Ignored(Ignored::Error)),
        "news" if message.get("data").is_some() => Some(Reading::Ignored(Ignored::Other)),
        "trade" => {
            let data = message.get("data").filter(|data| data.is_array())?;
            let first = data.at(0)?;
            first.get("p").and(first.get("s")).and(first.get("t"))?;
            let is_trade = |trade: &Node<'_, '_>| match trade.field("v") {
                Scalar::Int(volume) => volume > 0,
                Scalar::Number(volume) => volume > 0.0,
                _ => true,
            };
            let print = |trade| Print::of(trade, ["s", "t", "p", "v", ""]);
            let trades: Vec<Print<'_>> = data.items().filter(is_trade).map(print).collect();
            Some(if trades.is_empty() {
                Reading::Ignored(Ignored::Quote)
            } else {
                Reading::Trades(trades)
            })
        }
        _ => None,
    }
}
