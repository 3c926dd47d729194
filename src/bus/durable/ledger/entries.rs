//! The entries of the ledger: places among the outputs of a partition, batches between two of them,
//! and the marker that work begins with.

use std::ops::Range;

/// A place among the outputs of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bus::durable) struct Point {
    /// All outputs of messages up to this sequence are before it.
    pub seq: u64,
    /// The number of outputs of the next message that are before it too.
    pub part: usize,
}

impl Point {
    /// The place after all outputs of the message `seq`.
    pub const fn after(seq: u64) -> Self {
        Self { seq, part: 0 }
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.part {
            0 => write!(f, "{}", self.seq),
            part => write!(f, "{} and {part} outputs", self.seq),
        }
    }
}

/// The outputs of the interval `(from, to]` that are stored together; none where only the position
/// moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus::durable) struct Batch {
    pub from: Point,
    pub to: Point,
    /// The outputs among those that [`Ledger::applied`] let through since the last
    /// [`Ledger::is_stored`].
    pub outputs: Range<usize>,
}

/// The last marker of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus::durable) struct Recovered<'a> {
    pub at: Point,
    /// Outputs after `at` that were stored before the marker; only markers of the first format
    /// have them.
    pub earlier: usize,
    /// True if it stands at the beginning of a batch.
    pub begins_batch: bool,
    /// For each output that is stored behind it in its batch: the message that gave it.
    pub behind: &'a [u64],
    /// Outputs after `at` are stored after this sequence of the stream of signals.
    pub floor: u64,
    /// They are stored at this sequence or before.
    pub newest: u64,
    pub outputs: Outputs,
}

/// The outputs that the writer of a marker computed, as its reader sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus::durable) enum Outputs {
    /// The reader computes the same.
    Same,
    /// The reader may compute others: the configuration or the version is another.
    Other,
    /// Outputs of several configurations, so that no count tells which are stored.
    Mixed,
}

/// Outputs to be looked for in the stream of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus::durable) struct Search {
    /// Those of messages after this one.
    pub after: u64,
    /// They are stored after this sequence of the stream.
    pub floor: u64,
    /// They are stored at this sequence or before.
    pub last: u64,
}

/// The reason why an entry does not fit the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::bus::durable) enum LedgerError {
    #[error("message {seq} of partition {unit} was applied before: the partition is at {applied}")]
    Stale { unit: u32, applied: u64, seq: u64 },
    #[error(
        "partition {unit} is stored up to {stored}, and a batch from {from} to {to} does not follow"
    )]
    Gap {
        unit: u32,
        stored: Point,
        from: Point,
        to: Point,
    },
    #[error(
        "the marker of partition {unit} says that everything up to {at} is stored, and an output of \
         message {seq} stands behind it"
    )]
    Contradiction { unit: u32, at: Point, seq: u64 },
}
