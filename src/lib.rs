//! Turns market data on NATS into technical-analysis signals.
#![forbid(unsafe_code)]

pub mod bus;
pub mod engine;
pub mod indicators;
pub mod market;
pub mod ops;
pub mod wire;
