//! Records of dead members and their leases that are there again: put back as they were, and
//! brought back by a server that was killed.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use futures_util::StreamExt as _;

use crate::agent;
use crate::common::{Agent, NatsServer, until};
use crate::feeder::{Feeder, bar, connect, store};
use crate::history::settle;
use crate::ownership::{balanced, moves};

const BUCKET: &str = "KV_TECHNICAL_SIGNALS_GROUPS";
const TABLE: &str = "$KV.TECHNICAL_SIGNALS_GROUPS.technical-analysis";
const SYMBOLS: usize = 12;
/// The lease of [`agent`].
const LEASE: Duration = Duration::from_secs(2);

/// The subject of an agent's record, and the name of the instance in it.
fn record(agent: &Agent) -> (String, String) {
    let status = agent.get("/status").json();
    let instance = status["instance"].as_str().unwrap().to_owned();
    (format!("{TABLE}.member.{instance}"), instance)
}

/// The record of the table on `subject`; `None` also where it was removed.
async fn stored(js: &Context, subject: &str) -> Option<Vec<u8>> {
    let bucket = js.get_stream_no_info(BUCKET).await.ok()?;
    let message = bucket.direct_get_last_for_subject(subject).await.ok()?;
    (!message.payload.is_empty()).then(|| message.payload.to_vec())
}

/// Number of members that an agent knows.
fn members(agent: &Agent) -> usize {
    let status = agent.get("/status").json();
    status["members"].as_array().unwrap().len()
}

