//! The agents' own reports of delivery, in metrics, `/status`, heartbeat and service statistics:
//! they agree with each other, and all are compared with the contents of the streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::agent;
use crate::common::{Agent, NatsServer, PATIENCE, collect_signals, until, until_async};
use crate::feeder::{Feeder, connect, feed};
use crate::history::{contents, settle};
use crate::ownership::{balanced, moves};

const SYMBOLS: usize = 12;
const SIGNALS: &str = "TECHNICAL_SIGNALS";

/// Messages stored in the stream of signals since it was made, markers that were replaced since
/// included.
async fn ever_stored(js: &Context) -> u64 {
    let stream = js.get_stream(SIGNALS).await.expect("a stream");
    stream.cached_info().state.last_sequence
}

async fn stored(js: &Context, filter: &str) -> u64 {
    contents(js, SIGNALS, filter).await.len() as u64
}

/// Allows a stream this many bytes; -1 is any number.
async fn resize(js: &Context, stream: &str, max_bytes: i64) {
    let stream = js.get_stream(stream).await.expect("a stream");
    let config = Config {
        max_bytes,
        ..stream.cached_info().config.clone()
    };
    js.update_stream(config).await.expect("another size");
}

/// A count among the metrics.
fn count(agent: &Agent, sample: &str) -> u64 {
    let value = agent.metrics().get(sample);
    value.unwrap_or_else(|| panic!("no {sample}")) as u64
}

fn age(agent: &Agent) -> f64 {
    let age = agent.metrics().get("technical_checkpoint_age_seconds");
    age.expect("an age")
}

fn rows(status: &Value) -> &Vec<Value> {
    status["partitions"].as_array().expect("partitions")
}

/// The `data` of each agent's service statistics, by agent; the same on each endpoint.
async fn statistics(client: &Client, agents: usize) -> BTreeMap<String, Value> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("an inbox");
    let subject = "$SRV.STATS.technical-analysis";
    let asked = client.publish_with_reply(subject, inbox, "".into()).await;
    asked.expect("a connection");
    let mut all = BTreeMap::new();
    while all.len() < agents {
        let answer = tokio::time::timeout(PATIENCE, answers.next()).await;
        let answer = answer.expect("statistics of every agent").expect("open");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        let endpoints = answer["endpoints"].as_array().expect("endpoints");
        let data = endpoints[0]["data"].clone();
        assert!(endpoints.iter().all(|endpoint| endpoint["data"] == data));
        let name = data["agent"].as_str().expect("a name").to_owned();
        all.insert(name, data);
    }
    all
}

/// A heartbeat of each agent that was sent after this was called.
async fn heartbeats(client: &Client, agents: usize) -> BTreeMap<String, Value> {
    let beats = collect_signals(client, "agents.technical.heartbeat.*").await;
    until_async("a heartbeat of every agent", || {
        let all: BTreeMap<String, Value> = beats
            .messages()
            .iter()
            .map(|beat| beat.json())
            .map(|beat| (beat["agent"].as_str().expect("a name").to_owned(), beat))
            .collect();
        (all.len() == agents).then_some(all)
    })
    .await
}

/// Without what changes while nothing happens.
fn at_rest(durable: &Value) -> Value {
    let mut durable = durable.clone();
    let age = durable["checkpoint_age_seconds"].take();
    assert!(age.as_f64().is_some_and(|age| age >= 0.0), "{age}");
    durable
}

