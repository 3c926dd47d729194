//! Markers that are stored although there is nothing to publish.
//!
//! The marker says up to where the partition is read, and whoever loads the partition looks for
//! losses behind it. So it must not fall far behind the stream.

use std::time::Duration;

use super::{Partition, TICK};
use crate::bus::durable::ledger::Batch;

/// Between two markers of an idle partition.
const IDLE: Duration = Duration::from_secs(60);

impl Partition {
    /// The marker to be stored now, if it is time to.
    pub(super) fn due_marker(&self) -> Option<Batch> {
        if !self.ledger.has_caught_up() {
            return None;
        }
        let (since, durable) = (self.fence.written.elapsed(), &self.common.config.durable);
        let (settled, at_once) = self.account.settled();
        let (first, last) = self.common.range(self.unit);
        let stored = self.ledger.stored_to().seq;
        // it must not age out of its stream while its partition is silent
        let aged = self.fence.marker.is_some() && since > durable.signals_max_age / 4;
        // bars were read that gave nothing to publish; who has fed them waits for it
        let pause = if self.intake.out.tallies.is_empty() {
            durable.checkpoint
        } else {
            TICK
        };
        let read = self.ledger.last_applied() > stored && since >= pause;
        // the stream is about to drop what the position stands for
        let overtaken = since >= IDLE && stored < first + last.saturating_sub(first) / 2;
        let further = settled > stored;
        let due = aged || read || further && (at_once || overtaken);
        due.then(|| self.ledger.marker_to(stored.max(settled)))
    }

    /// The server has nothing more for the partition; its stream goes up to `last`.
    pub(super) fn on_drained(&mut self, last: u64) {
        let (again, loss) = self.account.drained(last);
        if let Some(loss) = loss {
            self.common.lost(self.unit, loss);
        }
        let replay_until = self.ledger.replay_until();
        if again && self.ledger.last_applied() < replay_until {
            // a marker can be ahead of the last bar of its partition
            self.ledger.passed(replay_until);
        }
    }

    /// The marker to be stored before the partition is given up, if bars were read that gave
    /// nothing to publish.
    pub(super) fn advanced(&self) -> Option<Batch> {
        let (ledger, applied) = (&self.ledger, self.ledger.last_applied());
        let advanced = ledger.has_caught_up() && applied > ledger.stored_to().seq;
        advanced.then(|| ledger.marker_to(applied))
    }
}
