//! The configuration as one validated value.

mod nats;

pub use nats::{Auth, NatsConfig, Secret};
