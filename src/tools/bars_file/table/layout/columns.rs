//! The columns that are read, and their names in messages.

use super::Header;

/// The columns that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tools::bars_file::table) struct Columns {
    pub width: usize,
    pub time: usize,
    pub clock: Option<usize>,
    pub symbol: Option<usize>,
    pub timeframe: Option<usize>,
    pub is_final: Option<usize>,
    pub source: Option<usize>,
    pub record_type: Option<usize>,
    /// One, or one for each symbol side by side.
    pub sets: Vec<PriceColumns>,
}

/// The columns of one bar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::tools::bars_file::table) struct PriceColumns {
    pub symbol: Option<String>,
    pub open: Option<usize>,
    pub high: Option<usize>,
    pub low: Option<usize>,
    pub close: Option<usize>,
    /// A close under the name `price`.
    pub price: Option<usize>,
    pub volume: Option<usize>,
    /// Ticks, where the volume is 0 or absent.
    pub ticks: Option<usize>,
    /// The id of a trade.
    pub trade_id: Option<usize>,
}

impl Columns {
    /// The fields of a message with the names of their columns.
    pub fn named(&self, header: &Header) -> Vec<(&'static str, String)> {
        let name = |at: usize| match &header.symbols {
            Some(symbols) if !symbols[at].is_empty() => {
                format!("{} {}", header.names[at], symbols[at])
            }
            _ => header.names[at].clone(),
        };
        let time = match self.clock {
            Some(clock) => format!("{} and {}", name(self.time), name(clock)),
            None => name(self.time),
        };
        let mut named = vec![("timestamp", time)];
        if let [set] = self.sets.as_slice() {
            let volume = match (set.volume, set.ticks) {
                (Some(volume), Some(ticks)) => Some(format!("{} or {}", name(volume), name(ticks))),
                (volume, ticks) => volume.or(ticks).map(name),
            };
            named.extend(set.prices().map(|(field, at)| (field, name(at))));
            named.extend(volume.map(|volume| (set.volume_name(), volume)));
            named.extend(set.trade_id.map(|at| ("trade_id", name(at))));
        }
        for (field, at) in [
            ("symbol", self.symbol),
            ("timeframe", self.timeframe.or(self.record_type)),
            ("final", self.is_final),
            ("source", self.source),
        ] {
            named.extend(at.map(|at| (field, name(at))));
        }
        named
    }
}

impl PriceColumns {
    /// True if the rows are trades.
    pub const fn is_of_trades(&self) -> bool {
        self.price.is_some()
    }

    /// The name of the volume in a message.
    pub const fn volume_name(&self) -> &'static str {
        if self.is_of_trades() {
            "size"
        } else {
            "volume"
        }
    }

    /// The columns of prices with their names in a message.
    pub fn prices(&self) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("open", self.open),
            ("high", self.high),
            ("low", self.low),
            ("close", self.close),
            ("price", self.price),
        ]
        .into_iter()
        .filter_map(|(name, at)| Some((name, at?)))
    }
}
