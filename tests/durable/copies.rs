//! Bars in a stream that mirrors or sources another one.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, External, Source};

use crate::common::{Agent, NatsServer, until};
use crate::feeder::{connect, feed};
use crate::history::settle;
use crate::{agent, feeder};

const INPUT: (&str, &str) = ("TECHNICAL_INPUT_STREAM", "COPY");

fn far() -> Source {
    Source {
        name: "MARKET".to_owned(),
        external: Some(External {
            api_prefix: "$JS.far.API".to_owned(),
            delivery_prefix: None,
        }),
        ..Source::default()
    }
}

/// Two servers that are one by leaf node: bars are stored on the far one, in a domain of its own
/// and under subjects that the near one does not hear.
struct Rig {
    near: NatsServer,
    far: NatsServer,
    _stores: [tempfile::TempDir; 2],
}

impl Rig {
    async fn start() -> (Self, Context, Context) {
        let stores = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let leaves = crate::common::free_port();
        // bars are for the far side alone: only the copy brings them over
        let far = NatsServer::with(format!(
            "server_name: far\nleafnodes {{ listen: \"127.0.0.1:{leaves}\" }}\n\
             jetstream {{ store_dir: \"{}\", domain: far }}",
            stores[0].path().display()
        ));
        let near = NatsServer::with(format!(
            "server_name: near\nleafnodes {{ remotes: [{{ url: \"nats://127.0.0.1:{leaves}\", \
             deny_import: \"raw.>\", deny_export: \"raw.>\" }}] }}\n\
             jetstream {{ store_dir: \"{}\", domain: near }}",
            stores[1].path().display()
        ));
        until("the leaf node to be connected", || {
            near.log()
                .contains("Leafnode connection created")
                .then_some(())
        });
        let (there, here) = (connect(&far).await, connect(&near).await);
        let market = Config {
            name: "MARKET".to_owned(),
            subjects: vec!["raw.>".to_owned()],
            ..Config::default()
        };
        there.create_stream(market).await.expect("a stream");
        let rig = Self {
            near,
            far,
            _stores: stores,
        };
        (rig, there, here)
    }
}

fn mirror() -> Config {
    Config {
        name: "COPY".to_owned(),
        mirror: Some(far()),
        ..Config::default()
    }
}

fn sourced() -> Config {
    Config {
        name: "COPY".to_owned(),
        sources: Some(vec![far()]),
        ..Config::default()
    }
}

/// Waits until `/readyz` says no for this reason.
fn waits(agent: &Agent, reason: &str) {
    until(&format!("{reason:?} in /readyz"), || {
        let ready = agent.try_get("/readyz")?;
        (ready.status == 503 && ready.body.contains(reason)).then_some(())
    });
    assert_eq!(agent.get("/livez").status, 200);
}

async fn is_named_and_read(copy: Config) {
    let (rig, there, here) = Rig::start().await;
    here.create_stream(copy).await.expect("a copy");
    feed(&there, 0..10).await;
    let mut unaware = agent(&rig.near, &[]);
    unaware.wait_ready();
    let told = unaware.wait_log("TECHNICAL_INPUT_STREAM=COPY");
    assert_eq!(told["level"], "WARN");
    until("the copy in /health", || {
        let health = unaware.get("/health").body;
        health.contains("TECHNICAL_INPUT_STREAM=COPY").then_some(())
    });
    // streams that were made for bars on their subjects do not fit any more
    let late = agent(&rig.near, &[INPUT]);
    waits(&late, "TECHNICAL_INPUT_STREAM");
    drop((unaware, late));
    for stream in ["TECHNICAL_BARS", "IN_TECHNICAL_BARS", "TECHNICAL_BARS_BARE"] {
        here.delete_stream(stream).await.expect("a stream");
    }
    let mut reading = agent(&rig.near, &[INPUT]);
    reading.wait_ready();
    feed(&there, 10..30).await;
    settle(&here, 30, 1).await;
    assert!(reading.get("/readyz").status == 200);
    assert!(rig.far.log().contains("Leafnode connection"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_of_another_domain_is_named_and_read_once_it_is_set() {
    is_named_and_read(mirror()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_with_sources_only_is_named_and_read_once_it_is_set() {
    is_named_and_read(sourced()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_stream_that_cannot_be_read_says_why() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let waiting = agent(&server, &[INPUT]);
    waits(
        &waiting,
        "the stream COPY, which TECHNICAL_INPUT_STREAM names, is not there",
    );
    let config = |subjects: &str| Config {
        name: "COPY".to_owned(),
        subjects: vec![subjects.to_owned()],
        ..Config::default()
    };
    js.create_stream(config("other.>")).await.expect("a stream");
    waits(&waiting, "it is made for others");
    feeder::store(&js, "other.x", "{}", "x").await;
    waits(&waiting, "none of its messages is");
    js.delete_stream("COPY").await.expect("a stream");
    js.create_stream(Config {
        retention: async_nats::jetstream::stream::RetentionPolicy::WorkQueue,
        ..config("raw.>")
    })
    .await
    .expect("a stream");
    waits(&waiting, "work-queue retention");
    js.delete_stream("COPY").await.expect("a stream");
    js.create_stream(config("raw.>")).await.expect("a stream");
    let mut waiting = waiting;
    waiting.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    js.delete_stream("COPY").await.expect("a stream");
    waits(&waiting, "COPY");
    js.create_stream(config("raw.>")).await.expect("a stream");
    waiting.wait_ready();
    feed(&js, 20..30).await;
    settle(&js, 30, 1).await;
}
