//! A bar on its way into the engine.

use std::borrow::Cow;

use super::{Bar, Timeframe};

/// One bar of one series as its source sent it, borrowed from the message it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct BarEvent<'a> {
    /// A valid [`super::Symbol`], not yet made one: looking up a known series does not allocate.
    pub symbol: Cow<'a, str>,
    /// The bar length.
    pub timeframe: Timeframe,
    /// The bar.
    pub bar: Bar,
    /// Whether the bar is complete. A forming bar never changes what is kept.
    pub is_final: bool,
    /// Who sent it, carried through to the signal.
    pub source: Option<Cow<'a, str>>,
}
