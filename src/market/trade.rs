//! A trade on its way into the engine.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One trade, as its venue reported it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// When it took place.
    pub timestamp: Timestamp,
    /// Its price.
    pub price: f64,
    /// The quantity traded, above zero.
    pub size: f64,
    /// The venue's number or name of the trade, where it has one.
    pub id: Option<TradeId>,
    /// False if it counts for the volume only, as odd lots of US stocks do.
    pub forms_prices: bool,
}

/// One trade of one instrument, borrowed from the message it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct TradeEvent<'a> {
    /// A valid [`super::Symbol`], not yet made one: looking up a known series does not allocate.
    pub symbol: Cow<'a, str>,
    /// The trade.
    pub trade: Trade,
}

/// A venue's number or name of a trade, to order trades of one time by. Numbers come before texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TradeId {
    /// The upper and the lower half of a number of 128 bits.
    Number(u64, u64),
    /// The first sixteen bytes of a text, as two numbers that compare as they do.
    Text(u64, u64),
}

impl TradeId {
    /// The id that is a whole number.
    #[must_use]
    pub const fn number(number: u128) -> Self {
        let [upper, lower] = halves(number);
        Self::Number(upper, lower)
    }

    /// The id in a text: a number where it has digits only, so that `"9"` comes before `"10"`.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && let Ok(number) = text.parse() {
            return Self::number(number);
        }
        let mut first = [0; 16];
        for (to, byte) in first.iter_mut().zip(text.bytes()) {
            *to = byte;
        }
        let [upper, lower] = halves(u128::from_be_bytes(first));
        Self::Text(upper, lower)
    }
}

#[allow(clippy::cast_possible_truncation)] // into its halves
const fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}

/// The treatment of trades by their sale conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeConditions {
    /// Every trade counts for prices and for the volume.
    None,
    /// Odd lots of US stocks count for the volume only, by the rules of the consolidated tape.
    Sip,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers_and_texts_by_their_bytes() {
        let ordered = [
            "9",
            "010",
            "11",
            "18446744073709551615",
            "18446744073709551616",
            "",
            "-1",
            "20f43950-d8dd-5b",
            "20f43950-d8dd-5c",
            "a",
            "b1",
        ];
        for pair in ordered.windows(2) {
            assert!(
                TradeId::of_text(pair[0]) < TradeId::of_text(pair[1]),
                "{pair:?}"
            );
        }
        assert_eq!(TradeId::of_text("7"), TradeId::number(7));
        assert_eq!(TradeId::of_text("007"), TradeId::number(7));
    }
}
