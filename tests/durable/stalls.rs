//! Feeds that stand still while the connection is well.

use async_nats::jetstream::Context;
use futures_util::StreamExt as _;

use crate::agent;
use crate::common::NatsServer;
use crate::feeder::{connect, feed};
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
    running.wait_log("reading stands still");
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
