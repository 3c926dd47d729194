//! Turns market data on NATS into technical-analysis signals.
//!
//! A bar travels downwards through these modules and comes back as a signal; an arrow between
//! them points down only.
//!
//! | module | what it is |
//! |---|---|
//! | [`app`], [`cli`], [`time_spec`], [`error`], [`exit`], [`tools`] | the life of the process, its commands and its exit codes |
//! | [`config`] | environment, `.env` and defaults, read into one validated value |
//! | [`ops`] | HTTP, health, metrics, logs, heartbeat, the supervisor |
//! | [`bus`] | NATS: the connection, core and durable delivery, the service API |
//! | [`group`] | which replica speaks for which symbols, as pure state machines |
//! | [`pipeline`] | the way from a message to its signals and refusals, the same for every driver |
//! | [`wire`] | bytes ↔ domain: decoding, encoding, headers, subjects, schemas |
//! | [`engine`] | bars in, signals out: pure, deterministic, without allocation per bar |
//! | [`aggregate`] | larger bars of smaller ones: buckets, calendars, exact sums |
//! | [`indicators`] | one per file, TA-Lib's values unless a variant says otherwise |
//! | [`market`] | bars, symbols, timeframes, timestamps: plain data |
//!
//! The engine alone needs none of the modules above it:
//!
//! ```
//! use std::sync::Arc;
//! use technical_analysis_agent::engine::{AnalysisConfig, Engine};
//! use technical_analysis_agent::market::{Bar, BarEvent, Finality, Timeframe, Timestamp};
//!
//! let config = AnalysisConfig { min_bars: 1, ..AnalysisConfig::default() };
//! let mut engine = Engine::new(Arc::new(config), 100);
//! let bar = Bar {
//!     timestamp: Timestamp::from_epoch(1_700_000_000),
//!     open: 10.0, high: 12.0, low: 9.0, close: 11.0, volume: 500.0,
//! };
//! let event = BarEvent {
//!     symbol: "AAPL".into(), timeframe: Timeframe::DAY, bar, finality: Finality::Final, adjusted: false, source: None,
//! };
//! let outcome = engine.on_bar(&event, Timestamp::from_epoch(1_700_086_400));
//! assert_eq!(outcome.signal.unwrap().close, 11.0);
//!
//! // a bar is one to the `ta` crate as well, so its indicators can be fed with the same bars
//! let mut true_range = ta::indicators::TrueRange::new();
//! assert_eq!(ta::Next::next(&mut true_range, &bar), 3.0);
//! ```
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod app;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod exit;
mod failpoints;
pub mod group;
pub mod indicators;
pub mod market;
pub mod ops;
pub mod pipeline;
pub mod time_spec;
pub mod tools;
pub mod version;
pub mod wire;
