//! The state of a stream of bars with regard to one partition.

/// The state of the stream with regard to one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Bars of the partition after the `through` of the mark that the look began with.
    pub arrived: u64,
    /// Bars of the partition after `position` of that mark that can still be read, also those that were
    /// delivered and wait in the client; counted after `arrived`.
    pub present: u64,
    /// Those of them that the stream holds.
    pub held: u64,
    /// The first sequence that the stream holds, or the next one if it is empty.
    pub first: u64,
    /// Its last sequence; read after `present`, but before it if the partition has the stream to
    /// itself.
    pub last: u64,
    /// The undelivered part of the stream, if it has no other partition.
    pub gap: Option<Gap>,
}

/// The sequences of a stream with one partition that were stored and not delivered. Only `held` of
/// them can still be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Everything up to here was delivered, or is gone.
    pub after: u64,
    /// The last sequence of the stream.
    pub through: u64,
    /// Bars after `after` that the stream holds. Counted after `through` was read, so they may
    /// include bars beyond it.
    pub held: u64,
}

impl Gap {
    /// Bars after `position` that are gone, at least.
    pub fn gone(&self, position: u64) -> u64 {
        let stored = self.through.saturating_sub(self.after.max(position));
        stored.saturating_sub(self.held)
    }
}
