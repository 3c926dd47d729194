//! Operations: what the process says about itself, and to whom.
//!
//! Nothing here knows what is computed from a bar, nor how bars and signals travel.

pub mod asyncapi;
pub mod cgroup;
pub mod durable;
pub mod health;
pub mod heartbeat;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod process;
pub mod query;
pub mod receipts;
pub mod watchdog;
