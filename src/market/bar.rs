//! One bar of market data.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// Open, high, low, close and volume over one timeframe, stamped with its open time.
///
/// Prices are in the instrument's quote currency, volume in its own unit. A `Bar` that
/// came through [`crate::wire`] is finite, has positive prices, `low ≤ open, close ≤ high`
/// and `volume ≥ 0`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The time at which the bar opened.
    pub timestamp: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Traded volume.
    pub volume: f64,
}

impl Bar {
    /// Returns true if two bars hold the same prices and volume, bit for bit (`0.0` and `-0.0`
    /// apart).
    #[must_use]
    pub fn same_values(&self, other: &Bar) -> bool {
        let bits = |b: &Bar| [b.open, b.high, b.low, b.close, b.volume].map(f64::to_bits);
        bits(self) == bits(other)
    }
}

impl ta::Open for Bar {
    fn open(&self) -> f64 {
        self.open
    }
}

impl ta::High for Bar {
    fn high(&self) -> f64 {
        self.high
    }
}

impl ta::Low for Bar {
    fn low(&self) -> f64 {
        self.low
    }
}

impl ta::Close for Bar {
    fn close(&self) -> f64 {
        self.close
    }
}

impl ta::Volume for Bar {
    fn volume(&self) -> f64 {
        self.volume
    }
}
