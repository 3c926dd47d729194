//! The last genuine records of the group, and the table as it would be without forged ones.
//!
//! A record that is written over another replaces it, whoever wrote it. So what a member has once
//! verified it remembers, and a forged, altered or replayed record changes nothing but the
//! revision that the next genuine write has to replace:
//!
//! - A member counts as alive for one lease after its last genuine record was first seen.
//! - A lease keeps its owner, and the revision it had: the real one is looked up when it is written
//!   ([`Trusted::standing`]). The owner writes it again.
//!
//! Counters only grow: a member's with each of its records, a lease's with each change.
//!
//! Must not know: NATS, the protocol.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::group::{Forgery, LeaseRecord, MemberId, MemberRecord, Purpose, Signed, Table};

/// Members remembered at most; those not seen for longest are forgotten first.
const MAX_MEMBERS: usize = 4_096;

/// A record as it was read, and what its seal says.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub revision: u64,
    pub judged: Result<Option<Signed>, Forgery>,
    pub record: Record,
}

#[derive(Debug, Clone)]
pub(super) enum Record {
    /// Nothing if it cannot be read.
    Member(MemberId, Option<MemberRecord>),
    /// A record that cannot be read belongs to nobody.
    Lease(u32, Option<MemberId>),
}

#[derive(Debug)]
struct KnownMember {
    record: MemberRecord,
    counter: u64,
    /// The time at which the record was first seen.
    seen: Instant,
    /// The revision of a forged record that stands in its place.
    overlaid: Option<u64>,
}

#[derive(Debug)]
struct KnownLease {
    record: LeaseRecord,
    counter: u64,
    /// The revision that stands there: that of the record, of one written again, or of a forged one.
    standing: u64,
    /// True if what stands there is forged.
    hidden: bool,
}

impl KnownLease {
    const NONE: Self = Self {
        record: LeaseRecord {
            owner: None,
            revision: 0,
        },
        counter: 0,
        standing: 0,
        hidden: false,
    };
}

/// The result of one look.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub table: Table,
    /// Forgeries that no look has shown before.
    pub forgeries: Vec<(Purpose, Forgery)>,
    /// Leases of this member that a forged record stands on.
    pub overlaid: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Trusted {
    me: MemberId,
    lease: Duration,
    members: BTreeMap<MemberId, KnownMember>,
    leases: BTreeMap<u32, KnownLease>,
    /// Revisions up to this one were judged.
    judged: u64,
}

impl Trusted {
    pub fn new(me: MemberId, lease: Duration) -> Self {
        Self {
            me,
            lease,
            members: BTreeMap::new(),
            leases: BTreeMap::new(),
            judged: 0,
        }
    }

    /// The revision that a write to the lease has to replace, where the table has `revision`.
    pub fn standing(&self, unit: u32, revision: u64) -> u64 {
        let known = self.leases.get(&unit);
        known
            .filter(|known| known.record.revision == revision)
            .map_or(revision, |known| known.standing)
    }

    /// The newest revision of the lease that was seen.
    pub fn newest(&self, unit: u32) -> u64 {
        self.leases.get(&unit).map_or(0, |known| known.standing)
    }

    /// Takes in all rows of the table, read at `now`.
    pub fn look(&mut self, now: Instant, rows: Vec<Row>) -> Looked {
        let mut looked = Looked::default();
        let newest = rows.iter().map(|row| row.revision).max().unwrap_or(0);
        for row in rows {
            let Row {
                revision, judged, ..
            } = row;
            match row.record {
                Record::Member(id, record) => {
                    self.member(now, id, revision, judged, record, &mut looked);
                }
                Record::Lease(unit, owner) => {
                    self.lease(unit, revision, judged, owner, &mut looked);
                }
            }
        }
        for (id, known) in &self.members {
            let alive = now.saturating_duration_since(known.seen) < self.lease;
            // one that left, or whose record expired, is gone; only a forged record hides one
            if known.overlaid.is_some() && alive && !known.record.leaving {
                let record = known.record.clone();
                looked.table.members.entry(id.clone()).or_insert(record);
            }
        }
        self.judged = self.judged.max(newest);
        while self.members.len() > MAX_MEMBERS {
            let oldest = self.members.iter().min_by_key(|(_, known)| known.seen);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            self.members.remove(&oldest);
        }
        looked
    }

