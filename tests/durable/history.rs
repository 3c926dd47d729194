//! The final contents of the streams, and the promises about them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{Context, ErrorCode};
use futures_util::StreamExt as _;
use technical_analysis_agent::tools::verify::MOST;

use crate::verdict::{Verdict, expected_reason, of_letters, of_signals};
use crate::verify::report_of;
use crate::{ANALYSIS, Variables};

/// Longer than any recovery takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Stored {
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub at: i128,
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Vec<u8>,
}

impl Stored {
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.as_str().to_owned())
    }

    /// The subject that a bar was published on.
    pub fn original(&self) -> &str {
        let partitioned = self.subject.strip_prefix("p.");
        let original = partitioned.and_then(|rest| rest.split_once('.'));
        original.map_or(&self.subject, |(_, original)| original)
    }
}

/// All of a stream that matches, in its order; nothing where there is no such stream. Servers that
/// have yet to come to agree are waited for.
pub async fn contents(js: &Context, stream: &str, filter: &str) -> Vec<Stored> {
    let start = Instant::now();
    loop {
        match read(js, stream, filter).await {
            Ok(all) => return all,
            Err(error) => assert!(
                start.elapsed() < PATIENCE,
                "{stream} cannot be read: {error}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The signals of all series, once there are `count` of them.
pub async fn signals_stored(js: &Context, count: usize) -> Vec<Stored> {
    let start = Instant::now();
    loop {
        let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await;
        if stored.len() >= count {
            return stored;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{} of {count} signals",
            stored.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn read(js: &Context, stream: &str, filter: &str) -> Result<Vec<Stored>, String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let stream = match js.get_stream(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                GetStreamErrorKind::JetStream(error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    Ok(Vec::new())
                }
                _ => Err(told(&error)),
            };
        }
    };
    let config = OrderedConfig {
        filter_subject: filter.to_owned(),
        ..OrderedConfig::default()
    };
    let mut consumer = stream
        .create_consumer(config)
        .await
        .map_err(|error| told(&error))?;
    let pending = consumer.info().await.map_err(|e| told(&e))?.num_pending;
    let mut all = Vec::new();
    if pending == 0 {
        return Ok(all);
    }
    let mut messages = consumer.messages().await.map_err(|error| told(&error))?;
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| told(&error))?;
        let info = message.info().map_err(|error| told(&error))?;
        let left = info.pending;
        all.push(Stored {
            seq: info.stream_sequence,
            at: info.published.unix_timestamp_nanos(),
            subject: message.subject.to_string(),
            headers: message.headers.clone().unwrap_or_default(),
            payload: message.payload.to_vec(),
        });
        if left == 0 {
            return Ok(all);
        }
    }
    Err("it ended before its last message".to_owned())
}

/// Output of `replay` for these payloads under a configuration.
pub fn replay(payloads: &[&Stored], configuration: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut file = tempfile::Builder::new()
        .suffix(".jsonl")
        .tempfile()
        .expect("a temporary file");
    for one in payloads {
        file.write_all(&one.payload).expect("a writable file");
        file.write_all(b"\n").expect("a writable file");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        // bars that an agent has not closed yet stay open
        .args(["replay", "--leave-open"])
        .arg(file.path())
        .env_clear()
        .envs(configuration.iter().copied())
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

/// Output of `replay` for each partition by itself: a time mark belongs to its partition.
fn replay_partitions(bars: &[Stored], configuration: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut partitions: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for bar in bars {
        // `replay` sees no subjects, so it cannot refuse a bar on another symbol's subject
        if expected_reason(bar).as_deref() != Some("mismatch") {
            let number = bar
                .subject
                .strip_prefix("p.")
                .and_then(|rest| rest.split_once('.'));
            let number = number.map_or("", |(number, _)| number);
            partitions.entry(number).or_default().push(bar);
        }
    }
    let replayed = partitions.values().map(|bars| replay(bars, configuration));
    replayed.flatten().collect()
}

/// True if a message is a time mark.
fn is_mark(message: &Stored) -> bool {
    message.payload.starts_with(b"{\"mark\":")
}

/// All messages of the streams that hold bars, in stored order.
async fn stored_bars(js: &Context) -> Vec<Stored> {
    let mut bars = contents(js, "TECHNICAL_BARS", ">").await;
    bars.extend(contents(js, "TECHNICAL_BARS_BARE", ">").await);
    bars
}

/// Contents that the streams must have, given the bars in them.
pub struct Due {
    bars: Vec<Stored>,
    replayed: Vec<Vec<Vec<u8>>>,
}

impl Due {
    /// By what `replay` makes of the bars under each of these configurations.
    pub async fn of(js: &Context, configurations: &[Variables]) -> Self {
        let bars = stored_bars(js).await;
        let replayed = configurations
            .iter()
            .map(|configuration| replay_partitions(&bars, configuration))
            .collect();
        Self { bars, replayed }
    }

    /// The contents that are due, and the verdicts on them, once no further time mark arrives: each
    /// closes derived bars, and a mark that would close none is never written.
    pub async fn judged(js: &Context, configurations: &[Variables]) -> (Self, Vec<Verdict>) {
        let start = Instant::now();
        loop {
            let due = Self::of(js, configurations).await;
            due.wait(js).await;
            let verdicts = due.verdicts(js).await;
            let is_all = stored_bars(js).await.len() == due.bars.len();
            if is_all || start.elapsed() > PATIENCE {
                return (due, verdicts);
            }
        }
    }

    /// Number of time marks among the bars.
    pub fn marks(&self) -> usize {
        self.bars.iter().filter(|bar| is_mark(bar)).count()
    }

    pub fn signals(&self) -> usize {
        self.replayed[0].len()
    }

    pub fn letters(&self) -> usize {
        let refused = |bar: &&Stored| expected_reason(bar).is_some();
        self.bars.iter().filter(refused).count()
    }

    /// Waits until as much is stored as is due; whether it came in time.
    pub async fn wait(&self, js: &Context) -> bool {
        let start = Instant::now();
        while count(js, "insight.>").await < self.signals()
            || count(js, "dead.technical").await < self.letters()
        {
            if start.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        true
    }

    /// Promises 1 to 4.
    pub async fn verdicts(&self, js: &Context) -> Vec<Verdict> {
        let signals = contents(js, "TECHNICAL_SIGNALS", "insight.>").await;
        let signals: Vec<Vec<u8>> = signals.into_iter().map(|stored| stored.payload).collect();
        let letters = contents(js, "TECHNICAL_SIGNALS", "dead.technical").await;
        let mut verdicts = Vec::from(of_signals(&signals, &self.replayed));
        verdicts.push(of_letters(&self.bars, &letters));
        verdicts
    }
}

/// Waits until the streams that are read hold this number of messages without time marks, and
/// returns their number then. After a restart a server takes its time to source one stream from
/// another.
pub async fn wait_stored(js: &Context, expected: u64) -> u64 {
    let start = Instant::now();
    loop {
        let mut stored = 0;
        for name in ["TECHNICAL_BARS", "TECHNICAL_BARS_BARE"] {
            if let Ok(stream) = js.get_stream(name).await {
                stored += stream.cached_info().state.messages;
            }
        }
        let is_late = start.elapsed() > PATIENCE;
        if stored >= expected || is_late {
            let bars = stored_bars(js).await;
            let bars = bars.iter().filter(|bar| !is_mark(bar)).count() as u64;
            if bars >= expected || is_late {
                return bars;
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Number of messages in the stream of signals that match.
pub async fn count(js: &Context, filter: &str) -> usize {
    let Ok(stream) = js.get_stream("TECHNICAL_SIGNALS").await else {
        return 0;
    };
    let Ok(mut subjects) = stream.info_with_subjects(filter).await else {
        return 0;
    };
    let mut count = 0;
    while let Some(Ok((_, messages))) = subjects.next().await {
        count += messages;
    }
    count
}

/// Everything that is wrong with `signals`, given what `replay` makes of the same bars.
pub fn faults(signals: &[Vec<u8>], replayed: &[Vec<u8>]) -> Vec<String> {
    let verdicts = of_signals(signals, &[replayed.to_vec()]);
    verdicts.into_iter().flat_map(|one| one.faults).collect()
}

/// Faults in the streams at this moment.
pub async fn judge(js: &Context) -> Vec<String> {
    let (_, verdicts) = Due::judged(js, &[ANALYSIS]).await;
    verdicts.into_iter().flat_map(|one| one.faults).collect()
}

/// Waits until the streams are as promised for `bars` bars of `symbols` symbols: first until as
/// much is there as those bars give, then judges.
pub async fn settle(js: &Context, bars: u64, symbols: u64) {
    let expected = (bars - symbols * (crate::MIN_BARS as u64 - 1)) as usize;
    let start = Instant::now();
    while count(js, "insight.>").await < expected && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let due = Due::of(js, &[ANALYSIS]).await;
    // the last dead letters may be a batch behind
    due.wait(js).await;
    let verdicts = due.verdicts(js).await;
    let faults: Vec<String> = verdicts.into_iter().flat_map(|one| one.faults).collect();
    let shown = &faults[..faults.len().min(20)];
    assert!(faults.is_empty(), "{} faults: {shown:#?}", faults.len());
    let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await.len();
    assert_eq!(stored, expected, "one signal per bar from the fifth on");
    // the tool for everyone says the same, from the streams alone
    let report = report_of(js, ANALYSIS, MOST).await;
    assert!(report.ok, "{report}");
}

/// By when its bar was stored (nanoseconds since 1970), how long each signal took (nanoseconds).
pub async fn latencies(js: &Context) -> Vec<(i128, i128)> {
    let place = |bar: &Stored| (bar.subject.starts_with("p."), bar.seq);
    let bars = stored_bars(js).await;
    let stored: BTreeMap<(bool, u64), i128> = bars.iter().map(|bar| (place(bar), bar.at)).collect();
    // the symbol of the subject without one
    let bare = |signal: &Stored| signal.subject.starts_with("insight.technical.S0.");
    contents(js, "TECHNICAL_SIGNALS", "insight.>")
        .await
        .iter()
        .filter_map(|signal| {
            let seq: u64 = signal.header("Ta-Input-Seq")?.parse().ok()?;
            let in_bare = stored.get(&(false, seq)).filter(|_| bare(signal));
            let at = in_bare.or_else(|| stored.get(&(true, seq)))?;
            Some((*at, signal.at - at))
        })
        .collect()
}

/// The median and the longest of some waits.
pub fn median_and_longest(mut waits: Vec<i128>) -> (Duration, Duration) {
    waits.sort_unstable();
    let wait = |nanos: Option<&i128>| {
        let nanos = nanos.map_or(0, |nanos| u64::try_from(*nanos).unwrap_or(0));
        Duration::from_nanos(nanos)
    };
    (wait(waits.get(waits.len() / 2)), wait(waits.last()))
}

/// Wait of the stored bars for their signals: the median and the longest.
pub async fn waits(js: &Context) -> (Duration, Duration) {
    let waits = latencies(js).await.into_iter().map(|(_, wait)| wait);
    median_and_longest(waits.collect())
}
