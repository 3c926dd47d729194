//! Prices and volumes.

use std::num::ParseFloatError;
use std::ops::Range;

use super::{Fault, fault};
use crate::wire::fields::{Field, Fields, Scalar};
use crate::wire::rules::PriceRule;
use crate::wire::{Reason, scan};

/// 2^63 - 1, by which an undefined price is written where prices are integers of 1e-9: as it
/// stands, and as it comes out of the conversion.
const UNDEFINED: [f64; 2] = [9_223_372_036_854_775_807.0, 9_223_372_036.854_776];

/// Prices that every rule accepts.
const ORDINARY: Range<f64> = f64::MIN_POSITIVE..1e9;

/// Doubles that an open or close may lie outside of high and low: prices that are multiplied by the
/// factors of splits and dividends are rounded one by one.
const ROUNDING: u64 = 4;

/// The volume that some sources write where there is none.
const NO_VOLUME: f64 = -1.0;

/// Why a value is no number of its kind, and what is wanted.
type Wrong = (Reason, &'static str);

/// A number as JSON number or decimal text. Not finite only where the text says so by name.
fn number(value: &Scalar<'_>) -> Result<f64, Wrong> {
    let bad = |wanted| Err((Reason::BadNumber, wanted));
    match value {
        #[allow(clippy::cast_precision_loss)] // to the nearest double, as any number is read
        Scalar::Int(value) => Ok(*value as f64),
        Scalar::Number(value) => Ok(*value),
        Scalar::Text(text) => match decimal(text) {
            Ok(value) if value.is_finite() || !text.bytes().any(|b| b.is_ascii_digit()) => {
                Ok(value)
            }
            Ok(_) => bad("no double is that large"),
            Err(_) => bad("write a decimal number"),
        },
        Scalar::HugeNumber(json) if !json.bytes().any(|b| b.is_ascii_digit()) => {
            bad("it is no number; leave it out, or write null")
        }
        Scalar::HugeNumber(_) => bad("no double is that large"),
        Scalar::BrokenText(_) => bad("write a decimal number"),
        Scalar::Absent | Scalar::Bool(_) | Scalar::Nested => {
            let wanted = "it must be a number, or a decimal number in a string";
            Err((Reason::WrongType, wanted))
        }
    }
}

/// The number of a decimal text.
fn decimal(text: &str) -> Result<f64, ParseFloatError> {
    match scan::number(text) {
        #[allow(clippy::cast_precision_loss)] // to the nearest double, as any number is read
        Some(Scalar::Int(value)) => Ok(value as f64),
        Some(Scalar::Number(value)) => Ok(value),
        _ => text.parse(),
    }
}

pub(in super::super) fn price(
    fields: &Fields<'_>,
    field: Field,
    rule: PriceRule,
) -> Result<f64, Fault> {
    match &fields.slot(field).value {
        Scalar::Number(price) if ORDINARY.contains(price) => Ok(*price),
        value => {
            price_of(value, rule).map_err(|(reason, wanted)| fault(reason, fields, field, wanted))
        }
    }
}

/// A price of a bar or of a trade.
pub(in super::super) fn price_of(value: &Scalar<'_>, rule: PriceRule) -> Result<f64, Wrong> {
    let price = number(value)?;
    let bad = |wanted| Err((Reason::BadPrice, wanted));
    if UNDEFINED.contains(&price) {
        return bad("that is 2^63 - 1, which stands for an undefined price; leave it out");
    }
    if !price.is_finite() {
        return bad("a price is a finite number");
    }
    match rule {
        PriceRule::Positive if price <= 0.0 => bad(
            "a price is above zero; where prices may be zero or below (spreads, rates, power), set TECHNICAL_PRICES=any",
        ),
        // -0.0 is the same price and must not make a correction of a duplicate
        _ => Ok(price + 0.0),
    }
}

/// The size of a trade.
pub(in super::super) fn size_of(value: &Scalar<'_>) -> Result<f64, Wrong> {
    let size = number(value)?;
    if size.is_finite() && size > 0.0 {
        return Ok(size);
    }
    Err((
        Reason::BadVolume,
        "the size of a trade is finite and above zero",
    ))
}

/// The high and low of a bar, and whether one was widened to an open or close that lies outside by
/// no more than the rounding of adjusted prices.
pub(in super::super) fn range(
    open: f64,
    high: f64,
    low: f64,
    close: f64,
) -> Result<(f64, f64, bool), Fault> {
    let (top, bottom) = (open.max(close), open.min(close));
    if high < top && !is_rounding(high, top) {
        let detail = format!(
            "`high` is {high}, below `open` {open} or `close` {close}; it must be the highest"
        );
        return Err(Fault::new(Reason::BadRange, detail));
    }
    if low > bottom && !is_rounding(low, bottom) {
        let detail = format!(
            "`low` is {low}, above `open` {open} or `close` {close}; it must be the lowest"
        );
        return Err(Fault::new(Reason::BadRange, detail));
    }
    let adjusted = high < top || low > bottom;
    Ok((high.max(top), low.min(bottom), adjusted))
}

/// True if two prices are at most [`ROUNDING`] doubles apart.
#[cold]
fn is_rounding(a: f64, b: f64) -> bool {
    // in the order of the numbers they stand for
    let place = |price: f64| {
        let bits = price.to_bits().cast_signed();
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    place(a).abs_diff(place(b)) <= ROUNDING
}

/// A volume, of which -1 says that there is none.
pub(in super::super) fn volume(fields: &Fields<'_>) -> Result<f64, Fault> {
    let field = Field::Volume;
    if !fields.has(field) {
        return Ok(0.0);
    }
    let volume = number(&fields.slot(field).value)
        .map_err(|(reason, wanted)| fault(reason, fields, field, wanted))?;
    #[allow(clippy::float_cmp)] // just this value
    if volume == 0.0 || volume == NO_VOLUME {
        Ok(0.0) // -0.0 is the same volume and must not make a correction of a duplicate
    } else if volume.is_finite() && volume > 0.0 {
        Ok(volume)
    } else {
        let wanted = "a volume is finite and not below zero; where there is none, leave it out";
        Err(fault(Reason::BadVolume, fields, field, wanted))
    }
}