    fn member(
        &mut self,
        now: Instant,
        id: MemberId,
        revision: u64,
        judged: Result<Option<Signed>, Forgery>,
        record: Option<MemberRecord>,
        looked: &mut Looked,
    ) {
        let known = self.members.get_mut(&id);
        let removes = record.is_none();
        let judged = judged.and_then(|signed| match (signed, &known) {
            // any member may remove the record of a dead one
            (signed, _) if removes => Ok(signed),
            (Some(signed), _) if signed.sender != id.as_ref() => Err(Forgery::Wrong),
            (Some(signed), Some(known)) if signed.counter < known.counter => Err(Forgery::Replayed),
            (Some(signed), Some(known))
                if signed.counter == known.counter && revision > known.record.revision =>
            {
                Err(Forgery::Replayed)
            }
            (signed, _) => Ok(signed),
        });
        let signed = match judged {
            Ok(signed) => signed,
            Err(forgery) => {
                // a copy of the table that is behind shows older records: no fault of anybody
                let behind = known
                    .as_ref()
                    .is_some_and(|known| revision < known.record.revision);
                if revision > self.judged && !behind {
                    looked.forgeries.push((Purpose::Member, forgery));
                }
                if let Some(known) = known {
                    known.overlaid = Some(revision);
                }
                return;
            }
        };
        let Some(record) = record else {
            // a member that was heard a moment ago is not dead, whatever a record says
            if let (Some(known), Some(_)) = (known, signed) {
                known.overlaid = Some(revision);
            }
            return;
        };
        if let Some(signed) = signed {
            let is_new = known.is_none_or(|known| signed.counter > known.counter);
            if is_new {
                let known = KnownMember {
                    record: record.clone(),
                    counter: signed.counter,
                    seen: now,
                    overlaid: None,
                };
                self.members.insert(id.clone(), known);
            }
        }
        looked.table.members.insert(id, record);
    }

    fn lease(
        &mut self,
        unit: u32,
        revision: u64,
        judged: Result<Option<Signed>, Forgery>,
        owner: Option<MemberId>,
        looked: &mut Looked,
    ) {
        let known = self.leases.entry(unit).or_insert(KnownLease::NONE);
        if revision > known.standing {
            let first = known.standing == 0;
            let judged = judged.and_then(|signed| match signed {
                Some(signed) if !first && signed.counter <= known.counter => Err(Forgery::Replayed),
                signed => Ok(signed),
            });
            known.standing = revision;
            known.hidden = judged.is_err();
            match judged {
                Ok(signed) => {
                    known.record = LeaseRecord { owner, revision };
                    let counter = signed.map_or(0, |signed| signed.counter);
                    known.counter = known.counter.max(counter);
                }
                Err(forgery) => {
                    looked.forgeries.push((Purpose::Lease, forgery));
                    if first {
                        // it hides a record that this member has not seen, or none
                        known.record.revision = revision;
                    }
                }
            }
        }
        if known.hidden && known.record.owner.as_ref() == Some(&self.me) {
            looked.overlaid.push(unit);
        }
        looked.table.leases.insert(unit, known.record.clone());
    }

    /// A genuine write of this member to a lease: what it says, and the revision it has.
    pub fn wrote(&mut self, unit: u32, owner: Option<MemberId>, counter: u64, revision: u64) {
        let known = self.leases.entry(unit).or_insert(KnownLease::NONE);
        if revision > known.standing {
            known.record = LeaseRecord { owner, revision };
            known.counter = known.counter.max(counter);
            known.standing = revision;
            known.hidden = false;
        }
    }

    /// [`Self::wrote`] for a lease that was written again unchanged: its revision in the table
    /// stays what it is.
    pub fn restored(&mut self, unit: u32, counter: u64, revision: u64) {
        if let Some(known) = self.leases.get_mut(&unit)
            && revision > known.standing
        {
            known.counter = known.counter.max(counter);
            known.standing = revision;
            known.hidden = false;
        }
    }
}

#[cfg(test)]
mod tests;
