//! A record of the letters being put back, written before they are: the next run finds what a
//! killed run did, and does not repeat it.
//!
//! The record names the letters of one batch. It is a message in the stream of signals, on a
//! subject that the stream captures with the commit markers; each replaces the one before and
//! depends on it, so that of two runs at the same time one is stopped. It is removed at an orderly
//! end. Where one is found, what became of its letters is told by the streams of bars: by whether
//! they hold a message with the letter's id, for however long ago that was.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use serde::{Deserialize, Serialize};

use super::RedriveError;
use super::store::Store;
use crate::market::Timestamp;
use crate::wire::headers::MESSAGE_ID;

/// Clocks of the servers of a cluster may differ by this much.
const CLOCKS: i64 = 60_000_000_000;
/// Messages read at a time.
const BATCH: usize = 1_000;

/// A letter of which it is not known whether it is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub seq: u64,
    pub reason: String,
    /// By which its bar is recognised.
    pub id: String,
    /// The stream that its bar goes to.
    pub stream: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// For people.
    agent: String,
    letters: Vec<Entry>,
}

/// The letters in doubt, and since when.
pub(super) struct Doubt {
    pub entries: Vec<Entry>,
    since: Timestamp,
}

pub(super) struct Journal {
    stream: String,
    subject: String,
    agent: String,
    /// The sequence of the record that is there; 0 when none is.
    revision: u64,
}

impl Journal {
    /// Opens that of the stream of signals `stream`, and says what an earlier run has left.
    pub async fn open(
        store: &Store,
        stream: &str,
        agent: &str,
    ) -> Result<(Self, Option<Doubt>), RedriveError> {
        let mut journal = Self {
            stream: stream.to_owned(),
            // a group's markers have one token more
            subject: format!("commit.{stream}.redrive"),
            agent: agent.to_owned(),
            revision: 0,
        };
        let handle = store.js.get_stream_no_info(stream).await;
        let handle = handle.map_err(|error| store.unanswered(&error))?;
        let found = handle.get_last_raw_message_by_subject(&journal.subject);
        let message = match found.await {
            Ok(message) => message,
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {
                return Ok((journal, None));
            }
            Err(error) => return Err(store.unanswered(&error)),
        };
        let record: Record = serde_json::from_slice(&message.payload).map_err(|error| {
            RedriveError::Setup(format!(
                "the record of an earlier redrive on {} cannot be read: {error}; see which letters \
                 it names, and remove it with `nats stream rmm {stream} {}`",
                journal.subject, message.sequence
            ))
        })?;
        journal.revision = message.sequence;
        let nanos = i64::try_from(message.time.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        let doubt = Doubt {
            entries: record.letters,
            since: Timestamp::from_nanos(nanos.saturating_sub(CLOCKS)),
        };
        Ok((journal, Some(doubt)))
    }

    /// Writes down that these letters are going to be put back.
    pub async fn begin(&mut self, store: &Store, letters: Vec<Entry>) -> Result<(), RedriveError> {
        let record = Record {
            agent: self.agent.clone(),
            letters,
        };
        let payload = serde_json::to_vec(&record)
            .map_err(|error| RedriveError::Refused(format!("cannot write the record: {error}")))?;
        let message = PublishMessage::build()
            .payload(payload.into())
            .header("Nats-Rollup", "sub")
            .expected_last_subject_sequence(self.revision);
        let sent = store.js.send_publish(self.subject.clone(), message).await;
        let outcome = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        let text = |error: &dyn std::fmt::Display| {
            format!("cannot write down what is going to be put back: {error}")
        };
        match outcome {
            Ok(acknowledgement) => {
                self.revision = acknowledgement.sequence;
                Ok(())
            }
            Err(error) => Err(match error.kind() {
                PublishErrorKind::WrongLastSequence => RedriveError::Refused(
                    "another redrive is at work on the same stream; let one of them go on"
                        .to_owned(),
                ),
                PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => {
                    store.unanswered(&text(&error))
                }
                _ => RedriveError::Refused(text(&error)),
            }),
        }
    }

    /// Nothing is in doubt any more.
    pub async fn end(&mut self, store: &Store) -> Result<(), RedriveError> {
        if self.revision > 0 {
            store.delete(&self.stream, [self.revision]).await?;
            self.revision = 0;
        }
        Ok(())
    }
}

/// Those letters in doubt whose bars are in their streams.
pub(super) async fn put_back(store: &Store, doubt: &Doubt) -> Result<HashSet<u64>, RedriveError> {
    let mut streams: BTreeMap<&str, HashMap<&str, u64>> = BTreeMap::new();
    for entry in &doubt.entries {
        let ids = streams.entry(&entry.stream).or_default();
        ids.insert(&entry.id, entry.seq);
    }
    let mut found = HashSet::new();
    for (stream, mut missing) in streams {
        let Some(info) = store.info(stream).await? else {
            continue;
        };
        let mut reader = store.read(&info, "", Some(doubt.since), true);
        while !missing.is_empty() {
            let batch = reader.next(BATCH).await;
            let batch = batch.map_err(|error| store.unanswered(&error))?;
            if batch.is_empty() {
                break;
            }
            for message in batch {
                let id = message.headers.get(MESSAGE_ID);
                found.extend(id.and_then(|id| missing.remove(id.as_str())));
            }
        }
        reader.close().await;
    }
    Ok(found)
}
