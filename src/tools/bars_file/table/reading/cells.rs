//! The cells of a row, as fields of a message.

use csv::ByteRecord;
use serde_json::Value;

use super::super::BAD_LINE;
use super::super::number::{is_json_number, shifted};
use crate::market::Timestamp;
use crate::wire::Reason;

pub(super) fn text(row: &ByteRecord, at: usize) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(row.get(at).unwrap_or_default())
}

pub(super) fn utf8<'a>(
    row: &'a ByteRecord,
    at: usize,
    name: &str,
) -> Result<&'a str, (&'static str, String)> {
    std::str::from_utf8(row.get(at).unwrap_or_default())
        .map_err(|_| (BAD_LINE, format!("`{name}` is not UTF-8")))
}

/// A JSON field: the number unchanged, or, for an invalid number, a string that the decoder
/// refuses.
pub(super) fn number_field(name: &str, number: &str) -> String {
    if is_json_number(number) {
        format!("\"{name}\":{number}")
    } else {
        format!("\"{name}\":{}", Value::from(number))
    }
}

/// True if the decoder reads these digits as the time `at`.
pub(super) fn is_epoch(cell: &str, at: Timestamp) -> bool {
    let digits = cell.len() >= 9 && cell.bytes().all(|b| b.is_ascii_digit());
    digits
        && cell
            .parse()
            .is_ok_and(|number| Timestamp::from_epoch(number) == at)
}

/// A price in units of 10⁻⁹ in plain digits; `None` if it has a point already or is undefined.
pub(super) fn fixed_point(number: &str) -> Option<String> {
    const UNDEFINED: &str = "9223372036854775807";
    let digits = number.strip_prefix('-').unwrap_or(number);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (whole && digits != UNDEFINED)
        .then(|| shifted(number, -9))
        .flatten()
}

/// The timeframe of a type of record of Databento.
pub(super) fn record_timeframe(cell: &str) -> Result<&'static str, (&'static str, String)> {
    match cell {
        "32" => Ok("1s"),
        "33" => Ok("1m"),
        "34" => Ok("1h"),
        "35" => Ok("1d"),
        _ => {
            let name = Reason::BadTimeframe.name();
            Err((
                name,
                format!("{name}: `rtype` {cell} is no bar; 32 to 35 are"),
            ))
        }
    }
}
