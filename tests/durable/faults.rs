//! One kind of fault at a time.

use std::time::Duration;

use crate::common::NatsServer;
use crate::feeder::{Feeder, bar, connect, store};
use crate::history::{judge, settle};
use crate::{MIN_BARS, agent};

const SYMBOLS: usize = 12;
const PAUSE: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread")]
async fn killed_owners_are_replaced_and_nothing_is_lost_or_doubled() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    let feeder = Feeder::start(js.clone(), SYMBOLS, PAUSE);
    let mut second = agent(&server, &[]);
    second.wait_ready();
    for pause_ms in [700, 1_100] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        first.kill();
        first = agent(&server, &[]);
        tokio::time::sleep(Duration::from_millis(pause_ms / 3)).await;
        second.kill();
        second = agent(&server, &[]);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_paused_beyond_its_lease_cannot_commit() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    let feeder = Feeder::start(js.clone(), SYMBOLS, PAUSE);
    let mut second = agent(&server, &[]);
    second.wait_ready();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    first.freeze();
    tokio::time::sleep(Duration::from_millis(5_000)).await;
    first.thaw();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;
    for agent in [&mut first, &mut second] {
        agent.sigterm();
        assert_eq!(agent.wait_exit(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_gone_on_with() {
    let mut server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [agent(&server, &[]), agent(&server, &[])];
    agents.iter_mut().for_each(super::Agent::wait_ready);
    let feeder = Feeder::start(js.clone(), SYMBOLS, PAUSE);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        server.restart();
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;
    // and it goes on by itself
    for symbol in 0..SYMBOLS {
        let subject = format!("raw.market_data.price.S{symbol}.1m");
        store(
            &js,
            &subject,
            &bar(symbol, 1_000_000).to_string(),
            &format!("last-{symbol}"),
        )
        .await;
    }
    settle(&js, bars + SYMBOLS as u64, SYMBOLS as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_restart_continues_to_the_byte_in_every_shape_of_subject() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    let shapes = [
        "raw.market_data.price",
        "raw.market_data.price.S1",
        "raw.market_data.price.S2.1m",
    ];
    for n in 0..30 {
        for (symbol, subject) in shapes.iter().enumerate() {
            store(
                &js,
                subject,
                &bar(symbol, n).to_string(),
                &format!("{symbol}-{n}"),
            )
            .await;
        }
        if n == 14 {
            running.sigterm();
            assert_eq!(running.wait_exit(), 0);
            running = agent(&server, &[]);
        }
    }
    settle(&js, 90, 3).await;
}

/// The judge must find what two owners without a fence between them would do. Two groups are
/// just that: they do not know of each other's markers.
#[tokio::test(flavor = "multi_thread")]
async fn control_two_owners_without_a_common_fence_are_found_out() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [
        agent(&server, &[("TECHNICAL_GROUP", "one")]),
        agent(&server, &[("TECHNICAL_GROUP", "two")]),
    ];
    agents.iter_mut().for_each(super::Agent::wait_ready);
    for n in 0..MIN_BARS as u64 + 1 {
        store(
            &js,
            "raw.market_data.price.S1.1m",
            &bar(1, n).to_string(),
            &n.to_string(),
        )
        .await;
    }
    let mut found = Vec::new();
    for _ in 0..100 {
        found = judge(&js).await;
        if found.iter().any(|fault| fault.contains("2 times")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing was found: {found:?}");
}
