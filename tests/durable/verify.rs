//! `verify` finds the streams of agents in order, then finds and names each change made to them.
//!
//! The findings expected of a broken stream are the changes that the test made. Those of a whole
//! stream come from `replay` and from the outcome that each message names for itself
//! ([`crate::verdict`]).

mod damage;
mod passes;
mod retained;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use technical_analysis_agent::app;
use technical_analysis_agent::bus::Link;
use technical_analysis_agent::config::{Config, Environment};
use technical_analysis_agent::tools::verify::{Task, VerifyReport};

use crate::common::{Agent, NatsServer, PATIENCE};
use crate::feeder::{Counts, bar, connect, store, store_round};
use crate::history::{Due, Stored, contents, count};
use crate::permissions::connected_as;
use crate::{ANALYSIS, Variables, agent};

const SYMBOLS: usize = 6;
const ROUNDS: u64 = 30;
const LISTS: [&str; 5] = ["missing", "doubled", "different", "out_of_order", "holes"];
/// The limit that the fed market breaks now and then.
const MARKET: [(&str, &str); 1] = [("TECHNICAL_MAX_PAYLOAD_BYTES", "4096")];

/// The configuration of the agents here, for replay.
const CONFIGURATION: [Variables; 1] = [&[
    ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
    ("TECHNICAL_MIN_BARS_REQUIRED", "5"),
    ("TECHNICAL_MAX_PAYLOAD_BYTES", "4096"),
    ("TECHNICAL_INDICATORS", "atr(14)"),
]];

/// Exit status and output of a run of `verify`.
struct Verified {
    code: i32,
    stdout: String,
    all: String,
}

impl Verified {
    fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.all))
    }

    /// The findings of one list.
    fn list(&self, name: &str) -> Vec<Value> {
        let report = self.report();
        report[name].as_array().expect("a list").clone()
    }

    /// Number of findings in each list.
    fn totals(&self) -> [u64; 5] {
        let report = self.report();
        LISTS.map(|name| report["totals"][name].as_u64().expect("a total"))
    }
}

fn run(url: &str, options: &[&str], more: &[(&str, &str)]) -> Verified {
    let arguments: Vec<&str> = ["verify"].iter().chain(options).copied().collect();
    let mut variables = vec![("NATS_URL", url)];
    variables.extend_from_slice(ANALYSIS);
    variables.extend_from_slice(&MARKET);
    variables.extend_from_slice(more);
    let mut run = Agent::start_with(&arguments, variables);
    Verified {
        code: run.wait_exit(),
        stdout: run.stdout().join("\n"),
        all: run.output(),
    }
}

fn verify(server: &NatsServer) -> Verified {
    run(&server.url(), &["--json"], &[])
}

/// Verifies under the first of these configurations, given the others as earlier ones.
pub fn verify_after(urls: &str, configurations: &[&[(&str, &str)]]) -> Result<(), String> {
    let files: Vec<tempfile::NamedTempFile> = configurations[1..]
        .iter()
        .map(|variables| {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            for (name, value) in variables.iter() {
                writeln!(file, "{name}={value}").expect("a writable file");
            }
            file
        })
        .collect();
    let mut options = vec!["--json"];
    for file in &files {
        options.extend(["--former", file.path().to_str().expect("a name in UTF-8")]);
    }
    let verified = run(urls, &options, configurations[0]);
    let skipped = verified.code == 0 && verified.report()["not_checkable"] != json!({});
    if verified.code == 0 && !skipped {
        return Ok(());
    }
    Err(verified.all)
}

/// An environment of these variables alone.
struct Only(Vec<(String, String)>);

impl Environment for Only {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn host(&self) -> String {
        "here".to_owned()
    }

    fn pid(&self) -> u32 {
        1
    }
}

/// The report under a configuration, without a process of its own.
pub async fn report_of(js: &Context, variables: &[(&str, &str)], most: u64) -> VerifyReport {
    let own = variables.iter();
    let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = Config::load(&Only(own.collect())).expect("a configuration");
    let task = Task {
        config: &config,
        former: &[],
        from: None,
        to: None,
        most,
        metrics: &app::metrics(),
    };
    let (client, link) = (js.client(), Link::new());
    technical_analysis_agent::tools::verify::verify(&client, &link, &task)
        .await
        .expect("streams")
}

