//! The settings for reading market data.

use crate::market::TradeConditions;
use crate::wire::InputRules;

use super::Values;
use super::check::Check;

/// The settings; `trades` are taken where bars are built from them.
pub(super) fn read(
    values: &Values,
    check: &mut Check<'_>,
    trades: Option<TradeConditions>,
) -> InputRules {
    let Values { agent, input, .. } = values;
    InputRules {
        trades,
        max_payload_bytes: check.read(&agent.TECHNICAL_MAX_PAYLOAD_BYTES),
        default_timeframe: check.read(&input.TECHNICAL_DEFAULT_TIMEFRAME),
        zone: check.read(&input.TECHNICAL_TIMEZONE),
        stamp: check.read(&input.TECHNICAL_TIMESTAMP),
        grid: check.read(&input.TECHNICAL_GRID),
        prices: check.read(&input.TECHNICAL_PRICES),
        final_rule: check.read(&input.TECHNICAL_FINAL),
        dialect: check.read(&input.TECHNICAL_DIALECT),
    }
}
