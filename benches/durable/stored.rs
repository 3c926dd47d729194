//! Messages in the streams, and the times at which the server stored them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use futures_util::StreamExt as _;

const PATIENCE: Duration = Duration::from_secs(120);

/// Publishes to a stream with a bound on what is not acknowledged yet; the client library has one
/// of its own (5,000), at which a publish waits for an acknowledgement to be taken.
pub struct Acks {
    most: usize,
    waiting: VecDeque<PublishAckFuture>,
}

impl Acks {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            waiting: VecDeque::new(),
        }
    }

    pub async fn push(&mut self, js: &Context, subject: String, payload: Bytes) {
        if self.waiting.len() >= self.most {
            let oldest = self.waiting.pop_front().expect("one at least");
            oldest.await.expect("an acknowledgement");
        }
        let ack = js.publish(subject, payload).await.expect("a publish");
        self.waiting.push_back(ack);
    }

    pub async fn all(self) {
        for ack in self.waiting {
            ack.await.expect("an acknowledgement");
        }
    }
}

/// Returns once a stream has this many messages, commit markers included: at most one for each
/// partition, so this is about when the last signals come.
pub async fn reaches(js: &Context, stream: &str, messages: u64, patience: Duration) {
    let start = Instant::now();
    let mut stream = js.get_stream(stream).await.expect("a stream");
    loop {
        let state = &stream.info().await.expect("its state").state;
        if state.messages >= messages {
            return;
        }
        assert!(
            start.elapsed() < patience,
            "{} of {messages}",
            state.messages
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The signals of a stream: the bar each is about, and when it was stored.
pub struct Signals(Vec<(u64, i128)>);

impl Signals {
    /// Waits for `count` of them, and reads them.
    pub async fn all(js: &Context, count: u64) -> Self {
        reaches(js, "TECHNICAL_SIGNALS", count, PATIENCE).await;
        Self::of(js, "TECHNICAL_SIGNALS", "insight.>", count).await
    }

    /// Messages of a stream on `filter`.
    pub async fn of(js: &Context, stream: &str, filter: &str, count: u64) -> Self {
        let stored = read(js, stream, filter, count).await;
        Self(stored)
    }

    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Messages a second between the first and the last.
    #[allow(clippy::cast_precision_loss)]
    pub fn per_second(&self) -> f64 {
        let first = self.0.iter().map(|(_, at)| *at).min().expect("a signal");
        let last = self.0.iter().map(|(_, at)| *at).max().expect("a signal");
        (self.0.len() - 1) as f64 / ((last - first) as f64 / 1e9)
    }

    /// Wait of each bar for its signal, sorted.
    pub async fn waits(&self, js: &Context) -> Vec<Duration> {
        let bars = read(js, "TECHNICAL_BARS", "", self.0.len() as u64).await;
        let stored: HashMap<u64, i128> = bars.into_iter().collect();
        let mut waits: Vec<Duration> = self
            .0
            .iter()
            .map(|(bar, at)| {
                let wait = u64::try_from(at - stored[bar]).unwrap_or(0);
                Duration::from_nanos(wait)
            })
            .collect();
        waits.sort_unstable();
        waits
    }
}

/// The sequence of each message (of a signal: of its bar) and when it was stored.
async fn read(js: &Context, stream: &str, filter: &str, count: u64) -> Vec<(u64, i128)> {
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        filter_subject: filter.to_owned(),
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = js
        .create_consumer_on_stream(config, stream)
        .await
        .expect("a consumer");
    let messages = consumer.stream().max_messages_per_batch(2_000);
    let mut messages = messages.messages().await.expect("its messages");
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message = message
            .expect("messages in time")
            .expect("more messages")
            .expect("a message");
        let info = message.info().expect("where it stands");
        let of_bar = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Ta-Input-Seq"))
            .map(|seq| seq.as_str().parse().expect("a sequence"));
        all.push((
            of_bar.unwrap_or(info.stream_sequence),
            info.published.unix_timestamp_nanos(),
        ));
    }
    all
}
