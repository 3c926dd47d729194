//! A made-up market that trades for as long as it is asked to, and what `replay` says of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{Collected, Received};

/// 2024-01-01T00:00:00Z, in seconds.
pub const DAY_ONE: u64 = 1_704_067_200;

/// A bar of one minute whose four prices are `close`.
pub fn flat(symbol: &str, minute: u64, close: f64) -> Value {
    json!({
        "symbol": symbol, "timeframe": "1m", "timestamp": DAY_ONE + 60 * minute,
        "open": close, "high": close, "low": close, "close": close, "volume": 100,
    })
}

/// Random walks of some symbols, the same for the same number of symbols.
pub struct Market {
    closes: Vec<f64>,
    state: u64,
    bars: usize,
}

impl Market {
    pub fn new(symbols: usize) -> Self {
        Self {
            closes: vec![100.0; symbols],
            state: 0x9e37_79b9_7f4a_7c15,
            bars: 0,
        }
    }

    /// Uniform in 0…1, from Knuth's linear congruential generator.
    fn random(&mut self) -> f64 {
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f64 / (1u64 << 24) as f64
    }

    /// The next bar, of one symbol after the other: its subject and payload.
    pub fn next(&mut self) -> (String, String) {
        let symbols = self.closes.len();
        let (at, minute) = (self.bars % symbols, self.bars / symbols);
        self.bars += 1;
        let open = self.closes[at];
        let close = (open * (0.99 + 0.02 * self.random())).max(1.0);
        let high = open.max(close) + self.random();
        let low = open.min(close) * (1.0 - 0.01 * self.random());
        let volume = (1_000.0 * self.random()).round();
        self.closes[at] = close;
        let timestamp = DAY_ONE + 60 * minute as u64;
        let payload = json!({
            "timestamp": timestamp, "open": open, "high": high, "low": low, "close": close,
            "volume": volume, "symbol": format!("M{at}"), "timeframe": "1m",
        });
        let subject = format!("raw.market_data.price.M{at}.1m");
        (subject, payload.to_string())
    }
}

/// Bars that flow at a rate until told to end.
pub struct Flow {
    end: watch::Sender<bool>,
    sent: Arc<AtomicUsize>,
    task: JoinHandle<Vec<String>>,
}

impl Flow {
    /// Publishes `per_second` bars of `market`.
    pub fn start(client: &Client, mut market: Market, per_second: usize) -> Self {
        const STEP: Duration = Duration::from_millis(10);
        let (end, ended) = watch::channel(false);
        let sent = Arc::new(AtomicUsize::new(0));
        let (client, counter) = (client.clone(), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            let mut payloads = Vec::new();
            let mut steps = interval(STEP);
            steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !*ended.borrow() {
                steps.tick().await;
                for _ in 0..(per_second / 100).max(1) {
                    let (subject, payload) = market.next();
                    let publish = client.publish(subject, payload.clone().into());
                    publish.await.expect("a connection");
                    payloads.push(payload);
                }
                client.flush().await.expect("a connection");
                counter.store(payloads.len(), Ordering::Release);
            }
            payloads
        });
        Self { end, sent, task }
    }

    /// Bars sent so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Acquire)
    }

    /// Waits until `more` bars have been sent from now on.
    pub async fn wait_more(&self, more: usize) {
        let goal = self.sent() + more;
        super::until_async("bars to flow", || (self.sent() >= goal).then_some(())).await;
    }

    /// Ends the flow, and returns the payloads of all bars in the order they were sent.
    pub async fn stop(self) -> Vec<String> {
        self.end.send_replace(true);
        self.task.await.expect("the flow does not fail")
    }
}

/// Publishes a payload on the subject of its series, with a flush.
pub async fn send(client: &Client, payload: &Value) {
    let text = |name: &str| payload[name].as_str().expect("a text").to_owned();
    let subject = format!(
        "raw.market_data.price.{}.{}",
        text("symbol").replace('.', "%2E"),
        text("timeframe")
    );
    publish(client, &subject, &payload.to_string()).await;
}

/// Publishes anything, with a flush.
pub async fn publish(client: &Client, subject: &str, payload: &str) {
    publish_with(client, subject, HeaderMap::new(), payload).await;
}

/// [`publish`] with headers.
pub async fn publish_with(client: &Client, subject: &str, headers: HeaderMap, payload: &str) {
    let publish =
        client.publish_with_headers(subject.to_owned(), headers, payload.to_owned().into());
    publish.await.expect("a connection");
    client.flush().await.expect("a connection");
}