/// Nothing is wrong, and nothing was left out.
fn clean(verified: &Verified) -> Value {
    let report = verified.report();
    assert_eq!(verified.code, 0, "{}", verified.all);
    assert_eq!(verified.totals(), [0; 5], "{report:#}");
    assert_eq!(report["ok"], true);
    report
}

/// A server whose streams hold a market and what an agent made of it; the agent has ended.
async fn judged_market(more: &[(&str, &str)]) -> (NatsServer, Context, u64) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[&MARKET, more].concat());
    running.wait_ready();
    let counts = Counts::default();
    for n in 0..ROUNDS {
        for symbol in 0..SYMBOLS {
            store_round(&js, symbol, n, &counts).await;
        }
    }
    let fed = counts.bars.into_inner() + counts.malformed.into_inner();
    let due = Due::of(&js, &CONFIGURATION).await;
    assert!(due.wait(&js).await, "everything due is stored");
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
    (server, js, fed)
}

async fn signals(js: &Context) -> Vec<Stored> {
    contents(js, "TECHNICAL_SIGNALS", "insight.>").await
}

async fn letters(js: &Context) -> Vec<Stored> {
    contents(js, "TECHNICAL_SIGNALS", "dead.technical").await
}

fn of(all: &[Stored], symbol: &str) -> Vec<Stored> {
    let subject = format!("insight.technical.{symbol}.1m");
    let of = all.iter().filter(|one| one.subject == subject);
    of.cloned().collect()
}

async fn delete(js: &Context, stream: &str, seq: u64) {
    let stream = js.get_stream(stream).await.expect("the stream");
    assert!(stream.delete_message(seq).await.expect("an answer"));
}

/// Stores a message in the stream of signals; its sequence.
async fn publish(js: &Context, subject: &str, headers: HeaderMap, payload: Vec<u8>) -> u64 {
    let sent = js.publish_with_headers(subject.to_owned(), headers, payload.into());
    let acknowledged = sent.await.expect("a request").await;
    acknowledged.expect("it is stored").sequence
}

/// The headers under another message id.
fn renamed(headers: &HeaderMap, id: &str) -> HeaderMap {
    let mut other = HeaderMap::new();
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        if name.starts_with("Ta-") {
            for value in values {
                other.append(name, value.as_str());
            }
        }
    }
    other.insert("Nats-Msg-Id", id);
    other
}

fn payload(signal: &Stored) -> Value {
    serde_json::from_slice(&signal.payload).expect("a signal")
}

