//! Core delivery: a reset reaches every member at the same place among the bars of the series.

use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};

use crate::common::{
    Agent, NatsServer, Received, assert_nothing_twice, assert_same, collect_signals, flat, publish,
    replay, settled,
};
use crate::group::{member, wait_shared};
use crate::{INDICATORS, client};

const SYMBOLS: usize = 24;
/// The pause between two rounds. A member with a backlog of more than 2.5 s hears its own presence too
/// late, takes itself for cut off and restarts, which loses signals; this test is about resets.
const ROUND: Duration = Duration::from_millis(20);
const SETTINGS: [(&str, &str); 2] = [
    ("TECHNICAL_INDICATORS", INDICATORS),
    ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
];

/// Bars that go back in time with each reset of their series, in the order in which they are sent.
struct Source {
    client: Client,
    sent: Vec<String>,
    round: u64,
}

impl Source {
    async fn send(&mut self, symbol: usize, payload: Value) {
        let subject = format!("raw.market_data.price.R{symbol}.1m");
        let payload = payload.to_string();
        publish(&self.client, &subject, &payload).await;
        self.sent.push(payload);
    }

    /// A round of bars, of which each series is reset in every tenth.
    async fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            for symbol in 0..SYMBOLS {
                let turn = self.round + symbol as u64;
                if turn.is_multiple_of(10) {
                    let series = json!({ "symbol": format!("R{symbol}"), "timeframe": "1m" });
                    let mut reset = json!({ "reset": series });
                    // with and without an id
                    if turn.is_multiple_of(20) {
                        reset["reset"]["id"] = format!("{turn}").into();
                    }
                    self.send(symbol, reset).await;
                }
                // ten minutes on, and a hundred back
                let minute = 100_000 - 100 * (turn / 10) + turn % 10;
                #[allow(clippy::cast_precision_loss)]
                let close = 10.0 + (turn * 7 % 13) as f64;
                let bar = flat(&format!("R{symbol}"), minute, close);
                self.send(symbol, bar).await;
            }
            self.round += 1;
            tokio::time::sleep(ROUND).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_cost_and_double_nothing_while_members_come_and_go() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut first = member(&server, "first");
    first.wait_ready();
    let mut source = Source {
        client: client.clone(),
        sent: Vec::new(),
        round: 0,
    };
    source.rounds(25).await;
    // while it joins, copies state and takes slots over
    let mut second = member(&server, "second");
    let joining = tokio::task::spawn_blocking(move || {
        second.wait_ready();
        second
    });
    while !joining.is_finished() {
        source.rounds(1).await;
    }
    let second = joining.await.unwrap();
    wait_shared(&[&first, &second]).await;
    source.rounds(15).await;
    first.sigterm();
    let leaving = tokio::task::spawn_blocking(move || assert_eq!(first.wait_exit(), 0));
    while !leaving.is_finished() {
        source.rounds(1).await;
    }
    leaving.await.unwrap();
    source.rounds(15).await;

    let expected = replay(&source.sent, &SETTINGS);
    assert_eq!(expected.len(), SYMBOLS * source.round as usize);
    let came = settled(&signals, expected.len()).await;
    assert_same(&came, &expected);
    assert_nothing_twice(&came);
    let by = |name: &str| {
        came.iter()
            .any(|one: &Received| one.header("Ta-Agent") == Some(name))
    };
    assert!(by("first") && by("second"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_resets_a_series_in_every_member() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut members = ["a", "b"].map(|name| member(&server, name));
    members.iter_mut().for_each(Agent::wait_ready);
    wait_shared(&members.each_ref()).await;
    for minute in 100..107 {
        crate::common::send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(7).await;
    let url = server.url();
    let variables = [("NATS_URL", url.as_str())];
    let mut reset = Agent::start_with(&["reset", "A", "1m", "--json"], variables);
    assert_eq!(reset.wait_exit(), 0, "{}", reset.output());
    let stdout = reset.stdout();
    let report: Value = stdout
        .iter()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap();
    assert_eq!(
        (&report["done"], &report["forgotten"]),
        (&true.into(), &7.into())
    );
    let owner = report["by"][0].as_str().unwrap();
    assert_eq!(report["by"].as_array().unwrap().len(), 1, "{report}");
    let came = signals.messages();
    assert_eq!(Some(owner), came[0].header("Ta-Agent"));
    // whoever is left has it as well
    let at = usize::from(owner == "b");
    members[at].sigterm();
    assert_eq!(members[at].wait_exit(), 0);
    crate::common::send(&client, &flat("A", 3, 11.0)).await;
    let restarted = signals.wait_for(8).await[7].json();
    assert_eq!(
        (&restarted["bars_analyzed"], &restarted["gap_bars"]),
        (&1.into(), &0.into()),
        "{restarted}"
    );
    assert_eq!(restarted["timestamp"], "2024-01-01T00:03:00Z");

    let mut unknown = Agent::start_with(&["reset", "B", "1m"], variables);
    assert_eq!(unknown.wait_exit(), 65, "{}", unknown.output());
}
