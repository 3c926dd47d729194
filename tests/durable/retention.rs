//! Bars that are stored while nobody reads them: none is dropped by default, and what a limit of
//! the stream drops is counted.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use crate::common::{NatsServer, until};
use crate::feeder::{bar, connect};
use crate::history::{PATIENCE, count, settle};
use crate::{Agent, agent};

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
    let told = retention(&now);
    assert!(told.contains("degraded"), "{told}");
    for command in commands {
        assert!(told.contains(&command), "{told}");
    }
    // which is what the command does
    for name in ["IN_TECHNICAL_BARS", STREAM] {
        let stream = js.get_stream(name).await.unwrap();
        let lifted = Config {
            max_messages_per_subject: -1,
            ..stream.cached_info().config.clone()
        };
        js.update_stream(lifted).await.unwrap();
    }
    until("retention to be well", || {
        retention(&now).contains("up").then_some(())
    });
}

/// The losses that an agent logged.
fn lost(agent: &Agent) -> u64 {
    agent.metrics().sum("technical_bars_lost_total") as u64
}

/// The retention component of `/health`.
fn retention(agent: &Agent) -> String {
    let health = agent.get("/health").json();
    let components = health["components"].as_array().expect("components");
    let found = components.iter().find(|one| one["name"] == "retention");
    let found = found.expect("a component of that name");
    format!("{}: {}", found["status"], found["detail"])
}

/// Waits until so many signals are stored, and a moment longer for more.
async fn signals(js: &Context, expected: usize) -> usize {
    let start = Instant::now();
    while count(js, "insight.>").await < expected && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    count(js, "insight.>").await
}

/// The least bound per series that the window of the tests allows.
const BOUND: u64 = 120;
const BOUNDED: (&str, &str) = ("TECHNICAL_BARS_PER_SERIES", "120");

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bound_drops_while_no_agent_runs_is_counted_exactly_and_once() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut before = agent(&server, &[BOUNDED]);
    before.wait_ready();
    store_all(&js, 0..5, 0..50).await;
    let due = 5 * 46;
    assert_eq!(signals(&js, due).await, due);
    assert_eq!(lost(&before), 0);
    before.sigterm();
    assert_eq!(before.wait_exit(), 0);

    store_all(&js, 0..5, 50..350).await;
    let mut after = agent(&server, &[BOUNDED]);
    after.wait_ready();
    let due = due + 5 * BOUND as usize;
    assert_eq!(signals(&js, due).await, due);
    assert_eq!(lost(&after), 5 * (300 - BOUND));
    let line = after.wait_log("bars were lost");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["bars"], 5 * (300 - BOUND));
    assert_eq!(line["after_seq"], 250);
    let message = line["message"].as_str().unwrap();
    assert!(
        message.contains("TECHNICAL_BARS_PER_SERIES=120"),
        "{message}"
    );
    let told = retention(&after);
    assert!(
        told.contains("degraded") && told.contains("900 bars"),
        "{told}"
    );

    // whoever comes next has nothing to count, whatever the end of this one
    after.kill();
    let mut next = agent(&server, &[BOUNDED]);
    next.wait_ready();
    store_all(&js, 0..5, 350..360).await;
    assert_eq!(signals(&js, due + 50).await, due + 50);
    assert_eq!(lost(&next), 0, "{}", next.output());
    assert!(retention(&next).contains("up"), "{}", retention(&next));
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_were_read_and_are_dropped_later_are_no_loss() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    // some 200 bars
    let small = [("TECHNICAL_BARS_MAX_BYTES", "60000")];
    let mut running = agent(&server, &small);
    running.wait_ready();
    // one symbol falls silent, others go on until nothing of it is left
    store_all(&js, 0..1, 0..10).await;
    for round in 0..10 {
        store_all(&js, 1..4, 50 * round..50 * (round + 1)).await;
        let due = 6 + 3 * (50 * (round as usize + 1) - 4);
        assert_eq!(signals(&js, due).await, due);
    }
    assert_eq!(lost(&running), 0);
    let stream = js.get_stream(STREAM).await.unwrap();
    assert!(stream.cached_info().state.first_sequence > 1_000);
    running.kill();
    // and it is heard again while nobody is at work
    store_all(&js, 0..1, 10..12).await;
    let mut next = agent(&server, &small);
    next.wait_ready();
    let mut joined = agent(&server, &small);
    joined.wait_ready();
    store_all(&js, 0..4, 500..510).await;
    let due = 6 + 3 * 496 + 2 + 40;
    assert_eq!(signals(&js, due).await, due);
    for agent in [&next, &joined] {
        assert_eq!(lost(agent), 0, "{}", agent.output());
    }
    // the stream is emptied when everything is read
    js.get_stream(STREAM).await.unwrap().purge().await.unwrap();
    // whoever takes its partitions over finds bars behind what is gone
    joined.kill();
    store_all(&js, 0..4, 510..520).await;
    assert_eq!(signals(&js, due + 40).await, due + 40);
    assert_eq!(lost(&next), 0, "{}", next.output());
}

