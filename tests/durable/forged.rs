//! A client that forges the records and markers of a group. With `TECHNICAL_GROUP_SECRET` they are
//! as if they were not there.

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use serde_json::{Value, json};

use crate::common::{Agent, NatsServer, until};
use crate::feeder::{Feeder, connect, feed};
use crate::history::{Stored, contents, settle};
use crate::ownership::{balanced, moves};
use crate::{agent, ready, ready_pair};

const SECRET: &[(&str, &str)] = &[("TECHNICAL_GROUP_SECRET", "s3cret of the group")];
const TABLE: &str = "KV_TECHNICAL_SIGNALS_GROUPS";
const RECORDS: &str = "$KV.TECHNICAL_SIGNALS_GROUPS.technical-analysis";

fn forgeries(agent: &Agent) -> f64 {
    let counted = agent.metrics().get("technical_group_forgeries_total");
    counted.expect("the counter")
}

/// The agent says what happens and stays ready.
fn assert_told(agent: &Agent) {
    assert!(forgeries(agent) > 0.0);
    let told = agent.wait_log("forged message or record of the group");
    assert_eq!(told["level"], "WARN");
    let text = told["message"].as_str().unwrap();
    assert!(text.contains("TECHNICAL_GROUP_SECRET"), "{text}");
    until("a word in /health", || {
        let health = agent.get("/health/group-secret").json();
        (health["status"] == "degraded").then_some(())
    });
    assert_eq!(agent.get("/readyz").status, 200);
}

/// Publishes anything, whether or not it is stored.
async fn put(js: &Context, subject: &str, headers: &HeaderMap, payload: &[u8]) {
    let (client, payload) = (js.client(), payload.to_vec().into());
    let publish = client.publish_with_headers(subject.to_owned(), headers.clone(), payload);
    publish.await.expect("a connection");
}

fn with(header: &str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header, value);
    headers
}

fn altered(record: &Stored, changes: Value) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&record.payload).expect("JSON");
    for (key, to) in changes.as_object().expect("an object") {
        value[key] = to.clone();
    }
    value.to_string().into_bytes()
}

/// The headers of a stored record that are not the server's.
fn own_headers(record: &Stored) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(seal) = record.header("Ta-Seal") {
        headers.insert("Ta-Seal", seal);
    }
    headers
}

async fn records(js: &Context) -> Vec<Stored> {
    contents(js, TABLE, ">").await
}

async fn members(js: &Context) -> usize {
    contents(js, TABLE, "$KV.*.*.member.>").await.len()
}

