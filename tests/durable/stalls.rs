//! Feeds that stand still while the connection is well.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;
use futures_util::StreamExt as _;

use crate::agent;
use crate::common::NatsServer;
use crate::feeder::{bar, connect, feed, store};
use crate::history::settle;

async fn consumers(js: &Context) -> Vec<String> {
    let stream = js.get_stream("TECHNICAL_BARS").await.unwrap();
    let names = stream.consumer_names().collect::<Vec<_>>().await;
    names.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_keeps_its_heartbeats_and_delivers_nothing_is_replaced() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..10).await;
    settle(&js, 10, 1).await;
    // paused by an operator, they say that they live and wait for the year 2100
    let until = serde_json::json!({ "pause_until": "2100-01-01T00:00:00Z" });
    for name in consumers(&js).await {
        let subject = format!("CONSUMER.PAUSE.TECHNICAL_BARS.{name}");
        let paused: serde_json::Value = js.request(subject, &until).await.unwrap();
        assert_eq!(paused["paused"], true, "{paused}");
    }
    feed(&js, 10..20).await;
    settle(&js, 20, 1).await;
    running.wait_log("reading has stalled");
    // the one partition that has bars to read, and no other
    running.wait_metrics(&[("technical_stalls_total", 1.0)]);
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_deleted_is_replaced() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..10).await;
    settle(&js, 10, 1).await;
    let stream = js.get_stream("TECHNICAL_BARS").await.unwrap();
    for name in consumers(&js).await {
        stream.delete_consumer(&name).await.unwrap();
    }
    feed(&js, 10..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_wait_in_order_for_room_do_not_stall() {
    const SYMBOLS: usize = 60;
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let more = [("TECHNICAL_PARTITIONS", "32")];
    let mut running = agent(&server, &more);
    running.wait_ready();
    let round = async |n: u64| {
        for symbol in 0..SYMBOLS {
            let (subject, id) = (
                format!("raw.market_data.price.S{symbol}.1m"),
                format!("{symbol}-{n}"),
            );
            store(&js, &subject, &bar(symbol, n).to_string(), &id).await;
        }
    };
    for n in 0..5 {
        round(n).await;
    }
    settle(&js, 5 * SYMBOLS as u64, SYMBOLS as u64).await;
    let stream = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    let info = stream.cached_info();
    let size = i64::try_from(info.state.bytes).unwrap();
    let full = Config {
        max_bytes: size + 1_000,
        ..info.config.clone()
    };
    js.update_stream(full).await.expect("no room");
    round(5).await;
    running.wait_metrics(&[("technical_circuit_open", 1.0)]);
    // longer than a partition may do nothing; one of many is tried each second
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(25) {
        let status = running.get("/status").json();
        assert_ne!(status["last_processed"], serde_json::Value::Null);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = running.get("/status").json();
    let rows = status["partitions"].as_array().unwrap();
    let blocked = rows.iter().filter(|row| row["state"] == "blocked");
    assert!(blocked.count() > 15, "{status:#}");
    running.wait_metrics(&[("technical_stalls_total", 0.0)]);
    let told = |line: &&serde_json::Value| {
        let message = line["message"].as_str().unwrap();
        message.contains("no progress") || message.contains("cannot go on")
    };
    assert_eq!(running.logs().iter().find(told), None);
    js.update_stream(info.config.clone()).await.expect("room");
    settle(&js, 6 * SYMBOLS as u64, SYMBOLS as u64).await;
}
