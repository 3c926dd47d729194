//! The commit: the outputs of some bars and the position that those bars stand for, stored together
//! or not at all.
//!
//! The signals, the dead letters and one commit marker go to the stream as an atomic batch. The
//! marker says up to where the partition's bars are done, and is accepted only if the partition's
//! marker is still the one that this owner wrote or found: that is the fence. It replaces the one
//! before it, so a partition has one marker.
//!
//! A commit that was not answered may have happened. The marker tells.
//!
//! An "atomic" batch can be stored in part: if a storage limit is hit in the middle of it,
//! nats-server keeps the messages before. So a partition's outputs begin with a marker as well,
//! which the one at their end replaces. Where the first is the last one found, the outputs behind
//! it that belong to its batch are stored, and the bars they name give the progress of the
//! partition.

mod batch;
mod refusal;

pub(super) use refusal::Refusal;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Subject};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::marker::Marker;
use crate::bus::guard::Guard;
use crate::bus::intake::Outgoing;
use crate::bus::link::Link;
use crate::failpoints;
use crate::ops::metrics::{self, Commit, Metrics};

/// Messages that the server takes in a batch.
pub(super) const MOST: usize = 1_000;
/// Messages in a batch besides the two markers.
pub(super) const BATCH: usize = MOST - 2;
/// Bytes in a batch, so that a run of large dead letters does not become one.
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// For a batch to be sent and answered.
const WRITE: Duration = Duration::from_secs(10);
/// Partitions that may wait for their turn.
const QUEUE: usize = 1_024;

/// The reason why a commit is not known to be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommitError {
    /// The server has refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server did not answer, or was not reached.
    #[error("{0}")]
    Failed(String),
}

/// The outputs and markers that one partition wants stored.
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
        if failpoints::skips_fence() {
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
            // one of them has lost its partition, has a message that the server does not take, or
            // needs more room than there is: each by itself, then
            Err(CommitError::Refused(_)) if together.len() > 1 => {
                for (wanted, answer) in together {
                    let outcome = self.write(&[&wanted]).await;
                    let _ = answer.send(outcome.map(|revisions| revisions[0]));
                }
            }
            Err(error) => {
                for (_, answer) in together {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Stores everything as one batch; returns the new revisions of the markers.
    async fn write(&self, wanted: &[&Wanted]) -> Result<Vec<u64>, CommitError> {
        let messages = wanted.iter().map(|one| one.messages()).sum::<usize>() as u64;
        let began = Instant::now();
        // a server that does not read holds the client up without an end
        let writing = timeout(WRITE, batch::write(self, wanted));
        let failed = |reason: &str| Err(CommitError::Failed(reason.to_owned()));
        let outcome = match self.link.unless_lost(writing).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => failed("the server did not take the batch in time"),
            None => failed("the connection was lost meanwhile"),
        };
        let took = began.elapsed();
        match &outcome {
            Ok(_) => self.metrics.commits.stored(Commit { messages, took }),
            Err(error) => self.metrics.commits.refused(match error {
                CommitError::Refused(Refusal::Fenced) => metrics::Refusal::Fenced,
                CommitError::Refused(_) => metrics::Refusal::Refused,
                CommitError::Failed(_) => metrics::Refusal::Failed,
            }),
        }
        let (partitions, took_us) = (wanted.len(), took.as_micros());
        tracing::debug!(partitions, messages, took_us, "commit");
        self.tried.send_modify(|tried| *tried += 1);
        outcome
    }
}
