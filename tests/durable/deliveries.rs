//! Members of one group that would deliver in different ways, or from different streams.

use async_nats::jetstream::stream::{Config, RetentionPolicy};

use crate::common::{Agent, NatsServer, until};
use crate::feeder::{connect, feed};
use crate::history::settle;
use crate::leaf::Hub;
use crate::{agent, agent_at};

const CORE: (&str, &str) = ("TECHNICAL_DELIVERY", "core");
const AUTO: (&str, &str) = ("TECHNICAL_DELIVERY", "auto");

/// Waits until `/readyz` says no for all of these reasons.
fn waits(agent: &Agent, reasons: &[&str]) {
    until(&format!("{reasons:?} in /readyz"), || {
        let ready = agent.try_get("/readyz")?;
        let all = reasons.iter().all(|reason| ready.body.contains(reason));
        (ready.status == 503 && all).then_some(())
    });
    assert_eq!(agent.get("/livez").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_in_core_delivery_waits_until_no_durable_one_works() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut durable = agent(&server, &[("TECHNICAL_AGENT_NAME", "first")]);
    durable.wait_ready();
    let mut core = agent(&server, &[CORE]);
    waits(
        &core,
        &["the member first", "TECHNICAL_DELIVERY=durable", "stop all"],
    );
    core.wait_log("core delivery cannot go on");
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    durable.sigterm();
    assert_eq!(durable.wait_exit(), 0);
    core.wait_ready();
    assert_eq!(core.get("/status").json()["delivery"], "core");
    core.sigterm();
    assert_eq!(core.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_member_waits_until_none_works_in_core_delivery_and_makes_no_stream_before() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut core = agent(&server, &[CORE, ("TECHNICAL_AGENT_NAME", "first")]);
    core.wait_ready();
    let mut others = [agent(&server, &[]), agent(&server, &[AUTO])];
    for durable in &others {
        waits(durable, &["the member first", "TECHNICAL_DELIVERY=core"]);
    }
    assert!(js.get_stream("TECHNICAL_BARS").await.is_err());
    // killed without a farewell
    core.kill();
    for durable in &mut others {
        durable.wait_ready();
        assert_eq!(durable.get("/status").json()["delivery"], "durable");
    }
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_while_it_waits_ends_at_once() {
    let server = NatsServer::jetstream();
    let mut durable = agent(&server, &[]);
    durable.wait_ready();
    let mut core = agent(&server, &[CORE]);
    waits(&core, &["delivers durably"]);
    core.sigterm();
    assert_eq!(core.wait_exit(), 0);
    assert_eq!(durable.get("/readyz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_group_is_none_of_their_business() {
    let server = NatsServer::jetstream();
    let mut durable = agent(&server, &[]);
    durable.wait_ready();
    let mut core = agent(&server, &[CORE, ("TECHNICAL_GROUP", "another")]);
    core.wait_ready();
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_on_a_leaf_waits_for_the_durable_members_of_the_hub_and_names_their_domain() {
    let hub = Hub::start();
    let mut durable = agent(&hub.server, &[]);
    durable.wait_ready();
    let leaf = hub.leaf("plain", "");
    let auto = agent(&leaf, &[AUTO]);
    waits(&auto, &["NATS_JETSTREAM_DOMAIN=hub"]);
    let store = tempfile::tempdir().expect("a directory");
    let own = format!(
        "jetstream {{ store_dir: \"{}\", domain: own }}",
        store.path().display()
    );
    let leaf = hub.leaf("own", &own);
    let elsewhere = agent(&leaf, &[]);
    waits(
        &elsewhere,
        &["domain hub (here own", "NATS_JETSTREAM_DOMAIN"],
    );
    let js = connect(&hub.server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    assert_eq!(durable.get("/readyz").status, 200);
}

/// Both sides work before they can see each other; then one of them gives way.
async fn gives_way(jetstream: bool, variables: &[(&str, &str)], reason: &str) {
    let hub = Hub::start();
    let mut durable = agent(&hub.server, &[]);
    durable.wait_ready();
    let store = tempfile::tempdir().expect("a directory");
    let own = if jetstream {
        format!(
            "jetstream {{ store_dir: \"{}\", domain: own }}\n",
            store.path().display()
        )
    } else {
        String::new()
    };
    let mut leaf = NatsServer::with(own.clone());
    let mut apart = agent_at(&leaf.url(), variables);
    apart.wait_ready();
    leaf.restart_with(format!("{own}{}", hub.remote()));
    waits(&apart, &[reason]);
    assert_eq!(durable.get("/readyz").status, 200);
    let js = connect(&hub.server).await;
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    apart.sigterm();
    assert_eq!(apart.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn core_gives_way_to_durable_members_that_it_could_not_see_before() {
    gives_way(false, &[AUTO], "NATS_JETSTREAM_DOMAIN=hub").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_younger_of_two_durable_members_gives_way() {
    gives_way(true, &[], "domain hub (here own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_waits_for_a_stream_that_stands_in_the_way_and_names_it() {
    let stream = |name: &str, subject: &str| Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..Config::default()
    };
    let queue = Config {
        retention: RetentionPolicy::WorkQueue,
        ..stream("QUEUE", "raw.>")
    };
    for conflicting in [
        stream("TECHNICAL_BARS", "elsewhere.>"),
        stream("TECHNICAL_SIGNALS", "elsewhere.>"),
        stream("SOME", "raw.market_data.price.S0.>"),
        stream("INSIGHTS", "insight.>"),
        queue,
    ] {
        let server = NatsServer::jetstream();
        let js = connect(&server).await;
        let name = conflicting.name.clone();
        js.create_stream(conflicting).await.expect("a stream");
        let mut auto = agent(&server, &[AUTO]);
        let line = auto.wait_log("durable delivery cannot begin");
        let error = line["error"].as_str().expect("a reason");
        assert!(error.contains(&name), "{name}: {error}");
        waits(&auto, &[&name]);
        // and it begins by itself, durably, once that is gone
        js.delete_stream(&name).await.expect("a stream less");
        auto.wait_ready();
        assert_eq!(auto.get("/status").json()["delivery"], "durable", "{name}");
        feed(&js, 0..10).await;
        settle(&js, 10, 1).await;
    }
}
