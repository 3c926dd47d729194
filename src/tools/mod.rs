//! Commands beside the agent: reading and making bars, feeding them to NATS, asking for health.

pub mod bars_file;
pub mod feed;
pub mod health;
mod pace;
pub mod replay;
pub mod synthetic;