/// Fills the stream of signals, lets bars pile up and be dropped, makes room, and compares what is
/// said to be lost with what has no signal.
async fn losses_while_signals_cannot_be_stored(partitions: &str) -> (u64, u64) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let variables = [
        BOUNDED,
        ("TECHNICAL_SIGNALS_MAX_BYTES", "40000"),
        ("TECHNICAL_PARTITIONS", partitions),
    ];
    let mut running = agent(&server, &variables);
    running.wait_ready();
    store_all(&js, 0..1, 0..100).await;
    running.wait_log("signals cannot be stored");
    let (mut at, start) = (100, Instant::now());
    let mut lags = Vec::new();
    while lost(&running) == 0 || at < 800 {
        assert!(start.elapsed() < PATIENCE, "{}", running.output());
        store_all(&js, 0..1, at..at + 20).await;
        at += 20;
        lags.push(running.metrics().sum("technical_consumer_lag_bars"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.wait_log("bars were lost");
    // more wait, or did, than the stream keeps
    until("the lag to grow beyond the bound", || {
        let lag = running.metrics().sum("technical_consumer_lag_bars");
        (lag > 2.0 * BOUND as f64).then_some(())
    });
    let stream = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    let roomier = Config {
        max_bytes: -1,
        ..stream.cached_info().config.clone()
    };
    js.update_stream(roomier).await.unwrap();
    until("the agent to be ready", || {
        (running.get("/readyz").status == 200).then_some(())
    });
    store_all(&js, 0..1, at..at + 5).await;
    let due = at as usize + 5 - 4;
    let start = Instant::now();
    let newest = 1_699_999_800 + 60 * (at + 4);
    while running
        .metrics()
        .sum("technical_last_bar_timestamp_seconds") as u64
        != newest
    {
        assert!(start.elapsed() < PATIENCE, "{}", running.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.wait_metrics(&[("technical_consumer_lag_bars", 0.0)]);
    let stored = signals(&js, due.min(200)).await;
    (lost(&running), (due - stored) as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_a_stream_to_itself_counts_each_bar_dropped_while_it_waits() {
    let (counted, without_signal) = losses_while_signals_cannot_be_stored("1").await;
    assert!(without_signal > 100, "{without_signal}");
    assert_eq!(counted, without_signal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_of_a_shared_stream_counts_bars_dropped_while_it_waits() {
    let (counted, without_signal) = losses_while_signals_cannot_be_stored("8").await;
    assert!(
        counted > without_signal / 2,
        "{counted} of {without_signal}"
    );
    assert!(counted <= without_signal, "{counted} of {without_signal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_what_waits_is_a_loss() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[("TECHNICAL_SIGNALS_MAX_BYTES", "40000")]);
    running.wait_ready();
    store_all(&js, 0..1, 0..100).await;
    running.wait_log("signals cannot be stored");
    store_all(&js, 0..1, 100..900).await;
    until("the lag to be known", || {
        let lag = running.metrics().sum("technical_consumer_lag_bars");
        (lag > 700.0).then_some(())
    });
    js.get_stream(STREAM).await.unwrap().purge().await.unwrap();
    until("the loss to be counted", || {
        (lost(&running) > 0).then_some(())
    });
    assert!(lost(&running) < 900);
}
