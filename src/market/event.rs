//! A bar on its way into the engine.

use std::borrow::Cow;

use super::{Bar, Timeframe};

/// The completeness of a bar, according to its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// The bar is complete.
    Final,
    /// The bar is complete, and its source says that it revises one sent before.
    Revised,
    /// The bar is complete and part of a snapshot, which repeats bars sent before.
    History,
    /// The bar is forming; another one will be marked as complete.
    Forming,
    /// The bar is forming until the next of its series comes: its source marks none as complete.
    UntilNext,
}

impl Finality {
    /// True if the bar is complete as it stands.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Final | Self::Revised | Self::History)
    }
}

/// One bar of one series as its source sent it, borrowed from the message it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct BarEvent<'a> {
    /// A valid [`super::Symbol`], not yet made one: looking up a known series does not allocate.
    pub symbol: Cow<'a, str>,
    /// The bar length.
    pub timeframe: Timeframe,
    /// The bar.
    pub bar: Bar,
    /// The completeness of the bar.
    pub finality: Finality,
    /// True if its high or low was widened to a price that lies outside by no more than rounding.
    pub adjusted: bool,
    /// The sender, copied into the signal.
    pub source: Option<Cow<'a, str>>,
}
