//! `feed` says what the agents did with exactly its bars, also where one of them is killed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::Context;
use serde_json::{Value, json};

use crate::agent;
use crate::common::{Agent, NatsServer, Options, until};
use crate::feeder::{bar, connect, store};
use crate::history::{PATIENCE, Stored, contents};

const SYMBOLS: usize = 16;

/// Bars of some symbols, one after another, in a file of `home`.
fn file(home: &Path, rounds: std::ops::Range<u64>) -> PathBuf {
    let path = home.join(format!("bars-{}.jsonl", rounds.start));
    let mut file = std::fs::File::create(&path).expect("a file");
    for n in rounds {
        for symbol in 0..SYMBOLS {
            writeln!(file, "{}", bar(symbol, n)).expect("room");
        }
    }
    path
}

fn feed(server: &NatsServer, path: &Path, more: &[&str], user: &[(&str, &str)]) -> Agent {
    let url = server.url();
    let mut line = vec!["feed", path.to_str().expect("UTF-8"), "--json"];
    line.extend(more);
    let variables = [("NATS_URL", url.as_str())];
    Agent::start_with(&line, variables.into_iter().chain(user.iter().copied()))
}

/// The exit code, and the report.
fn end(feed: &mut Agent) -> (i32, Value) {
    let code = feed.wait_exit();
    let stdout = feed.stdout();
    let report = stdout
        .iter()
        .find_map(|line| serde_json::from_str(line).ok());
    (
        code,
        report.unwrap_or_else(|| panic!("no report: {}", feed.output())),
    )
}

/// Two agents, each of which owns some of the partitions. Only the newest bar can be corrected, so
/// that bars of other publishers change no signal of the bars that are fed.
fn two(server: &NatsServer) -> [Agent; 2] {
    let newest_only = ("TECHNICAL_CORRECTABLE_BARS", "1");
    let mut agents =
        ["a", "b"].map(|name| agent(server, &[("TECHNICAL_AGENT_NAME", name), newest_only]));
    agents.iter_mut().for_each(Agent::wait_ready);
    for agent in &agents {
        until("each to own partitions", || {
            let status = agent.try_get("/status").filter(|r| r.status == 200)?.json();
            (status["owned_partitions"].as_u64()? >= 4).then_some(())
        });
    }
    agents
}

