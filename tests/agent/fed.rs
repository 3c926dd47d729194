//! `feed` says what the agents did with exactly its bars.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{Agent, NatsServer, Options, Received, flat, send, until_async};
use crate::group::{member, member_with, wait_shared};
use crate::{client, listening, ready_agent};

const SYMBOLS: usize = 16;

/// A file in a directory that goes with it.
struct File {
    _home: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(lines: impl IntoIterator<Item = String>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("bars.jsonl");
        let mut file = std::fs::File::create(&path).unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        Self { _home: home, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Of each symbol: ten bars, the last one again and with another close, one that is older than
/// everything, and one without a valid price.
fn mixed(symbols: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for symbol in (0..symbols).map(|at| format!("F{at}")) {
        lines.extend((100..110).map(|minute| flat(&symbol, minute, 10.0)));
        lines.push(flat(&symbol, 109, 10.0));
        lines.push(flat(&symbol, 109, 11.0));
        let mut early = flat(&symbol, 0, 10.0);
        early["timestamp"] = 1_600_000_020.into();
        lines.push(early);
        lines.push(flat(&symbol, 110, -1.0));
    }
    lines.iter().map(Value::to_string).collect()
}

fn some_bars() -> File {
    File::new((0..5).map(|minute| flat("A", minute, 10.0).to_string()))
}

/// Runs `feed` to its end; its exit code, what it said, and its report.
fn feed(variables: &[(&str, &str)], file: &File) -> (i32, String, Value) {
    let line = ["feed", file.path(), "--json"];
    let mut feed = Agent::start_with(&line, variables.iter().copied());
    let code = feed.wait_exit();
    let stdout = feed.stdout();
    let report = stdout
        .iter()
        .find_map(|line| serde_json::from_str(line).ok());
    (code, feed.output(), report.expect("a report"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_accounted_for_among_other_publishers_and_two_agents() {
    let (server, client, signals) = listening().await;
    // so that bars of other publishers change no signal of the bars that are fed
    let newest_only = [("TECHNICAL_CORRECTABLE_BARS", "1")];
    let mut agents = ["a", "b"].map(|name| member_with(&server, name, &newest_only));
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_shared(&agents.each_ref()).await;
    // bars of the same series that are older than those of the file, all the time
    let other = client.clone();
    let other = tokio::spawn(async move {
        for round in 0.. {
            for symbol in 0..SYMBOLS {
                send(&other, &flat(&format!("F{symbol}"), round % 90, 5.0)).await;
                send(&other, &flat(&format!("F{symbol}"), 0, -1.0)).await;
            }
        }
    });
    let file = File::new(mixed(SYMBOLS));
    let url = server.url();
    let (code, said, report) = feed(&[("NATS_URL", &url)], &file);
    other.abort();
    assert_eq!(code, 0, "{said}");
    let outcome = &report["outcome"];
    let expected = json!({
        "agents": ["a", "b"],
        "taken": 160, "completed": 0, "corrections": 16, "duplicates": 16, "forming": 0,
        "ignored": 0, "refused": { "late": 16, "bad_price": 16 },
        "details": outcome["details"], "signals_due": 176, "signals_published": 176, "unknown": 0,
    });
    assert_eq!(*outcome, expected, "{said}");
    let details = outcome["details"].to_string();
    assert!(details.contains("send bars in order"), "{details}");
    assert!(
        said.contains("by asking the agents (a, b): 160 bars taken, 176 signals due and published"),
        "{said}"
    );
    // and so it was
    let fed = |one: &Received| one.json()["close"] == 10.0 || one.json()["close"] == 11.0;
    let count = || signals.messages().iter().filter(|one| fed(one)).count();
    until_async("the signals", || (count() >= 176).then_some(())).await;
    assert_eq!(count(), 176);
}

/// Feeds `bars` bars in as many symbols, at 100 a second.
fn slow_feed(server: &NatsServer, bars: u64) -> (Agent, File) {
    let lines = (0..bars).map(|at| flat(&format!("S{at}"), at, 10.0).to_string());
    let file = File::new(lines);
    let line = ["feed", file.path(), "--json", "--rate", "100"];
    (
        Agent::start_with(&line, [("NATS_URL", server.url().as_str())]),
        file,
    )
}

fn outcome_of(feed: &mut Agent) -> Value {
    assert_eq!(feed.wait_exit(), 0, "{}", feed.output());
    let stdout = feed.stdout();
    let report = stdout
        .iter()
        .find_map(|line| serde_json::from_str::<Value>(line).ok());
    report.expect("a report")["outcome"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_accounted_for_while_a_member_joins() {
    let (server, _client, signals) = listening().await;
    let mut first = member(&server, "first");
    first.wait_ready();
    let (mut feed, _file) = slow_feed(&server, 600);
    signals.wait_for(50).await;
    let mut second = member(&server, "second");
    second.wait_ready();
    wait_shared(&[&first, &second]).await;
    assert!(signals.len() < 600, "it joined too late for this test");
    let outcome = outcome_of(&mut feed);
    let of = |name: &str| outcome[name].as_u64();
    let told = (
        of("taken"),
        of("signals_due"),
        of("signals_published"),
        of("unknown"),
    );
    assert_eq!(
        told,
        (Some(600), Some(600), Some(600), Some(0)),
        "{outcome}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bars_that_only_a_killed_member_has_seen_are_unknown() {
    let (server, _client, signals) = listening().await;
    let mut first = member(&server, "first");
    first.wait_ready();
    let (mut feed, _file) = slow_feed(&server, 300);
    signals.wait_for(50).await;
    first.kill();
    let killed_at = signals.len() as u64;
    let mut second = member(&server, "second");
    second.wait_ready();
    let outcome = outcome_of(&mut feed);
    let of = |name: &str| outcome[name].as_u64().unwrap();
    assert!(of("unknown") >= killed_at, "{outcome}");
    assert_eq!(of("taken") + of("unknown"), 300, "{outcome}");
    assert_eq!(outcome["agents"], json!(["second"]));
    let by_second = || {
        let came = signals.messages();
        let by_second = came
            .iter()
            .filter(|one| one.header("Ta-Agent") == Some("second"));
        by_second.count() as u64
    };
    let published = of("signals_published");
    until_async("its signals", || (by_second() >= published).then_some(())).await;
    assert_eq!(by_second(), published, "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_bars_in_a_message_are_accounted_for_one_by_one() {
    let server = NatsServer::plain();
    let _agent = ready_agent(&server, "a", &[]);
    let row = |minute: u64, close: u64| {
        json!([
            (1_704_067_200 + 60 * minute) * 1_000,
            close,
            close,
            close,
            close,
            7
        ])
    };
    // the last row is forming until the next one comes, and every row is complete with the one after it
    let rows: Vec<Value> = (0..5).map(|minute| row(minute, 10)).collect();
    let objects: Vec<Value> = (10..14).map(|minute| flat("ROWS", minute, 9.0)).collect();
    let lines = [
        Value::from(rows).to_string(),
        Value::from(objects).to_string(),
    ];
    let file = File::new(lines);
    let line = [
        "feed",
        file.path(),
        "--json",
        "--symbol",
        "ROWS",
        "--timeframe",
        "1m",
    ];
    let url = server.url();
    let mut feed = Agent::start_with(&line, [("NATS_URL", url.as_str())]);
    assert_eq!(feed.wait_exit(), 0, "{}", feed.output());
    let stdout = feed.stdout();
    let report: Value = stdout
        .iter()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap();
    let outcome = &report["outcome"];
    assert_eq!(
        report["published"], 5,
        "the objects of an array are messages of their own"
    );
    assert_eq!(
        [
            &outcome["taken"],
            &outcome["completed"],
            &outcome["forming"],
            &outcome["unknown"]
        ],
        [8, 1, 1, 0],
        "{report}"
    );
    assert_eq!(outcome["signals_published"], 9, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_of_which_every_bar_is_refused_fails() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let _agent = ready_agent(&server, "a", &[]);
    send(&client, &flat("A", 500, 10.0)).await;
    let file = File::new((0..20).map(|minute| flat("A", minute, 10.0).to_string()));
    let url = server.url();
    let (code, said, report) = feed(&[("NATS_URL", &url)], &file);
    assert_eq!(code, 65, "{said}");
    assert_eq!(report["outcome"]["refused"]["late"], 20, "{said}");
    assert!(
        said.contains("0 bars taken, 0 signals due and published, 20 late"),
        "{said}"
    );
    // one that is taken is enough
    let more = (499..502).map(|minute| flat("A", minute, 10.0).to_string());
    let (code, said, _) = feed(&[("NATS_URL", &url)], &File::new(more));
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_no_agent_hears_of_says_so() {
    let server = NatsServer::plain();
    let url = server.url();
    let file = some_bars();
    let (code, said, report) = feed(&[("NATS_URL", &url)], &file);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("no agent of group technical-analysis answers: no stream stores"),
        "{said}"
    );
    assert_eq!(report["outcome"]["agents"], json!([]));
    // one of another group answers for itself
    let _agent = ready_agent(&server, "a", &[("TECHNICAL_GROUP", "desk")]);
    let (_, said, _) = feed(&[("NATS_URL", &url)], &file);
    assert!(
        said.contains("no agent of group technical-analysis answers"),
        "{said}"
    );
    let group = [("NATS_URL", url.as_str()), ("TECHNICAL_GROUP", "desk")];
    let (_, said, report) = feed(&group, &file);
    assert_eq!(report["outcome"]["agents"], json!(["a"]), "{said}");
    assert_eq!(report["outcome"]["unknown"], 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_not_ask_is_told_what_to_allow() {
    let server = NatsServer::start(Options {
        jetstream: false,
        config: r#"authorization { users: [
            { user: root, password: p }
            { user: old, password: p, permissions: {
                publish: ["raw.market_data.price.>"], subscribe: ["_INBOX.>"] } } ] }"#
            .to_owned(),
    });
    let url = server.url();
    let root = [("NATS_USER", "root"), ("NATS_PASSWORD", "p")];
    let _agent = ready_agent(&server, "a", &root);
    let file = some_bars();
    let old = [
        ("NATS_URL", url.as_str()),
        ("NATS_USER", "old"),
        ("NATS_PASSWORD", "p"),
    ];
    let (code, said, _) = feed(&old, &file);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("may not publish to `technical.feed.*`"),
        "{said}"
    );
}
