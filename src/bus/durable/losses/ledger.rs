//! The bars of a partition that left the stream before they were read.
//!
//! The ledger compares what the stream was seen to hold for the partition with what is read from
//! it. What it counts is gone for certain: where the stream cannot tell exactly how many bars
//! came and went, the count is a lower bound.
//!
//! - A partition that has a stream to itself owns every sequence: each one that is passed over
//!   was lost. So reading counts exactly, and what a look counts before ([`Gap`]) is taken off.
//! - In a shared stream the sequences between two bars of a partition may be those of others. So
//!   the stream is asked from time to time how many bars it holds for the partition
//!   ([`Look`]), and each delivery says how many come after it. All of them have to be read; the
//!   shortfall was lost.
//!
//! Must not know: NATS, time.

use crate::bus::durable::stream_state::{Gap, Look};

/// The state of the ledger when a look began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus::durable) struct Mark {
    pub position: u64,
    pub through: u64,
    pub waiting: u64,
    read: u64,
    found: u64,
    ahead: u64,
}

impl Mark {
    /// Returns whether a look with these counts would find a loss.
    pub fn misses(&self, arrived: u64, present: u64, gap: Option<Gap>) -> bool {
        match gap {
            Some(gap) => gap.gone(self.position) > self.ahead,
            None => self.waiting + arrived > present,
        }
    }
}

/// Bars that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus::durable) struct Loss {
    pub bars: u64,
    /// They came after this sequence.
    pub after: u64,
    /// They came before this sequence.
    pub before: u64,
    /// True if a loss is very likely and not certain.
    pub guessed: bool,
}

impl Loss {
    /// Both losses as one.
    pub fn and(self, other: Self) -> Self {
        Self {
            bars: self.bars + other.bars,
            after: self.after.min(other.after),
            before: self.before.max(other.before),
            guessed: self.guessed || other.guessed,
        }
    }
}

/// The account of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus::durable) struct Ledger {
    /// True if the partition has the stream to itself.
    whole: bool,
    /// Everything up to here was read, or was counted as lost.
    position: u64,
    /// Arrivals are accounted for up to here.
    through: u64,
    /// Bars between `position` and `through` that are known to wait.
    waiting: u64,
    /// Bars that came after the last one read, when it was delivered.
    pending: u64,
    /// Bars read since the ledger was made.
    read: u64,
    /// Losses found by reading since the ledger was made.
    found: u64,
    /// Losses found by looks that reading has not passed yet.
    ahead: u64,
    /// True if the stream held nothing more when it was last asked.
    idle: bool,
}

impl Ledger {
    /// The ledger of a partition of which everything up to `position` was read, in a stream that
    /// begins at `first` and holds `present` bars for it. Others of the group were at work up to
    /// `known`, or answer for what was lost before it.
    pub fn new(
        whole: bool,
        position: u64,
        known: u64,
        first: u64,
        present: u64,
    ) -> (Self, Option<Loss>) {
        let gone = first.saturating_sub(1);
        let lost = if whole {
            gone.saturating_sub(position)
        } else {
            // bars came before and after; that none came meanwhile is not likely
            u64::from(gone > position.max(known) && present > 0)
        };
        let ledger = Self {
            whole,
            position: position.max(gone),
            through: position.max(gone),
            waiting: 0,
            pending: 0,
            read: 0,
            found: 0,
            ahead: 0,
            idle: false,
        };
        (ledger, loss(lost, position, first, !whole))
    }

    /// Everything up to here was read or is gone.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns whether the server had nothing more when it was last asked.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    pub fn mark(&self) -> Mark {
        Mark {
            position: self.position,
            through: self.through,
            waiting: self.waiting,
            read: self.read,
            found: self.found,
            ahead: self.ahead,
        }
    }

    /// Bars that wait to be read, and those that did before the stream dropped them.
    pub fn behind(&self) -> u64 {
        self.waiting + self.ahead
    }

    /// The bar `seq` was read, and `pending` more came after it when it was delivered.
    pub fn read(&mut self, seq: u64, pending: u64) -> Option<Loss> {
        if seq <= self.position {
            return None;
        }
        let after = self.position;
        let bars = if self.whole {
            let gap = seq - after - 1;
            let counted = gap.min(self.ahead);
            self.ahead -= counted;
            gap - counted
        } else if seq > self.through {
            // what came before it is read or gone
            self.waiting
        } else {
            0
        };
        if seq > self.through {
            self.through = seq;
            self.waiting = 0;
        } else {
            self.waiting = self.waiting.saturating_sub(1 + bars);
        }
        self.position = seq;
        self.pending = pending;
        self.read += 1;
        self.found += bars;
        if !self.whole {
            self.ahead = 0;
        }
        self.idle = false;
        loss(bars, after, seq, false)
    }

    /// The stream was looked at; the look began at `mark`.
    pub fn looked(&mut self, mark: Mark, look: Look) -> Option<Loss> {
        let read = self.read - mark.read;
        if self.position > look.last {
            // reading is ahead of the look
            return None;
        }
        if !self.whole && read > 0 && self.position > mark.through {
            // everything that waited then was read meanwhile, and accounted for; of what was there
            // during the look, some may be gone that reading has passed
            return None;
        }
        // what reading has found to be gone meanwhile may be missing from the look or not
        let found = if self.whole {
            self.found - mark.found
        } else {
            0
        };
        let (after, bars) = (self.position, self.shortfall(mark, look, read));
        // bars waited, others wait now, and the stream dropped all that it held between
        let replaced = bars == 0
            && read == 0
            && !self.whole
            && self.pending > 0
            && look.arrived > 0
            && look.first.saturating_sub(1) > mark.through;
        self.waiting = look.present.saturating_sub(read + found);
        self.pending = self.waiting;
        self.through = look.last.max(self.position);
        let bars = bars + u64::from(replaced);
        self.ahead += bars;
        self.idle = false;
        loss(bars, after, look.first.max(after + 1), replaced)
    }

    /// Bars that a look misses, after `read` bars were read since it began.
    fn shortfall(&self, mark: Mark, look: Look, read: u64) -> u64 {
        if self.whole {
            let gone = look.gap.map_or(0, |gap| gap.gone(self.position));
            return gone.saturating_sub(self.ahead);
        }
        let mut expected = mark.waiting + look.arrived;
        if read == 0 {
            expected = expected.max(self.pending);
        }
        expected.saturating_sub(look.present)
    }

    /// The server has nothing more for the partition, of a stream whose last sequence was at least
    /// `last`. Servers of a cluster may be behind one another, so the first such answer counts for
    /// nothing.
    pub fn drained(&mut self, last: u64) -> Option<Loss> {
        if !std::mem::replace(&mut self.idle, true) || self.whole {
            return None;
        }
        let (after, bars) = (self.position, std::mem::take(&mut self.waiting));
        self.through = self.through.max(last);
        self.pending = 0;
        loss(bars, after, self.through + 1, false)
    }
}

fn loss(bars: u64, after: u64, before: u64, guessed: bool) -> Option<Loss> {
    (bars > 0).then_some(Loss {
        bars,
        after,
        before,
        guessed,
    })
}

#[cfg(test)]
mod tests;
