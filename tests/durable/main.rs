//! Durable delivery against real servers and real processes that are killed, frozen and scaled.
//!
//! Promises are judged by the final contents of the streams ([`history`]), never by an agent's own
//! report.

#[path = "../common/mod.rs"]
mod common;

mod chaos;
mod checkpoints;
mod churn;
mod cluster;
mod controls;
mod copies;
mod corrections;
mod defaults;
mod deliveries;
mod derived;
mod faults;
mod fed;
mod feeder;
mod fleet;
mod forged;
mod forming;
mod full;
mod ghosts;
mod history;
mod leaf;
mod letters;
mod limits;
mod market;
mod marks;
mod network;
mod observed;
mod outputs;
mod ownership;
mod partitions;
mod permissions;
mod poison;
mod questions;
mod rebuild;
mod redrive;
mod removed;
mod report;
mod reset;
mod retention;
mod roles;
mod schedule;
mod settings;
mod setup;
mod spellings;
mod stalls;
mod stops;
mod storage;
mod trades;
mod verdict;
mod verify;

use async_nats::jetstream::Context;
use common::{Agent, NatsServer};

/// Small enough for a test to see every part of it.
pub const MIN_BARS: usize = 5;

/// Starts an agent whose leases last 2 s, with these variables besides.
pub fn agent(server: &NatsServer, more: &[(&str, &str)]) -> Agent {
    agent_at(&server.url(), more)
}

/// [`agent`] with the servers to connect to.
pub fn agent_at(urls: &str, more: &[(&str, &str)]) -> Agent {
    let mut variables = vec![
        ("NATS_URL", urls),
        ("TECHNICAL_DELIVERY", "durable"),
        ("TECHNICAL_PARTITIONS", "8"),
        ("TECHNICAL_LEASE_SECS", "2"),
        ("TECHNICAL_CHECKPOINT_SECS", "1"),
    ];
    variables.extend_from_slice(ANALYSIS);
    variables.extend_from_slice(more);
    Agent::start(variables)
}

/// A server, a connection to it, and an agent of [`agent`] that is ready.
pub async fn ready(more: &[(&str, &str)]) -> (NatsServer, Context, Agent) {
    let server = NatsServer::jetstream();
    let js = feeder::connect(&server).await;
    let mut agent = agent(&server, more);
    agent.wait_ready();
    (server, js, agent)
}

/// [`ready`] with two agents that start at once.
pub async fn ready_pair(more: &[(&str, &str)]) -> (NatsServer, Context, [Agent; 2]) {
    let server = NatsServer::jetstream();
    let js = feeder::connect(&server).await;
    let mut agents = [agent(&server, more), agent(&server, more)];
    agents.iter_mut().for_each(Agent::wait_ready);
    (server, js, agents)
}

/// Environment variables.
pub type Variables = &'static [(&'static str, &'static str)];

/// The configuration that decides about payloads, for agents and replay alike.
pub const ANALYSIS: Variables = &[
    ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
    ("TECHNICAL_MIN_BARS_REQUIRED", "5"),
    ("TECHNICAL_INDICATORS", "atr(14)"),
];
