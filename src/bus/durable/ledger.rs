//! The account of one partition's outputs: those in the stream of signals, and those still to be
//! stored.
//!
//! A partition is a sequence of messages, and each message gives any number of outputs: signals and
//! dead letters. A [`Point`] is a place among all these outputs. An owner at work has three of them:
//!
//! ```text
//!  outputs   ●●●●●●●●●●●●●●●●●●●●●●●●●●●●○○○○○○○○○○○○○○
//!                    ▲                  ▲            ▲
//!                    replay_until       stored       applied
//! ```
//!
//! - Messages up to `replay_until` are applied for their state alone. Their outputs are stored. Of
//!   the message after it, the first `already_stored` outputs are stored as well: a message of many
//!   bars may need more than one batch, and a batch may be stored in part.
//! - Everything up to `stored` is stored. Only [`Ledger::stored`] and [`Ledger::partially_stored`]
//!   move it, and each moves it from where the last one left it: a [`Batch`] is the interval
//!   `(from, to]`, and intervals follow one another without a gap.
//! - Messages up to `applied` are in the state.
//!
//! Laws, which `ledger/tests.rs` checks against a model of the store: whatever part of a batch is
//! stored, whatever answer is lost and wherever an owner ends, each output is in the store once and
//! in order. Owners of one configuration leave the bytes that an uninterrupted run leaves.
//!
//! **Another configuration** gives other outputs for the same message, so a count of the former
//! owner's says nothing. Messages before that of the last stored output are the former owner's
//! decision. In that one message outputs are recognised by identity ([`Search`]); markers say so for
//! as long as it takes (`by_identity_until`).
//!
//! Must not know: NATS, time, what an output contains.

mod entries;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub(in crate::bus::durable) use entries::Outputs;
pub(super) use entries::{Batch, LedgerError, Point, Recovered, Search};

/// An output to be stored.
#[derive(Debug, Clone, Copy)]
struct Pending {
    seq: u64,
    /// Its place among the outputs of its message.
    index: usize,
    bytes: usize,
}

/// The account of one partition at work.
#[derive(Debug)]
pub(in crate::bus::durable) struct Ledger {
    unit: u32,
    /// The last message in the state.
    applied: u64,
    /// Outputs of messages up to this one are stored.
    replay_until: u64,
    /// Outputs after `replay_until` that are stored too.
    already_stored: usize,
    /// Everything up to here is stored.
    stored: Point,
    /// Outputs after `stored` that are in the stream of signals stand after this sequence of it.
    floor: u64,
    /// Outputs of messages up to this one may be stored in any order; 0 if none are.
    by_identity_until: u64,
    /// Outputs that have to be looked for before the first message is applied.
    search: Option<Search>,
    /// Outputs to be stored, in order.
    pending: Vec<Pending>,
    /// The number of them that are stored.
    done: usize,
    /// True until a marker replaces one that stands at the beginning of a batch.
    marker_pending: bool,
}

impl Ledger {
    /// The ledger of an owner whose checkpoint contains the messages up to `checkpoint`.
    ///
    /// # Errors
    /// The stream of signals contradicts the marker.
    pub fn recover(
        unit: u32,
        checkpoint: u64,
        marker: Option<&Recovered<'_>>,
    ) -> Result<Self, LedgerError> {
        let mut ledger = Self {
            unit,
            applied: checkpoint,
            replay_until: checkpoint,
            already_stored: 0,
            stored: Point::after(checkpoint),
            floor: 0,
            by_identity_until: 0,
            search: None,
            pending: Vec::new(),
            done: 0,
            marker_pending: false,
        };
        let Some(marker) = marker else {
            return Ok(ledger);
        };
        let mut at = marker.at;
        let mut before = at.seq + 1;
        for seq in marker.behind {
            if *seq < before {
                let (at, seq) = (marker.at, *seq);
                return Err(LedgerError::Contradiction { unit, at, seq });
            }
            before = *seq;
        }
        // the first format counts outputs across messages
        let mut across = marker.earlier;
        if across > 0 {
            across += marker.behind.len();
        } else if let Some(last) = marker.behind.last() {
            let of_last = marker.behind.iter().filter(|seq| *seq == last).count();
            let continued = at.part > 0 && *last == at.seq + 1;
            at = Point {
                seq: last - 1,
                part: of_last + if continued { at.part } else { 0 },
            };
        }
        assert!(at >= marker.at, "a stored output moves a position forward");
        if at.seq >= checkpoint {
            ledger.replay_until = at.seq;
            ledger.already_stored = at.part;
            ledger.stored = at;
        }
        ledger.already_stored += across;
        ledger.floor = marker.floor;
        ledger.marker_pending = marker.begins_batch;
        let by_identity = match marker.outputs {
            Outputs::Same => false,
            Outputs::Other => ledger.already_stored > 0,
            Outputs::Mixed => true,
        };
        if by_identity {
            ledger.by_identity_until = ledger.replay_until + 1;
            ledger.already_stored = 0;
            // how many there were of the other configuration's says nothing
            ledger.stored.part = 0;
            ledger.search = Some(Search {
                after: ledger.replay_until,
                floor: ledger.floor,
                last: marker.newest,
            });
        }
        Ok(ledger)
    }

