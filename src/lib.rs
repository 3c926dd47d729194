//! Turns market data on NATS into technical-analysis signals.
#![forbid(unsafe_code)]

pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod group;
pub mod indicators;
pub mod market;
pub mod ops;
pub mod tools;
pub mod version;
pub mod wire;
