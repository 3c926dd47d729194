//! Derived bars that close while the market is silent, in core delivery.

use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};

use crate::common::{
    Agent, Collected, NatsServer, assert_same, collect_signals, flat, replay, send,
};
use crate::{client, ready_agent};

const SETTINGS: [(&str, &str); 4] = [
    ("TECHNICAL_TIMEFRAMES", "5m,1h"),
    ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
    ("TECHNICAL_BAR_GRACE_SECS", "10"),
    (
        "TECHNICAL_GROUP_SECRET",
        "a secret of the group in this test",
    ),
];
const SYMBOLS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// Some minutes of each symbol, the first of which opens an hour.
fn market(minutes: &[u64]) -> Vec<Value> {
    let of = |minute: &u64| SYMBOLS.map(|name| flat(name, *minute, 10.0));
    minutes.iter().flat_map(of).collect()
}

/// Signals of `sent`, where a mark closes everything afterwards.
fn expected(sent: &[Value]) -> Vec<String> {
    let mut lines: Vec<String> = sent.iter().map(Value::to_string).collect();
    lines.push(json!({ "mark": "2026-01-01T00:00:00Z" }).to_string());
    replay(&lines, &SETTINGS)
}

/// Two agents that have heard the same minutes, and the signals since.
struct Silent {
    server: NatsServer,
    client: Client,
    first: Agent,
    second: Agent,
    signals: Collected,
    sent: Vec<Value>,
}

async fn silent_after(minutes: &[u64]) -> Silent {
    let server = NatsServer::plain();
    let first = ready_agent(&server, "one", &SETTINGS);
    let second = ready_agent(&server, "two", &SETTINGS);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let sent = market(minutes);
    for bar in &sent {
        send(&client, bar).await;
    }
    Silent {
        server,
        client,
        first,
        second,
        signals,
        sent,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_market_closes_its_bars_once_whoever_holds_them() {
    let mut market = silent_after(&[0, 1, 3]).await;
    let (signals, second) = (&market.signals, &market.second);
    let expected = expected(&market.sent);
    assert_eq!(expected.len(), 5 * SYMBOLS.len());
    // no minute is on its way when one of the two leaves
    signals.wait_for(3 * SYMBOLS.len()).await;
    market.first.kill();
    signals.wait_for(expected.len()).await;
    second.wait_metrics(&[
        ("technical_marks_total{kind=\"written\"}", 1.0),
        ("technical_marks_total{kind=\"taken\"}", 1.0),
    ]);
    // a new member has the same state, and closes nothing a second time
    let third = ready_agent(&market.server, "three", &SETTINGS);
    for agent in [second, &third] {
        agent.wait_metrics(&[("technical_open_buckets", 0.0)]);
    }
    let came = signals.wait_quiet(Duration::from_secs(3)).await;
    assert_same(&came, &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_reach_a_member_that_holds_nothing_of_what_they_close() {
    let mut market = silent_after(&[0, 1, 2]).await;
    let signals = &market.signals;
    signals.wait_for(expected(&market.sent).len()).await;
    // the bars of the other one are closed here as well
    market.second.wait_metrics(&[
        ("technical_derived_bars_total{kind=\"marked\"}", 12.0),
        ("technical_open_buckets", 0.0),
    ]);
    market.first.sigterm();
    assert_eq!(market.first.wait_exit(), 0);
    // the heir publishes nothing twice, and continues
    let mut sent = market.sent;
    for bar in self::market(&[5, 6, 7, 8, 9]) {
        send(&market.client, &bar).await;
        sent.push(bar);
    }
    // the hour was closed without these, so each of them revises it
    let mark = json!({ "mark": "2026-01-01T00:00:00Z" });
    let lines: Vec<String> = sent[..3 * SYMBOLS.len()]
        .iter()
        .chain([&mark])
        .chain(&sent[3 * SYMBOLS.len()..])
        .map(Value::to_string)
        .collect();
    let expected = replay(&lines, &SETTINGS);
    signals.wait_for(expected.len()).await;
    let came = signals.wait_quiet(Duration::from_secs(2)).await;
    assert_same(&came, &expected);
}
