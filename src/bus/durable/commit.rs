//! The commit: what comes of some bars and the position those bars stand for, stored together or
//! not at all.
//!
//! The signals, the dead letters and one commit marker go to the stream as an atomic batch. The
//! marker says up to where the partition's bars are done, and is accepted only if the partition's
//! marker is still the one that this owner wrote or found: that is the fence. It replaces the one
//! before it, so a partition has one marker.
//!
//! A commit that was not answered may have happened. What is true then is what the marker says.

use std::time::Duration;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::{HeaderMap, Request, Subject};
use serde::{Deserialize, Serialize};

use super::Common;
use crate::bus::intake::Outgoing;

/// Messages in a batch besides the marker; the server takes 1,000.
pub(super) const BATCH: usize = 999;
/// Bytes in a batch, so that a run of large dead letters does not become one.
pub(super) const BATCH_BYTES: usize = 4 << 20;

const ANSWER: Duration = Duration::from_secs(5);

static BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
static BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
static BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");
static EXPECTED: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
static ROLLUP: HeaderName = HeaderName::from_static("Nats-Rollup");

/// How far a partition's bars are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which stream the sequence is of.
    pub origin: String,
    /// The last message of which everything is published.
    pub seq: u64,
    /// How much of the message after it is published: a message of many bars may need more than
    /// one batch.
    pub part: usize,
}

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    #[serde(flatten)]
    pub position: Position,
    /// The run of the process that wrote it.
    pub owner: String,
}

/// A marker as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub marker: Marker,
    /// Its sequence in the stream of signals.
    pub revision: u64,
}

/// Why a commit has no good end.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// The marker is another than expected.
    #[error("the marker of the partition has changed")]
    Fenced,
    /// The server says no, or nothing.
    #[error("{0}")]
    Failed(String),
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    error: Option<async_nats::jetstream::Error>,
}

/// Reads the marker on `subject` from the leader of the stream.
pub(super) async fn read(common: &Common, subject: &str) -> Result<Option<Stored>, String> {
    let stream = common
        .js
        .get_stream_no_info(&common.streams.signals)
        .await
        .map_err(|error| error.to_string())?;
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => {
            let marker = serde_json::from_slice(&message.payload)
                .map_err(|error| format!("the marker on {subject} cannot be read: {error}"))?;
            Ok(Some(Stored {
                marker,
                revision: message.sequence,
            }))
        }
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(format!("cannot read the marker on {subject}: {error}")),
    }
}

/// Stores `outgoing` and `marker` if the marker on `subject` has the revision `expected` (0 for
/// none); returns the new revision.
pub(super) async fn write(
    common: &Common,
    subject: &Subject,
    expected: u64,
    marker: &Marker,
    outgoing: &[Outgoing],
) -> Result<u64, CommitError> {
    let failed = |error: &dyn std::fmt::Display| CommitError::Failed(error.to_string());
    let payload = serde_json::to_vec(marker).map_err(|error| failed(&error))?;
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED.clone(), HeaderValue::from(expected));
    headers.insert(ROLLUP.clone(), "sub");
    let request = if outgoing.is_empty() {
        Request::new().headers(headers)
    } else {
        let id = nuid::next().to_string();
        // half a batch on the connection at a time: the server bounds those that are open
        let _turn = common.publishing.lock().await;
        for (at, one) in outgoing.iter().enumerate() {
            let mut headers = one.headers.clone();
            headers.insert(BATCH_ID.clone(), id.as_str());
            headers.insert(BATCH_SEQUENCE.clone(), HeaderValue::from(at + 1));
            common
                .client
                .publish_with_headers(one.subject.clone(), headers, one.payload.clone())
                .await
                .map_err(|error| failed(&error))?;
        }
        headers.insert(BATCH_ID.clone(), id.as_str());
        headers.insert(
            BATCH_SEQUENCE.clone(),
            HeaderValue::from(outgoing.len() + 1),
        );
        headers.insert(BATCH_COMMIT.clone(), "1");
        Request::new().headers(headers)
    };
    let request = request.payload(payload.into()).timeout(Some(ANSWER));
    let answer = common
        .client
        .send_request(subject.clone(), request)
        .await
        .map_err(|error| failed(&error))?;
    let ack: Ack = serde_json::from_slice(&answer.payload).map_err(|error| failed(&error))?;
    match ack.error {
        None if ack.seq > 0 => Ok(ack.seq),
        None => Err(CommitError::Failed(
            "the server's answer has no sequence".to_owned(),
        )),
        Some(error)
            if matches!(
                error.error_code(),
                ErrorCode::STREAM_WRONG_LAST_SEQUENCE
                    | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
            ) =>
        {
            Err(CommitError::Fenced)
        }
        Some(error) => Err(failed(&error)),
    }
}
