//! NATS: the connection and what travels over it.

mod backoff;
mod connect;
mod credentials;
pub mod core;
mod drain;
mod link;
mod service;

pub use connect::{ConnectError, Sizing, connect};
pub use drain::{DrainError, drain_and_close, round_trip};
pub use link::{Link, LinkState, ServerView};
pub use service::{ServiceApi, ServiceError};
