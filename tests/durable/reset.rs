//! A reset of a series, at a place in the stream that every owner and every replay sees.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use serde_json::Value;
use technical_analysis_agent::tools::verify::MOST;

use crate::common::{Agent, NatsServer, Options, user_of};
use crate::feeder::{bar, connect};
use crate::history::{PATIENCE, contents, count, judge};
use crate::verify::report_of;
use crate::{ANALYSIS, MIN_BARS, agent, ready};

const SYMBOLS: usize = 6;

/// Bars of these symbols, round by round, in a file of `home`.
pub fn file(home: &Path, symbols: std::ops::Range<usize>, rounds: std::ops::Range<u64>) -> PathBuf {
    let path = home.join(format!("{}-{}.jsonl", symbols.start, rounds.start));
    let mut file = std::fs::File::create(&path).expect("a file");
    for n in rounds {
        for symbol in symbols.clone() {
            writeln!(file, "{}", bar(symbol, n)).expect("room");
        }
    }
    path
}

/// Runs a command of the agent to its end: its exit code, its report, and all that it said.
pub fn run(server: &NatsServer, line: &[&str], user: &[(&str, &str)]) -> (i32, Value, String) {
    let url = server.url();
    let variables = [("NATS_URL", url.as_str())];
    let mut command = Agent::start_with(line, variables.into_iter().chain(user.iter().copied()));
    let code = command.wait_exit();
    let report = command
        .stdout()
        .iter()
        .find_map(|line| serde_json::from_str(line).ok());
    (code, report.unwrap_or_default(), command.output())
}

/// A server, a connection to it, and two agents that are ready, named a and b.
pub async fn members() -> (NatsServer, Context, [Agent; 2]) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut members = ["a", "b"].map(|name| agent(&server, &[("TECHNICAL_AGENT_NAME", name)]));
    members.iter_mut().for_each(Agent::wait_ready);
    (server, js, members)
}

pub fn feed(server: &NatsServer, path: &Path) {
    let path = path.to_str().expect("UTF-8");
    let (code, _, said) = run(server, &["feed", path], &[]);
    assert_eq!(code, 0, "{said}");
}

