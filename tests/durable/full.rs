//! Streams that cannot take more: nothing is dropped, the state is told, and work goes on by
//! itself once there is room.

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};

use crate::common::{NatsServer, until};
use crate::feeder::{bar, connect, feed, store};
use crate::history::{contents, settle};
use crate::{Agent, agent};

fn wait_status(agent: &Agent, path: &str, status: u16) {
    until(&format!("{status} from {path}"), || {
        (agent.try_get(path)?.status == status).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_of_signals_holds_work_up_until_there_is_room_and_costs_nothing() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[("TECHNICAL_SIGNALS_MAX_BYTES", "40000")]);
    running.wait_ready();
    let info = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    assert_eq!(info.cached_info().config.discard, DiscardPolicy::New);
    // so that something is stored before the stream is full, however slow the machine is
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    feed(&js, 20..120).await;
    let told = running.wait_log("signals cannot be stored");
    assert!(
        told["reason"].as_str().unwrap().contains("maximum bytes"),
        "{told}"
    );
    wait_status(&running, "/readyz", 503);
    assert_eq!(running.get("/livez").status, 200);
    let health = running.get("/health");
    assert_eq!(health.status, 503);
    assert!(health.body.contains("cannot be stored"), "{}", health.body);
    running.wait_metrics(&[("technical_circuit_open", 1.0)]);
    // what was stored before is still there, from the first on
    let before = contents(&js, "TECHNICAL_SIGNALS", "insight.>").await;
    assert!(!before.is_empty() && before.len() < 116);
    let first: serde_json::Value = serde_json::from_slice(&before[0].payload).unwrap();
    assert_eq!(first["bars_analyzed"], 5);

    let roomier = Config {
        max_bytes: -1,
        ..info.cached_info().config.clone()
    };
    js.update_stream(roomier).await.unwrap();
    wait_status(&running, "/readyz", 200);
    running.wait_metrics(&[("technical_circuit_open", 0.0)]);
    feed(&js, 120..130).await;
    settle(&js, 130, 1).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_signals_cannot_be_stored_answers_and_stops_at_once() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let full = [
        ("TECHNICAL_SIGNALS_MAX_BYTES", "40000"),
        ("HTTP_ADMIN_TOKEN", "secret"),
        ("SHUTDOWN_TIMEOUT", "25"),
    ];
    let mut first = agent(&server, &full);
    first.wait_ready();
    feed(&js, 0..120).await;
    first.wait_log("signals cannot be stored");
    // what is in memory is told of, and not saved: it is ahead of what is stored
    let list = first.get("/series").json();
    assert_eq!(list["total"], 1, "{list}");
    let saved = first.post("/admin/checkpoint", Some("secret"), "");
    assert_eq!(saved.status, 500, "{}", saved.body);
    assert!(saved.body.contains("cannot be stored"), "{}", saved.body);

    // not cut by the deadline: the partitions were given up, and nobody has to wait for a lease
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    let mut second = agent(&server, &[("TECHNICAL_SIGNALS_MAX_BYTES", "40000")]);
    second.wait_log("signals cannot be stored");
    let stream = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    let roomier = Config {
        max_bytes: -1,
        ..stream.cached_info().config.clone()
    };
    js.update_stream(roomier).await.unwrap();
    second.wait_ready();
    feed(&js, 120..130).await;
    settle(&js, 130, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_reading_would_take_from_is_left_alone_and_named() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let queue = |retention| Config {
        name: "MARKET".to_owned(),
        subjects: vec!["raw.>".to_owned()],
        retention,
        ..Config::default()
    };
    js.create_stream(queue(RetentionPolicy::WorkQueue))
        .await
        .unwrap();
    feed(&js, 0..10).await;
    let mut waiting = agent(&server, &[]);
    let told = waiting.wait_log("durable delivery cannot begin");
    let reason = told["error"].as_str().unwrap();
    assert!(reason.contains("MARKET"), "{reason}");
    assert!(reason.contains("work-queue"), "{reason}");
    assert_eq!(waiting.get("/readyz").status, 503);
    assert_eq!(waiting.get("/livez").status, 200);
    let state = js.get_stream("MARKET").await.unwrap();
    assert_eq!(state.cached_info().state.messages, 10);
    assert_eq!(state.cached_info().state.consumer_count, 0);
    // and it begins by itself once the bars can be read without harm
    js.delete_stream("MARKET").await.unwrap();
    js.create_stream(queue(RetentionPolicy::Limits))
        .await
        .unwrap();
    waiting.wait_ready();
    feed(&js, 10..30).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stores_only_some_of_the_subjects_is_named() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    js.create_stream(Config {
        name: "SOME".to_owned(),
        subjects: vec!["raw.market_data.price.S0.>".to_owned()],
        ..Config::default()
    })
    .await
    .unwrap();
    let waiting = agent(&server, &[]);
    let told = waiting.wait_log("durable delivery cannot begin");
    let reason = told["error"].as_str().unwrap();
    assert!(reason.contains("SOME captures only some"), "{reason}");
    assert_eq!(waiting.get("/livez").status, 200);
    assert_eq!(waiting.get("/readyz").status, 503);
}

/// The limit of the whole server is not checked before a batch is stored but message by message,
/// so that a part of it is. Whoever stores the rest, the same agent or the next, has to find it.
async fn a_part_of_a_batch_is_not_stored_twice(by_another: bool) {
    let directory = tempfile::tempdir().unwrap();
    let server = NatsServer::with(format!(
        "jetstream {{ store_dir: \"{}\", max_file_store: 2700000 }}",
        directory.path().display()
    ));
    let js = connect(&server).await;
    let other = Config {
        name: "OTHER".to_owned(),
        subjects: vec!["other".to_owned()],
        ..Config::default()
    };
    js.create_stream(other).await.unwrap();
    // as much as the signals take of all the bars for which there is room beside it
    for n in 0..250 {
        store(&js, "other", &"x".repeat(10_000), &n.to_string()).await;
    }
    // no checkpoint takes of the room
    let no_checkpoint = [("TECHNICAL_CHECKPOINT_SECS", "3600")];
    let mut running = agent(&server, &no_checkpoint);
    running.wait_ready();
    let mut fed = 0;
    // messages of many bars, so that what comes of one is a large batch
    while running.get("/readyz").status == 200 {
        let bars: Vec<_> = (fed..fed + 40).map(|n| bar(0, n)).collect();
        let payload = serde_json::to_string(&bars).unwrap();
        let sent = js.publish("raw.market_data.price.S0.1m", payload.into());
        if sent.await.unwrap().await.is_err() {
            break;
        }
        fed += 40;
    }
    running.wait_log("signals cannot be stored");
    if by_another {
        running.kill();
        running = agent(&server, &no_checkpoint);
        // which cannot join either: its record takes room
        running.wait_log("delivery is durable");
    }
    js.delete_stream("OTHER").await.unwrap();
    running.wait_ready();
    settle(&js, fed, 1).await;
    // and the marker is whole again: the next start takes it for what it says
    running.kill();
    let mut next = agent(&server, &no_checkpoint);
    next.wait_ready();
    let (payload, id) = (bar(0, fed).to_string(), fed.to_string());
    store(&js, "raw.market_data.price.S0.1m", &payload, &id).await;
    settle(&js, fed + 1, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_holds_work_up_and_nothing_comes_twice_when_there_is_some() {
    a_part_of_a_batch_is_not_stored_twice(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_agent_left_of_a_batch_is_found_by_the_next() {
    a_part_of_a_batch_is_not_stored_twice(true).await;
}
