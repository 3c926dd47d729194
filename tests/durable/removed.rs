//! Streams that agents need, or JetStream itself, are removed at work. The agents report it and
//! recreate them, and lose at most the messages that were removed.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use crate::common::{Agent, NatsServer, until};
use crate::feeder::{bar, connect, feed, store};
use crate::history::{contents, count, faults, replay, settle};
use crate::{ANALYSIS, agent};

const BARS: &str = "TECHNICAL_BARS";
const SIGNALS: &str = "TECHNICAL_SIGNALS";
const MEMBERS: &str = "KV_TECHNICAL_SIGNALS_GROUPS";
const CHECKPOINTS: &str = "OBJ_TECHNICAL_SIGNALS_CHECKPOINTS";
/// Its bars go to the stream of bars.
const SECOND: &str = "IN_TECHNICAL_BARS";

async fn remove(js: &Context, stream: &str) -> Config {
    let config = js.get_stream(stream).await.expect("a stream");
    let config = config.cached_info().config.clone();
    js.delete_stream(stream).await.expect("it is removed");
    config
}

/// Waits until the agent has told once that `stream` is another, and is ready again.
fn is_told(agent: &mut Agent, stream: &str) {
    let told = agent.wait_log("a stream was removed with all that it held");
    assert_eq!(
        (&told["stream"], &told["level"]),
        (&stream.into(), &"ERROR".into())
    );
    let reason = agent.wait_log("work is interrupted");
    assert!(reason["reason"].as_str().unwrap().contains(stream));
    agent.wait_ready();
    agent.wait_metrics(&[("technical_streams_lost_total", 1.0)]);
    let of = |text: &str| {
        let found = |line: &&serde_json::Value| line["message"].as_str().unwrap().contains(text);
        agent.logs().iter().filter(found).count()
    };
    assert_eq!(of("a stream was removed with all"), 1);
    // nobody else is at work
    assert_eq!(of("another member has committed"), 0);
}

async fn signals(js: &Context) -> Vec<Vec<u8>> {
    let stored = contents(js, SIGNALS, "insight.>").await;
    stored.into_iter().map(|one| one.payload).collect()
}

