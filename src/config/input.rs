//! The settings for reading market data.

use crate::market::{InvalidTimeframe, InvalidZone};
use crate::wire::{DialectRule, FinalRule, GridRule, InputRules, PriceRule, Stamp};

use super::check::{Check, count, field, one_of};
use super::raw::Raw;

pub(super) fn read(raw: &Raw, check: &mut Check<'_>) -> InputRules {
    InputRules {
        max_payload_bytes: check.read(
            &field!(raw.technical_max_payload_bytes),
            count(1_024..=67_108_864),
        ),
        default_timeframe: check.read(&field!(raw.technical_default_timeframe), |text| {
            text.parse()
                .map_err(|error: InvalidTimeframe| error.to_string())
        }),
        zone: check.read(&field!(raw.technical_timezone), |text| {
            text.parse().map_err(|error: InvalidZone| error.to_string())
        }),
        stamp: check.read(&field!(raw.technical_timestamp), one_of(STAMPS)),
        grid: check.read(&field!(raw.technical_grid), one_of(GRIDS)),
        prices: check.read(&field!(raw.technical_prices), one_of(PRICES)),
        final_rule: check.read(&field!(raw.technical_final), one_of(FINAL_RULES)),
        dialect: check.read(&field!(raw.technical_dialect), |text| {
            DialectRule::named(&text.to_ascii_lowercase()).ok_or_else(|| {
                let names: Vec<&str> = DialectRule::names().collect();
                format!("must be one of {}", names.join(", "))
            })
        }),
    }
}

const FINAL_RULES: &[(&str, FinalRule)] = &[("flag", FinalRule::Flag), ("next", FinalRule::Next)];

const STAMPS: &[(&str, Stamp)] = &[("open", Stamp::Open), ("close", Stamp::Close)];

const GRIDS: &[(&str, GridRule)] = &[("refuse", GridRule::Refuse), ("accept", GridRule::Accept)];

const PRICES: &[(&str, PriceRule)] = &[("positive", PriceRule::Positive), ("any", PriceRule::Any)];