    /// The outputs that have to be recognised by identity, if a count does not tell which of them
    /// are stored. [`Ledger::by_identity`] has to follow.
    pub fn search(&self) -> Option<Search> {
        self.search
    }

    /// Outputs of messages up to `until` are recognised by identity. They stand after the sequence
    /// `floor` of the stream of signals.
    pub fn by_identity(&mut self, until: u64, floor: u64) {
        self.by_identity_until = self.by_identity_until.max(until);
        self.floor = floor;
        self.already_stored = 0;
        self.search = None;
    }

    /// The last message in the state.
    pub const fn last_applied(&self) -> u64 {
        self.applied
    }

    /// The last message whose outputs were stored when work began.
    pub const fn replay_until(&self) -> u64 {
        self.replay_until
    }

    /// Everything up to here is stored.
    pub const fn stored_to(&self) -> Point {
        self.stored
    }

    /// True if the message is applied for its state alone.
    pub const fn replays(&self, seq: u64) -> bool {
        seq <= self.replay_until
    }

    /// True if outputs of the message are recognised by identity.
    pub const fn recognises(&self, seq: u64) -> bool {
        seq <= self.by_identity_until
    }

    /// True if every output that was stored before work began has been computed again.
    pub const fn has_caught_up(&self) -> bool {
        self.applied >= self.replay_until && self.already_stored == 0
    }

    /// True if a marker has to be stored because the last one stands at the beginning of a batch.
    pub const fn owes_marker(&self) -> bool {
        self.marker_pending && self.has_caught_up()
    }

    /// True if a checkpoint of the state would not be ahead of what is stored.
    pub const fn may_save(&self) -> bool {
        self.has_caught_up() && !self.marker_pending && self.pending.is_empty()
    }

    /// The message `seq` is in the state and has given `outputs`. Returns those that are to be
    /// stored: `is_stored` recognises outputs by identity, and is asked only where no count tells.
    ///
    /// # Errors
    /// The message was applied before.
    pub fn applied<T>(
        &mut self,
        seq: u64,
        mut outputs: Vec<T>,
        bytes: impl Fn(&T) -> usize,
        mut is_stored: impl FnMut(&T) -> bool,
    ) -> Result<Vec<T>, LedgerError> {
        let (unit, applied) = (self.unit, self.applied);
        if seq <= applied {
            return Err(LedgerError::Stale { unit, applied, seq });
        }
        assert!(
            self.search.is_none(),
            "outputs to recognise are found first"
        );
        assert!(
            self.done == 0,
            "no message is applied while a batch is open"
        );
        self.applied = seq;
        if self.replays(seq) {
            outputs.clear();
            return Ok(outputs);
        }
        let counted = self.already_stored.min(outputs.len());
        self.already_stored -= counted;
        let by_identity = self.recognises(seq);
        let mut index = 0;
        outputs.retain(|output| {
            let at = index;
            index += 1;
            if at < counted || by_identity && is_stored(output) {
                return false;
            }
            self.pending.push(Pending {
                seq,
                index: at,
                bytes: bytes(output),
            });
            true
        });
        Ok(outputs)
    }

    /// The stream has no message up to `seq` that was not applied.
    pub fn passed(&mut self, seq: u64) {
        self.applied = self.applied.max(seq);
        self.begins_at(u64::MAX);
    }

