//! The domain as plain data: bars, trades, symbols, timeframes, timestamps, series keys.
//!
//! Nothing here knows where a bar came from or what is computed from it.

mod bar;
mod event;
#[cfg(test)]
mod flat;
mod order;
mod session;
mod symbol;
mod timeframe;
mod timestamp;
mod trade;
mod zone;

pub use bar::Bar;
pub use event::{BarEvent, Finality};
pub(crate) use order::in_order;
pub use session::{Hours, Session};
pub use symbol::{InvalidSymbol, Symbol};
pub use timeframe::{InvalidTimeframe, Timeframe, TimeframeUnit};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use trade::{Trade, TradeConditions, TradeEvent, TradeId};
pub(crate) use zone::Unplaced;
pub use zone::{InvalidZone, Zone};

use std::fmt;

use hashbrown::Equivalent;
use serde::{Deserialize, Serialize};

/// The identity of a series: one symbol in one timeframe.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// The instrument.
    pub symbol: Symbol,
    /// The bar length.
    pub timeframe: Timeframe,
}

impl SeriesKey {
    /// The series of `symbol` in `timeframe`.
    #[must_use]
    pub fn new(symbol: Symbol, timeframe: Timeframe) -> Self {
        Self { symbol, timeframe }
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.symbol, self.timeframe)
    }
}

/// A [`SeriesKey`] to look one up by, without making a symbol.
#[derive(Debug, Clone, Copy, Hash)]
pub struct SeriesKeyRef<'a> {
    /// The instrument.
    pub symbol: &'a str,
    /// The bar length.
    pub timeframe: Timeframe,
}

impl Equivalent<SeriesKey> for SeriesKeyRef<'_> {
    fn equivalent(&self, key: &SeriesKey) -> bool {
        self.symbol == key.symbol.as_str() && self.timeframe == key.timeframe
    }
}
