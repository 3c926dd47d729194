//! The engine: bars in, signals out. Pure and deterministic: no IO, no clock, no lock, no async.
mod alerts;
mod config;
mod ring;
mod signal;

pub use alerts::{Alert, AlertSet};
pub use config::AnalysisConfig;
pub use ring::Ring;
pub use signal::{Momentum, Readings, Signal, Trend};
