//! Who is a member, when the table of members may be read from any of several servers.
//!
//! A table that is kept in several copies is answered for by any of them. One may be behind the
//! others, and after a server has come back one may still have a record that has expired
//! everywhere else. Read in turn, they would make members come and go many times a second, and
//! partitions with them. So what counts is not whether a record is there but whether it is
//! renewed: with a revision not seen before, within the time in which a member renews it.
//!
//! Where there is one copy, a record that is gone has expired.
//!
//! Must not know: NATS, the engine, clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MemberId, MemberRecord};

/// In leases: after that a record that no answer had is forgotten.
const REMEMBERED: u32 = 10;

/// What one member has seen of the others' records.
#[derive(Debug)]
pub struct Roster {
    lease: Duration,
    copies: usize,
    seen: BTreeMap<MemberId, Seen>,
}

#[derive(Debug)]
struct Seen {
    record: MemberRecord,
    /// When this revision was first seen.
    since: Duration,
    /// Whether it was in the last answer.
    present: bool,
}

impl Roster {
    /// Of a table in so many copies, with records that expire after `lease` if they are not
    /// renewed.
    #[must_use]
    pub const fn new(lease: Duration, copies: usize) -> Self {
        Self {
            lease,
            copies,
            seen: BTreeMap::new(),
        }
    }

    /// The members, given the records that were read at `now`.
    pub fn members(
        &mut self,
        now: Duration,
        read: BTreeMap<MemberId, MemberRecord>,
    ) -> BTreeMap<MemberId, MemberRecord> {
        if self.copies <= 1 {
            return read;
        }
        for seen in self.seen.values_mut() {
            seen.present = false;
        }
        for (id, record) in read {
            let seen = self.seen.entry(id).or_insert_with(|| Seen {
                record: record.clone(),
                since: now,
                present: true,
            });
            seen.present = true;
            if record.revision > seen.record.revision {
                seen.record = record;
                seen.since = now;
            }
        }
        let age = |seen: &Seen| now.saturating_sub(seen.since);
        // a ghost is remembered, lest it be taken for new when the next copy shows it
        self.seen
            .retain(|_, seen| seen.present || age(seen) < REMEMBERED * self.lease);
        let alive = |seen: &Seen| {
            // who left says so before its record is gone
            age(seen) < self.lease && (seen.present || !seen.record.leaving)
        };
        self.seen
            .iter()
            .filter(|(_, seen)| alive(seen))
            .map(|(id, seen)| (id.clone(), seen.record.clone()))
            .collect()
    }

    /// Forgets everything: after an outage no record can have been renewed.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn table(rows: &[(&str, u64)]) -> BTreeMap<MemberId, MemberRecord> {
        let record = |revision| MemberRecord {
            name: String::new(),
            leaving: false,
            fingerprint: 0,
            revision,
        };
        rows.iter()
            .map(|(id, revision)| (MemberId::new(*id), record(*revision)))
            .collect()
    }

    fn names(members: &BTreeMap<MemberId, MemberRecord>) -> Vec<String> {
        members.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn copies_that_disagree_do_not_make_members_come_and_go() {
        let mut roster = Roster::new(LEASE, 3);
        let all = table(&[("a", 1), ("b", 2)]);
        assert_eq!(names(&roster.members(at(0), all)), ["a", "b"]);
        // b has not come to this copy yet, then to another it has
        assert_eq!(
            names(&roster.members(at(1), table(&[("a", 3)]))),
            ["a", "b"]
        );
        let all = table(&[("a", 3), ("b", 4)]);
        assert_eq!(names(&roster.members(at(2), all)), ["a", "b"]);
        // a copy that is behind: what is newer counts
        let behind = roster.members(at(3), table(&[("a", 1), ("b", 2)]));
        assert_eq!(behind[&MemberId::new("b")].revision, 4);
    }

    #[test]
    fn a_record_that_nobody_renews_is_no_member_however_long_a_copy_keeps_it() {
        let mut roster = Roster::new(LEASE, 3);
        let mut last = Vec::new();
        for second in 0..40 {
            // the ghost is in every other answer
            let mut rows = vec![("a", 100 + second)];
            if second % 2 == 0 {
                rows.push(("ghost", 7));
            }
            last.push(names(&roster.members(at(second), table(&rows))));
        }
        let changes = last.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 1, "{last:?}");
        assert_eq!(last[0], ["a", "ghost"]);
        assert_eq!(last[39], ["a"]);
    }

    #[test]
    fn one_that_is_gone_is_let_go_after_its_lease_and_one_that_left_at_once() {
        let mut roster = Roster::new(LEASE, 3);
        roster.members(at(0), table(&[("a", 1), ("b", 2)]));
        assert_eq!(
            names(&roster.members(at(5), table(&[("a", 3)]))),
            ["a", "b"]
        );
        assert_eq!(names(&roster.members(at(6), table(&[("a", 3)]))), ["a"]);

        let mut leaving = table(&[("a", 4), ("c", 5)]);
        leaving.get_mut(&MemberId::new("c")).unwrap().leaving = true;
        assert_eq!(names(&roster.members(at(7), leaving)), ["a", "c"]);
        assert_eq!(names(&roster.members(at(8), table(&[("a", 4)]))), ["a"]);
    }

    #[test]
    fn where_there_is_one_copy_what_is_read_counts() {
        let mut roster = Roster::new(LEASE, 1);
        roster.members(at(0), table(&[("a", 1), ("b", 2)]));
        assert_eq!(names(&roster.members(at(1), table(&[("a", 1)]))), ["a"]);
        assert_eq!(names(&roster.members(at(60), table(&[("a", 1)]))), ["a"]);
    }
}
