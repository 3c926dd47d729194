//! Limits of servers, accounts and streams: named, waited for, and gone on from once they are
//! raised.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use crate::agent;
use crate::common::{Agent, NatsServer, until};
use crate::feeder::{connect, feed};
use crate::history::settle;
use crate::permissions::connected_as;

const USER: [(&str, &str); 2] = [("NATS_USER", "a"), ("NATS_PASSWORD", "a")];

/// One account with these limits of JetStream.
fn account(store: &tempfile::TempDir, limits: &str) -> String {
    format!(
        "jetstream {{ store_dir: \"{}\" }}\n\
         accounts {{ A {{ {limits}, users: [{{ user: a, password: a }}] }} }}",
        store.path().display()
    )
}

async fn source(server: &NatsServer) -> Context {
    connected_as(server, "a", "a").await
}

/// Waits until `/readyz` says no for this reason.
fn is_not_ready(agent: &Agent, reason: &str) {
    until(&format!("{reason:?} in /readyz"), || {
        let ready = agent.try_get("/readyz")?;
        (ready.status == 503 && ready.body.contains(reason)).then_some(())
    });
    assert_eq!(agent.get("/livez").status, 200);
}

/// Both `durable` and `auto` name the limit, wait, and begin once it is raised.
async fn is_named(limits: &str, shown: &[&str]) {
    let store = tempfile::tempdir().unwrap();
    let mut server = NatsServer::with(account(&store, limits));
    let auto = [USER[0], USER[1], ("TECHNICAL_DELIVERY", "auto")];
    let mut waiting = [agent(&server, &USER), agent(&server, &auto)];
    for agent in &waiting {
        let told = agent.wait_log("durable delivery cannot begin");
        let ready = agent.get("/readyz");
        assert_eq!(ready.status, 503);
        for text in shown {
            assert!(told["error"].as_str().unwrap().contains(text), "{told}");
            assert!(ready.body.contains(text), "{}", ready.body);
        }
        assert_eq!(agent.get("/livez").status, 200);
    }
    server.restart_with(account(&store, "jetstream: enabled"));
    for agent in &mut waiting {
        agent.wait_ready();
    }
    let js = source(&server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_streams_for_an_account_are_named() {
    let shown = ["cannot make the stream TECHNICAL_SIGNALS", "max_streams"];
    is_named("jetstream { max_streams: 3 }", &shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_jetstream_on_a_server_that_has_it_makes_auto_core() {
    let store = tempfile::tempdir().unwrap();
    let server = NatsServer::with(account(&store, "exports: []"));
    let reason = "JetStream is not enabled for this account";
    let waiting = agent(&server, &USER);
    is_not_ready(&waiting, reason);
    drop(waiting);
    let auto = [USER[0], USER[1], ("TECHNICAL_DELIVERY", "auto")];
    let mut core = agent(&server, &auto);
    core.wait_ready();
    let told = core.wait_log("delivery is core, not durable");
    assert!(told["error"].as_str().unwrap().contains(reason), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_have_to_be_bounded_are_named() {
    let shown = ["max_bytes_required"];
    is_named("jetstream { max_bytes_required: true }", &shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_room_is_named_before_work_begins() {
    let store = tempfile::tempdir().unwrap();
    let mut server = NatsServer::with(account(&store, "jetstream { max_file: 1 }"));
    let mut waiting = agent(&server, &USER);
    let told = waiting.wait_log("the record of this member cannot be written");
    assert!(told["reason"].as_str().unwrap().contains("limits exceeded"));
    is_not_ready(&waiting, "limits exceeded");
    server.restart_with(account(&store, "jetstream: enabled"));
    waiting.wait_ready();
    let js = source(&server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_consumers_for_the_partitions_are_named() {
    let store = tempfile::tempdir().unwrap();
    let mut server = NatsServer::with(account(&store, "jetstream { max_consumers: 3 }"));
    let mut waiting = agent(&server, &USER);
    is_not_ready(&waiting, "maximum consumers limit");
    let told =
        |line: &&serde_json::Value| line["message"].as_str().unwrap().contains("cannot go on");
    assert_eq!(waiting.logs().iter().filter(told).count(), 1);
    server.restart_with(account(&store, "jetstream: enabled"));
    waiting.wait_ready();
    let js = source(&server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_no_message_as_large_as_a_signal_is_named_with_the_remedy() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    let resize = async |max_message_size| {
        let stream = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
        let config = stream.cached_info().config.clone();
        let config = Config {
            max_message_size,
            ..config
        };
        js.update_stream(config).await.expect("another size");
    };
    resize(600).await;
    feed(&js, 0..20).await;
    let told = running.wait_log("signals cannot be stored");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("TECHNICAL_SIGNALS takes 600"), "{reason}");
    assert!(reason.contains("--max-msg-size=-1"), "{reason}");
    is_not_ready(&running, reason);
    resize(-1).await;
    running.wait_ready();
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_message_as_large_as_a_signal_is_named() {
    let store = tempfile::tempdir().unwrap();
    let config = |max_payload: u32| {
        format!(
            "max_payload: {max_payload}\njetstream {{ store_dir: \"{}\" }}",
            store.path().display()
        )
    };
    let mut server = NatsServer::with(config(800));
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    feed(&js, 0..20).await;
    let told = running.wait_log("signals cannot be stored");
    let reason = told["reason"].as_str().unwrap();
    assert!(
        reason.contains("the server takes 800; raise its max_payload"),
        "{reason}"
    );
    is_not_ready(&running, reason);
    server.restart_with(config(1 << 20));
    running.wait_metrics(&[("technical_circuit_open", 0.0)]);
    running.wait_ready();
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_larger_than_a_message_is_written_and_continued() {
    let server = NatsServer::start(crate::common::Options {
        jetstream: true,
        config: "max_payload: 4096".to_owned(),
    });
    let js = connect(&server).await;
    let by_hand = [
        ("TECHNICAL_CHECKPOINT_SECS", "3600"),
        ("HTTP_ADMIN_TOKEN", "t"),
        ("TECHNICAL_MAX_PAYLOAD_BYTES", "4096"),
    ];
    let mut running = agent(&server, &by_hand);
    running.wait_ready();
    // six series of 60 bars, of at least one byte a value
    for symbol in 0..6 {
        for n in 0..80 {
            let payload = crate::feeder::bar(symbol, n).to_string();
            let id = format!("{symbol}-{n}");
            crate::feeder::store(&js, "raw.market_data.price", &payload, &id).await;
        }
    }
    settle(&js, 480, 6).await;
    let saved = running.post("/admin/checkpoint", Some("t"), "");
    assert_eq!(saved.status, 200, "{}", saved.body);
    let store = js.get_object_store("TECHNICAL_SIGNALS_CHECKPOINTS").await;
    let object = store.unwrap().info("technical-analysis.8").await.unwrap();
    assert!(object.size > 4_096, "{} bytes", object.size);
    running.kill();
    let mut next = agent(&server, &by_hand);
    next.wait_ready();
    let payload = crate::feeder::bar(0, 80).to_string();
    crate::feeder::store(&js, "raw.market_data.price", &payload, "more").await;
    settle(&js, 481, 6).await;
    let warned = |line: &serde_json::Value| line["level"] == "WARN";
    assert!(!next.logs().iter().any(warned));
}
