//! What the streams contain in the end, and whether it is what was promised.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::ANALYSIS;

/// Longer than any recovery takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Stored {
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub at: i128,
    pub headers: HeaderMap,
    pub payload: Vec<u8>,
}

/// All of a stream that matches, in its order.
pub async fn contents(js: &Context, stream: &str, filter: &str) -> Vec<Stored> {
    let Ok(stream) = js.get_stream(stream).await else {
        return Vec::new();
    };
    let config = OrderedConfig {
        filter_subject: filter.to_owned(),
        ..OrderedConfig::default()
    };
    let mut consumer = stream.create_consumer(config).await.expect("a consumer");
    let pending = consumer.info().await.expect("its state").num_pending;
    let mut all = Vec::new();
    if pending == 0 {
        return all;
    }
    let mut messages = consumer.messages().await.expect("its messages");
    while let Some(message) = messages.next().await {
        let message = message.expect("a message");
        let info = message.info().expect("where it stands");
        let left = info.pending;
        all.push(Stored {
            seq: info.stream_sequence,
            at: info.published.unix_timestamp_nanos(),
            headers: message.headers.clone().unwrap_or_default(),
            payload: message.payload.to_vec(),
        });
        if left == 0 {
            break;
        }
    }
    all
}

/// By which a signal is told from another.
type Key = (String, String, String, u64);

fn key(signal: &Value) -> Key {
    let text = |name: &str| signal[name].as_str().unwrap_or_default().to_owned();
    let revision = signal["revision"].as_u64().unwrap_or(u64::MAX);
    (
        text("symbol"),
        text("timeframe"),
        text("timestamp"),
        revision,
    )
}

/// Everything that is wrong with `signals`, given what `replay` makes of the same bars.
pub fn faults(signals: &[Vec<u8>], replayed: &[Vec<u8>]) -> Vec<String> {
    let read = |bytes: &Vec<u8>| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let expected: BTreeMap<Key, &Vec<u8>> = replayed
        .iter()
        .map(|line| (key(&read(line)), line))
        .collect();
    let mut faults = Vec::new();
    let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
    let mut newest: BTreeMap<(String, String), (String, u64)> = BTreeMap::new();
    for signal in signals {
        let key = key(&read(signal));
        *seen.entry(key.clone()).or_default() += 1;
        match expected.get(&key) {
            None => faults.push(format!("a signal of no bar: {key:?}")),
            Some(line) if *line != signal => faults.push(format!("other bytes: {key:?}")),
            Some(_) => {}
        }
        let series = (key.0.clone(), key.1.clone());
        let at = (key.2.clone(), key.3);
        if newest.get(&series).is_some_and(|last| *last >= at) {
            faults.push(format!("out of order: {key:?}"));
        }
        newest.insert(series, at);
    }
    for key in expected.keys() {
        match seen.get(key) {
            Some(1) => {}
            Some(n) => faults.push(format!("{n} times: {key:?}")),
            None => faults.push(format!("missing: {key:?}")),
        }
    }
    faults
}

/// What `replay` prints for these payloads.
pub fn replay(payloads: &[Stored]) -> Vec<Vec<u8>> {
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .expect("a temporary file");
    for one in payloads {
        file.write_all(&one.payload).expect("a writable file");
        file.write_all(b"\n").expect("a writable file");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .arg("replay")
        .arg(file.path())
        .env_clear()
        .envs(ANALYSIS.iter().copied())
        .output()
        .expect("replay runs");
    assert!(output.status.success(), "{output:?}");
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// What is wrong in the streams as they are now.
pub async fn judge(js: &Context) -> Vec<String> {
    let mut bars = contents(js, "TECHNICAL_BARS", ">").await;
    bars.extend(contents(js, "TECHNICAL_BARS_BARE", ">").await);
    let signals: Vec<Vec<u8>> = contents(js, "TECHNICAL_SIGNALS", "insight.>")
        .await
        .into_iter()
        .map(|stored| stored.payload)
        .collect();
    let mut faults = faults(&signals, &replay(&bars));
    // what cannot be read is dead-lettered, once
    let refused = bars
        .iter()
        .filter(|bar| serde_json::from_slice::<Value>(&bar.payload).is_err())
        .count();
    let letters = contents(js, "TECHNICAL_SIGNALS", "dead.technical")
        .await
        .len();
    if letters != refused {
        faults.push(format!(
            "{letters} dead letters for {refused} refused messages"
        ));
    }
    faults
}

/// Waits until the streams are as promised for `bars` bars of `symbols` symbols: first until as
/// many signals are there as those bars give, then judges.
pub async fn settle(js: &Context, bars: u64, symbols: u64) {
    let expected = bars - symbols * (crate::MIN_BARS as u64 - 1);
    let start = Instant::now();
    loop {
        let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await.len() as u64;
        if stored >= expected || start.elapsed() > PATIENCE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // the last dead letters may be a batch behind
    let mut faults = judge(js).await;
    while !faults.is_empty() && faults[0].contains("dead letters") && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        faults = judge(js).await;
    }
    let shown = &faults[..faults.len().min(20)];
    assert!(faults.is_empty(), "{} faults: {shown:#?}", faults.len());
    let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await.len() as u64;
    assert_eq!(stored, expected, "one signal per bar from the fifth on");
}

/// How long the bars of the stream of bars waited for their signals: the median and the longest.
pub async fn waits(js: &Context) -> (Duration, Duration) {
    let bars = contents(js, "TECHNICAL_BARS", ">").await;
    let stored: BTreeMap<u64, i128> = bars.iter().map(|bar| (bar.seq, bar.at)).collect();
    let mut waits: Vec<i128> = contents(js, "TECHNICAL_SIGNALS", "insight.>")
        .await
        .iter()
        .filter_map(|signal| {
            let seq = signal.headers.get("Ta-Input-Seq")?.as_str().parse().ok()?;
            Some(signal.at - stored.get(&seq)?)
        })
        .collect();
    waits.sort_unstable();
    let wait = |nanos: Option<&i128>| {
        let nanos = nanos.map_or(0, |nanos| u64::try_from(*nanos).unwrap_or(0));
        Duration::from_nanos(nanos)
    };
    (wait(waits.get(waits.len() / 2)), wait(waits.last()))
}

fn line(symbol: &str, minute: u32, revision: u32) -> Vec<u8> {
    format!(
        r#"{{"symbol":"{symbol}","timeframe":"1m","timestamp":"2024-01-01T00:{minute:02}:00Z","revision":{revision}}}"#
    )
    .into_bytes()
}

/// A judge that finds nothing proves nothing.
#[test]
fn every_kind_of_fault_is_found() {
    let good = vec![
        line("A", 1, 0),
        line("B", 1, 0),
        line("A", 2, 0),
        line("A", 2, 1),
    ];
    assert_eq!(faults(&good, &good), [""; 0]);
    let mut altered = good.clone();
    let last = altered[3].len() - 1;
    altered[3].insert(last, b' ');
    let cases = [
        ("missing", good[..3].to_vec()),
        ("2 times", [good.clone(), vec![good[1].clone()]].concat()),
        ("other bytes", altered),
        ("no bar", [good.clone(), vec![line("C", 1, 0)]].concat()),
        (
            "out of order",
            vec![
                good[2].clone(),
                good[1].clone(),
                good[0].clone(),
                good[3].clone(),
            ],
        ),
    ];
    for (what, signals) in cases {
        let found = faults(&signals, &good);
        assert!(found.iter().any(|f| f.contains(what)), "{what}: {found:?}");
    }
}
