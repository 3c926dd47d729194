//! Floods beside good series: nothing of those is lost or held up for long, memory stays bounded,
//! and what cannot be worked off is counted.

use std::time::Instant;

use async_nats::Client;

use crate::common::{
    Agent, Flow, Market, NatsServer, assert_nothing_twice, assert_same, collect_signals, flat,
    publish, replay, settled, until,
};
use crate::{client, ready_agent};

const JUNK: &str = "raw.market_data.price.JUNK.1m";

fn resident_bytes(agent: &Agent) -> f64 {
    let resident = agent.metrics().get("process_resident_memory_bytes");
    resident.expect("a metric of the process")
}

/// Hostile messages of up to 256 KiB, each of another kind.
fn floods() -> Vec<(&'static str, String)> {
    const SIZE: usize = 260_000;
    let bar = flat("JUNK", 0, 10.0).to_string();
    let bars: Vec<String> = (0..1_500)
        .map(|minute| flat("JUNK", minute, 10.0).to_string())
        .collect();
    vec![
        ("many elements", format!("[{}1]", "1,".repeat(SIZE / 2))),
        (
            "deep nesting",
            format!("[{}{}]", "[".repeat(SIZE / 2 - 1), "]".repeat(SIZE / 2 - 1)),
        ),
        ("nesting without an end", "[".repeat(SIZE)),
        (
            "nesting in a field",
            bar.replace(
                "\"volume\":100",
                &format!(
                    "\"volume\":{}1{}",
                    "[".repeat(SIZE / 3),
                    "]".repeat(SIZE / 3)
                ),
            ),
        ),
        (
            "a huge number",
            bar.replace(
                "\"volume\":100",
                &format!("\"volume\":{}", "9".repeat(SIZE - 500)),
            ),
        ),
        (
            "a long fraction",
            bar.replace(
                "\"volume\":100",
                &format!("\"volume\":0.{}", "123".repeat(SIZE / 3 - 200)),
            ),
        ),
        ("a huge text", bar.replace("JUNK", &"J".repeat(SIZE - 500))),
        (
            "escapes",
            bar.replace("JUNK", &"\\u0041".repeat(SIZE / 6 - 100)),
        ),
        (
            "many fields",
            format!("{{{}\"a\":1}}", "\"abcd\":1,".repeat(SIZE / 9)),
        ),
        (
            "good bars, again and again",
            format!("[{}]", bars.join(",")),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_of_any_kind_costs_good_series_nothing() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.M0.1m").await;
    let flow = Flow::start(&client, Market::new(1), 100);
    flow.wait_more(20).await;
    let before = resident_bytes(&agent);
    let mut most = before;
    let mut messages = 0;
    for (what, message) in floods() {
        assert!(message.len() <= 262_144, "{what}: {}", message.len());
        for _ in 0..5 {
            publish(&client, JUNK, &message).await;
            messages += 1;
        }
        flow.wait_more(20).await;
        most = most.max(resident_bytes(&agent));
        assert_eq!(agent.get("/livez").status, 200, "{what}");
    }
    let sent = flow.stop().await;
    let expected = replay(&sent, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]);
    let came = settled(&signals, expected.len()).await;
    assert_same(&came, &expected);
    assert_nothing_twice(&came);
    let received = f64::from(messages) + sent.len() as f64;
    agent.wait_metrics(&[
        ("technical_messages_received_total", received),
        ("technical_messages_dropped_total", 0.0),
    ]);
    assert!(
        most - before < 200e6,
        "grew by {} MB",
        (most - before) / 1e6
    );
}

async fn blast(client: &Client, messages: usize, payload: &str) {
    for n in 0..messages {
        let subject = format!("raw.market_data.price.F{}.1m", n % 50);
        client
            .publish(subject, payload.to_owned().into())
            .await
            .unwrap();
    }
    client.flush().await.unwrap();
}

/// More than the agent holds, far faster than it works off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dropped_is_counted_said_and_of_those_that_send_too_much() {
    const MESSAGES: usize = 1_500;
    // a machine too slow to read as fast as the test writes must not cost the connection
    let server = NatsServer::with("max_pending: 1073741824\nwrite_deadline: \"60s\"");
    let agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.M0.1m").await;
    let mut bar = flat("F", 0, 10.0);
    bar.as_object_mut().unwrap().remove("symbol");
    // each entry has to be looked at, which takes longer than the way there
    let entries = r#","n":0"#.repeat(40_000);
    let slow = bar.to_string().replace('}', &format!("{entries}}}"));
    let flow = Flow::start(&client, Market::new(1), 50);
    flow.wait_more(10).await;
    blast(&client, MESSAGES, &slow).await;
    let sent = flow.stop().await;
    let expected = replay(&sent, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]);
    let start = Instant::now();
    let came = settled(&signals, expected.len()).await;
    assert_same(&came, &expected);
    let metrics = agent.metrics();
    let dropped = metrics.sum("technical_messages_dropped_total");
    assert!(
        dropped > 0.0,
        "nothing was dropped within {:?}",
        start.elapsed()
    );
    assert!(resident_bytes(&agent) < 500e6);
    agent.wait_log("messages were dropped");
    let health = agent.get("/health/intake");
    assert!(
        health.body.contains("messages were dropped"),
        "{}",
        health.body
    );
    // what waits is 128 MiB, which takes a slow machine long: as long as the agent gets on, so do we
    let all = (MESSAGES + sent.len()) as f64;
    let mut known = 0.0;
    while known < all {
        known = until("more messages to be worked off or dropped", || {
            let metrics = agent.metrics();
            let now = metrics.sum("technical_messages_received_total")
                + metrics.sum("technical_messages_dropped_total");
            (now > known).then_some(now)
        });
    }
    assert!(
        known <= all,
        "{known} messages are counted, {all} were sent"
    );
}
