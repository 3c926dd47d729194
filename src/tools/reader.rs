//! A stream read from some place up to what was its end when reading began.
//!
//! In batches, each of which ends by the server's word and not by silence. What a lost connection
//! swallows is noticed by the count of deliveries, and read again.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::market::Timestamp;

/// For the server to send the next message, or to say that there is none.
const ANSWER: Duration = Duration::from_secs(5);
/// Tries to read a batch.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes in a batch, so that many large messages do not become one.
const BATCH_BYTES: usize = 8 << 20;

/// A message of a stream.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub subject: Subject,
    pub seq: u64,
    pub at: Timestamp,
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// The part of a stream to read.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub stream: String,
    /// Every subject when empty.
    pub subject: String,
    /// Only messages that were stored from then on.
    pub since: Option<Timestamp>,
    /// The last message.
    pub last: u64,
    /// Leave payloads away.
    pub headers_only: bool,
    /// The largest message the server takes.
    pub max_payload: usize,
    /// The server forgets the consumer when nothing is read for this long: longer than anything
    /// that is done between two batches.
    pub inactive: Duration,
}

pub(super) struct Reader {
    js: Context,
    scope: Scope,
    /// The start of the next batch; `None` before the first.
    next: Option<u64>,
    consumer: Option<PullConsumer>,
    /// The time of the server when a consumer was made, and when that was here.
    opened: Option<(Timestamp, Instant)>,
    /// Deliveries of this consumer.
    delivered: u64,
    ended: bool,
}

impl Reader {
    pub fn new(js: &Context, scope: Scope) -> Self {
        Self {
            js: js.clone(),
            ended: scope.last == 0,
            scope,
            next: None,
            consumer: None,
            opened: None,
            delivered: 0,
        }
    }

    /// Up to `most` further messages; none at the end.
    pub async fn next(&mut self, most: usize) -> Result<Vec<Stored>, String> {
        let mut tries = 1;
        loop {
            match self.batch(most).await {
                Ok(batch) => return Ok(batch),
                Err(error) if tries == TRIES => return Err(error),
                Err(error) => tracing::debug!(%error, tries, "reading again"),
            }
            self.close().await;
            sleep(PAUSE * tries).await;
            tries += 1;
        }
    }

    /// The time by the server's clock; nothing before the first batch.
    pub fn now(&self) -> Option<Timestamp> {
        let (at, since) = self.opened?;
        let passed = i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        Some(Timestamp::from_nanos(at.nanos().saturating_add(passed)))
    }

    /// Tells the server that it is over, as a courtesy.
    pub async fn close(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            let name = consumer.cached_info().name.clone();
            let deleted = self
                .js
                .delete_consumer_from_stream(&name, &self.scope.stream);
            let _ = timeout(Duration::from_secs(1), deleted).await;
        }
    }

    async fn batch(&mut self, most: usize) -> Result<Vec<Stored>, String> {
        let mut batch = Vec::new();
        if self.ended {
            return Ok(batch);
        }
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.open().await?,
        };
        let consumer = self.consumer.insert(consumer);
        let mut messages = consumer
            .fetch()
            .max_messages(most)
            .max_bytes(BATCH_BYTES.max(2 * self.scope.max_payload))
            .messages()
            .await
            .map_err(|error| error.to_string())?;
        let mut next = self.next;
        loop {
            let message = match timeout(ANSWER, messages.next()).await {
                Err(_) => return Err("the stream is not answered for in time".to_owned()),
                Ok(None) => break,
                Ok(Some(Ok(message))) => message,
                // the bytes of a batch are used up
                Ok(Some(Err(_))) if !batch.is_empty() => break,
                Ok(Some(Err(error))) => return Err(error.to_string()),
            };
            let info = message.info().map_err(|error| error.to_string())?;
            self.delivered += 1;
            if info.consumer_sequence != self.delivered {
                return Err("a message was lost on the way".to_owned());
            }
            if info.stream_sequence > self.scope.last {
                self.ended = true;
                break;
            }
            let at = i64::try_from(info.published.unix_timestamp_nanos()).unwrap_or(i64::MAX);
            let seq = info.stream_sequence;
            next = Some(seq + 1);
            let (message, _) = message.split();
            batch.push(Stored {
                subject: message.subject,
                seq,
                at: Timestamp::from_nanos(at),
                headers: message.headers.unwrap_or_default(),
                payload: message.payload,
            });
        }
        self.next = next;
        if batch.is_empty() && !self.ended {
            // a server that is busy may answer that there is nothing, which must not be believed
            let waiting = consumer.info().await.map_err(|error| error.to_string())?;
            if waiting.num_pending > 0 {
                return Err("the stream holds more than the server delivers".to_owned());
            }
            self.ended = true;
        }
        Ok(batch)
    }

    async fn open(&mut self) -> Result<PullConsumer, String> {
        self.delivered = 0;
        let deliver_policy = match (self.next, self.scope.since) {
            (Some(start_sequence), _) => DeliverPolicy::ByStartSequence { start_sequence },
            (None, Some(since)) => DeliverPolicy::ByStartTime {
                start_time: async_nats::datetime::from_nanos(since.nanos().into())
                    .map_err(|error| error.to_string())?,
            },
            (None, None) => DeliverPolicy::All,
        };
        let config = pull::Config {
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subject: self.scope.subject.clone(),
            headers_only: self.scope.headers_only,
            inactive_threshold: self.scope.inactive,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer: PullConsumer = self
            .js
            .create_consumer_on_stream(config, &self.scope.stream)
            .await
            .map_err(|error| error.to_string())?;
        let made = consumer.cached_info().created.unix_timestamp_nanos();
        let made = Timestamp::from_nanos(i64::try_from(made).unwrap_or(i64::MAX));
        self.opened = Some((made, Instant::now()));
        Ok(consumer)
    }
}
