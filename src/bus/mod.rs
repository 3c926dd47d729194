//! NATS: the connection and what travels over it.

mod backoff;
mod catalogue;
mod connect;
pub mod core;
mod credentials;
mod deliveries;
mod dial;
mod drain;
pub mod durable;
mod guard;
mod intake;
mod jetstream;
mod layout;
mod link;
mod mark_pace;
pub mod permissions;
mod service;
mod setup;

#[cfg(test)]
mod agreement_tests;

pub use connect::{ConnectError, Sizing, connect};
pub use deliveries::Deliveries;
pub use drain::{DrainError, drain_and_close, round_trip};
pub use jetstream::jetstream;
pub use link::{Link, LinkState, ServerView};
pub use service::{ServiceApi, ServiceError};
pub use setup::Setup;
