//! The scope of a judgement: the share of the series, the time asked for, and the streams as they
//! were found.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::letters::Place;
use crate::market::{SeriesKey, Timestamp};

/// The part of the work at hand: what is kept for each signal has to fit into memory.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Parts there are.
    pub of: u64,
    /// This one.
    pub number: u64,
}

impl Share {
    /// Returns whether signals of `series` are judged now.
    #[must_use]
    pub fn has(self, series: &SeriesKey) -> bool {
        let nanos = series.timeframe.nanos().unsigned_abs();
        xxh3_64_with_seed(series.symbol.as_str().as_bytes(), nanos) % self.of == self.number
    }

    /// Returns whether letters about the message are judged now.
    #[must_use]
    pub const fn has_letters(self, place: Place) -> bool {
        place.seq() % self.of == self.number
    }
}

/// The time that is asked for, by when the stream stored a bar.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The first moment after it.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Returns whether `at` is in it.
    #[must_use]
    pub fn has(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// A run of sequences.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run(Option<(u64, u64)>);

impl Run {
    /// Makes room for `seq`.
    pub fn add(&mut self, seq: u64) {
        self.0 = Some(self.0.map_or((seq, seq), |(a, b)| (a.min(seq), b.max(seq))));
    }

    pub(super) fn has(self, seq: u64) -> bool {
        self.0.is_some_and(|(a, b)| (a..=b).contains(&seq))
    }
}

/// A stream of bars as it was found.
#[derive(Debug, Clone)]
pub struct Bars {
    /// Its name.
    pub name: String,
    /// The time at which it was made, as in markers.
    pub origin: String,
    /// The first message it retains.
    pub first: u64,
    /// The last message that is read.
    pub last: u64,
    /// The first signal that was stored since the stream was made.
    pub signals_since: u64,
    /// Deleted messages between the two, in order.
    pub deleted: Vec<u64>,
    /// Deleted messages that are too many to be looked at.
    pub uncounted: u64,
    /// Messages that it keeps of each subject; more are dropped.
    pub per_subject: Option<u64>,
    /// Messages within the time asked for.
    pub in_span: Run,
    /// By the hash of a subject: its messages, and the first of them. Kept where the stream drops
    /// messages by subject.
    pub subjects: HashMap<u64, (u64, u64)>,
}

impl Bars {
    pub(super) fn is_deleted(&self, seq: u64) -> bool {
        self.deleted.binary_search(&seq).is_ok()
    }

    /// True if the stream itself drops messages from its middle: the oldest of a subject that has
    /// as many as are kept.
    pub(super) fn drops(&self, seq: u64) -> bool {
        self.per_subject.is_some_and(|most| {
            let mut full = self.subjects.values().filter(|(count, _)| *count >= most);
            full.any(|(_, first)| *first > seq)
        })
    }
}

/// The limits of the stream of signals.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Its name.
    pub name: String,
    /// The time at which it was made.
    pub created: Timestamp,
    /// Older messages have been dropped when it was read.
    pub oldest: Option<Timestamp>,
    /// The time at which its first message was stored, where it drops the oldest for room.
    pub first_at: Option<Timestamp>,
    /// Messages that it keeps of each subject.
    pub per_subject: Option<u64>,
}

impl Retention {
    /// Returns whether a signal of a bar that was stored at `at` may have been dropped.
    pub(super) fn may_drop(&self, at: Timestamp) -> bool {
        at < self.created
            || self.oldest.is_some_and(|oldest| at < oldest)
            || self.first_at.is_some_and(|first| at <= first)
    }
}
