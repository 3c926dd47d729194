//! Streams that cannot take more: nothing is dropped, the state is told, and work goes on by
//! itself once there is room.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};

use crate::common::{NatsServer, until};
use crate::feeder::{bar, connect, feed, store};
use crate::history::{PATIENCE, contents, replay, settle};
use crate::{ANALYSIS, Agent, Variables, agent};

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

/// A server with so many bytes of room beside a stream `OTHER`, which takes as much as the signals
/// of all the bars for which there is room.
async fn nearly_full(directory: &Path, room: usize) -> (NatsServer, Context) {
    let server = NatsServer::with(format!(
        "jetstream {{ store_dir: \"{}\", max_file_store: {} }}",
        directory.display(),
        2_500_000 + room
    ));
    let js = connect(&server).await;
    let other = Config {
        name: "OTHER".to_owned(),
        subjects: vec!["other".to_owned()],
        ..Config::default()
    };
    js.create_stream(other).await.unwrap();
    for n in 0..250 {
        store(&js, "other", &"x".repeat(10_000), &n.to_string()).await;
    }
    (server, js)
}

/// The limit of the whole server is not checked before a batch is stored but message by message,
/// so that a part of it is. Whoever stores the rest, the same agent or the next, has to find it.
async fn a_part_of_a_batch_is_not_stored_twice(by_another: bool) {
    let directory = tempfile::tempdir().unwrap();
    let (server, js) = nearly_full(directory.path(), 200_000).await;
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

/// No checkpoint takes of the room, and a signal for every bar or for every second one.
const EVERY: Variables = &[("TECHNICAL_CHECKPOINT_SECS", "3600")];
const SECOND: Variables = &[
    ("TECHNICAL_CHECKPOINT_SECS", "3600"),
    ("TECHNICAL_PUBLISH_FREQUENCY", "2"),
];

/// An agent dies over a batch of which a part is stored, and the next one computes other outputs
/// for the same bars: `first` and `next` have another configuration, `bars` come in a message.
async fn the_rest_of_a_batch_is_stored_under_another_configuration(
    (first, next): (Variables, Variables),
    bars: u64,
    room: usize,
) {
    let directory = tempfile::tempdir().unwrap();
    let (server, js) = nearly_full(directory.path(), room).await;
    let mut running = agent(&server, first);
    running.wait_ready();
    let signals = async || {
        let stored = contents(&js, "TECHNICAL_SIGNALS", "insight.>").await;
        let payloads = stored.into_iter().map(|one| one.payload);
        payloads.collect::<Vec<_>>()
    };
    let due = async |agent: Variables| {
        let stored = contents(&js, "TECHNICAL_BARS", ">").await;
        let stored: Vec<_> = stored.iter().collect();
        replay(&stored, &[ANALYSIS, agent].concat())
    };
    let is_ready = || running.get("/readyz").status == 200;
    let mut fed = 0;
    while is_ready() {
        let message: Vec<_> = (fed..fed + bars).map(|n| bar(0, n)).collect();
        let payload = serde_json::to_string(&message).unwrap();
        let sent = js.publish("raw.market_data.price.S0.1m", payload.into());
        sent.await.unwrap().await.expect("there is room for bars");
        fed += bars;
        // one after the other, so that there will be room for all the signals in the end
        let expected = due(first).await.len();
        while is_ready() && signals().await.len() < expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    running.wait_log("the server has stored a part of a batch");
    running.kill();
    let before = signals().await;

    let mut next_agent = agent(&server, next);
    next_agent.wait_log("delivery is durable");
    js.delete_stream("OTHER").await.unwrap();
    next_agent.wait_ready();
    let (by_first, by_next) = (due(first).await, due(next).await);
    assert!(!before.is_empty() && before.len() < by_first.len());
    assert_eq!(before, by_first[..before.len()], "the first agent's part");
    // up to its last signal the first agent has decided, and from there the next one decides
    let opened = |payload: &Vec<u8>| {
        let signal: serde_json::Value = serde_json::from_slice(payload).unwrap();
        signal["timestamp"].as_str().unwrap().to_owned()
    };
    let last = before.last().map(opened).unwrap();
    let rest = by_next.into_iter().filter(|payload| opened(payload) > last);
    let expected: Vec<_> = before.iter().cloned().chain(rest).collect();
    let start = Instant::now();
    while signals().await.len() < expected.len() && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let found = signals().await;
    let times = |of: &[Vec<u8>]| of.iter().map(opened).collect::<Vec<_>>();
    assert_eq!(times(&found), times(&expected));
    assert_eq!(found, expected, "byte for byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_batch_of_every_second_bar_is_stored_with_a_signal_for_every_bar() {
    let change = (SECOND, EVERY);
    the_rest_of_a_batch_is_stored_under_another_configuration(change, 40, 200_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_message_of_several_batches_is_stored_with_a_signal_for_every_second_bar() {
    let change = (EVERY, SECOND);
    the_rest_of_a_batch_is_stored_under_another_configuration(change, 1_900, 1_900_000).await;
}
