//! The bars of one partition, in order and without a gap.
//!
//! A pull consumer of its own with one filter and no acknowledgements: the marker holds the
//! position to read from. Messages that the server sends while the connection is down are lost, so
//! every delivery is counted, and the consumer is recreated when one is missing.

use std::task::Poll;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt as _;

use super::stream_state::Look;
use super::streams::Unit;

/// Messages asked for at a time; what is not yet worked off waits here, and no more is asked for.
const REQUEST: usize = 512;
/// Bytes asked for at a time, unless one message may have more than half of that.
const REQUEST_BYTES: usize = 4 << 20;
const HEARTBEAT: Duration = Duration::from_secs(2);
const EXPIRES: Duration = Duration::from_secs(20);
/// A consumer that nobody reads from is forgotten by the server.
const INACTIVE: Duration = Duration::from_secs(30);

pub(super) struct Feed {
    messages: pull::Stream,
    name: String,
    stream: String,
    js: Context,
    /// Deliveries so far.
    pub delivered: u64,
    /// Messages that were there when it was opened.
    pub pending: u64,
    /// The stream, just after `pending` was counted.
    pub state: StreamState,
}

/// The sequences that a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamState {
    /// The first one, or the next to be stored if the stream is empty.
    pub first: u64,
    /// The last one that was stored.
    pub last: u64,
}

/// A stored message and where it stands.
pub(super) struct Delivery {
    pub message: Message,
    pub seq: u64,
    /// The time at which it was stored, in nanoseconds since 1970.
    pub stored_at: i64,
    /// Messages of the partition after it.
    pub pending: u64,
}

impl Feed {
    /// Reads `unit` from the message `start` on.
    pub async fn open(js: &Context, unit: &Unit, start: u64) -> Result<Self, String> {
        let config = reading(unit, start, INACTIVE);
        let consumer: PullConsumer = js
            .create_consumer_on_stream(config, &unit.stream)
            .await
            .map_err(|error| error.to_string())?;
        // a consumer goes with its stream, so this one is of the stream that is there now, or gone
        let state = state(js, unit).await?;
        let (pending, name) = {
            let info = consumer.cached_info();
            (info.num_pending, info.name.clone())
        };
        // the server delivers no message that is larger than the request
        let largest = js.client().max_payload();
        let messages = consumer
            .stream()
            .max_messages_per_batch(REQUEST)
            .max_bytes_per_batch(REQUEST_BYTES.max(2 * largest))
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            messages,
            name,
            stream: unit.stream.clone(),
            js: js.clone(),
            delivered: 0,
            pending,
            state,
        })
    }

    /// Messages of `unit` from `start` on, as they are now.
    pub async fn waiting(js: &Context, unit: &Unit, start: u64) -> Result<u64, String> {
        // made to be counted, not to be read
        let config = reading(unit, start, Duration::from_secs(1));
        let counted: PullConsumer = js
            .create_consumer_on_stream(config, &unit.stream)
            .await
            .map_err(|error| error.to_string())?;
        Ok(counted.cached_info().num_pending)
    }

    /// Waits for the next message. After an error nothing more comes: open another.
    pub async fn next(&mut self) -> Result<Delivery, String> {
        let next = self.messages.next().await;
        self.count(next)
    }

    /// The next message if it is there already.
    pub async fn ready(&mut self) -> Option<Result<Delivery, String>> {
        let next = tokio::task::unconstrained(std::future::poll_fn(|context| {
            match self.messages.poll_next_unpin(context) {
                Poll::Ready(next) => Poll::Ready(Some(next)),
                Poll::Pending => Poll::Ready(None),
            }
        }))
        .await?;
        Some(self.count(next))
    }

    /// The stream and the consumer, as they stand in subjects of the API.
    pub fn consumer(&self) -> String {
        format!("{}.{}", self.stream, self.name)
    }

    /// The name of the consumer.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream as it was when this was opened, all of it still to be read.
    pub fn as_look(&self) -> Look {
        Look {
            arrived: self.pending,
            present: self.pending,
            held: self.pending,
            first: self.state.first,
            last: self.state.last,
            gap: None,
        }
    }

    /// Tells the server that it is over, as a courtesy.
    pub async fn close(self) {
        let deleted = self
            .js
            .delete_consumer_from_stream(&self.name, &self.stream);
        let _ = tokio::time::timeout(Duration::from_secs(1), deleted).await;
    }

    fn count(
        &mut self,
        next: Option<Result<Message, pull::MessagesError>>,
    ) -> Result<Delivery, String> {
        let message = next
            .ok_or("the consumer has ended")?
            .map_err(|error| error.to_string())?;
        let info = message.info().map_err(|error| error.to_string())?;
        self.delivered += 1;
        if info.consumer_sequence != self.delivered {
            return Err(format!(
                "delivery {} came where {} was expected",
                info.consumer_sequence, self.delivered
            ));
        }
        let stored_at = i64::try_from(info.published.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        let (seq, pending) = (info.stream_sequence, info.pending);
        Ok(Delivery {
            seq,
            stored_at,
            pending,
            message,
        })
    }
}

/// The range of messages that the stream of `unit` holds.
///
/// # Errors
/// The server does not answer, or the stream is another one of the same name.
pub(super) async fn state(js: &Context, unit: &Unit) -> Result<StreamState, String> {
    let stream = js
        .get_stream(&unit.stream)
        .await
        .map_err(|error| error.to_string())?;
    let info = stream.cached_info();
    if info.created.to_string() != unit.origin {
        return Err(format!("the stream {} was recreated", unit.stream));
    }
    Ok(StreamState {
        first: info.state.first_sequence,
        last: info.state.last_sequence,
    })
}

/// A consumer of `unit` from the message `start` on, forgotten when nobody reads for `inactive`.
fn reading(unit: &Unit, start: u64, inactive: Duration) -> pull::Config {
    pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: start.max(1),
        },
        ack_policy: AckPolicy::None,
        filter_subject: unit.filter.clone(),
        inactive_threshold: inactive,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    }
}
