//! The real binary over a real nats-server, seen from outside: what a user of the group sees.
//!
//! Every test has a server, a directory and ports of its own. What a signal must be is told by
//! `replay`, by the contract, or worked out by hand; never by the agent that is tested.

#[path = "../common/mod.rs"]
mod common;

mod broker;
mod churn;
mod dead_letters;
mod derived;
mod drain;
mod fed;
mod floods;
mod forged;
mod group;
mod input;
mod marks;
mod metrics;
mod ops;
mod outputs;
mod panics;
mod path;
mod rebuild;
mod reset;
mod signals;
mod start;
mod trades;
mod watchdog;

use async_nats::Client;
use common::{Agent, Collected, NatsServer, collect_signals};

/// Further indicators, windowed and recursive, of one output and of several.
const INDICATORS: &str = "atr(14),adx(14),stoch(14,3,3),sar,vwap,obv,supertrend(10,3)";

/// The variables of an agent that gives a signal for every bar.
fn every_bar<'a>(server: &'a str, name: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("NATS_URL", server),
        ("TECHNICAL_AGENT_NAME", name),
        ("TECHNICAL_DELIVERY", "core"),
        ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
    ]
}

/// An agent that gives a signal for every bar, ready.
fn ready_agent(server: &NatsServer, name: &str, further: &[(&str, &str)]) -> Agent {
    let url = server.url();
    let variables = every_bar(&url, name).into_iter();
    let mut agent = Agent::start(variables.chain(further.iter().copied()));
    agent.wait_ready();
    agent
}

async fn client(server: &NatsServer) -> Client {
    async_nats::connect(server.url())
        .await
        .expect("a connection")
}

/// A server, a connection to it, and every signal from here on.
async fn listening() -> (NatsServer, Client, Collected) {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    (server, client, signals)
}
