//! Massive, formerly Polygon.io: aggregates of stocks, options, indices, forex and crypto.
//! Messages come as arrays; each element is one. What `s` means is for `ev` to say.

use super::super::print::Print;
use super::super::tape::Node;
use super::candle::text;
use super::{Candle, Dialect, Ignored, Notes, Reading};
use crate::market::Finality;

pub(super) static DIALECT: Dialect = Dialect {
    name: "massive",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[("ev", "AM"), ("sym", ""), ("s", ""), ("e", ""), ("o", "")],
    notes: Notes {
        bars: "an array of `{\"ev\",\"sym\" or \"pair\",o,h,l,c,v,s,e}`; `AM`, `XA` and `CA` are of one minute, `A`, `XAS` and `CAS` of one second",
        time: "`s`, in ms; `e` is the end",
        complete: "always; one sent again is a correction",
        other: "`T` and `XT` are trades: `p`, `s` their size, `t`, id `i`, conditions `c`; `Q`, `XQ` and `C` are quotes",
        source: "https://massive.com/docs/websocket/stocks/aggregates-per-minute",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let bar = |timeframe| {
        let symbol = message.get("sym").or_else(|| message.get("pair"))?;
        let candle = Candle::of(message, ["s", "o", "h", "l", "c", "v"])
            .with_symbol(symbol.scalar())
            .with_timeframe(text(timeframe))
            .with_finality(Finality::Final);
        Some(Reading::Bar(candle))
    };
    let ignored = |kind| Some(Reading::Ignored(kind));
    match message.str_of("ev")? {
        "AM" | "XA" | "CA" => bar("1m"),
        "A" | "XAS" | "CAS" => bar("1s"),
        "T" => {
            let print = Print::of(message, ["sym", "t", "p", "s", "i"]);
            Some(Reading::Trades(vec![print.with_conditions(message, "c")]))
        }
        "XT" => {
            let print = Print::of(message, ["pair", "t", "p", "s", "i"]);
            Some(Reading::Trades(vec![print]))
        }
        "Q" | "XQ" | "C" => ignored(Ignored::Quote),
        "XL2" => ignored(Ignored::OrderBook),
        "status" => match message.str_of("status") {
            Some("error" | "auth_failed" | "auth_timeout" | "max_connections") => {
                ignored(Ignored::Error)
            }
            _ => ignored(Ignored::Acknowledgement),
        },
        "LULD" => ignored(Ignored::Status),
        // imbalances, fair market values, values of indices
        "NOI" | "FMV" | "V" => ignored(Ignored::Other),
        _ => None,
    }
}
