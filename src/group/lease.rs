//! The ownership of partitions in durable delivery: leases on records that all members can read.
//!
//! A pure state machine. It is shown the whole table of members and leases again and again, and
//! answers with what to do; nothing is concluded from a message that might have been lost. A
//! lease changes by compare-and-set on its revision, so of two members that want a partition one
//! gets it. A member whose record expired has died: its leases are free after a grace, which is
//! there for the moment after an outage in which every record has expired and all are about to
//! come back. Who is a member is for the reader of the table to say ([`super::Roster`]): a lease
//! that names anybody else is no ownership.
//!
//! Every member computes the same division: all members have the fair share, rounded down or up;
//! who has more already keeps the rounded-up ones; what is free goes to a member below its share,
//! by rendezvous hashing. So a change of membership moves only what it must, without a leader.
//!
//! Two members may for a while both think that they own a partition, if one was paused or cannot
//! reach the table. The commit, which is fenced, makes this harmless.
//!
//! A table may lose its records (somebody purges the bucket). A lease that no look has shown for
//! the grace is gone: its owner writes it again and works on meanwhile; the lease of a dead member
//! becomes free. A look that is merely behind cannot do harm, as the server refuses the write.
//!
//! Must not know: NATS, the engine, clocks.

mod division;
mod table;

use division::weight;
pub use table::{LeaseRecord, MemberRecord, Table};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::MemberId;

/// A step that the leases ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Write this member into the lease if its revision is still this, and say how that went
    /// ([`Leases::acquired`]).
    Acquire {
        /// The partition.
        unit: u32,
        /// The revision to replace.
        revision: u64,
    },
    /// The partition is owned: work on it.
    Start {
        /// The partition.
        unit: u32,
    },
    /// Finish work on the partition in good order, then say so ([`Leases::stopped`]).
    Stop {
        /// The partition.
        unit: u32,
    },
    /// Write that nobody owns the lease if its revision is still this, and say how that went
    /// ([`Leases::released`]).
    Release {
        /// The partition.
        unit: u32,
        /// The revision to replace.
        revision: u64,
    },
    /// The partition is another's: stop at once.
    Drop {
        /// The partition.
        unit: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Acquiring,
    Held(u64),
    /// Held, and being written again because the record is gone.
    Reclaiming(u64),
    Stopping(u64),
    Releasing(u64),
}

/// One member's part in the division of the partitions.
#[derive(Debug)]
pub struct Leases {
    me: MemberId,
    units: u32,
    grace: Duration,
    patience: Duration,
    leaving: bool,
    settled: bool,
    holds: BTreeMap<u32, Hold>,
    /// The newest that is known of each lease.
    known: BTreeMap<u32, LeaseRecord>,
    /// Owners without a record, since when.
    absent: BTreeMap<MemberId, Duration>,
    /// Partitions that may be taken, since when.
    free: BTreeMap<u32, Duration>,
    /// Partitions that no member owns, since when.
    unowned: BTreeMap<u32, Duration>,
    looked_at: Duration,
    /// Known leases that the looks at the table have not shown, since when.
    missing: BTreeMap<u32, Duration>,
}

impl Leases {
    /// The part of `me` where `units` partitions are divided and a silent member's record
    /// expires after `lease`.
    #[must_use]
    pub fn new(me: MemberId, units: u32, lease: Duration) -> Self {
        Self {
            me,
            units,
            grace: lease / 3,
            patience: lease,
            leaving: false,
            settled: false,
            holds: BTreeMap::new(),
            known: BTreeMap::new(),
            absent: BTreeMap::new(),
            free: BTreeMap::new(),
            unowned: BTreeMap::new(),
            looked_at: Duration::ZERO,
            missing: BTreeMap::new(),
        }
    }

    /// From now on gives up everything and takes nothing.
    pub const fn leave(&mut self) {
        self.leaving = true;
    }

