//! Looking at the stream on behalf of a [`Ledger`](super::ledger::Ledger).

use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::response::Response;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::Account;
use super::ledger::Mark;
use crate::bus::durable::Common;
use crate::bus::durable::feed::{self, Feed};
use crate::bus::durable::stream_state::{Gap, Look};
use crate::bus::durable::streams::Unit;

/// A consumer that has delivered nothing for so long, and is not there any more, was removed because
/// nobody read from it.
const STILL: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(3);
/// Servers of a cluster have told each other by then.
const AGREED: Duration = Duration::from_millis(300);

/// The progress of the server's deliveries to the consumer that bars are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Deliveries.
    count: u64,
    /// The last sequence delivered.
    seq: u64,
    /// The times of the server's first and last answer with these numbers.
    since: Instant,
    at: Instant,
}

impl Sent {
    /// This answer of the server, after `before`.
    pub fn after(self, before: Option<Self>) -> Self {
        let same = before.filter(|before| (before.count, before.seq) == (self.count, self.seq));
        Self {
            since: same.map_or(self.since, |before| before.since),
            ..self
        }
    }

    /// Returns whether the server delivered nothing for so long that it removed the consumer since.
    fn is_final(&self) -> bool {
        self.at - self.since >= STILL
    }
}

/// The consumer that bars are read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reader {
    /// Its name.
    pub consumer: String,
    /// Deliveries that were taken in.
    pub taken: u64,
    /// The server's last known deliveries.
    pub sent: Option<Sent>,
}

/// Looks at the stream, as it was when the account stood at `mark`.
pub(super) async fn look(
    common: &Common,
    unit: &Unit,
    account: &Account,
    mark: Mark,
    reader: &Reader,
) -> Result<Look, String> {
    let js = &common.js;
    let mut arrived = 0;
    let mut state = None;
    if account.whole {
        let now = feed::state(js, unit).await?;
        arrived = now.last.saturating_sub(mark.through);
        state = Some(now);
    } else {
        arrived += Feed::waiting(js, unit, mark.through + 1).await?;
    }
    // read before, so bars that came meanwhile make no gap
    let through = state.map(|state| state.last);
    let mut left = left(common, unit, account, reader, false).await?;
    let mut gap = through.map(|through| left.gap(through));
    if mark.misses(arrived, left.present(), gap) {
        sleep(AGREED).await;
        let again = self::left(common, unit, account, reader, true).await?;
        gap = through.map(|through| again.gap(through));
        left = again.max(left);
    }
    let state = match state {
        Some(state) => state,
        None => feed::state(js, unit).await?,
    };
    Ok(Look {
        arrived,
        present: left.present(),
        held: left.held,
        first: state.first,
        last: state.last,
        gap,
    })
}

/// Bars that can still be read.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// Bars that were delivered and not taken in.
    delivered: u64,
    /// The last sequence delivered.
    after: u64,
    /// Bars to be delivered.
    held: u64,
}

impl Left {
    fn present(self) -> u64 {
        self.delivered + self.held
    }

    fn gap(self, through: u64) -> Gap {
        Gap {
            after: self.after,
            through,
            held: self.held,
        }
    }

    /// The one with more bars.
    fn max(self, other: Self) -> Self {
        if other.present() > self.present() {
            other
        } else {
            self
        }
    }
}

/// Asks what can still be read. What is to be delivered is counted again where `doubted` says that
/// the number of the server may be wrong.
async fn left(
    common: &Common,
    unit: &Unit,
    account: &Account,
    reader: &Reader,
    doubted: bool,
) -> Result<Left, String> {
    let api = &common.config.nats.jetstream;
    let subject = api.subject(&format!(
        "CONSUMER.INFO.{}.{}",
        unit.stream, reader.consumer
    ));
    // the server refuses any payload, also the `null` that the context would send
    let answer = timeout(ANSWER, common.client.request(subject, Bytes::new()))
        .await
        .map_err(|_| "the server does not answer".to_owned())?
        .map_err(|error| error.to_string())?;
    let answer: Response<Info> =
        serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())?;
    let (sent, pending) = match answer {
        Response::Ok(info) => {
            let now = Instant::now();
            let sent = Sent {
                count: info.delivered.consumer_sequence,
                seq: info.delivered.stream_sequence,
                since: now,
                at: now,
            };
            account.sent(&reader.consumer, sent);
            (sent, (!doubted).then_some(info.num_pending))
        }
        // nobody reads from it for long, and the server has removed it
        Response::Err { error } if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
            let sent = reader.sent.filter(Sent::is_final);
            let sent = sent.ok_or("how far the consumer was is not known")?;
            (sent, None)
        }
        Response::Err { error } => return Err(error.to_string()),
    };
    let held = match pending {
        Some(pending) => pending,
        None => Feed::waiting(&common.js, unit, sent.seq + 1).await?,
    };
    Ok(Left {
        delivered: sent.count.saturating_sub(reader.taken),
        after: sent.seq,
        held,
    })
}