/// Every kind of forgery of every record, once.
async fn forge_records(js: &Context, older: &[Stored]) {
    let now = records(js).await;
    let ttl = with("Nats-TTL", "2s");
    for k in 0..20 {
        let rogue = json!({ "agent": "rogue", "leaving": false, "fingerprint": "0" });
        let subject = format!("{RECORDS}.member.ROGUE{k}");
        put(js, &subject, &ttl, rogue.to_string().as_bytes()).await;
    }
    for record in &now {
        let (unsigned, sealed) = (HeaderMap::new(), own_headers(record));
        let is_member = record.subject.contains(".member.");
        let change = if is_member {
            json!({ "leaving": true })
        } else {
            json!({ "owner": "ROGUE1", "agent": "rogue" })
        };
        for headers in [&unsigned, &sealed] {
            put(
                js,
                &record.subject,
                headers,
                &altered(record, change.clone()),
            )
            .await;
        }
        // as if it had been deleted, and as if it had expired
        put(js, &record.subject, &with("KV-Operation", "DEL"), b"").await;
        put(js, &record.subject, &with("KV-Operation", "PURGE"), b"").await;
        put(js, &record.subject, &with("Nats-TTL", "1s"), b"{}").await;
        // a genuine record that says to the reader that it is another's, or newer
        let mut spoofed = sealed.clone();
        spoofed.insert("Nats-Subject", format!("{RECORDS}.lease.1"));
        spoofed.insert("Nats-Sequence", "99999999");
        let subject = format!("{RECORDS}.member.SPOOFED");
        put(js, &subject, &spoofed, &record.payload).await;
        // a genuine record, elsewhere
        let elsewhere = if is_member {
            format!("{RECORDS}.member.ELSEWHERE")
        } else {
            format!("{RECORDS}.lease.99")
        };
        put(js, &elsewhere, &sealed, &record.payload).await;
    }
    // and what was genuine once
    for record in older {
        put(js, &record.subject, &own_headers(record), &record.payload).await;
    }
    js.client().flush().await.expect("a connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_replayed_records_move_no_partition() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let rogue = connect(&server).await;
    let mut first = agent(&server, SECRET);
    first.wait_ready();
    let older = records(&js).await;
    assert!(
        older
            .iter()
            .all(|record| record.header("Ta-Seal").is_some())
    );
    let mut second = agent(&server, SECRET);
    second.wait_ready();
    balanced(&[&first, &second]);
    let agents = [&first, &second];
    let counted = || agents.map(|agent| moves(agent, "released") + moves(agent, "acquired"));
    let before = counted();
    let feeder = Feeder::start(js.clone(), 12, Duration::from_millis(2));
    let start = Instant::now();
    // long enough for every lease to run out
    while start.elapsed() < Duration::from_secs(6) {
        forge_records(&rogue, &older).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(counted(), before, "forged records moved partitions");
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, 12).await;
    agents.iter().for_each(|agent| assert_told(agent));
    // and the group goes on as ever
    second.sigterm();
    assert_eq!(second.wait_exit(), 0);
    balanced(&[&first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replayed_records_of_a_dead_member_do_not_keep_its_partitions() {
    let (_server, js, [first, mut second]) = ready_pair(SECRET).await;
    balanced(&[&first, &second]);
    let stored = records(&js).await;
    second.kill();
    let start = Instant::now();
    let mut owned = 0;
    while owned != 9 {
        assert!(start.elapsed() < crate::history::PATIENCE, "{owned} of 9");
        for record in stored.iter().filter(|r| r.subject.contains(".member.")) {
            let mut headers = own_headers(record);
            headers.insert("Nats-TTL", "2s");
            put(&js, &record.subject, &headers, &record.payload).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        owned = first.get("/status").json()["owned_partitions"]
            .as_u64()
            .expect("a number");
    }
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_forged_records_than_the_server_lists_hide_no_member() {
    let (server, js, first) = ready(SECRET).await;
    let rogue = json!({ "agent": "rogue", "leaving": false, "fingerprint": "0" }).to_string();
    for k in 0..2_500 {
        let subject = format!("{RECORDS}.member.ROGUE{k}");
        put(&js, &subject, &HeaderMap::new(), rogue.as_bytes()).await;
    }
    js.client().flush().await.expect("a connection");
    let mut second = agent(&server, SECRET);
    second.wait_ready();
    balanced(&[&first, &second]);
    until("the forgeries to be counted", || {
        (forgeries(&second) >= 2_500.0).then_some(())
    });
    second.kill();
    balanced(&[&first]);
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rolled_out_and_changed_while_bars_flow() {
    let (server, js, mut serving) = ready(&[]).await;
    let feeder = Feeder::start(js.clone(), 12, Duration::from_millis(2));
    for secrets in ["a,", "a", "a,b", "b,a", "b"] {
        let mut next = agent(&server, &[("TECHNICAL_GROUP_SECRET", secrets)]);
        next.wait_ready();
        balanced(&[&serving, &next]);
        serving.sigterm();
        assert_eq!(serving.wait_exit(), 0);
        balanced(&[&next]);
        serving = next;
        assert!(forgeries(&serving) < 0.5, "{secrets}");
        // what the one before has written, with a secret that is not known any more, goes with it
        let start = Instant::now();
        while members(&js).await != 1 {
            assert!(start.elapsed() < crate::history::PATIENCE);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, 12).await;
    assert!(forgeries(&serving) < 0.5);
}

/// The markers in the stream of signals.
async fn markers(js: &Context) -> Vec<Stored> {
    contents(js, "TECHNICAL_SIGNALS", "commit.>").await
}

/// The headers of a stored marker, with those of its batch or without.
fn marker_headers(marker: &Stored, purge: bool) -> HeaderMap {
    let mut headers = own_headers(marker);
    if purge {
        headers.insert("Nats-Rollup", "sub");
    }
    headers
}

/// A marker like `marker`, further on or back, with its seal, without one, and as it was.
async fn forge_marker(js: &Context, marker: &Stored, purge: bool) {
    let seq = |payload: &[u8]| {
        let value: Value = serde_json::from_slice(payload).expect("JSON");
        value["seq"].as_u64().expect("a sequence")
    };
    let at = seq(&marker.payload);
    for to in [at + 500, at.saturating_sub(50)] {
        let payload = altered(marker, json!({ "seq": to }));
        put(
            js,
            &marker.subject,
            &marker_headers(marker, purge),
            &payload,
        )
        .await;
        let unsigned = if purge {
            with("Nats-Rollup", "sub")
        } else {
            HeaderMap::new()
        };
        put(js, &marker.subject, &unsigned, &payload).await;
        put(js, &marker.subject, &unsigned, b"no marker").await;
    }
    let headers = marker_headers(marker, purge);
    put(js, &marker.subject, &headers, &marker.payload).await;
}

async fn forge_markers(js: &Context, older: &[Stored], purge: bool) {
    // without those that were forged before
    let genuine = |marker: &Stored| marker.header("Ta-Seal").is_some();
    let now: Vec<Stored> = markers(js).await.into_iter().filter(genuine).collect();
    let older = older.iter().filter(|marker| genuine(marker));
    for marker in older.chain(&now) {
        forge_marker(js, marker, purge).await;
    }
    // genuine ones of other partitions
    for (marker, other) in now.iter().zip(now.iter().skip(1)) {
        let headers = marker_headers(other, purge);
        put(js, &marker.subject, &headers, &other.payload).await;
    }
    js.client().flush().await.expect("a connection");
}

async fn markers_are_forged_while_bars_flow(purge: bool) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let rogue = connect(&server).await;
    let mut agents = [agent(&server, SECRET), agent(&server, SECRET)];
    agents.iter_mut().for_each(Agent::wait_ready);
    balanced(&agents.each_ref());
    let feeder = Feeder::start(js.clone(), 12, Duration::from_millis(2));
    let mut older = Vec::new();
    while older.len() < 4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        older = markers(&rogue).await;
    }
    assert!(
        older
            .iter()
            .all(|marker| marker.header("Ta-Seal").is_some())
    );
    let before = agents.each_ref().map(|agent| moves(agent, "released"));
    for _ in 0..8 {
        forge_markers(&rogue, &older, purge).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (bars, _) = feeder.stop().await;
    settle(&js, bars, 12).await;
    let after = agents.each_ref().map(|agent| moves(agent, "released"));
    assert_eq!(after, before, "forged markers moved partitions");
    agents.iter().for_each(assert_told);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_replayed_markers_lose_and_double_nothing() {
    markers_are_forged_while_bars_flow(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_forged_markers_that_purge_the_genuine_ones() {
    markers_are_forged_while_bars_flow(true).await;
}

/// Forges while nobody works, with a checkpoint that is behind what was stored.
async fn markers_are_forged_while_nobody_works(purge: bool) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    // nothing is saved but by request
    let settings = [SECRET, &[("TECHNICAL_CHECKPOINT_SECS", "3600")]].concat();
    let admin = [&settings[..], &[("HTTP_ADMIN_TOKEN", "t")]].concat();
    let mut first = agent(&server, &admin);
    first.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    let older = markers(&js).await;
    let saved = first.post("/admin/checkpoint", Some("t"), "");
    assert_eq!(saved.status, 200, "{}", saved.body);
    feed(&js, 20..40).await;
    settle(&js, 40, 1).await;
    first.kill();
    forge_markers(&js, &older, purge).await;
    feed(&js, 40..50).await;
    let mut second = agent(&server, &settings);
    second.wait_ready();
    feed(&js, 50..60).await;
    settle(&js, 60, 1).await;
    assert_told(&second);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_finds_forged_markers_goes_on_from_the_genuine_one() {
    markers_are_forged_while_nobody_works(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_finds_only_forged_markers_stores_nothing_again() {
    markers_are_forged_while_nobody_works(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genuine_marker_of_another_owner_fences_behind_a_forged_one() {
    let (server, js, first) = ready(SECRET).await;
    feed(&js, 0..10).await;
    settle(&js, 10, 1).await;
    first.freeze();
    let mut second = agent(&server, SECRET);
    second.wait_ready();
    feed(&js, 10..20).await;
    settle(&js, 20, 1).await;
    for purge in [false, true] {
        let older = markers(&js).await;
        forge_markers(&js, &older, purge).await;
    }
    // bars that the first has asked for before its pause reach it when it wakes up
    first.thaw();
    feed(&js, 20..40).await;
    settle(&js, 40, 1).await;
    balanced(&[&first, &second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_with_different_secrets_double_nothing_and_both_name_the_setting() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let secrets = ["one secret", "another"];
    let mut agents = secrets.map(|secret| agent(&server, &[("TECHNICAL_GROUP_SECRET", secret)]));
    agents.iter_mut().for_each(Agent::wait_ready);
    let feeder = Feeder::start(js.clone(), 6, Duration::from_millis(5));
    tokio::time::sleep(Duration::from_secs(5)).await;
    for agent in &agents {
        assert!(forgeries(agent) > 0.0);
        let told = agent.wait_log("forged message or record of the group");
        let text = told["message"].as_str().unwrap();
        assert!(text.contains("TECHNICAL_GROUP_SECRET"), "{text}");
    }
    let (bars, _) = feeder.stop().await;
    // one is set right
    agents[1].kill();
    settle(&js, bars, 6).await;
}