    /// Returns true if this member leaves.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Returns true if this member had its share at the last look at the table, and nothing was
    /// under way. It has not while another still holds what it will get: one that gives it up, or a
    /// dead one.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Returns true if nothing is held and nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.holds.is_empty()
    }

    /// The partitions whose lease this member has, those that it is giving up included.
    pub fn held(&self) -> impl Iterator<Item = u32> + '_ {
        let held = |hold: &Hold| *hold != Hold::Acquiring;
        let holds = self.holds.iter().filter(move |(_, hold)| held(hold));
        holds.map(|(unit, _)| *unit)
    }

    /// Returns true if the partition is to be worked on.
    #[must_use]
    pub fn holds(&self, unit: u32) -> bool {
        matches!(
            self.holds.get(&unit),
            Some(Hold::Held(_) | Hold::Reclaiming(_) | Hold::Stopping(_))
        )
    }

    /// The number of partitions that each member owns.
    #[must_use]
    pub fn owned(&self) -> BTreeMap<MemberId, u32> {
        let mut owned = BTreeMap::new();
        for owner in self.known.values().filter_map(|lease| lease.owner.as_ref()) {
            *owned.entry(owner.clone()).or_insert(0) += 1;
        }
        owned
    }

    /// The partitions that no member had owned for at least `long` at the last look at the table.
    /// Time in which the table could not be read does not count.
    pub fn unowned(&self, long: Duration) -> impl Iterator<Item = u32> + '_ {
        self.unowned
            .iter()
            .filter(move |(_, since)| self.looked_at.saturating_sub(**since) >= long)
            .map(|(unit, _)| *unit)
    }

    /// The unowned partitions of `units` that this member reports on. Every member computes the
    /// same division, so each partition is reported once. Members that own nothing take no part as
    /// long as others own something: they may be the reason.
    pub fn reports(&self, units: impl IntoIterator<Item = u32>, table: &Table) -> Vec<u32> {
        let stays = |record: &MemberRecord| !record.leaving;
        let staying = table.members.iter().filter(|(_, record)| stays(record));
        let staying: BTreeSet<&MemberId> = staying.map(|(id, _)| id).collect();
        let owners = self.known.values().filter_map(|lease| lease.owner.as_ref());
        let working: BTreeSet<&MemberId> = owners.filter(|id| staying.contains(id)).collect();
        let reporters = if working.is_empty() { staying } else { working };
        let reporter = |unit| reporters.iter().max_by_key(|id| (weight(id, unit), **id));
        units
            .into_iter()
            .filter(|unit| reporter(*unit).is_some_and(|id| **id == self.me))
            .collect()
    }

    /// Takes in the table of `now`, and returns the steps to take.
    pub fn observe(&mut self, now: Duration, table: &Table) -> Vec<Step> {
        let mut steps = Vec::new();
        // a lease of a partition that does not exist says nothing
        for (unit, lease) in table.leases.range(..self.units) {
            let known = self.known.entry(*unit).or_default();
            // an older look that arrives late says nothing new
            if lease.revision >= known.revision {
                known.clone_from(lease);
            }
        }
        self.reconcile(table, &mut steps);
        self.replace_missing(now, table, &mut steps);
        self.absent
            .retain(|member, _| !table.members.contains_key(member));
        self.look_for_owners(now, table);
        let free = self.free_units(now, table);
        self.divide(now, table, &free, &mut steps);
        steps
    }

    /// Takes the outcome of an acquisition: the new revision of the lease, or nothing when it was
    /// refused or its outcome is not known.
    pub fn acquired(&mut self, unit: u32, revision: Option<u64>) -> Vec<Step> {
        let at_work = match self.holds.get(&unit) {
            Some(Hold::Acquiring) => None,
            Some(Hold::Reclaiming(before)) => Some(*before),
            _ => return Vec::new(),
        };
        if let Some(revision) = revision {
            self.unowned.remove(&unit);
            let owner = Some(self.me.clone());
            self.known.insert(unit, LeaseRecord { owner, revision });
        }
        match (at_work, revision) {
            (None, None) => {
                self.holds.remove(&unit);
                Vec::new()
            }
            // told to leave meanwhile; the table may never be read again
            (None, Some(revision)) if self.leaving => {
                self.holds.insert(unit, Hold::Releasing(revision));
                vec![Step::Release { unit, revision }]
            }
            (None, Some(revision)) => {
                self.holds.insert(unit, Hold::Held(revision));
                vec![Step::Start { unit }]
            }
            (Some(before), revision) if self.leaving => {
                let revision = revision.unwrap_or(before);
                self.holds.insert(unit, Hold::Stopping(revision));
                vec![Step::Stop { unit }]
            }
            (Some(before), revision) => {
                self.holds
                    .insert(unit, Hold::Held(revision.unwrap_or(before)));
                Vec::new()
            }
        }
    }

    /// Work on a partition has ended as [`Step::Stop`] asked.
    pub fn stopped(&mut self, unit: u32) -> Vec<Step> {
        match self.holds.get(&unit) {
            Some(&Hold::Stopping(revision)) => {
                self.holds.insert(unit, Hold::Releasing(revision));
                vec![Step::Release { unit, revision }]
            }
            _ => Vec::new(),
        }
    }

    /// Takes the outcome of a release: the new revision of the lease, or nothing when it was
    /// refused or its outcome is not known.
    pub fn released(&mut self, unit: u32, revision: Option<u64>) {
        if matches!(self.holds.get(&unit), Some(Hold::Releasing(_))) {
            self.holds.remove(&unit);
        }
        if let Some(revision) = revision {
            let owner = None;
            self.known.insert(unit, LeaseRecord { owner, revision });
        }
    }

    /// Brings what is held in line with what is known.
    fn reconcile(&mut self, table: &Table, steps: &mut Vec<Step>) {
        for (unit, lease) in &self.known {
            let (unit, revision) = (*unit, lease.revision);
            let mine = lease.owner.as_ref() == Some(&self.me);
            let shown = || table.leases.get(&unit) == Some(lease);
            match self.holds.get(&unit) {
                Some(Hold::Held(before) | Hold::Reclaiming(before) | Hold::Stopping(before))
                    if revision > *before && !mine =>
                {
                    self.holds.remove(&unit);
                    steps.push(Step::Drop { unit });
                }
                Some(Hold::Releasing(before)) if revision > *before && !mine => {
                    self.holds.remove(&unit);
                }
                // a write of this member whose outcome was lost
                Some(Hold::Held(before)) if revision > *before => {
                    self.holds.insert(unit, Hold::Held(revision));
                }
                None if mine && self.leaving && shown() => {
                    self.holds.insert(unit, Hold::Releasing(revision));
                    steps.push(Step::Release { unit, revision });
                }
                None if mine && shown() => {
                    self.holds.insert(unit, Hold::Held(revision));
                    steps.push(Step::Start { unit });
                }
                _ => {}
            }
        }
    }

    /// Notes which partitions no member owns.
    fn look_for_owners(&mut self, now: Duration, table: &Table) {
        // in a long pause between two looks others may have owned it
        let pause = now.saturating_sub(self.looked_at);
        let excess = pause.saturating_sub(self.grace);
        self.looked_at = now;
        for since in self.unowned.values_mut() {
            *since += excess;
        }
        for unit in 0..self.units {
            let owner = self.known.get(&unit).and_then(|lease| lease.owner.as_ref());
            let owned =
                owner.is_some_and(|owner| *owner == self.me || table.members.contains_key(owner));
            if owned {
                self.unowned.remove(&unit);
            } else {
                self.unowned.entry(unit).or_insert(now);
            }
        }
    }

    /// Writes this member's leases again whose records are gone, and forgets those of others,
    /// whose revision would be expected in vain for ever.
    fn replace_missing(&mut self, now: Duration, table: &Table, steps: &mut Vec<Step>) {
        let known = &self.known;
        self.missing.retain(|unit, _| {
            known.get(unit).is_some_and(|lease| lease.revision > 0)
                && !table.leases.contains_key(unit)
        });
        for (unit, lease) in &mut self.known {
            let unit = *unit;
            if lease.revision == 0 || table.leases.contains_key(&unit) {
                continue;
            }
            let since = *self.missing.entry(unit).or_insert(now);
            let waited = now.saturating_sub(since);
            match self.holds.get(&unit) {
                Some(Hold::Held(revision)) if waited >= self.grace && !self.leaving => {
                    self.holds.insert(unit, Hold::Reclaiming(*revision));
                    self.missing.insert(unit, now);
                    steps.push(Step::Acquire { unit, revision: 0 });
                }
                Some(_) => {}
                None => {
                    // a living owner writes it again first
                    let living = lease.owner.as_ref().is_some_and(|owner| {
                        *owner != self.me && table.members.contains_key(owner)
                    });
                    let enough = if living {
                        2 * self.patience
                    } else {
                        self.grace
                    };
                    if waited >= enough {
                        *lease = LeaseRecord::default();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
