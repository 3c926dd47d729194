//! Notices a consumer that keeps its heartbeats and delivers nothing.
//!
//! Its heartbeats come, so the client sees no fault. What there is to read only the server knows:
//! after a silence it is asked how far the consumer is. Two answers in a row that say that there
//! are messages, with none delivered between them, and the consumer is recreated.

use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::feed::Feed;
use crate::config::JetStreamApi;
use crate::market::Timestamp;

/// A silence after which the server is asked, and again for as long as it lasts.
const QUIET: Duration = Duration::from_secs(5);
/// After which it is asked once more, when something should have come.
const SUSPICIOUS: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(3);
/// Partitions do not ask at the same moment.
const SPREAD: Duration = Duration::from_millis(37);

/// The state of the consumer, as the server knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsumerInfo {
    /// The numbers of messages still to be delivered, and delivered.
    At { pending: u64, delivered: u64 },
    /// There is none.
    Gone,
    /// It was not answered, for which there are other remedies.
    Unknown,
}

pub(super) struct Watch {
    ask_at: Instant,
    asking: Option<JoinHandle<(ConsumerInfo, Option<Timestamp>)>>,
    /// The time on the server when it last answered, until it is taken.
    time: Option<Timestamp>,
    suspected: bool,
    spread: Duration,
    /// The last sequence of the stream, as it was known before the server was asked.
    last: u64,
}

impl Watch {
    pub fn new(unit: u32) -> Self {
        let spread = SPREAD * (unit % 64);
        Self {
            ask_at: Instant::now() + QUIET + spread,
            asking: None,
            time: None,
            suspected: false,
            spread,
            last: 0,
        }
    }

    /// Something came, or the feed is new.
    pub fn heard(&mut self) {
        self.ask_at = Instant::now() + QUIET + self.spread;
        self.suspected = false;
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
    }

    /// Asks the server if it is time to; its stream is known to go up to `last`.
    pub fn probe(&mut self, client: &Client, api: &JetStreamApi, feed: &Feed, last: u64) {
        if self.asking.is_some() || Instant::now() < self.ask_at {
            return;
        }
        self.last = last;
        let client = client.clone();
        let subject = api.subject(&format!("CONSUMER.INFO.{}", feed.consumer()));
        self.asking = Some(tokio::spawn(async move {
            match timeout(ANSWER, client.request(subject, Bytes::new())).await {
                Ok(Ok(answer)) => (read(&answer.payload), time_in(&answer.payload)),
                Ok(Err(_)) | Err(_) => (ConsumerInfo::Unknown, None),
            }
        }));
    }

    /// Waits for the answer of the server; never returns while it was not asked.
    pub async fn answer(&mut self) -> ConsumerInfo {
        let (info, time) = match &mut self.asking {
            Some(asking) => asking.await.unwrap_or((ConsumerInfo::Unknown, None)),
            None => std::future::pending().await,
        };
        self.asking = None;
        self.time = time;
        info
    }

    /// Takes the server's time of its last answer, if that answer has one.
    pub const fn take_time(&mut self) -> Option<Timestamp> {
        self.time.take()
    }

    /// The last sequence of the stream, if the server has nothing more for a feed from which
    /// `delivered` messages came.
    pub fn drained(&self, info: ConsumerInfo, delivered: u64) -> Option<u64> {
        let nothing = ConsumerInfo::At {
            pending: 0,
            delivered,
        };
        (info == nothing && self.last > 0).then_some(self.last)
    }

    /// Returns the fault of a feed from which `delivered` messages came, if it has one.
    pub fn judge(&mut self, info: ConsumerInfo, delivered: u64) -> Option<String> {
        let now = Instant::now();
        self.ask_at = now + QUIET + self.spread;
        match info {
            ConsumerInfo::Gone => Some("the server has no such consumer any more".to_owned()),
            ConsumerInfo::At {
                pending,
                delivered: sent,
            } if pending > 0 || sent > delivered => {
                if self.suspected {
                    return Some(format!(
                        "nothing is delivered, while {pending} messages wait and {} are lost",
                        sent.saturating_sub(delivered)
                    ));
                }
                self.suspected = true;
                self.ask_at = now + SUSPICIOUS;
                None
            }
            ConsumerInfo::At { .. } => {
                self.suspected = false;
                None
            }
            ConsumerInfo::Unknown => None,
        }
    }
}

/// The time on the server, which every answer about a consumer says.
fn time_in(payload: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Said {
        ts: String,
    }
    let Said { ts } = serde_json::from_slice(payload).ok()?;
    ts.parse().ok()
}

/// The answer of the server.
fn read(payload: &[u8]) -> ConsumerInfo {
    match serde_json::from_slice(payload) {
        Ok(Response::<Info>::Ok(info)) => ConsumerInfo::At {
            pending: info.num_pending,
            delivered: info.delivered.consumer_sequence,
        },
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
            ConsumerInfo::Gone
        }
        answer => {
            tracing::debug!(?answer, "cannot read the state of the consumer");
            ConsumerInfo::Unknown
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pending: u64, delivered: u64) -> ConsumerInfo {
        ConsumerInfo::At { pending, delivered }
    }

    #[test]
    fn a_feed_stalls_when_messages_wait_twice_and_none_came_between() {
        let mut watch = Watch::new(0);
        assert_eq!(watch.judge(at(0, 9), 9), None);
        assert_eq!(watch.judge(at(3, 9), 9), None);
        assert!(watch.judge(at(3, 9), 9).is_some());

        // one came in between
        let mut watch = Watch::new(0);
        assert_eq!(watch.judge(at(3, 9), 9), None);
        watch.heard();
        assert_eq!(watch.judge(at(2, 10), 10), None);
        // it was only slow
        assert_eq!(watch.judge(at(0, 12), 12), None);
        assert_eq!(watch.judge(at(1, 12), 12), None);

        // what was sent and never came
        let mut watch = Watch::new(0);
        assert_eq!(watch.judge(at(0, 10), 9), None);
        assert!(watch.judge(at(0, 10), 9).is_some());
    }

    #[test]
    fn an_answer_says_the_time_on_the_server() {
        // as nats-server 2.15.1 writes it
        let answer =
            br#"{"stream_name":"B","num_pending":0,"ts":"2026-11-27T07:22:01.123456789Z"}"#;
        let expected = "2026-11-27T07:22:01.123456789Z".parse().unwrap();
        assert_eq!(time_in(answer), Some(expected));
        assert_eq!(time_in(br#"{"num_pending":0}"#), None);
    }

    #[test]
    fn a_consumer_that_is_gone_is_recreated_and_no_answer_says_nothing() {
        let mut watch = Watch::new(0);
        assert!(watch.judge(ConsumerInfo::Gone, 0).is_some());
        for _ in 0..5 {
            assert_eq!(watch.judge(ConsumerInfo::Unknown, 0), None);
        }
    }
}
