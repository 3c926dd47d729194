//! Alpaca: streams of stocks and crypto. Messages come as arrays; each element is one.

use super::super::fields::Scalar;
use super::super::print::Print;
use super::super::tape::Node;
use super::candle::text;
use super::{Candle, Dialect, Ignored, Notes, Reading};
use crate::market::Finality;

pub(super) static DIALECT: Dialect = Dialect {
    name: "alpaca",
    certain: |_| true,
    read,
    everyday: None,
    shape: &[("T", "b"), ("S", ""), ("t", ""), ("o", ""), ("c", "")],
    notes: Notes {
        bars: "an array of `{\"T\":\"b\",S,o,h,l,c,v,t}`; `b` and `u` are of one minute, `d` of one day",
        time: "`t`",
        complete: "`b` is, `u` revises one, `d` (today's bar, sent every minute) with that of the next day",
        other: "`T:\"t\"` is a trade: `p`, `s` its size, `t`, id `i`, conditions `c`; `q` is a quote",
        source: "https://docs.alpaca.markets/docs/real-time-stock-pricing-data",
    },
};

fn read<'a>(message: Node<'_, 'a>) -> Option<Reading<'a>> {
    let kind = message.str_of("T")?;
    let of_symbol = message.get("S").is_some();
    let bar = |timeframe, finality| {
        let candle = Candle::of(message, ["t", "o", "h", "l", "c", "v"])
            .with_symbol(message.field("S"))
            .with_timeframe(text(timeframe))
            .with_finality(finality);
        Some(Reading::Bar(candle))
    };
    let ignored = |kind| Some(Reading::Ignored(kind));
    match kind {
        "b" if of_symbol => bar("1m", Finality::Final),
        "u" if of_symbol => bar("1m", Finality::Revised),
        "d" if of_symbol => bar("1d", Finality::UntilNext),
        "t" if of_symbol => {
            let print = Print::of(message, ["S", "t", "p", "s", "i"]);
            Some(Reading::Trades(vec![print.with_conditions(message, "c")]))
        }
        "q" if of_symbol => ignored(Ignored::Quote),
        "o" if of_symbol => ignored(Ignored::OrderBook),
        "s" | "l" if of_symbol => ignored(Ignored::Status),
        // corrections and cancels of trades, imbalances
        "c" | "x" | "i" if of_symbol => ignored(Ignored::Other),
        "n" if message.get("headline").is_some() => ignored(Ignored::Other),
        "success" | "subscription" => ignored(Ignored::Acknowledgement),
        "error" if message.field("code") != Scalar::Absent => ignored(Ignored::Error),
        _ => None,
    }
}
