//! The commit: what comes of some bars and the position those bars stand for, stored together or
//! not at all.
//!
//! The signals, the dead letters and one commit marker go to the stream as an atomic batch. The
//! marker says up to where the partition's bars are done, and is accepted only if the partition's
//! marker is still the one that this owner wrote or found: that is the fence. It replaces the one
//! before it, so a partition has one marker.
//!
//! A commit that was not answered may have happened. What is true then is what the marker says.
//!
//! When a storage limit is hit in the middle of a batch, nats-server keeps the messages before it: an
//! "atomic" batch can be stored in part. So a partition's outputs begin with a marker as well, which
//! the one at their end replaces. Where the first is the last one found, the outputs behind it that
//! belong to its batch are stored, and the bars they name say how far the partition is.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_nats::{Client, HeaderMap, Request, Subject};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::partition::Outputs;
use super::{Common, markers};
use crate::bus::guard::Guard;
use crate::bus::intake::Outgoing;
use crate::bus::link::Link;
use crate::bus::sabotage::sabotage;
use crate::group::{Place, Purpose};
use crate::ops::metrics::{Commit, Metrics, Refusal};
use crate::wire::headers::INPUT_SEQ;

/// Messages that the server takes in a batch.
const MOST: usize = 1_000;
/// Messages in a batch besides the two markers.
pub(super) const BATCH: usize = MOST - 2;
/// Bytes in a batch, so that a run of large dead letters does not become one.
pub(super) const BATCH_BYTES: usize = 4 << 20;

const ANSWER: Duration = Duration::from_secs(5);
/// For a batch to be sent and answered.
const WRITE: Duration = Duration::from_secs(10);
/// Partitions that may wait for their turn.
const QUEUE: usize = 1_024;

pub(super) static BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
pub(super) static BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");
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

/// The format of markers that this version writes. It reads the first as well, which has neither
/// `version` nor `outputs` nor `after`.
pub(super) const MARKER_VERSION: u32 = 2;

const fn first_version() -> u32 {
    1
}

/// The content of a marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    #[serde(default = "first_version")]
    pub version: u32,
    #[serde(flatten)]
    pub position: Position,
    /// The run of the process that wrote it.
    pub owner: String,
    /// Messages that were refused unread because they made the engine panic: state that is
    /// computed anew must pass over them too, whether or not they would do so again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub poison: BTreeSet<u64>,
    /// At the beginning of a batch. In the first format: the number of outputs after the position
    /// that were stored before it. Now always 0, as the position is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<usize>,
    /// The fingerprint of everything that decides about outputs; none while outputs of several
    /// configurations are stored after the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
    /// Outputs after the position that are stored before this marker stand after this sequence of
    /// the stream of signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Marker {
    /// The outputs that its writer computed, for a reader whose own have this fingerprint.
    pub fn outputs_seen_by(&self, own: &str) -> Outputs {
        match self.outputs.as_deref() {
            // the first format does not tell: a count has to do
            _ if self.version < 2 => Outputs::Same,
            Some(theirs) if theirs == own => Outputs::Same,
            Some(_) => Outputs::Other,
            None => Outputs::Mixed,
        }
    }
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
    /// The server says no.
    #[error("{0}")]
    Refused(String),
    /// The server says nothing, or it was not reached.
    #[error("{0}")]
    Failed(String),
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    error: Option<async_nats::jetstream::Error>,
}

/// The outputs of its batch that stand behind the marker `revision`, which is not its last: for
/// each the message that gave it. Reports each answer to `progress`.
pub(super) async fn left_behind(
    common: &Common,
    revision: u64,
    progress: impl Fn(),
) -> Result<Vec<u64>, String> {
    let stream = common
        .js
        .get_stream_no_info(&common.streams.signals)
        .await
        .map_err(|error| error.to_string())?;
    let mut batch = None;
    let mut behind = Vec::new();
    for at in 0..=MOST as u64 {
        let asked = stream.get_raw_message(revision + at);
        let found = common.link.unless_lost(asked).await;
        let message = match found.ok_or("the connection was lost meanwhile")? {
            Ok(message) => message,
            Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => {
                return Ok(behind);
            }
            Err(error) => return Err(format!("cannot read what was left of a batch: {error}")),
        };
        progress();
        let of = message.headers.get(BATCH_ID.clone()).cloned();
        if at == 0 {
            batch = of;
        } else if of.is_none() || of != batch {
            return Ok(behind);
        } else {
            let seq = message.headers.get(INPUT_SEQ).map(HeaderValue::as_str);
            let seq = seq.and_then(|seq| seq.parse().ok()).ok_or_else(|| {
                format!(
                    "message {} of the stream of signals stands behind a marker and names no bar",
                    revision + at
                )
            })?;
            behind.push(seq);
        }
    }
    Ok(behind)
}

