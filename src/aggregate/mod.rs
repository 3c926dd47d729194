//! Larger bars of smaller ones.
//!
//! A [`Plan`] names the timeframes to derive and the calendar of their days. For each series that
//! is derived from, a [`Derivation`] keeps one open bucket per timeframe and hands out a
//! [`DerivedBar`] when a bucket closes.
//!
//! Promises: a derived bar is a function of the bars of its bucket and of nothing else: no clock,
//! no order of timeframes, no restart. Its volume is the exact sum of theirs ([`ExactSum`]). A
//! bucket that was not seen from its open, or that a bar reaches into from outside, gives no bar.
//!
//! A bucket closes with its last bar when it is complete, else with the first bar of its series
//! after its end, or when the caller closes it because time has passed. The closing event decides
//! when the bar comes, never its content. Once the buckets exist, no bar allocates.
//!
//! The smallest bars of a symbol may be built from its trades: [`Trades`] keeps their buckets, and
//! a [`TradePlan`] sets how long they wait for late trades.
//!
//! Must not know: indicators, signals, messages.

mod bucket;
mod calendar;
mod content;
mod derivation;
mod exact_sum;
mod horizon;
mod plan;
mod quotient;
mod traded;
mod trades;

pub use bucket::{Bucket, is_derivable, is_made_of, part_end};
pub use calendar::Calendar;
pub use derivation::{Derivation, DerivedBar, Parts, Scratch};
pub use exact_sum::ExactSum;
pub use horizon::{Horizon, Moved};
pub use plan::{InvalidPlan, Plan};
pub use trades::{MOST_OPEN, TradePlan, TradedBar, Trades, Use, digest};
