//! Commands beside the agent: reading and making bars, feeding them to NATS, putting dead letters back,
//! asking for health.

pub mod bars_file;
pub mod feed;
pub mod health;
mod pace;
pub mod redrive;
pub mod replay;
pub mod synthetic;