/// What one partition wants stored.
pub(super) struct Wanted {
    pub unit: u32,
    pub subject: Subject,
    /// The revision that must still be the last on the subject; 0 for none.
    pub expected: u64,
    /// Stored before everything, unless there is nothing but the marker.
    pub begin: Option<Marker>,
    pub marker: Marker,
    pub outgoing: Arc<Vec<Outgoing>>,
    pub range: Range<usize>,
}

impl Wanted {
    fn messages(&self) -> usize {
        self.range.len() + 1 + usize::from(self.begin.is_some())
    }

    fn bytes(&self) -> usize {
        let batch = &self.outgoing[self.range.clone()];
        batch.iter().map(Outgoing::size).sum()
    }
}

type Answer = oneshot::Sender<Result<u64, CommitError>>;

/// Commits for all partitions of the process. A server takes some milliseconds for an atomic
/// batch, however small, and one after the other; so what several partitions want stored while a
/// batch is under way goes into the next one together.
#[derive(Clone)]
pub(super) struct Committer {
    wanted: mpsc::Sender<(Wanted, Answer)>,
    /// Counts batches that were tried, well or not.
    tried: watch::Receiver<u64>,
}

/// The parts that write a commit.
struct Writer {
    client: Client,
    link: Arc<Link>,
    guard: Arc<Guard>,
    /// The stream of signals.
    stream: String,
    metrics: Arc<Metrics>,
    /// Counts batches that were tried, well or not.
    tried: watch::Sender<u64>,
}

impl Committer {
    /// Begins; ends when nobody has it any more.
    pub fn start(
        client: Client,
        link: Arc<Link>,
        guard: Arc<Guard>,
        stream: String,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.commits.begin();
        let (trying, tried) = watch::channel(0);
        let writer = Writer {
            client,
            link,
            guard,
            stream,
            metrics,
            tried: trying,
        };
        let (sender, mut wanted) = mpsc::channel::<(Wanted, Answer)>(QUEUE);
        tokio::spawn(async move {
            let mut left = None;
            loop {
                let first = match left.take() {
                    Some(first) => first,
                    None => match wanted.recv().await {
                        Some(first) => first,
                        None => return,
                    },
                };
                let (mut messages, mut bytes) = (first.0.messages(), first.0.bytes());
                let mut together = vec![first];
                while let Ok(next) = wanted.try_recv() {
                    messages += next.0.messages();
                    bytes += next.0.bytes();
                    if messages > MOST || bytes > BATCH_BYTES {
                        left = Some(next);
                        break;
                    }
                    together.push(next);
                }
                writer.commit_together(together).await;
            }
        });
        Self {
            wanted: sender,
            tried,
        }
    }

    /// Stores what is wanted, or nothing of it; returns the marker's new revision. Reports to
    /// `progress` whenever the batch before its own was tried: the queue moves.
    pub async fn commit(&self, wanted: Wanted, progress: impl Fn()) -> Result<u64, CommitError> {
        let (answer, outcome) = oneshot::channel();
        let gone = || CommitError::Failed("the committer has ended".to_owned());
        let mut tried = self.tried.clone();
        let waiting = async {
            let sent = self.wanted.send((wanted, answer)).await;
            sent.map_err(|_| gone())?;
            outcome.await.map_err(|_| gone())?
        };
        let mut waiting = std::pin::pin!(waiting);
        loop {
            tokio::select! {
                outcome = &mut waiting => return outcome,
                Ok(()) = tried.changed() => progress(),
            }
        }
    }
}

impl Writer {
    async fn commit_together(&self, together: Vec<(Wanted, Answer)>) {
        let wanted: Vec<&Wanted> = together.iter().map(|(wanted, _)| wanted).collect();
        if sabotage().fence {
            // so that a paused owner is paused with a commit to come
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        match self.write(&wanted).await {
            Ok(revisions) => {
                for ((_, answer), revision) in together.into_iter().zip(revisions) {
                    // a partition that was dropped meanwhile does not wait for it
                    let _ = answer.send(Ok(revision));
                }
            }
            // one of them has lost its partition, or holds what the server does not take: each for
            // itself, then
            Err(CommitError::Fenced | CommitError::Refused(_)) if together.len() > 1 => {
                for (wanted, answer) in together {
                    let outcome = self.write(&[&wanted]).await;
                    let _ = answer.send(outcome.map(|revisions| revisions[0]));
                }
            }
            Err(error) => {
                for (_, answer) in together {
                    let _ = answer.send(Err(match &error {
                        CommitError::Fenced => CommitError::Fenced,
                        CommitError::Refused(reason) => CommitError::Refused(reason.clone()),
                        CommitError::Failed(reason) => CommitError::Failed(reason.clone()),
                    }));
                }
            }
        }
    }

    /// Stores everything as one batch; returns the new revisions of the markers.
    async fn write(&self, wanted: &[&Wanted]) -> Result<Vec<u64>, CommitError> {
        let messages = wanted.iter().map(|one| one.messages()).sum::<usize>() as u64;
        let began = Instant::now();
        // a server that does not read holds the client up without an end
        let writing = timeout(WRITE, write(self, wanted));
        let failed = |reason: &str| Err(CommitError::Failed(reason.to_owned()));
        let outcome = match self.link.unless_lost(writing).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => failed("the server did not take the batch in time"),
            None => failed("the connection was lost meanwhile"),
        };
        let took = began.elapsed();
        match &outcome {
            Ok(_) => self.metrics.commits.stored(Commit { messages, took }),
            Err(CommitError::Fenced) => self.metrics.commits.refused(Refusal::Fenced),
            Err(CommitError::Refused(_)) => self.metrics.commits.refused(Refusal::Refused),
            Err(CommitError::Failed(_)) => self.metrics.commits.refused(Refusal::Failed),
        }
        let (partitions, took_us) = (wanted.len(), took.as_micros());
        tracing::debug!(partitions, messages, took_us, "commit");
        self.tried.send_modify(|tried| *tried += 1);
        outcome
    }
}

