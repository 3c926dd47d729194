//! The judge against agents from which what the promise rests on was taken away by a failpoint:
//! each must be found out, and the same schedule with nothing taken away must be found clean.

use std::time::Duration;

use async_nats::jetstream::Context;

use crate::agent;
use crate::common::{Agent, NatsServer};
use crate::feeder::{Feeder, connect, feed};
use crate::history::{contents, judge, settle};
use crate::ownership::balanced;

const BARS: u64 = 20;

/// Waits until that many signals are stored.
async fn stored(js: &Context, signals: usize) {
    let start = std::time::Instant::now();
    while contents(js, "TECHNICAL_SIGNALS", "insight.>").await.len() < signals {
        assert!(
            start.elapsed() < crate::common::PATIENCE,
            "{signals} signals"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn with_failpoint(server: &NatsServer, name: &str) -> Agent {
    // no checkpoint but the one of an orderly end
    let more = [
        ("TECHNICAL_CHECKPOINT_SECS", "3600"),
        ("TA_FAILPOINT", name),
    ];
    let mut agent = agent(server, &more);
    agent.wait_ready();
    if !name.is_empty() {
        agent.wait_log("a failpoint is set");
    }
    agent
}

/// An owner is killed after its commits and before a checkpoint; another starts in its place,
/// later than any window in which the server knows message ids.
async fn killed_and_replaced(name: &str) -> (NatsServer, Context, Agent) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = with_failpoint(&server, name);
    feed(&js, 0..BARS).await;
    stored(&js, BARS as usize - 4).await;
    first.kill();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let second = with_failpoint(&server, name);
    feed(&js, BARS..BARS + 5).await;
    (server, js, second)
}

async fn found(js: &Context, what: &str) {
    let start = std::time::Instant::now();
    loop {
        let found = judge(js).await;
        if found.iter().any(|fault| fault.contains(what)) {
            return;
        }
        assert!(
            start.elapsed() < crate::common::PATIENCE,
            "not found out: {what}; found {found:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_marker_a_killed_owner_is_gone_on_from_where_it_was() {
    let (_server, js, _agent) = killed_and_replaced("").await;
    settle(&js, BARS + 5, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_without_the_marker_signals_come_twice_and_that_is_found() {
    let (_server, js, _agent) = killed_and_replaced("no-marker").await;
    found(&js, "2 times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_message_ids_alone_let_signals_come_twice_and_that_is_found() {
    let (_server, js, _agent) = killed_and_replaced("message-id-only").await;
    found(&js, "2 times").await;
}

/// One of two owners is frozen in the middle of its commits, its partitions are taken over, and it
/// goes on where it stood. The clean run of this is in `faults`.
#[tokio::test(flavor = "multi_thread")]
async fn control_without_the_fence_a_thawed_owner_doubles_signals_and_that_is_found() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let first = with_failpoint(&server, "no-fence");
    let second = with_failpoint(&server, "no-fence");
    let feeder = Feeder::start(js.clone(), 12, Duration::from_millis(1));
    // that no commit is under way when it is frozen is unlikely, and possible
    for round in 0..6 {
        let (frozen, other) = match round % 2 {
            0 => (&first, &second),
            _ => (&second, &first),
        };
        balanced(&[frozen, other]);
        tokio::time::sleep(Duration::from_millis(700)).await;
        frozen.freeze();
        balanced(&[other]);
        // until the other has stored what the frozen one was about to, and for longer than the
        // server knows message ids after that
        tokio::time::sleep(Duration::from_secs(3)).await;
        frozen.thaw();
        tokio::time::sleep(Duration::from_secs(1)).await;
        if judge(&js).await.iter().any(|f| f.contains("2 times")) {
            feeder.stop().await;
            return;
        }
    }
    panic!("six thawed owners, and nothing twice was found");
}