pub async fn until_signals(js: &Context, expected: usize) {
    let start = Instant::now();
    while count(js, "insight.>").await < expected {
        assert!(start.elapsed() < PATIENCE, "{expected} signals");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The streams are as a replay of the stored messages says, and the tool for everyone agrees.
pub async fn assert_kept(js: &Context, signals: usize) {
    until_signals(js, signals).await;
    let faults = judge(js).await;
    assert!(faults.is_empty(), "{faults:#?}");
    let stored = contents(js, "TECHNICAL_SIGNALS", "insight.technical.>").await;
    assert_eq!(stored.len(), signals);
    let report = report_of(js, ANALYSIS, MOST).await;
    assert!(report.ok, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_restarts_also_where_its_owner_is_killed_right_after() {
    let (server, js, mut members) = members().await;
    let home = tempfile::tempdir().expect("a directory");
    let of_round = SYMBOLS * 20 - SYMBOLS * (MIN_BARS - 1);
    feed(&server, &file(home.path(), 0..SYMBOLS, 100..120));
    until_signals(&js, of_round).await;
    let (code, report, said) = run(&server, &["reset", "S1", "1m", "--json"], &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(report["forgotten"], 20, "{said}");
    assert!(
        said.contains("S1 1m was reset: 20 bars forgotten by "),
        "{said}"
    );
    let owner = report["by"][0].as_str().expect("an owner").to_owned();
    let at = usize::from(owner == "b");
    assert!(members[at].metrics().sum("technical_series_resets_total") >= 1.0);
    members[at].wait_log("a series was reset");

    // the same bars, with the same times, within the time in which the server knows their ids
    feed(&server, &file(home.path(), 1..2, 100..120));
    let again = 20 - (MIN_BARS - 1);
    until_signals(&js, of_round + again).await;
    // once more, and the owner is gone before a checkpoint has it
    let (code, _, said) = run(&server, &["reset", "S1", "1m", "--json"], &[]);
    assert_eq!(code, 0, "{said}");
    members[at].kill();
    // older bars than any before, for the next owner
    let path = file(home.path(), 1..2, 0..20);
    let (_, report, said) = run(
        &server,
        &["feed", path.to_str().expect("UTF-8"), "--json"],
        &[],
    );
    assert_eq!(report["outcome"]["taken"], 20, "{said}");
    assert_kept(&js, of_round + 2 * again).await;

    let signals = contents(&js, "TECHNICAL_SIGNALS", "insight.technical.S1.1m").await;
    let json = |at: usize| serde_json::from_slice::<Value>(&signals[at].payload).expect("JSON");
    let restarted = json(2 * again);
    assert_eq!(
        (&restarted["bars_analyzed"], &restarted["gap_bars"]),
        (&MIN_BARS.into(), &0.into())
    );
    // the same bars give the same bytes, under ids of their own
    assert_eq!(signals[0].payload, signals[again].payload);
    let ids: std::collections::BTreeSet<_> = signals
        .iter()
        .map(|one| one.header("Nats-Msg-Id"))
        .collect();
    assert_eq!(ids.len(), signals.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_followed_by_an_agent_that_starts_later_and_restarts() {
    let (server, js, mut first) = ready(&[]).await;
    let home = tempfile::tempdir().expect("a directory");
    feed(&server, &file(home.path(), 0..2, 100..110));
    until_signals(&js, 12).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    // nobody is there: stored, and followed where it stands
    let (code, report, said) = run(&server, &["reset", "S1", "1m", "--json"], &[]);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("no agent of group technical-analysis answers; the reset is stored in stream TECHNICAL_BARS"), "{said}");
    assert_eq!(report["done"], false);
    feed(&server, &file(home.path(), 1..2, 50..58));
    for _ in 0..2 {
        let mut later = agent(&server, &[]);
        later.wait_ready();
        // once the checkpoint has it, and once more from that
        until_signals(&js, 16).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        later.kill();
    }
    let mut last = agent(&server, &[]);
    last.wait_ready();
    feed(&server, &file(home.path(), 1..2, 58..60));
    assert_kept(&js, 18).await;
    // with any configuration, replayed from the beginning of the stream
    last.sigterm();
    assert_eq!(last.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reset_is_said_and_users_need_the_permission_to_publish() {
    let durable = ("TECHNICAL_DELIVERY", "durable");
    let token = [("HTTP_ADMIN_TOKEN", "secret")];
    let mut users: String = ["agent", "producer", "consumer"]
        .map(|role| user_of(role, role, &[durable]))
        .concat();
    users += &user_of("admin", "agent", &[durable, token[0]]);
    let server = NatsServer::start(Options {
        jetstream: true,
        config: format!("authorization {{ users: [\n{{ user: root, password: p }}\n{users}] }}"),
    });
    let as_user = |name: &'static str| [("NATS_USER", name), ("NATS_PASSWORD", "p")];
    // as a user of before the token was set, as the root, and as printed with the token
    let mut agents = ["agent", "root", "admin"]
        .map(|user| agent(&server, &[&as_user(user)[..], &token].concat()));
    agents.iter_mut().for_each(Agent::wait_ready);
    let home = tempfile::tempdir().expect("a directory");
    let path = file(home.path(), 0..1, 100..110);
    let (code, _, said) = run(
        &server,
        &["feed", path.to_str().expect("UTF-8")],
        &as_user("producer"),
    );
    assert_eq!(code, 0, "{said}");

    let reset = |line: &[&str], user| {
        run(
            &server,
            &[&["reset"], line, &["--json"]].concat(),
            &as_user(user),
        )
    };
    let (code, _, said) = reset(&["S9", "1m"], "producer");
    assert_eq!(code, 65, "{said}");
    assert!(said.contains("there is no series S9 1m, says "), "{said}");
    assert_eq!(reset(&["S0", "7x"], "root").0, 64);
    assert_eq!(reset(&["", "1m"], "root").0, 64);
    let (code, _, said) = reset(
        &["S0", "1m", "--subject", "raw.market_data.price.S1.1m"],
        "root",
    );
    assert_eq!(code, 65, "{said}");
    assert!(said.contains("mismatch"), "{said}");
    let (code, _, said) = reset(&["S0", "1m"], "consumer");
    assert_eq!(code, 69, "{said}");
    assert!(
        said.contains("may not publish to `raw.market_data.price.S0.1m`"),
        "{said}"
    );

    // over HTTP: with the token, by an agent that may publish market data
    let post = |at: usize, token, series: &str| {
        agents[at].post(&format!("/admin/series/{series}/reset"), token, "")
    };
    assert_eq!(post(1, None, "S0/1m").status, 401);
    assert_eq!(post(1, Some("secret"), "S0/7x").status, 400);
    assert_eq!(post(1, Some("secret"), "S9/1m").status, 404);
    let denied = post(0, Some("secret"), "S0/1m");
    assert_eq!(denied.status, 403, "{}", denied.body);
    let done = post(1, Some("secret"), "S0/1m");
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.json()["forgotten"], 10, "{}", done.body);
    let (code, report, said) = reset(&["S0", "1m"], "producer");
    assert_eq!((code, &report["forgotten"]), (0, &0.into()), "{said}");
    let printed = post(2, Some("secret"), "S0/1m");
    assert_eq!(printed.status, 200, "{}", printed.body);
    assert_eq!(printed.json()["status"], "reset", "{}", printed.body);
    // a refused reset takes nothing away from the agent that asked for it
    for agent in &agents {
        assert_eq!(agent.get("/readyz").status, 200, "{}", agent.output());
    }
}
