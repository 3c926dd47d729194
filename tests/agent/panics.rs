//! A panic where nothing catches it: the process ends, for whoever watches it to start another.

use std::time::Duration;

use async_nats::jetstream;

use crate::common::{NatsServer, assert_same, collect_signals, flat, replay, send};
use crate::{Agent, client, ready_agent};

const EVERY_BAR: (&str, &str) = ("TECHNICAL_MIN_BARS_REQUIRED", "1");

/// The process that panicked on purpose has ended with 70 and says why.
fn assert_broken(agent: &mut Agent) {
    assert_eq!(agent.wait_exit(), 70);
    let panic = agent.wait_log("panic: failpoint: the worker panics");
    assert_eq!(panic["level"], "ERROR");
    assert_eq!(panic["thread"], "worker");
    let end = agent.wait_log("the worker ended without a report");
    assert_eq!(end["level"], "ERROR");
    assert_eq!(end["exit_code"], 70);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_worker_in_core_delivery_ends_the_process_with_70() {
    let server = NatsServer::plain();
    let further = [("TA_FAILPOINT", "panic-worker=6.5")];
    let mut agent = ready_agent(&server, "one", &further);
    let client = client(&server).await;
    send(&client, &flat("A", 0, 6.5)).await;
    assert_broken(&mut agent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_worker_in_durable_delivery_ends_it_too_and_costs_no_signal() {
    let server = NatsServer::jetstream();
    let durable = ("TECHNICAL_DELIVERY", "durable");
    let lease = ("TECHNICAL_LEASE_SECS", "2");
    let further = [durable, lease, ("TA_FAILPOINT", "panic-worker=6.5")];
    let mut agent = ready_agent(&server, "one", &further);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let js = jetstream::new(client.clone());
    let mut bars = Vec::new();
    for minute in 0..20 {
        let close = if minute == 10 { 6.5 } else { 7.0 };
        let bar = flat("A", minute, close).to_string();
        let sent = js.publish("raw.market_data.price.A.1m", bar.clone().into());
        sent.await.expect("sent").await.expect("acknowledged");
        bars.push(bar);
    }
    assert_broken(&mut agent);
    let _next = ready_agent(&server, "two", &[durable, lease]);
    let expected = replay(&bars, &[EVERY_BAR]);
    signals.wait_for(expected.len()).await;
    let came = signals.wait_quiet(Duration::from_millis(300)).await;
    assert_same(&came, &expected);
}