    /// The stream of bars begins at `first`. If it does not hold the message any more of which a
    /// part is stored, that part must not be taken for one of the next message.
    pub fn begins_at(&mut self, first: u64) {
        if self.already_stored > 0 && first > self.replay_until + 1 {
            self.already_stored = 0;
            self.stored.part = 0;
        }
    }

    /// The next batch, of at most `most` outputs and `bytes` bytes, but at least one output; `None`
    /// if there is nothing to be stored.
    pub fn next_batch(&self, most: usize, bytes: usize) -> Option<Batch> {
        let begin = self.done;
        let end = self.pending.len().min(begin.saturating_add(most.max(1)));
        let mut sum = 0;
        let cut = (begin..end).find(|at| {
            sum += self.pending[*at].bytes;
            sum > bytes && *at > begin
        });
        let end = cut.unwrap_or(end);
        (begin < end).then(|| self.batch(begin..end))
    }

    /// The batch that stores nothing but that everything up to the message `seq` is done.
    pub fn marker_to(&self, seq: u64) -> Batch {
        assert!(
            self.pending.is_empty(),
            "outputs are stored before a bare marker"
        );
        let from = self.point_at(self.done);
        let to = Point::after(seq.max(self.applied)).max(self.stored);
        let outputs = self.done..self.done;
        Batch { from, to, outputs }
    }

    /// `batch` and its marker are stored, the marker at `revision` of the stream of signals.
    ///
    /// # Errors
    /// It does not follow what is stored.
    pub fn stored(&mut self, batch: &Batch, revision: u64) -> Result<(), LedgerError> {
        self.follows(batch)?;
        self.done = batch.outputs.end;
        self.move_to(batch.to, revision);
        self.marker_pending = false;
        if self.done == self.pending.len() {
            self.pending.clear();
            self.done = 0;
        }
        Ok(())
    }

    /// The first `count` outputs of `batch` are stored behind the marker at its beginning, which is
    /// at `revision`. Returns what is left of it.
    ///
    /// # Errors
    /// It does not follow what is stored.
    pub fn partially_stored(
        &mut self,
        batch: &Batch,
        count: usize,
        revision: u64,
    ) -> Result<Batch, LedgerError> {
        self.follows(batch)?;
        let count = count.min(batch.outputs.len());
        self.done += count;
        let rest = Batch {
            from: self.point_at(self.done),
            to: batch.to,
            outputs: self.done..batch.outputs.end,
        };
        assert!(
            rest.from <= rest.to,
            "a part of a batch does not go beyond it"
        );
        self.move_to(rest.from, revision + count as u64);
        self.marker_pending = true;
        Ok(rest)
    }

    /// The sequence after which an owner of another configuration searches for outputs after
    /// `point`.
    pub const fn floor_at(&self, point: Point) -> Option<u64> {
        if point.part > 0 || self.is_mixed(point) {
            return Some(self.floor);
        }
        None
    }

    /// True if outputs after `point` may be stored in any order, so that no count can tell which.
    pub const fn is_mixed(&self, point: Point) -> bool {
        point.seq < self.by_identity_until
    }

    fn batch(&self, outputs: Range<usize>) -> Batch {
        Batch {
            from: self.point_at(outputs.start),
            to: self.point_at(outputs.end),
            outputs,
        }
    }

    /// The place before the output `at` of those to be stored. Messages before it that gave nothing
    /// are done as well.
    fn point_at(&self, at: usize) -> Point {
        match self.pending.get(at) {
            Some(next) => Point {
                seq: next.seq - 1,
                part: next.index,
            },
            None => Point::after(self.applied).max(self.stored),
        }
    }

    fn follows(&self, batch: &Batch) -> Result<(), LedgerError> {
        let expected = self.point_at(self.done);
        if batch.outputs.start == self.done && batch.from == expected && batch.to >= batch.from {
            return Ok(());
        }
        Err(LedgerError::Gap {
            unit: self.unit,
            stored: expected,
            from: batch.from,
            to: batch.to,
        })
    }

    /// Everything up to `point` is stored, at `newest` of the stream of signals at the latest.
    fn move_to(&mut self, point: Point, newest: u64) {
        assert!(point >= self.stored, "what is stored stays so");
        self.stored = point;
        if point.part == 0 && !self.is_mixed(point) {
            self.floor = newest;
        }
    }
}
