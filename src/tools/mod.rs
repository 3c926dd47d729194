//! Commands beside the agent: reading and making bars, feeding them to NATS, watching signals,
//! explaining messages, putting dead letters back, verifying what the streams hold, asking for health.

pub mod bars_file;
pub mod explain;
pub mod feed;
pub mod health;
mod pace;
mod reader;
pub mod redrive;
pub mod replay;
pub mod synthetic;
pub mod verify;
pub mod watch;
