//! Looking at the stream on behalf of a [`Ledger`](super::ledger::Ledger).

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::response::Response;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::Account;
use super::ledger::{Look, Mark};
use crate::bus::durable::Common;
use crate::bus::durable::feed::{self, Feed};
use crate::bus::durable::streams::Unit;

const ANSWER: Duration = Duration::from_secs(3);
/// Servers of a cluster have told each other by then.
const AGREED: Duration = Duration::from_millis(300);

/// How far the server has delivered to the consumer that bars are read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Deliveries.
    count: u64,
    /// The last sequence delivered.
    seq: u64,
}

/// The consumer that bars are read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reader {
    /// Its name.
    pub consumer: String,
    /// Deliveries that were taken in.
    pub taken: u64,
    /// Where the server was when it was last asked.
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
    let mut present = present(common, unit, account, reader, false).await?;
    if mark.misses(arrived, present) {
        sleep(AGREED).await;
        let again = self::present(common, unit, account, reader, true).await?;
        present = present.max(again);
    }
    let state = match state {
        Some(state) => state,
        None => feed::state(js, unit).await?,
    };
    Ok(Look {
        arrived,
        present,
        first: state.first,
        last: state.last,
    })
}

/// Bars that can still be read: those delivered and not taken in, and those to be delivered. The
/// latter are counted again where `doubted` says that the number of the server may be wrong.
async fn present(
    common: &Common,
    unit: &Unit,
    account: &Account,
    reader: &Reader,
    doubted: bool,
) -> Result<u64, String> {
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
            let sent = Sent {
                count: info.delivered.consumer_sequence,
                seq: info.delivered.stream_sequence,
            };
            account.sent(&reader.consumer, sent);
            (sent, (!doubted).then_some(info.num_pending))
        }
        // nobody reads from it for long, and the server has removed it
        Response::Err { error } if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
            let sent = reader.sent.ok_or("how far the consumer was is not known")?;
            (sent, None)
        }
        Response::Err { error } => return Err(error.to_string()),
    };
    let pending = match pending {
        Some(pending) => pending,
        None => Feed::waiting(&common.js, unit, sent.seq + 1).await?,
    };
    Ok(sent.count.saturating_sub(reader.taken) + pending)
}
