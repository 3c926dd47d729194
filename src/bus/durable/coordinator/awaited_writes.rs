//! Writes of other members that the table of members and leases does not show yet.
//!
//! A change is heard when it is published, which may be before it is stored, and a copy of the
//! table may be behind. A look at the table that was set off by the change then misses it, and
//! nothing would set off another. So changes are remembered until a look shows them.
//!
//! Must not know: NATS, the protocol.

use std::collections::HashMap;
use std::time::Duration;

use crate::group::{MemberId, Table};

/// A write that no look has shown by then was refused, or is shown by one of the regular looks.
const PATIENCE: Duration = Duration::from_secs(1);
/// Before the first look that is not set off by a change; doubled from one to the next.
const FIRST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(100);

/// Something written, or tried to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// A lease, if it has the revision `from`.
    Lease { unit: u32, from: u64 },
    /// A member's record.
    Member {
        id: MemberId,
        leaving: bool,
        fingerprint: u64,
    },
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Unit(u32),
    Member(MemberId),
}

#[derive(Debug, Default)]
pub(super) struct AwaitedWrites {
    awaited: HashMap<Key, (Change, Duration)>,
    /// Looks in a row that did not show all of it.
    looks: u32,
}

impl AwaitedWrites {
    /// Takes `change` down at `now`, if `table` does not show it; whether that is so.
    pub fn note(&mut self, now: Duration, change: Change, table: &Table) -> bool {
        if change.is_in(table) {
            return false;
        }
        self.awaited.insert(change.key(), (change, now));
        self.looks = 0;
        true
    }

    /// The time after which to look again for changes that `table`, read now, does not show.
    pub fn settle(&mut self, now: Duration, table: &Table) -> Option<Duration> {
        self.awaited.retain(|_, (change, since)| {
            !change.is_in(table) && now.saturating_sub(*since) < PATIENCE
        });
        if self.awaited.is_empty() {
            self.looks = 0;
            return None;
        }
        let wait = FIRST.saturating_mul(1 << self.looks.min(10)).min(LONGEST);
        self.looks += 1;
        Some(wait)
    }
}

impl Change {
    fn key(&self) -> Key {
        match self {
            Self::Lease { unit, .. } => Key::Unit(*unit),
            Self::Member { id, .. } => Key::Member(id.clone()),
        }
    }

    fn is_in(&self, table: &Table) -> bool {
        match self {
            Self::Lease { unit, from } => table
                .leases
                .get(unit)
                .is_some_and(|lease| lease.revision > *from),
            // renewed without a change, it says nothing new
            Self::Member {
                id,
                leaving,
                fingerprint,
            } => table.members.get(id).is_some_and(|record| {
                record.leaving == *leaving && record.fingerprint == *fingerprint
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{LeaseRecord, MemberRecord};

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn leases(rows: &[(u32, u64)]) -> Table {
        let mut table = Table::default();
        for (unit, revision) in rows {
            let lease = LeaseRecord {
                owner: None,
                revision: *revision,
            };
            table.leases.insert(*unit, lease);
        }
        table
    }

    #[test]
    fn a_change_that_a_look_misses_is_looked_for_until_one_shows_it() {
        let mut changes = AwaitedWrites::default();
        let before = leases(&[(3, 7), (4, 9)]);
        let released = Change::Lease { unit: 3, from: 7 };
        assert!(changes.note(at(0), released, &before));
        let waits: Vec<_> = (1..5).map(|n| changes.settle(at(n), &before)).collect();
        assert_eq!(waits, [2, 4, 8, 16].map(|millis| Some(at(millis))));
        assert_eq!(changes.settle(at(5), &leases(&[(3, 12), (4, 9)])), None);
    }

    #[test]
    fn what_was_refused_is_not_looked_for_for_ever() {
        let mut changes = AwaitedWrites::default();
        let table = leases(&[(3, 7)]);
        // a lease that is not there yet, with a revision that nobody will ever write
        assert!(changes.note(at(0), Change::Lease { unit: 5, from: 0 }, &table));
        assert!(changes.settle(at(999), &table).is_some());
        assert_eq!(changes.settle(at(1_000), &table), None);
    }

    #[test]
    fn what_is_known_already_sets_nothing_off() {
        let mut changes = AwaitedWrites::default();
        let mut table = leases(&[(3, 7)]);
        assert!(!changes.note(at(0), Change::Lease { unit: 3, from: 6 }, &table));
        let member = |leaving| Change::Member {
            id: MemberId::new("a"),
            leaving,
            fingerprint: 1,
        };
        assert!(changes.note(at(0), member(false), &table), "it is new");
        let record = MemberRecord {
            name: "a".to_owned(),
            leaving: false,
            fingerprint: 1,
            revision: 8,
        };
        table.members.insert(MemberId::new("a"), record);
        assert_eq!(changes.settle(at(1), &table), None);
        assert!(!changes.note(at(2), member(false), &table), "it is renewed");
        assert!(changes.note(at(3), member(true), &table), "it leaves");
    }

    #[test]
    fn of_two_changes_of_the_same_the_later_counts() {
        let mut changes = AwaitedWrites::default();
        let mut table = leases(&[(3, 7)]);
        changes.note(at(0), Change::Lease { unit: 3, from: 7 }, &table);
        changes.note(at(1), Change::Lease { unit: 3, from: 8 }, &table);
        table = leases(&[(3, 8)]);
        assert!(changes.settle(at(2), &table).is_some());
        assert_eq!(changes.settle(at(3), &leases(&[(3, 9)])), None);
    }
}
