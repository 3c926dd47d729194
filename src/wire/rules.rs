//! The configured rules for reading input.

use super::dialects::DialectRule;
use crate::market::{Timeframe, TradeConditions, Zone};

/// The part of the configuration that [`super::Decoder`] needs.
#[derive(Debug, Clone)]
pub struct InputRules {
    /// Larger payloads are refused.
    pub max_payload_bytes: usize,
    /// The timeframe of bars that name none.
    pub default_timeframe: Timeframe,
    /// The clocks that times without an offset are read by.
    pub zone: Zone,
    /// The end of a bar that `timestamp` names.
    pub stamp: Stamp,
    /// The treatment of bars whose time is off the grid.
    pub grid: GridRule,
    /// The prices that are accepted.
    pub prices: PriceRule,
    /// Rule for the completeness of a bar.
    pub final_rule: FinalRule,
    /// The dialects that messages are read by.
    pub dialect: DialectRule,
    /// The treatment of trades; they are refused where there is none.
    pub trades: Option<TradeConditions>,
}

/// Completeness of a bar whose source gives no flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalRule {
    /// By its flag; a bar without one is complete.
    Flag,
    /// The bar is complete once the next of its series arrives, or by a flag.
    Next,
}

/// The end of a bar that its timestamp names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Its open time.
    Open,
    /// Its close time.
    Close,
}

/// The treatment of a bar whose time is not on the grid of its timeframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GridRule {
    /// It is refused.
    Refuse,
    /// It is taken.
    Accept,
}

/// The prices that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceRule {
    /// Above zero.
    Positive,
    /// Any finite number: spreads, rates, power, oil.
    Any,
}

impl InputRules {
    /// The rules of a configuration that sets nothing but these.
    #[must_use]
    pub const fn new(max_payload_bytes: usize, default_timeframe: Timeframe) -> Self {
        Self {
            max_payload_bytes,
            default_timeframe,
            zone: Zone::UTC,
            stamp: Stamp::Open,
            grid: GridRule::Refuse,
            prices: PriceRule::Positive,
            final_rule: FinalRule::Flag,
            dialect: DialectRule::Auto,
            trades: None,
        }
    }
}
