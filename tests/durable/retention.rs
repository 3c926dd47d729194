//! Bars that are stored while nobody reads them: none is dropped by default, and what a limit of
//! the stream drops is counted.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use crate::agent;
use crate::common::NatsServer;
use crate::feeder::{bar, connect};
use crate::history::settle;

const STREAM: &str = "TECHNICAL_BARS";

/// Stores bars `from..to` of these symbols, each in turn, and waits for every acknowledgement.
async fn store_all(js: &Context, symbols: std::ops::Range<usize>, bars: std::ops::Range<u64>) {
    let mut acks = Vec::new();
    for n in bars {
        for symbol in symbols.clone() {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let payload = bar(symbol, n).to_string();
            acks.push(js.publish(subject, payload.into()).await.expect("sent"));
        }
        if acks.len() >= 500 {
            for ack in acks.drain(..) {
                ack.await.expect("acknowledged");
            }
        }
    }
    for ack in acks {
        ack.await.expect("acknowledged");
    }
}

async fn config(js: &Context) -> Config {
    let stream = js.get_stream(STREAM).await.expect("the stream of bars");
    stream.cached_info().config.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bar_of_a_backlog_made_while_no_agent_runs_has_its_signal() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    store_all(&js, 0..101, 0..20).await;
    settle(&js, 20 * 101, 101).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);

    // one symbol has more than any stream kept when the bound per series was the default
    store_all(&js, 0..100, 20..600).await;
    store_all(&js, 100..101, 20..2_400).await;
    let mut after = agent(&server, &[]);
    after.wait_ready();
    settle(&js, 600 * 100 + 2_400, 101).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_of_before_is_reported_with_the_command_that_lifts_it_and_left_alone() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut before = agent(&server, &[("TECHNICAL_BARS_PER_SERIES", "1000")]);
    before.wait_ready();
    let made = config(&js).await;
    assert_eq!(made.max_messages_per_subject, 1_000);
    before.sigterm();
    assert_eq!(before.wait_exit(), 0);

    let mut now = agent(&server, &[]);
    now.wait_ready();
    now.wait_log("keeps a limited number of bars per series");
    let commands: Vec<String> = now
        .logs()
        .iter()
        .filter(|line| line["level"] == "WARN")
        .filter_map(|line| Some(line["command"].as_str()?.to_owned()))
        .collect();
    assert_eq!(
        commands,
        [
            "nats stream edit IN_TECHNICAL_BARS --max-msgs-per-subject=-1",
            "nats stream edit TECHNICAL_BARS --max-msgs-per-subject=-1",
        ]
    );
    assert_eq!(config(&js).await, made);
}
