//! The report on a trade.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::report::rfc3339;
use super::trace::TradeFacts;
use crate::market::Timestamp;

/// A trade in plain units and UTC.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TradeEntry {
    /// The instrument.
    pub symbol: String,
    /// When it took place.
    #[serde(serialize_with = "rfc3339")]
    pub timestamp: Timestamp,
    /// Its price.
    pub price: f64,
    /// The quantity traded.
    pub size: f64,
    /// False if it counts for the volume only.
    pub forms_prices: bool,
    /// The name that each field was found under.
    pub fields: BTreeMap<&'static str, String>,
}

impl TradeEntry {
    pub(super) fn new(facts: TradeFacts, fields: BTreeMap<&'static str, String>) -> Self {
        let trade = facts.trade;
        Self {
            symbol: facts.symbol,
            timestamp: trade.timestamp,
            price: trade.price,
            size: trade.size,
            forms_prices: trade.forms_prices,
            fields,
        }
    }
}

impl fmt::Display for TradeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = if self.forms_prices {
            "for prices and the volume"
        } else {
            "for the volume only, as an odd lot"
        };
        let values = [
            ("symbol", self.symbol.clone()),
            ("timestamp", self.timestamp.to_string()),
            ("price", self.price.to_string()),
            ("size", self.size.to_string()),
            ("counts", counts.to_owned()),
        ];
        for (name, value) in values {
            match self.fields.get(name) {
                Some(found) => writeln!(f, "  {name:<10} {value:<24} from {found}")?,
                None => writeln!(f, "  {name:<10} {value}")?,
            }
        }
        // the id only orders trades of one time, so its source alone is shown
        if let Some(found) = self.fields.get("trade_id") {
            writeln!(f, "  {:<10} {:<24} from {found}", "trade_id", "a sequence")?;
        }
        Ok(())
    }
}