/// Retries [`Writer::write`] for as long as it takes.
async fn write(writer: &Writer, wanted: &[&Wanted]) -> Result<Vec<u64>, CommitError> {
    let client = &writer.client;
    let failed = |error: &dyn std::fmt::Display| CommitError::Failed(error.to_string());
    let total: usize = wanted.iter().map(|one| one.messages()).sum();
    let id = (total > 1).then(|| nuid::next().to_string());
    let number = |headers: &mut HeaderMap, at: usize| {
        if let Some(id) = &id {
            headers.insert(BATCH_ID.clone(), id.as_str());
            headers.insert(BATCH_SEQUENCE.clone(), HeaderValue::from(at));
        }
    };
    // the marker that a commit replaces is its counter
    let seal = |headers: &mut HeaderMap, one: &Wanted, at: usize, payload: &[u8]| {
        let (unit, at) = (one.unit.to_string(), at.to_string());
        let batch = id.as_deref().map_or(("", ""), |id| (id, at.as_str()));
        let names = markers::place(&writer.stream, &unit, batch.0, batch.1);
        let place = Place {
            purpose: Purpose::Marker,
            names: &names,
        };
        let guard = &writer.guard;
        guard.seal_at(headers, place, one.expected, payload);
    };
    let mut at = 0;
    let mut markers = Vec::with_capacity(wanted.len());
    let mut acknowledged = None;
    for one in wanted {
        let fence = |headers: &mut HeaderMap| {
            if !sabotage().fence {
                headers.insert(EXPECTED.clone(), HeaderValue::from(one.expected));
            }
        };
        if let Some(begin) = &one.begin {
            at += 1;
            let payload = serde_json::to_vec(begin).map_err(|error| failed(&error))?;
            let mut headers = HeaderMap::new();
            fence(&mut headers);
            headers.insert(ROLLUP.clone(), "sub");
            number(&mut headers, at);
            seal(&mut headers, one, at, &payload);
            client
                .publish_with_headers(one.subject.clone(), headers, payload.into())
                .await
                .map_err(|error| failed(&error))?;
        }
        for signal in &one.outgoing[one.range.clone()] {
            at += 1;
            let mut headers = signal.headers.clone();
            number(&mut headers, at);
            client
                .publish_with_headers(signal.subject.clone(), headers, signal.payload.clone())
                .await
                .map_err(|error| failed(&error))?;
        }
        at += 1;
        let payload = serde_json::to_vec(&one.marker).map_err(|error| failed(&error))?;
        let mut headers = HeaderMap::new();
        if one.begin.is_none() {
            // else the first of the two has done both; a batch takes no second
            fence(&mut headers);
            headers.insert(ROLLUP.clone(), "sub");
        }
        number(&mut headers, at);
        seal(&mut headers, one, at, &payload);
        markers.push(at);
        if at < total {
            client
                .publish_with_headers(one.subject.clone(), headers, payload.into())
                .await
                .map_err(|error| failed(&error))?;
            continue;
        }
        if id.is_some() {
            headers.insert(BATCH_COMMIT.clone(), "1");
        }
        let request = Request::new()
            .headers(headers)
            .payload(payload.into())
            .timeout(Some(ANSWER));
        let answer = client.send_request(one.subject.clone(), request).await;
        acknowledged = Some(answer.map_err(|error| failed(&error))?);
    }
    let answer = acknowledged.ok_or_else(|| failed(&"nothing to commit"))?;
    let ack: Ack = serde_json::from_slice(&answer.payload).map_err(|error| failed(&error))?;
    match ack.error {
        // a batch is stored without a gap, and the answer names its last message
        None if ack.seq >= total as u64 => {
            let revision = |at: &usize| ack.seq - (total - at) as u64;
            Ok(markers.iter().map(revision).collect())
        }
        None => Err(failed(&"the answer of the server names no message")),
        Some(error)
            if matches!(
                error.error_code(),
                ErrorCode::STREAM_WRONG_LAST_SEQUENCE
                    | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
            ) =>
        {
            Err(CommitError::Fenced)
        }
        Some(error) => Err(CommitError::Refused(error.to_string())),
    }
}
