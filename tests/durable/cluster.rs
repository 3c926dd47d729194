//! Three servers that hold every stream three times, of which one at a time is killed.

use std::time::Duration;

use async_nats::jetstream::Context;

use crate::agent_at;
use crate::common::{Agent, Cluster, NatsServer, PATIENCE, until};
use crate::feeder::{Feeder, bar, connect_to, feed, store};
use crate::history::{count, settle};

const SYMBOLS: usize = 12;

fn urls(cluster: &Cluster) -> String {
    let urls: Vec<String> = cluster.nodes().iter().map(NatsServer::url).collect();
    urls.join(",")
}

async fn leader(js: &Context, stream: &str) -> usize {
    let stream = js.get_stream(stream).await.expect("the stream");
    let cluster = stream.cached_info().cluster.clone();
    let leader = cluster.and_then(|cluster| cluster.leader);
    Cluster::place(&leader.expect("a stream of a cluster has a leader"))
}

/// Waits until that many more signals are stored.
async fn goes_on(js: &Context, more: usize) {
    let goal = count(js, "insight.>").await + more;
    let start = std::time::Instant::now();
    while count(js, "insight.>").await < goal {
        assert!(start.elapsed() < 2 * PATIENCE, "signals go on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_cluster_are_killed_and_nothing_is_lost_or_doubled() {
    let mut cluster = Cluster::start().await;
    let js = connect_to(&urls(&cluster)).await;
    let replicas = [("TECHNICAL_STREAM_REPLICAS", "3")];
    let mut agents = [0, 1].map(|_| agent_at(&urls(&cluster), &replicas));
    agents.iter_mut().for_each(Agent::wait_ready);
    let feeder = Feeder::start(js.clone(), SYMBOLS, Duration::from_millis(2));
    goes_on(&js, 100).await;

    let connected = agents[0].wait_log("connected to NATS");
    let name = connected["server"].as_str().expect("the name of a server");
    let of_an_agent = Cluster::place(name);
    cluster.kill(of_an_agent);
    goes_on(&js, 200).await;
    cluster.restart(of_an_agent);
    cluster.wait_in_sync(&js).await;

    let of_the_signals = leader(&js, "TECHNICAL_SIGNALS").await;
    cluster.kill(of_the_signals);
    goes_on(&js, 200).await;
    cluster.restart(of_the_signals);
    cluster.wait_in_sync(&js).await;
    goes_on(&js, 100).await;

    let (bars, _) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;
    for agent in &mut agents {
        agent.sigterm();
        assert_eq!(agent.wait_exit(), 0);
    }
}

/// Without two of three nothing can be stored or read; without all of them there is nobody.
#[tokio::test(flavor = "multi_thread")]
async fn most_servers_of_a_cluster_are_gone_and_come_back_and_nothing_is_lost_or_doubled() {
    let mut cluster = Cluster::start().await;
    let js = connect_to(&urls(&cluster)).await;
    let replicas = [("TECHNICAL_STREAM_REPLICAS", "3")];
    let mut agents = [0, 1].map(|_| agent_at(&urls(&cluster), &replicas));
    agents.iter_mut().for_each(Agent::wait_ready);
    let feeder = Feeder::start(js.clone(), SYMBOLS, Duration::from_millis(2));
    goes_on(&js, 100).await;

    for gone in [&[0, 1][..], &[0, 1, 2]] {
        gone.iter().for_each(|at| cluster.kill(*at));
        // longer than the lease and its grace, so that every record has expired
        tokio::time::sleep(Duration::from_secs(5)).await;
        let reasons: &[&str] = match gone.len() {
            // the reason is that of the last try to connect
            3 => &["nats: "],
            _ => &["JetStream has not answered yet", "cannot be written"],
        };
        for agent in &agents {
            // a lost connection comes first, as a reason of its own
            until(
                "an agent that is not ready, and says that JetStream is gone",
                || {
                    let ready = agent.try_get("/readyz")?;
                    let missing =
                        (ready.status == 503).then(|| ready.json()["missing"].to_string())?;
                    let told = |reason: &&str| missing.contains(*reason);
                    reasons.iter().any(told).then_some(())
                },
            );
            assert_eq!(agent.get("/livez").status, 200);
        }
        gone.iter().for_each(|at| cluster.restart(*at));
        cluster.wait_in_sync(&js).await;
        goes_on(&js, 200).await;
        agents.iter_mut().for_each(Agent::wait_ready);
    }

    let (bars, _) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;
    for agent in &mut agents {
        agent.sigterm();
        assert_eq!(agent.wait_exit(), 0);
    }
}

/// Servers that are there and do not agree: nothing is refused, and nothing is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_renew_its_record_is_not_ready_until_it_can() {
    let cluster = Cluster::start().await;
    let all = urls(&cluster);
    let js = connect_to(&all).await;
    // to the one that will be left
    let own = cluster.nodes()[2].url();
    let replicas = [("TECHNICAL_STREAM_REPLICAS", "3")];
    let mut running = agent_at(&own, &replicas);
    running.wait_ready();
    feed(&js, 0..10).await;
    settle(&js, 10, 1).await;
    for gone in &cluster.nodes()[..2] {
        gone.freeze();
    }
    // it may say first that the table cannot be read
    until("an agent that is not ready for its record", || {
        let ready = running.try_get("/readyz")?;
        let missing = (ready.status == 503).then(|| ready.json()["missing"].to_string())?;
        missing.contains("cannot be written").then_some(())
    });
    assert_eq!(running.get("/livez").status, 200);
    for back in &cluster.nodes()[..2] {
        back.thaw();
    }
    running.wait_ready();
    feed(&js, 10..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_placed_where_the_tags_say_or_nowhere() {
    let cluster = Cluster::start().await;
    let js = connect_to(&urls(&cluster)).await;
    let placed = |tags: &str| {
        let variables = [("TECHNICAL_STREAM_PLACEMENT_TAGS", tags)];
        agent_at(&urls(&cluster), &variables)
    };
    let nowhere = placed("node:7");
    let told = nowhere.wait_log("durable delivery cannot begin");
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .contains("no suitable peers"),
        "{told}"
    );
    assert_eq!(nowhere.get("/readyz").status, 503);
    assert_eq!(nowhere.get("/livez").status, 200);
    drop(nowhere);
    let mut running = placed("node:1,all");
    running.wait_ready();
    for n in 0..8 {
        let (payload, id) = (bar(0, n).to_string(), n.to_string());
        store(&js, "raw.market_data.price.S0.1m", &payload, &id).await;
    }
    settle(&js, 8, 1).await;
    for stream in [
        "TECHNICAL_BARS",
        "TECHNICAL_BARS_BARE",
        "TECHNICAL_SIGNALS",
        "KV_TECHNICAL_SIGNALS_GROUPS",
        "OBJ_TECHNICAL_SIGNALS_CHECKPOINTS",
    ] {
        assert_eq!(leader(&js, stream).await, 1, "{stream}");
    }
    until("the checkpoint", || {
        (running.metrics().sum("technical_checkpoints_total") > 0.0).then_some(())
    });
}
