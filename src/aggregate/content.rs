//! Prices and volume of the bars in a bucket.

use serde::{Deserialize, Serialize};

use super::exact_sum::ExactSum;
use super::trades::Trades;
use crate::market::{Bar, Timestamp};

/// A bar of a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    bar: &'a Bar,
    /// Its count in [`super::Parts`]: one, or the number of trades that it was built from.
    count: u64,
    /// Its volume before rounding, if that is known.
    volume: Option<&'a ExactSum>,
}

impl<'a> Part<'a> {
    /// The part that `bar` is, built from the trades of its bucket in `trades` if there are any.
    pub fn of(bar: &'a Bar, trades: Option<&'a Trades>) -> Self {
        let traded = trades.and_then(|trades| trades.content(bar.timestamp));
        Self {
            bar,
            count: traded.map_or(1, |(count, _)| count),
            volume: traded.map(|(_, volume)| volume),
        }
    }
}

/// Prices and volume of several bars together.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Content {
    pub parts: u64,
    open: f64,
    high: f64,
    low: f64,
    close: f64,
    volume: ExactSum,
}

impl Clone for Content {
    fn clone(&self) -> Self {
        Self {
            volume: self.volume.clone(),
            ..*self
        }
    }

    /// Copies in place, without allocating.
    fn clone_from(&mut self, source: &Self) {
        let mut volume = std::mem::take(&mut self.volume);
        volume.clone_from(&source.volume);
        *self = Self { volume, ..*source };
    }
}

impl Content {
    /// Bytes that the volume of a market takes aside.
    pub const ROOM_ASIDE: usize = 4 * size_of::<u64>();

    pub fn clear(&mut self) {
        self.parts = 0;
        self.volume.clear();
    }

    /// Adds a bar that is later than all before it.
    pub fn add(&mut self, part: Part<'_>) {
        let bar = part.bar;
        if self.parts == 0 {
            self.open = bar.open;
            self.high = bar.high;
            self.low = bar.low;
        }
        self.high = self.high.max(bar.high);
        self.low = self.low.min(bar.low);
        self.close = bar.close;
        match part.volume {
            Some(exact) => self.volume.add_sum(exact),
            None => self.volume.add(bar.volume),
        }
        self.parts = self.parts.saturating_add(part.count);
    }

    pub fn bar(&self, opened: Timestamp) -> Bar {
        Bar {
            timestamp: opened,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume.value(),
        }
    }

    pub fn is_sound(&self) -> bool {
        let prices = [self.open, self.high, self.low, self.close];
        prices.iter().all(|price| price.is_finite()) && self.volume.is_sound()
    }
}
