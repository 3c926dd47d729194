//! The content of a bar that is built from trades.
//!
//! The order of arrival does not change it: time and sequence decide the open and the close, and sums
//! are exact.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::quotient::{difference, quotient};
use crate::market::{Bar, Timestamp, Trade, TradeId};

/// The order of trades of one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Sequence {
    /// The place in the stream, of a trade without an id.
    Place(u64),
    /// The venue's.
    Id(TradeId),
}

/// A trade that forms a price.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Print {
    at: Timestamp,
    sequence: Sequence,
    price: f64,
}

impl Print {
    /// Trades of one time and id, which no venue reports, are told apart by their price.
    fn order(&self, other: &Self) -> Ordering {
        (self.at, self.sequence)
            .cmp(&(other.at, other.sequence))
            .then(self.price.total_cmp(&other.price))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Prices {
    first: Print,
    last: Print,
    high: f64,
    low: f64,
}

/// The trades of a bucket together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Traded {
    trades: u64,
    /// None until a trade forms a price.
    prices: Option<Prices>,
    volume: ExactSum,
    /// The sum of price times size of the prices above zero.
    paid: ExactSum,
    /// The same of those below zero.
    received: ExactSum,
}

impl Traded {
    /// Sets it to no trades, and keeps its room.
    pub fn clear(&mut self) {
        self.trades = 0;
        self.prices = None;
        self.volume.clear();
        self.paid.clear();
        self.received.clear();
    }

    pub fn add(&mut self, trade: &Trade, sequence: Sequence) {
        self.trades = self.trades.saturating_add(1);
        self.volume.add(trade.size);
        if trade.price < 0.0 {
            self.received.add_product(-trade.price, trade.size);
        } else {
            self.paid.add_product(trade.price, trade.size);
        }
        if !trade.forms_prices {
            return;
        }
        let print = Print {
            at: trade.timestamp,
            sequence,
            price: trade.price,
        };
        let Some(prices) = &mut self.prices else {
            self.prices = Some(Prices {
                first: print,
                last: print,
                high: print.price,
                low: print.price,
            });
            return;
        };
        if print.order(&prices.first) == Ordering::Less {
            prices.first = print;
        }
        if print.order(&prices.last) == Ordering::Greater {
            prices.last = print;
        }
        prices.high = prices.high.max(print.price);
        prices.low = prices.low.min(print.price);
    }

    /// True if a trade forms a price, and so a bar.
    pub const fn has_price(&self) -> bool {
        self.prices.is_some()
    }

    pub const fn trades(&self) -> u64 {
        self.trades
    }

    pub const fn volume(&self) -> &ExactSum {
        &self.volume
    }

    /// The bar that opens at `open`; nothing where no trade forms a price.
    pub fn bar(&self, open: Timestamp) -> Option<Bar> {
        let Prices {
            first,
            last,
            high,
            low,
        } = self.prices?;
        Some(Bar {
            timestamp: open,
            open: first.price,
            high,
            low,
            close: last.price,
            volume: self.volume.value(),
        })
    }

    /// The average price of what was traded, weighted by size.
    pub fn vwap(&self) -> Option<f64> {
        if self.received.is_zero() {
            return quotient(&self.paid, &self.volume);
        }
        let (order, left) = difference(&self.paid, &self.received);
        let average = quotient(&left, &self.volume)?;
        Some(if order == Ordering::Less {
            -average
        } else {
            average
        })
    }

    /// True if a deserialized content is possible in a bucket; `contains` returns true for its times.
    pub fn is_sound(&self, contains: impl Fn(Timestamp) -> bool) -> bool {
        let are_possible = |prices: &Prices| {
            let prints = [&prices.first, &prices.last];
            prices.first.order(&prices.last) != Ordering::Greater
                && prices.low.is_finite()
                && prices.high.is_finite()
                && prints.iter().all(|print| {
                    contains(print.at) && print.price >= prices.low && print.price <= prices.high
                })
        };
        self.trades > 0
            && self.prices.as_ref().is_none_or(are_possible)
            && self.volume.is_sound()
            && self.paid.is_sound_of_products()
            && self.received.is_sound_of_products()
    }
}
