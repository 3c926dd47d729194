//! The coordinator's dealings with the table of members and leases: reads it, renews its own
//! record, and does what the protocol answers.

use std::time::{Duration, Instant};

use super::records::ReadError;
use super::{Coordinator, Done, READ_EVERY, Trouble};
use crate::group::Step;
use crate::ops::metrics::{ACQUIRED, RELEASED};

/// Records of dead members are removed one at a time, and not more often than this.
const REMOVE_EVERY: Duration = Duration::from_secs(1);

impl Coordinator {
    /// Reads the table and renews the own record when that is due.
    pub(super) fn look(&mut self) {
        let due = |at: Option<Instant>, every: Duration| at.is_none_or(|at| at.elapsed() >= every);
        if !self.reading && due(self.read_at, READ_EVERY) {
            self.reading = true;
            self.read_at = Some(Instant::now());
            let records = self.records.clone();
            self.begun
                .spawn(async move { Done::Read(records.read().await) });
        }
        if !self.announcing && due(self.announced_at, self.common.config.durable.lease / 3) {
            self.announce();
        }
    }

    pub(super) fn announce(&mut self) {
        self.announcing = true;
        self.announced_at = Some(Instant::now());
        let (records, me) = (self.records.clone(), self.me.clone());
        let leaving = self.leases.is_leaving();
        let fingerprint = self.common.config.analysis.fingerprint();
        let lease = self.common.config.durable.lease;
        self.begun.spawn(async move {
            Done::Announced(records.announce(&me, leaving, fingerprint, lease).await)
        });
    }

    pub(super) fn on_done(&mut self, done: Done) {
        let steps = match done {
            Done::Read(Ok(mut table)) => {
                self.reading = false;
                self.unread = None;
                let now = self.now();
                table.members = self.roster.members(now, table.members);
                self.remove_a_ghost();
                if !self.table.members.keys().eq(table.members.keys()) {
                    let names: Vec<&str> = table
                        .members
                        .values()
                        .map(|member| member.name.as_str())
                        .collect();
                    tracing::info!(members = names.len(), ?names, "the group has changed");
                }
                let again = self.awaited_writes.settle(now, &table);
                self.read_again = again.map(|wait| Instant::now() + wait);
                self.table = table;
                // others must count on this member before it counts on itself
                self.seen |= self.table.members.contains_key(&self.me);
                if self.seen {
                    self.leases.observe(self.now(), &self.table)
                } else {
                    Vec::new()
                }
            }
            Done::Read(Err(error)) => {
                self.reading = false;
                if error == ReadError::Missing {
                    self.common.suspect_streams();
                }
                tracing::debug!(%error, "the table of members cannot be read");
                self.unread = Some(Trouble::again(self.unread.take(), error.to_string()));
                Vec::new()
            }
            Done::Announced(outcome) => {
                self.announcing = false;
                if let Err(error) = outcome {
                    self.common.suspect_streams();
                    tracing::debug!(error, "the member's record cannot be renewed");
                    let soon = Instant::now().checked_sub(self.common.config.durable.lease / 4);
                    self.announced_at = soon.or(self.announced_at);
                    self.unannounced = Some(Trouble::again(self.unannounced.take(), error));
                } else {
                    self.unannounced = None;
                    if !self.seen {
                        self.read_at = None;
                    }
                }
                Vec::new()
            }
            Done::Removed(id, outcome) => {
                match outcome {
                    Ok(true) => tracing::info!(
                        member = %id,
                        "removed the record of a dead member, which had outlived its time to live"
                    ),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::debug!(member = %id, error, "a dead member's record stays");
                    }
                }
                Vec::new()
            }
            Done::Counted(counted) => {
                self.on_counted(counted);
                Vec::new()
            }
            Done::Looked(looked) => {
                self.on_looked(looked);
                Vec::new()
            }
            Done::Acquired(unit, outcome) => {
                let revision = outcome.unwrap_or_else(|error| {
                    tracing::debug!(unit, error, "lease cannot be written");
                    None
                });
                self.leases.acquired(unit, revision)
            }
            Done::Released(unit, outcome) => {
                let revision = outcome.unwrap_or_else(|error| {
                    tracing::debug!(unit, error, "lease cannot be written");
                    None
                });
                self.leases.released(unit, revision);
                Vec::new()
            }
        };
        self.perform(steps);
    }

    /// Removes a record that nobody has renewed for long, so that no newcomer counts it as a
    /// member. Every member tries; a renewal meanwhile wins.
    fn remove_a_ghost(&mut self) {
        if self
            .removed_at
            .is_some_and(|at| at.elapsed() < REMOVE_EVERY)
        {
            return;
        }
        let ghost = self.roster.removable().find(|(id, _)| **id != self.me);
        let Some((id, revision)) = ghost.map(|(id, revision)| (id.clone(), revision)) else {
            return;
        };
        self.removed_at = Some(Instant::now());
        let records = self.records.clone();
        self.begun.spawn(async move {
            let outcome = records.remove(&id, revision).await;
            Done::Removed(id, outcome)
        });
    }

    pub(super) fn perform(&mut self, steps: Vec<Step>) {
        for step in steps {
            let records = self.records.clone();
            match step {
                Step::Acquire { unit, revision } => {
                    let me = self.me.clone();
                    self.begun.spawn(async move {
                        Done::Acquired(unit, records.swap(unit, revision, Some(me)).await)
                    });
                }
                Step::Release { unit, revision } => {
                    self.begun.spawn(async move {
                        Done::Released(unit, records.swap(unit, revision, None).await)
                    });
                }
                Step::Start { unit } => {
                    self.moved(ACQUIRED);
                    self.failures.remove(&unit);
                    // whoever had it since has written down what is poison
                    self.panics.retain(|(of, _), _| *of != unit);
                    self.begin(unit);
                }
                Step::Stop { unit } => {
                    self.moved(RELEASED);
                    self.stop(unit);
                }
                Step::Drop { unit } => {
                    tracing::info!(unit, "the partition is another member's now");
                    self.moved(RELEASED);
                    self.again.remove(&unit);
                    self.kept.remove(&unit);
                    if let Some(running) = self.running.remove(&unit) {
                        running.task.abort();
                    }
                }
            }
        }
    }

    pub(super) fn moved(&self, direction: &str) {
        let moves = &self.common.metrics.partition_moves;
        moves.with_label_values(&[direction]).inc();
    }
}
