//! NATS: the connection and what travels over it.

mod service;

pub use service::{ServiceApi, ServiceError};
