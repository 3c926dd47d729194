//! What an intake hands on: to be published, or kept for whoever takes a slot over.

use std::time::Instant;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::group::Slot;
use crate::market::{SeriesKey, Timestamp};

/// Something to be published.
#[derive(Debug)]
pub(in crate::bus) struct Outgoing {
    pub subject: Subject,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// When the bar of a signal was received; nothing for a dead letter.
    pub received: Option<Instant>,
    /// Whether it is about a bar that is still forming: not worth keeping.
    pub forming: bool,
}

/// A final signal that another member publishes, kept in case its slot is handed over.
#[derive(Debug)]
pub(in crate::bus) struct Kept {
    pub slot: Slot,
    pub key: SeriesKey,
    pub timestamp: Timestamp,
    pub revision: u32,
    pub signal: Outgoing,
}

/// A dead letter that another member writes, kept like a signal.
#[derive(Debug)]
pub(in crate::bus) struct KeptLetter {
    pub slot: Slot,
    pub mark: u64,
    pub letter: Outgoing,
}