/// Stores bars of the same series, older than all others, for as long as it lives.
fn disturb(js: &Context) -> tokio::task::JoinHandle<()> {
    let js = js.clone();
    tokio::spawn(async move {
        for round in 0_u64.. {
            for symbol in 0..SYMBOLS {
                let subject = format!("raw.market_data.price.S{symbol}.1m");
                let payload = bar(symbol, round % 50).to_string();
                let id = format!("other-{symbol}-{round}");
                store(&js, &subject, &payload, &id).await;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_accounted_for_among_other_publishers_and_two_agents() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let _agents = two(&server);
    let home = tempfile::tempdir().expect("a directory");
    // the others give each series its first bars, so that these are not the warm-up
    let others = disturb(&js);
    until_stored(&js, 5 * SYMBOLS as u64).await;
    let path = file(home.path(), 100..120);
    let (code, report) = end(&mut feed(&server, &path, &[], &[]));
    let outcome = &report["outcome"];
    let expected = json!({
        "agents": ["a", "b"],
        "taken": 320, "completed": 0, "corrections": 0, "duplicates": 0, "forming": 0,
        "ignored": 0, "refused": {}, "details": {},
        "signals_due": 320, "signals_published": 320, "unknown": 0,
    });
    assert_eq!(*outcome, expected, "{report}");
    assert_eq!(code, 0);
    // once more: the newest bar of each series is there already, the others are late
    let (code, report) = end(&mut feed(&server, &path, &[], &[]));
    others.abort();
    let outcome = &report["outcome"];
    let of = |name: &str| outcome[name].as_u64();
    let told = (of("taken"), of("duplicates"), of("unknown"));
    assert_eq!(told, (Some(0), Some(16), Some(0)), "{report}");
    assert_eq!(outcome["refused"], json!({ "late": 304 }), "{report}");
    assert_eq!(code, 0, "not all were refused");
    let early = file(home.path(), 98..100);
    let (code, report) = end(&mut feed(&server, &early, &[], &[]));
    assert_eq!(code, 65, "{report}");
    assert_eq!(
        report["outcome"]["refused"],
        json!({ "late": 32 }),
        "{report}"
    );
}

/// Waits until so many bars are stored.
async fn until_stored(js: &Context, count: u64) {
    let start = std::time::Instant::now();
    loop {
        let stream = js.get_stream("TECHNICAL_BARS").await.expect("the stream");
        if stream.cached_info().state.messages >= count {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{count} bars");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_a_killed_owner_has_stored_are_unknown_and_no_others() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let [mut killed, _left] = two(&server);
    let home = tempfile::tempdir().expect("a directory");
    // some seven seconds, so that the lease of the killed one ends before it does
    let path = file(home.path(), 0..40);
    let mut fed = feed(&server, &path, &["--rate", "90"], &[]);
    until_stored(&js, 200).await;
    killed.kill();
    let (code, report) = end(&mut fed);
    assert_eq!(code, 0, "{report}");
    let outcome = &report["outcome"];
    let of = |name: &str| outcome[name].as_u64().expect("a number");
    assert_eq!(of("taken") + of("unknown"), 640, "{report}");
    assert_eq!(outcome["agents"], json!(["b"]), "{report}");
    // a message counts for the one that has stored its outputs, and nobody answers for the killed one
    let signals = stored_signals(&js, SYMBOLS * 36).await;
    let of_killed = |one: &&Stored| one.header("Ta-Agent").as_deref() == Some("a");
    let of_killed = signals.iter().filter(of_killed).count() as u64;
    assert!(
        of_killed > 0 && of("unknown") >= of_killed,
        "{of_killed}, {report}"
    );
    let of_other = signals.len() as u64 - of_killed;
    assert!(of("signals_published") <= of_other, "{of_other}, {report}");
    assert_eq!(of("signals_published"), of("signals_due"), "{report}");
}

/// Waits until so many signals are stored, and returns them.
async fn stored_signals(js: &Context, count: usize) -> Vec<Stored> {
    let start = std::time::Instant::now();
    loop {
        let signals = contents(js, "TECHNICAL_SIGNALS", "insight.technical.>").await;
        if signals.len() >= count {
            assert_eq!(signals.len(), count);
            return signals;
        }
        assert!(start.elapsed() < PATIENCE, "{} signals", signals.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_may_ask_and_bars_that_wait_in_a_stream_are_said_to() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(["config", "--permissions=producer"])
        .env_clear()
        .output()
        .expect("the agent starts");
    let block = String::from_utf8(output.stdout).expect("UTF-8");
    let server = NatsServer::start(Options {
        jetstream: true,
        config: format!(
            "authorization {{ users: [ {{ user: root, password: p }}, {{ user: producer, password: p, {block} }} ] }}"
        ),
    });
    let root = [("NATS_USER", "root"), ("NATS_PASSWORD", "p")];
    let producer = [("NATS_USER", "producer"), ("NATS_PASSWORD", "p")];
    let mut agent = agent(&server, &root);
    agent.wait_ready();
    let home = tempfile::tempdir().expect("a directory");
    let path = file(home.path(), 0..10);
    let (code, report) = end(&mut feed(&server, &path, &[], &producer));
    assert_eq!(
        (code, &report["outcome"]["taken"]),
        (0, &json!(160)),
        "{report}"
    );
    assert_eq!(report["outcome"]["unknown"], 0, "{report}");

    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
    let more = file(home.path(), 10..11);
    let mut fed = feed(&server, &more, &[], &root);
    assert_eq!(fed.wait_exit(), 0);
    let said = fed.output();
    assert!(
        said.contains("no agent of group technical-analysis answers: the bars are stored in stream TECHNICAL_BARS"),
        "{said}"
    );
}
