//! The reading of market data.

use super::{section, set};
use crate::config::readers::{one_of, parsed};
use crate::market::{Timeframe, Zone};
use crate::wire::{DialectRule, FinalRule, GridRule, PriceRule, Stamp};

section! {
    InputValues, "Input":

    TECHNICAL_DEFAULT_TIMEFRAME: Timeframe = parsed,
        set("1m", "5m", "for bars that name none");

    TECHNICAL_FINAL: FinalRule = one_of(FINAL_RULES),
        set("flag", "next",
            "when a bar is complete: `flag`, by its own flag (without one it is), or `next`, when \
             the next of its series comes",
        );

    TECHNICAL_TIMEZONE: Zone = parsed,
        set("UTC", "America/New_York",
            "the clocks that times without an offset are read by: a name of the IANA",
        );

    TECHNICAL_TIMESTAMP: Stamp = one_of(STAMPS),
        set("open", "close", "meaning of `timestamp`: the `open` or the `close` time of the bar");

    TECHNICAL_GRID: GridRule = one_of(GRIDS),
        set("refuse", "accept",
            "`refuse` bars whose time is not on the grid of their timeframe, or `accept` them",
        );

    TECHNICAL_PRICES: PriceRule = one_of(PRICES),
        set("positive", "any",
            "`positive` prices only, or `any`: zero and below as well, as of spreads, rates and \
             power",
        );

    TECHNICAL_DIALECT: DialectRule = dialect,
        set("auto", "binance",
            "the shape of messages: `auto` tells vendors apart, `generic` is that of this agent, \
             or one vendor by name",
        );
}

const FINAL_RULES: &[(&str, FinalRule)] = &[("flag", FinalRule::Flag), ("next", FinalRule::Next)];

const STAMPS: &[(&str, Stamp)] = &[("open", Stamp::Open), ("close", Stamp::Close)];

const GRIDS: &[(&str, GridRule)] = &[("refuse", GridRule::Refuse), ("accept", GridRule::Accept)];

const PRICES: &[(&str, PriceRule)] = &[("positive", PriceRule::Positive), ("any", PriceRule::Any)];

fn dialect(text: &str) -> Result<DialectRule, String> {
    DialectRule::named(&text.to_ascii_lowercase()).ok_or_else(|| {
        let names: Vec<&str> = DialectRule::names().collect();
        format!("must be one of {}", names.join(", "))
    })
}