async fn wait_gone(js: &Context, subject: &str) {
    let start = Instant::now();
    while stored(js, subject).await.is_some() {
        assert!(start.elapsed() < Duration::from_secs(60), "{subject} stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn put(js: &Context, subject: &str, payload: impl Into<bytes::Bytes>) {
    let sent = js.publish(subject.to_owned(), payload.into()).await;
    sent.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_members_record_that_comes_back_takes_nothing_from_the_living() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [
        agent(&server, &[]),
        agent(&server, &[]),
        agent(&server, &[]),
    ];
    agents.iter_mut().for_each(Agent::wait_ready);
    let [mut first, mut second, mut third] = agents;
    balanced(&[&first, &second, &third]);
    let (subject, dead) = record(&third);
    let payload = stored(&js, &subject).await.unwrap();
    third.kill();
    wait_gone(&js, &subject).await;
    balanced(&[&first, &second]);

    // the record alone: if it is rewritten, it counts as a member's for a lease
    put(&js, &subject, payload).await;
    tokio::time::sleep(2 * LEASE).await;
    balanced(&[&first, &second]);
    first.wait_ready();
    second.wait_ready();
    assert_eq!(members(&first), 2);

    // leases too, of the dead member and of one that nobody knows, while another agent starts
    let feeder = Feeder::start(js.clone(), SYMBOLS, Duration::from_millis(1));
    let mut fourth = agent(&server, &[]);
    for (unit, owner) in [(0, dead.as_str()), (3, &dead), (4, "nobody"), (8, "nobody")] {
        let lease = serde_json::json!({ "owner": owner, "agent": "dead" }).to_string();
        put(&js, &format!("{TABLE}.lease.{unit}"), lease).await;
    }
    // and one of a partition that does not exist
    let (_, living) = record(&first);
    let lease = serde_json::json!({ "owner": living, "agent": "living" }).to_string();
    put(&js, &format!("{TABLE}.lease.700"), lease).await;
    fourth.wait_ready();
    balanced(&[&first, &second, &fourth]);
    // the record does not stay for newcomers to count
    wait_gone(&js, &subject).await;
    balanced(&[&first, &second, &fourth]);
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;
}

/// A server that ended in good order knows its store by heart when it starts again. Killed later,
/// it believes what it knew then, and brings back records that have expired since.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_that_a_killed_server_brings_back_is_no_member() {
    let mut server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [
        agent(&server, &[]),
        agent(&server, &[]),
        agent(&server, &[]),
    ];
    agents.iter_mut().for_each(Agent::wait_ready);
    balanced(&agents.each_ref());
    server.stop();
    server.restart();
    agents.iter_mut().for_each(Agent::wait_ready);
    balanced(&agents.each_ref());
    let [mut first, mut second, mut third] = agents;
    let (subject, _) = record(&third);
    third.kill();
    wait_gone(&js, &subject).await;
    balanced(&[&first, &second]);
    let released = moves(&first, "released") + moves(&second, "released");
    server.kill();
    server.restart();
    let back = stored(&js, &subject).await.is_some();
    println!("the killed server brought the record back: {back}");
    tokio::time::sleep(2 * LEASE).await;
    first.wait_ready();
    second.wait_ready();
    balanced(&[&first, &second]);
    // its revision is old, so it is not taken for a member even for a lease
    let now = moves(&first, "released") + moves(&second, "released");
    assert!((now - released).abs() < 0.5, "{} moved", now - released);
    for symbol in 0..SYMBOLS {
        for n in 0..8 {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let id = format!("{symbol}-{n}");
            store(&js, &subject, &bar(symbol, n).to_string(), &id).await;
        }
    }
    settle(&js, 8 * SYMBOLS as u64, SYMBOLS as u64).await;
    wait_gone(&js, &subject).await;
    balanced(&[&first, &second]);
}

/// A member that renews its record and takes nothing, until told to end.
fn zombie(js: &Context) -> tokio::task::JoinHandle<()> {
    let js = js.clone();
    tokio::spawn(async move {
        let record = r#"{"agent":"zombie","leaving":false,"fingerprint":"0000000000000000"}"#;
        loop {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-TTL", "2s");
            let subject = format!("{TABLE}.member.zombie");
            // a renewal that is lost is made up for by the next
            let _ = js
                .publish_with_headers(subject, headers, record.into())
                .await;
            tokio::time::sleep(LEASE / 4).await;
        }
    })
}

/// The partitions whose lease names nobody.
async fn released(js: &Context) -> Vec<u32> {
    let mut released = Vec::new();
    for unit in 0..9 {
        let lease = stored(js, &format!("{TABLE}.lease.{unit}")).await.unwrap();
        let lease: serde_json::Value = serde_json::from_slice(&lease).unwrap();
        if lease["owner"].is_null() {
            released.push(unit);
        }
    }
    released
}

/// Number of bars stored in these partitions.
async fn bars_in(js: &Context, units: &[u32]) -> usize {
    let stream = js.get_stream("TECHNICAL_BARS").await.unwrap();
    let mut bars = 0;
    for unit in units {
        let filter = format!("p.{unit}.>");
        let subjects = stream.info_with_subjects(filter).await.unwrap();
        let counts: Vec<_> = subjects.collect().await;
        bars += counts.into_iter().map(|one| one.unwrap().1).sum::<usize>();
    }
    bars
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_nobody_owns_make_every_member_say_so_and_count_into_the_lag() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [agent(&server, &[]), agent(&server, &[])];
    agents.iter_mut().for_each(Agent::wait_ready);
    balanced(&agents.each_ref());
    let zombie = zombie(&js);
    for agent in &agents {
        agent.wait_metrics(&[("technical_unowned_partitions", 3.0)]);
    }
    let unowned = released(&js).await;
    assert_eq!(unowned.len(), 3, "{unowned:?}");
    let named = unowned.iter().map(u32::to_string).collect::<Vec<_>>();
    for agent in &agents {
        let readyz = agent.get("/readyz");
        assert_eq!(readyz.status, 503);
        assert!(readyz.body.contains(&named.join(", ")), "{}", readyz.body);
        let status = agent.get("/status").json();
        assert_eq!(status["durable"]["unowned_partitions"], 3);
        let told = agent.wait_log("no member has owned these partitions");
        assert_eq!(
            (&told["level"], &told["count"]),
            (&"ERROR".into(), &3.into())
        );
    }
    for symbol in 0..SYMBOLS {
        for n in 0..8 {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let id = format!("{symbol}-{n}");
            store(&js, &subject, &bar(symbol, n).to_string(), &id).await;
        }
    }
    let waiting = bars_in(&js, &unowned).await;
    assert!(waiting > 0, "no symbol is in {unowned:?}");
    let sum = |name: &str| -> f64 { agents.iter().map(|agent| agent.metrics().sum(name)).sum() };
    #[allow(clippy::cast_precision_loss)]
    until("the lag of the group", || {
        let lags = ["technical_unowned_lag_bars", "technical_consumer_lag_bars"].map(sum);
        (lags == [waiting as f64; 2]).then_some(())
    });

    zombie.abort();
    agents.iter_mut().for_each(Agent::wait_ready);
    balanced(&agents.each_ref());
    for agent in &agents {
        agent.wait_metrics(&[
            ("technical_unowned_partitions", 0.0),
            ("technical_unowned_lag_bars", 0.0),
            ("technical_consumer_lag_bars", 0.0),
        ]);
        agent.wait_log("every partition has an owner again");
        let told = agent.logs();
        let said = |line: &&serde_json::Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("no member has owned these partitions")
        };
        assert_eq!(told.iter().filter(said).count(), 1, "said once");
    }
    settle(&js, 8 * SYMBOLS as u64, SYMBOLS as u64).await;
}