/// Returns whether a finding is about this signal.
fn is_about(finding: &Value, signal: &Stored) -> bool {
    let payload = payload(signal);
    ["symbol", "timeframe", "timestamp", "revision"]
        .iter()
        .all(|name| finding[*name] == payload[*name])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_stored_of_a_market_is_as_promised_and_is_left_as_it_is() {
    let (server, js, fed) = judged_market(&[]).await;
    let (before, refused) = (signals(&js).await, letters(&js).await);
    let last_stored = last_seq(&js, "TECHNICAL_SIGNALS").await;
    let report = clean(&verify(&server));
    assert_eq!(report["bars"], fed);
    assert_eq!(report["signals"], before.len());
    assert_eq!(report["dead_letters"], refused.len());
    assert_eq!(report["pending"], 0);
    assert_eq!(report["not_checkable"], json!({}));
    // an independent judgement says the same
    let due = Due::of(&js, &CONFIGURATION).await;
    let faults: Vec<String> = due
        .verdicts(&js)
        .await
        .into_iter()
        .flat_map(|verdict| verdict.faults)
        .collect();
    assert_eq!(faults, [""; 0]);

    // people are told the same
    let text = run(&server.url(), &[], &[]);
    assert_eq!(text.code, 0, "{}", text.all);
    let row = |name: &str, count: u64| format!("{name:14}{count:>12}");
    assert!(text.stdout.contains(&row("bars", fed)), "{}", text.stdout);
    assert!(text.stdout.contains("every promise is kept"));

    // nothing was stored, and no consumer is left
    let consumers = consumers(&js).await;
    clean(&verify(&server));
    assert_eq!(self::consumers(&js).await, consumers);
    let after = last_seq(&js, "TECHNICAL_SIGNALS").await;
    assert_eq!(after, last_stored);
}

async fn last_seq(js: &Context, stream: &str) -> u64 {
    let stream = js.get_stream(stream).await.expect("the stream");
    stream.cached_info().state.last_sequence
}

/// The consumers of all streams that are read.
async fn consumers(js: &Context) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in [
        "TECHNICAL_BARS",
        "IN_TECHNICAL_BARS",
        "TECHNICAL_BARS_BARE",
        "TECHNICAL_SIGNALS",
    ] {
        let stream = js.get_stream(name).await.expect("the stream");
        let mut names = stream.consumer_names();
        while let Some(name) = names.next().await {
            all.insert(name.expect("a name"));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_has_the_same_shape_whether_or_not_something_is_wrong() {
    let (server, js, _) = judged_market(&[]).await;
    let whole = verify(&server).report();
    let one = &signals(&js).await[9];
    delete(&js, "TECHNICAL_SIGNALS", one.seq).await;
    let broken = verify(&server).report();
    for report in [&whole, &broken] {
        for name in ["bars", "signals", "dead_letters", "pending"] {
            assert!(report[name].is_u64(), "{name}: {report:#}");
        }
        for name in LISTS {
            let all = report[name].as_array().expect("a list");
            assert_eq!(report["totals"][name], all.len(), "{name}");
        }
        assert!(report["ok"].is_boolean());
    }
    let names = |report: &Value| -> BTreeSet<String> {
        report
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(names(&whole), names(&broken));
    assert_eq!((&whole["ok"], &broken["ok"]), (&json!(true), &json!(false)));
}

/// The block of permissions that is printed for the user who verifies, less the lines with `less`.
fn permissions(less: &str) -> String {
    let mut printed = Agent::start_with(&["config", "--permissions=verify"], []);
    assert_eq!(printed.wait_exit(), 0, "{}", printed.output());
    let lines = printed.stdout();
    let kept = lines
        .iter()
        .filter(|line| less.is_empty() || !line.contains(less));
    kept.map(|line| format!("{line}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_permissions_that_are_printed_for_it_are_enough_and_each_is_needed() {
    let user = [("NATS_USER", "auditor"), ("NATS_PASSWORD", "a")];
    for (less, told) in [
        ("", None),
        (
            "STREAM.INFO.TECHNICAL_BARS\"",
            Some("$JS.API.STREAM.INFO.TECHNICAL_BARS`"),
        ),
        (
            "STREAM.MSG.GET",
            Some("$JS.API.STREAM.MSG.GET.TECHNICAL_SIGNALS`"),
        ),
        (
            "CONSUMER.CREATE.TECHNICAL_SIGNALS",
            Some("$JS.API.CONSUMER.CREATE.TECHNICAL_SIGNALS"),
        ),
    ] {
        let server = NatsServer::start(crate::common::Options {
            jetstream: true,
            config: format!(
                "authorization {{ users: [\n{{ user: all, password: s }}\n\
                 {{ user: auditor, password: a, {} }}\n] }}",
                permissions(less)
            ),
        });
        let all = [("NATS_USER", "all"), ("NATS_PASSWORD", "s")];
        let mut running = agent(&server, &all);
        running.wait_ready();
        let js = connected_as(&server, "all", "s").await;
        feed(&js, 0, 0..10).await;
        stored(&js, 6).await;
        let verified = run(&server.url(), &["--json"], &user);
        match told {
            None => {
                assert_eq!(clean(&verified)["signals"], 6);
            }
            Some(told) => {
                assert_eq!(verified.code, 69, "{}", verified.all);
                assert!(
                    verified.all.contains("lacks a permission"),
                    "{}",
                    verified.all
                );
                assert!(verified.all.contains(told), "{}", verified.all);
            }
        }
    }
}

/// Bars of one symbol on its subject.
async fn feed(js: &Context, symbol: usize, bars: std::ops::Range<u64>) {
    for n in bars {
        let subject = format!("raw.market_data.price.S{symbol}.1m");
        let (payload, id) = (bar(symbol, n).to_string(), format!("{symbol}-{n}"));
        store(js, &subject, &payload, &id).await;
    }
}

/// Waits until so many signals are stored.
async fn stored(js: &Context, signals: usize) {
    let start = Instant::now();
    while count(js, "insight.>").await < signals {
        assert!(start.elapsed() < PATIENCE, "{signals} signals");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