/// `/status` says of its delivery what `/metrics` says.
fn status_is_as_metrics(agent: &Agent) -> Value {
    let (status, metrics) = (agent.get("/status").json(), agent.metrics());
    let durable = &status["durable"];
    let commits = &durable["commits"];
    let refused = |reason| format!("technical_commits_refused_total{{reason=\"{reason}\"}}");
    let moved = |direction| format!("technical_partition_moves_total{{direction=\"{direction}\"}}");
    for (told, sample) in [
        (&status["owned_partitions"], "technical_partitions_owned"),
        (&status["series"], "technical_series"),
        (&status["lag_bars"], "technical_consumer_lag_bars"),
        (&durable["inflight_bars"], "technical_inflight_bars"),
        (&durable["moves"]["acquired"], &moved("acquired")),
        (&durable["moves"]["released"], &moved("released")),
        (&commits["count"], "technical_commit_messages_count"),
        (&commits["count"], "technical_commit_seconds_count"),
        (&commits["messages"], "technical_commit_messages_sum"),
        (&commits["refused"]["fenced"], &refused("fenced")),
        (&commits["refused"]["refused"], &refused("refused")),
        (&commits["refused"]["failed"], &refused("failed")),
    ] {
        assert_eq!(told.as_f64(), metrics.get(sample), "{sample}: {status:#}");
    }
    let [messages, seconds] = ["messages", "seconds"].map(|of| {
        let sum = metrics.get(&format!("technical_commit_{of}_sum"));
        let count = metrics.get(&format!("technical_commit_{of}_count"));
        let mean = commits[&format!("mean_{of}")].as_f64().expect("a mean");
        assert!((mean - sum.unwrap() / count.unwrap()).abs() < 1e-9);
        commits[&format!("last_{of}")].as_f64().expect("a last one")
    });
    assert!((1.0..=1_000.0).contains(&messages), "{messages} messages");
    assert!(seconds > 0.0);
    let sum = |of: &str| -> u64 {
        rows(&status)
            .iter()
            .filter_map(|row| row[of].as_u64())
            .sum()
    };
    assert_eq!(status["owned_partitions"], rows(&status).len());
    assert_eq!(status["series"], sum("series"));
    assert_eq!(status["lag_bars"], sum("lag_bars"));
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_told_agrees_and_is_what_the_streams_hold() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let start = |name| {
        let more = [
            ("TECHNICAL_AGENT_NAME", name),
            ("HTTP_ADMIN_TOKEN", "t"),
            // by hand alone
            ("TECHNICAL_CHECKPOINT_SECS", "3600"),
        ];
        let mut agent = agent(&server, &more);
        agent.wait_ready();
        agent
    };
    let first = start("one");
    assert_eq!(balanced(&[&first]), [9]);
    assert_eq!(count(&first, "technical_commit_messages_count"), 0);
    let empty = &first.get("/status").json()["durable"]["commits"];
    assert_eq!(
        (&empty["count"], &empty["mean_seconds"]),
        (&0.into(), &Value::Null)
    );
    assert!((moves(&first, "acquired") - 9.0).abs() < 0.5);

    let second = start("two");
    let owned = balanced(&[&first, &second]);
    let given_up = (9 - owned[0]) as f64;
    assert!((moves(&first, "released") - given_up).abs() < 0.5);
    assert!((moves(&second, "acquired") - owned[1] as f64).abs() < 0.5);

    let feeder = Feeder::start(js.clone(), SYMBOLS, Duration::from_millis(1));
    until_async("bars", || {
        (feeder.counts.bars.load(Ordering::Relaxed) >= 240).then_some(())
    })
    .await;
    let (bars, malformed) = feeder.stop().await;
    settle(&js, bars, SYMBOLS as u64).await;

    // every message of the stream was put there by a commit that is told of
    let agents = [&first, &second];
    let sum = |sample| -> u64 { agents.iter().map(|agent| count(agent, sample)).sum() };
    let failed = "technical_commits_refused_total{reason=\"failed\"}";
    let ever = ever_stored(&js).await;
    let told = until("all commits to be told of", || {
        let told = sum("technical_commit_messages_sum");
        // a commit that was not answered in time may be stored without being counted
        (told == ever || sum(failed) > 0).then_some(told)
    });
    assert!(
        told <= ever && ever <= told + 1_000 * sum(failed),
        "{told} of {ever}"
    );
    let published = stored(&js, "insight.>").await + stored(&js, "dead.>").await;
    assert_eq!(published, bars - 4 * SYMBOLS as u64 + malformed);
    let markers = ever - published;
    let commits = sum("technical_commit_messages_count");
    assert!(
        0 < commits && commits <= markers,
        "{commits} commits, {markers} markers"
    );

    // at rest nothing waits, and every partition has one owner who knows its series
    until("nothing to wait", || {
        let waiting = sum("technical_consumer_lag_bars") + sum("technical_inflight_bars");
        (waiting == 0).then_some(())
    });
    let status = agents.map(status_is_as_metrics);
    let all: Vec<&Value> = status.iter().flat_map(rows).collect();
    let numbers: BTreeSet<u64> = all
        .iter()
        .filter_map(|row| row["partition"].as_u64())
        .collect();
    assert_eq!((all.len(), numbers), (9, (0..9).collect()));
    assert!(all.iter().all(|row| row["state"] == "active"), "{all:#?}");
    let series: u64 = status.iter().filter_map(|one| one["series"].as_u64()).sum();
    assert_eq!(series, SYMBOLS as u64);
    let newest = contents(&js, "TECHNICAL_BARS", ">")
        .await
        .last()
        .map(|bar| bar.at);
    let time = |row: &&Value| {
        row["last_processed"]
            .as_str()?
            .parse::<jiff::Timestamp>()
            .ok()
    };
    let processed = all.iter().filter_map(time).max();
    assert_eq!(processed.map(jiff::Timestamp::as_nanosecond), newest);

    // each way to ask is told the same
    for told in [heartbeats(&client, 2).await, statistics(&client, 2).await] {
        for status in &status {
            let told = &told[status["agent"].as_str().expect("a name")];
            for name in ["owned_partitions", "series", "lag_bars"] {
                assert_eq!(told[name], status[name], "{name}");
            }
            assert_eq!(at_rest(&told["durable"]), at_rest(&status["durable"]));
        }
    }

    // state is unsaved for ever longer until it is saved
    for (agent, status) in agents.iter().zip(&status) {
        if status["series"] != 0 {
            let before = age(agent);
            assert!(before > 0.0);
            until("time to pass", || (age(agent) > before).then_some(()));
        }
        let saved = agent.post("/admin/checkpoint", Some("t"), "");
        assert_eq!(saved.status, 200, "{}", saved.body);
        until("nothing to be unsaved", || {
            (age(agent) == 0.0).then_some(())
        });
        assert_eq!(
            count(agent, "technical_checkpoints_total"),
            rows(status).len() as u64
        );
        let status = agent.get("/status").json();
        assert_eq!(status["durable"]["checkpoint_age_seconds"], 0.0);
        assert!(
            rows(&status)
                .iter()
                .all(|row| row["checkpoint_age_seconds"] == 0.0)
        );
    }

    let mut second = second;
    second.sigterm();
    assert_eq!(second.wait_exit(), 0);
    assert_eq!(balanced(&[&first]), [9]);
    let came = moves(&first, "acquired") - 9.0;
    assert!((came - owned[1] as f64).abs() < 0.5, "{came} came back");
    let told = &first.get("/status").json()["durable"]["moves"];
    assert_eq!(told["acquired"], 9 + owned[1]);
    assert_eq!(told["released"], 9 - owned[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_pile_up_before_a_stream_without_room_are_told_of_one_by_one() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut running = agent(&server, &[("TECHNICAL_SIGNALS_MAX_BYTES", "40000")]);
    running.wait_ready();
    let mut fed = 0;
    let mut statuses = Vec::new();
    // more than is read at a time, so that some wait whatever is tried
    for more in [400, 150, 100] {
        feed(&js, fed..fed + more).await;
        fed += more;
        running.wait_metrics(&[("technical_circuit_open", 1.0)]);
        let stored = stored(&js, "insight.>").await;
        assert!(stored < 116, "{stored} signals found room");
        statuses.push(until("each bar that waits to be counted", || {
            // four bars give no signal; a signal is stored, in flight, or of a bar that waits
            let status = running.get("/status").json();
            let waiting = status["lag_bars"].as_u64()?;
            let computed = stored + status["durable"]["inflight_bars"].as_u64()?;
            let blocked = rows(&status)
                .iter()
                .filter(|row| row["state"] == "blocked" && row["lag_bars"] == waiting);
            let told = status["durable"]["circuit_open"] == true && blocked.count() == 1;
            (told && 4 + computed + waiting == fed).then_some(status)
        }));
    }
    for status in &statuses {
        assert!(status["lag_bars"].as_u64() > Some(0), "{status:#}");
        let refused = &status["durable"]["commits"]["refused"]["refused"];
        assert!(refused.as_u64() > Some(0), "{status:#}");
    }
    // the statistics say the same, but for what changed between the two questions
    let start = Instant::now();
    loop {
        let (_, data) = statistics(&client, 1).await.pop_first().expect("one agent");
        let status = running.get("/status").json();
        let told = |of: &Value| {
            let durable = &of["durable"];
            let durable = [&durable["circuit_open"], &durable["inflight_bars"]];
            (of["lag_bars"].clone(), durable.map(Clone::clone))
        };
        if told(&data) == told(&status) && data["durable"]["circuit_open"] == true {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{data} in {status}");
    }

    resize(&js, SIGNALS, -1).await;
    settle(&js, fed, 1).await;
    running.wait_metrics(&[
        ("technical_consumer_lag_bars", 0.0),
        ("technical_inflight_bars", 0.0),
        ("technical_circuit_open", 0.0),
    ]);
    let status = status_is_as_metrics(&running);
    assert!(rows(&status).iter().all(|row| row["state"] == "active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_cannot_be_saved_grows_older_with_every_attempt() {
    const STORE: &str = "OBJ_TECHNICAL_SIGNALS_CHECKPOINTS";
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[("TECHNICAL_CHECKPOINT_SECS", "1")]);
    running.wait_ready();
    resize(&js, STORE, 1).await;
    feed(&js, 0..10).await;
    settle(&js, 10, 1).await;
    let oldest = until("an age of some attempts", || {
        let age = age(&running);
        (age > 4.0).then_some(age)
    });
    let attempts = count(&running, "technical_checkpoints_failed_total");
    assert!(attempts >= 2, "{attempts} attempts in {oldest} s");
    // told once, and work goes on
    let told = |line: &&Value| {
        let message = line["message"].as_str();
        message.is_some_and(|message| message.starts_with("checkpoint cannot be written"))
    };
    assert_eq!(running.logs().iter().filter(told).count(), 1);
    assert_eq!(running.get("/readyz").status, 200);
    let health = running.get("/health").body;
    assert!(health.contains("checkpoints of 1 partitions"), "{health}");
    assert_eq!(count(&running, "technical_checkpoints_total"), 0);
    let status = running.get("/status").json();
    let ages = rows(&status)
        .iter()
        .filter_map(|row| row["checkpoint_age_seconds"].as_f64());
    assert!(ages.fold(0.0, f64::max) >= oldest, "{status:#}");
    resize(&js, STORE, -1).await;
    until("state to be saved", || (age(&running) == 0.0).then_some(()));
    assert_eq!(count(&running, "technical_checkpoints_total"), 1);
}
