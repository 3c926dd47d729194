//! Streams that are there before the agent, and servers that cannot.

use async_nats::jetstream::{Context, stream::Config};

use crate::common::{NatsServer, until};
use crate::feeder::{bar, connect, store};
use crate::history::settle;
use crate::{Agent, agent};

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_a_stream_stores_already_are_read_from_it_and_it_is_left_alone() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let config = Config {
        name: "MARKET".to_owned(),
        subjects: vec!["raw.>".to_owned()],
        ..Config::default()
    };
    js.create_stream(config).await.expect("a stream");
    let before = js
        .get_stream("MARKET")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    for n in 0..10 {
        store(
            &js,
            "raw.market_data.price.S0.1m",
            &bar(0, n).to_string(),
            &n.to_string(),
        )
        .await;
    }
    let mut running = agent(&server, &[]);
    running.wait_ready();
    for n in 10..20 {
        store(
            &js,
            "raw.market_data.price.S0.1m",
            &bar(0, n).to_string(),
            &n.to_string(),
        )
        .await;
    }
    settle(&js, 20, 1).await;
    let after = js
        .get_stream("MARKET")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_makes_auto_core_and_durable_wait() {
    let server = NatsServer::plain();
    let url = server.url();
    let mut auto = Agent::start([("NATS_URL", url.as_str())]);
    auto.wait_ready();
    assert_eq!(auto.get("/status").json()["delivery"], "core");
    auto.wait_log("delivery is core, not durable");
    let waiting = agent(&server, &[]);
    waiting.wait_log("durable delivery cannot begin");
    assert_eq!(waiting.get("/readyz").status, 503);
    assert_eq!(waiting.get("/livez").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_told_of_with_the_command_and_not_changed() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    let mut second = agent(
        &server,
        &[
            ("TECHNICAL_SIGNALS_MAX_AGE_SECS", "3600"),
            ("TECHNICAL_PARTITIONS", "16"),
        ],
    );
    second.wait_ready();
    let line = second.wait_log("other settings than configured");
    assert_eq!(
        line["command"],
        "nats stream edit TECHNICAL_SIGNALS --max-age=3600s"
    );
    second.wait_log("another number of partitions");
    let info = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    let week = std::time::Duration::from_secs(604_800);
    assert_eq!(info.cached_info().config.max_age, week);
    until("nine partitions", || {
        (second.get("/status").json()["owned_partitions"] == 9).then_some(())
    });
}

/// Ends an agent, and puts `bytes` in the place of the only checkpoint there is.
async fn replace_checkpoint(js: &Context, running: &mut Agent, mut bytes: &[u8]) {
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    let saved = js
        .get_object_store("TECHNICAL_SIGNALS_CHECKPOINTS")
        .await
        .unwrap();
    let mut replaced = 0;
    for unit in 0..9 {
        let name = format!("technical-analysis.{unit}");
        if saved.info(&name).await.is_ok() {
            saved.put(name.as_str(), &mut bytes).await.unwrap();
            replaced += 1;
        }
    }
    assert_eq!(replaced, 1, "only one partition had bars");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_newer_checkpoint_is_reported_and_recomputed_from_the_stream() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    let subject = "raw.market_data.price.S0.1m";
    for n in 0..20 {
        store(&js, subject, &bar(0, n).to_string(), &n.to_string()).await;
    }
    settle(&js, 20, 1).await;
    let unusable: [(&[u8], &str); 5] = [
        (
            b"TACKPT\0\x01rubbish and more of it",
            "its checksum is wrong",
        ),
        (
            b"TACKPT\0\x02rubbish and more of it",
            "its checksum is wrong",
        ),
        (
            b"TACKPT\0\x03rubbish and more of it",
            "its checksum is wrong",
        ),
        (
            b"TACKPT\0\x04rubbish and more of it",
            "its checksum is wrong",
        ),
        (b"TACKPT\0\xffof another time", "version 255 of its format"),
    ];
    let mut stored = 20;
    for (bytes, problem) in unusable {
        replace_checkpoint(&js, &mut running, bytes).await;
        running = agent(&server, &[]);
        running.wait_ready();
        let line = running.wait_log("the checkpoint cannot be continued");
        let told = line["problem"].as_str().unwrap();
        assert!(told.contains(problem), "{told}");
        for n in stored..stored + 5 {
            store(&js, subject, &bar(0, n).to_string(), &n.to_string()).await;
        }
        stored += 5;
        settle(&js, stored, 1).await;
    }
}