/// Waits for so many signals, and compares the newest of them with what `replay` makes of the bars
/// that are stored now, as many from its end.
async fn newest_are_right(js: &Context, stored: usize, newest: usize) {
    let start = std::time::Instant::now();
    while count(js, "insight.>").await < stored && start.elapsed() < crate::common::PATIENCE {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let signals = signals(js).await;
    assert_eq!(signals.len(), stored);
    let bars = contents(js, BARS, ">").await;
    let replayed = replay(&bars.iter().collect::<Vec<_>>(), ANALYSIS);
    let due = &replayed[replayed.len() - newest..];
    let faults = faults(&signals[stored - newest..], due);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_of_bars_is_recreated_and_reported() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    remove(&js, BARS).await;
    is_told(&mut running, BARS);
    feed(&js, 20..40).await;
    newest_are_right(&js, 16 + 16, 16).await;
}

/// After 20 bars were read, so many are in a stream that somebody else made at once.
async fn a_recreated_stream_is_read_from_its_beginning(bars: u64) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    let config = remove(&js, BARS).await;
    js.create_stream(config).await.expect("a stream");
    feed(&js, 20..20 + bars).await;
    is_told(&mut running, BARS);
    let due = bars as usize - 4;
    newest_are_right(&js, 16 + due, due).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bar_of_a_recreated_stream_is_passed_over() {
    a_recreated_stream_is_read_from_its_beginning(12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bar_of_a_recreated_stream_has_two_signals() {
    a_recreated_stream_is_read_from_its_beginning(60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_that_cannot_be_recreated_is_waited_for() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    let config = remove(&js, SIGNALS).await;
    js.create_stream(Config {
        name: "OTHER".to_owned(),
        subjects: vec![config.subjects[0].clone()],
        ..Config::default()
    })
    .await
    .expect("a stream in its place");
    feed(&js, 20..30).await;
    let told = running.wait_log("durable delivery cannot go on");
    assert!(told["error"].as_str().unwrap().contains(SIGNALS), "{told}");
    let ready = running.get("/readyz");
    assert_eq!(ready.status, 503);
    // the stream in the way is named
    assert!(ready.body.contains("OTHER"), "{}", ready.body);
    assert_eq!(running.get("/livez").status, 200);
    running.wait_metrics(&[("technical_ready", 0.0)]);
    js.delete_stream("OTHER").await.unwrap();
    is_told(&mut running, SIGNALS);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checkpoints_all_signals_are_stored_again_in_a_new_stream() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[("TECHNICAL_CHECKPOINT_SECS", "3600")]);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    remove(&js, SIGNALS).await;
    is_told(&mut running, SIGNALS);
    feed(&js, 20..30).await;
    settle(&js, 30, 1).await;
}

/// Removed, and recreated by the agent or at once by somebody else.
async fn signals_since_the_checkpoint_are_stored_again(by_another: bool) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let more = [
        ("TECHNICAL_CHECKPOINT_SECS", "3600"),
        ("HTTP_ADMIN_TOKEN", "t"),
    ];
    let mut running = agent(&server, &more);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    let saved = running.post("/admin/checkpoint", Some("t"), "");
    assert_eq!(saved.status, 200, "{}", saved.body);
    feed(&js, 20..25).await;
    settle(&js, 25, 1).await;
    let config = remove(&js, SIGNALS).await;
    if by_another {
        js.create_stream(config).await.expect("a stream");
    }
    feed(&js, 25..30).await;
    is_told(&mut running, SIGNALS);
    feed(&js, 30..35).await;
    newest_are_right(&js, 15, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_of_signals_is_recreated_and_reported() {
    signals_since_the_checkpoint_are_stored_again(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_signals_that_somebody_else_recreated_gets_what_is_due() {
    signals_since_the_checkpoint_are_stored_again(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_leases_and_members_cost_nothing() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [agent(&server, &[]), agent(&server, &[])];
    for agent in &mut agents {
        agent.wait_ready();
    }
    feed(&js, 0..20).await;
    remove(&js, MEMBERS).await;
    feed(&js, 20..40).await;
    for agent in &mut agents {
        is_told(agent, MEMBERS);
    }
    feed(&js, 40..60).await;
    settle(&js, 60, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_checkpoints_are_written_again() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    running.wait_metrics(&[("technical_checkpoint_age_seconds", 0.0)]);
    remove(&js, CHECKPOINTS).await;
    is_told(&mut running, CHECKPOINTS);
    feed(&js, 20..30).await;
    settle(&js, 30, 1).await;
    let saved = || running.metrics().get("technical_checkpoints_total");
    let before = saved();
    until("state to be saved again", || {
        let age = running.metrics().get("technical_checkpoint_age_seconds");
        (age == Some(0.0) && saved() >= before).then_some(())
    });
    assert!(!contents(&js, CHECKPOINTS, ">").await.is_empty());
    running.kill();
    let mut next = agent(&server, &[]);
    next.wait_ready();
    feed(&js, 30..40).await;
    settle(&js, 40, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_that_bars_are_taken_from_is_missed_though_nothing_fails() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    let store = async |range: std::ops::Range<u64>| {
        for n in range {
            let (payload, id) = (bar(0, n).to_string(), format!("second-{n}"));
            store(&js, "raw.market_data.price.S0", &payload, &id).await;
        }
    };
    store(0..20).await;
    settle(&js, 20, 1).await;
    remove(&js, SECOND).await;
    is_told(&mut running, SECOND);
    store(20..30).await;
    settle(&js, 30, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_of_others_is_named_and_left_to_them() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let market = || Config {
        name: "MARKET".to_owned(),
        subjects: vec!["raw.>".to_owned()],
        ..Config::default()
    };
    js.create_stream(market()).await.expect("a stream");
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    remove(&js, "MARKET").await;
    let told = running.wait_log("durable delivery cannot go on");
    let error = told["error"].as_str().unwrap();
    assert!(
        error.contains("MARKET, from which TECHNICAL_BARS takes bars"),
        "{error}"
    );
    assert_eq!(running.get("/readyz").status, 503);
    js.create_stream(market()).await.expect("a stream");
    is_told(&mut running, "MARKET");
    feed(&js, 20..40).await;
    settle(&js, 40, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jetstream_that_is_switched_off_is_waited_for_and_nothing_is_lost() {
    let store = tempfile::tempdir().unwrap();
    let on = format!("jetstream {{ store_dir: \"{}\" }}", store.path().display());
    let mut server = NatsServer::with("");
    let auto = Agent::start([("NATS_URL", server.url().as_str())]);
    let told = auto.wait_log("delivery is core, not durable, until this process is restarted");
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("JetStream is not enabled")
    );
    let mut running = agent(&server, &[]);
    let told = running.wait_log("durable delivery cannot begin");
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("JetStream is not enabled")
    );
    assert_eq!(running.get("/readyz").status, 503);

    server.restart_with(&on);
    until("the member in core delivery to be named", || {
        let ready = running.get("/readyz");
        assert_ne!(ready.status, 200);
        ready.body.contains("works in core delivery").then_some(())
    });
    assert_eq!(auto.get("/status").json()["delivery"], "core");
    drop(auto);
    running.wait_ready();
    let js = connect(&server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;

    server.restart_with("");
    let told = running.wait_log("durable delivery cannot go on");
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("JetStream is not enabled")
    );
    let ready = running.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains("JetStream is not enabled"),
        "{}",
        ready.body
    );
    assert_eq!(running.get("/livez").status, 200);

    server.restart_with(&on);
    running.wait_ready();
    feed(&js, 20..40).await;
    settle(&js, 40, 1).await;
    running.wait_metrics(&[("technical_streams_lost_total", 0.0)]);
}