/// The signals that `replay` prints for these payloads, one line each, under `variables`.
pub fn replay<S: AsRef<str>>(payloads: &[S], variables: &[(&str, &str)]) -> Vec<String> {
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .expect("a temporary file");
    for payload in payloads {
        writeln!(file, "{}", payload.as_ref()).expect("a writable file");
    }
    file.flush().expect("a writable file");
    replay_files(&[file.path()], variables)
}

/// [`replay`] of files.
pub fn replay_files(files: &[&std::path::Path], variables: &[(&str, &str)]) -> Vec<String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        // bars that an agent has not closed yet stay open
        .args(["replay", "--leave-open"])
        .args(files)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(home.path())
        .output()
        .expect("the agent starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "replay: {said}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

/// The payloads of each series, in order.
fn by_series<'a>(
    payloads: impl Iterator<Item = &'a str>,
) -> BTreeMap<(String, String), Vec<&'a str>> {
    let mut series: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for payload in payloads {
        #[derive(serde::Deserialize)]
        struct Key {
            symbol: String,
            timeframe: String,
        }
        let key: Key = serde_json::from_str(payload).expect("a signal");
        series
            .entry((key.symbol, key.timeframe))
            .or_default()
            .push(payload);
    }
    series
}

/// Asserts that the expected signals arrived: of each series every one once, in order, byte for
/// byte.
pub fn assert_same(came: &[Received], expected: &[String]) {
    let faults = faults(came, expected);
    let of = (came.len(), expected.len());
    assert!(
        faults.is_empty(),
        "{} of {} signals came:\n{}",
        of.0,
        of.1,
        faults.join("\n")
    );
}

/// Differences between the signals that arrived and the expected ones.
fn faults(came: &[Received], expected: &[String]) -> Vec<String> {
    let came = came
        .iter()
        .map(|m| std::str::from_utf8(&m.payload).expect("UTF-8"));
    let came = by_series(came);
    let expected = by_series(expected.iter().map(String::as_str));
    let mut faults = Vec::new();
    for (series, wanted) in &expected {
        let found = came.get(series).map_or(&[][..], Vec::as_slice);
        if found == wanted.as_slice() {
            continue;
        }
        let times = |all: &[&str], one: &str| all.iter().filter(|p| **p == one).count();
        let some = |what: &str, list: Vec<&str>| {
            let at: Vec<String> = list.iter().take(4).map(|p| when(p)).collect();
            (!list.is_empty()).then(|| format!("{} {what} ({})", list.len(), at.join(", ")))
        };
        let parts = [
            some(
                "missing",
                wanted
                    .iter()
                    .filter(|p| times(found, p) == 0)
                    .copied()
                    .collect(),
            ),
            some(
                "more than once",
                wanted
                    .iter()
                    .filter(|p| times(found, p) > 1)
                    .copied()
                    .collect(),
            ),
            some(
                "that replay does not give",
                found
                    .iter()
                    .filter(|p| times(wanted, p) == 0)
                    .copied()
                    .collect(),
            ),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let what = if parts.is_empty() {
            "out of order".to_owned()
        } else {
            parts.join("; ")
        };
        faults.push(format!("{} {}: {what}", series.0, series.1));
    }
    for series in came.keys().filter(|series| !expected.contains_key(*series)) {
        faults.push(format!("{} {}: not expected at all", series.0, series.1));
    }
    faults
}

/// The bar a signal is about.
pub fn when(payload: &str) -> String {
    let signal: Value = serde_json::from_str(payload).expect("a signal");
    let timestamp = signal["timestamp"].as_str().expect("a timestamp");
    format!("{timestamp} rev {}", signal["revision"])
}

/// No signal came twice, by payload and by message id.
pub fn assert_nothing_twice(came: &[Received]) {
    let mut ids = BTreeMap::new();
    for message in came {
        let id = message.header("Nats-Msg-Id").expect("a message id");
        let agent = message.header("Ta-Agent").expect("an agent");
        if let Some(before) = ids.insert(id.to_owned(), agent.to_owned()) {
            panic!("{id} came from {before} and from {agent}");
        }
    }
}

/// Waits for as many signals as are expected, and a moment longer for those that are too many.
pub async fn settled(signals: &Collected, expected: usize) -> Vec<Received> {
    const STANDSTILL: Duration = Duration::from_secs(5);
    while signals.len() < expected {
        if !signals.wait_change(STANDSTILL).await {
            // too few: whoever compares says which are missing
            return signals.messages();
        }
    }
    signals.wait_quiet(Duration::from_millis(400)).await
}
