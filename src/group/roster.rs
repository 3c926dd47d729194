//! The members of a group, judged by the renewal of their records and not by presence.
//!
//! A member renews its record, and each renewal has a higher revision. A record that nobody renews
//! is no member, however long the table keeps it: a server that was killed can bring an expired
//! record back without its time to live, and where the table has copies on several servers, one of
//! them may keep a record that has expired everywhere else.
//!
//! Silence is measured by this member's own monotonic time, and only between two readings of the
//! table: while the table cannot be read, nobody can be seen to renew a record. So a record that is
//! seen for the first time counts for a lease. It counts for nothing when its revision is not above
//! those of an earlier reading: it was written before that reading, which did not show it.
//!
//! A missing record has expired where the table has one copy. Where it has several, a record that
//! one answer lacks counts until it has been silent for a lease; otherwise copies that disagree
//! would make members come and go many times a second, and partitions with them.
//!
//! Must not know: NATS, the engine, clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MemberId, MemberRecord};

/// In leases: a record that no answer has had for this long is forgotten.
const REMEMBERED: u32 = 10;
/// In leases: a record that is still there after so much silence can be removed.
const REMOVABLE: u32 = 5;
/// Records remembered at most. A server answers with 1,024 records at most.
const MOST: usize = 4_096;

/// All records, as one member has seen them.
#[derive(Debug)]
pub struct Roster {
    lease: Duration,
    copies: usize,
    seen: BTreeMap<MemberId, Seen>,
    read_at: Option<Duration>,
    /// The highest revision of an earlier reading.
    newest: u64,
}

#[derive(Debug)]
struct Seen {
    record: MemberRecord,
    /// The time that the table was watched without a renewal.
    silent: Duration,
    /// The time at which an answer last had it.
    present_at: Duration,
    /// True if it was in the last answer.
    present: bool,
    /// True if the table may have lost its newest writes since.
    doubtful: bool,
}

impl Roster {
    /// The roster of a table in `copies` copies, with records that expire after `lease` if they are
    /// not renewed.
    #[must_use]
    pub const fn new(lease: Duration, copies: usize) -> Self {
        Self {
            lease,
            copies,
            seen: BTreeMap::new(),
            read_at: None,
            newest: 0,
        }
    }

    /// The members, given the records that were read at `now`.
    pub fn members(
        &mut self,
        now: Duration,
        read: BTreeMap<MemberId, MemberRecord>,
    ) -> BTreeMap<MemberId, MemberRecord> {
        // a long pause between two readings is no long silence of the others
        let watched = self.read_at.map_or(Duration::ZERO, |before| {
            now.saturating_sub(before).min(self.lease / 3)
        });
        self.read_at = Some(now);
        for seen in self.seen.values_mut() {
            seen.present = false;
            seen.silent = seen.silent.saturating_add(watched);
        }
        let newest = read.values().map(|record| record.revision).max();
        for (id, record) in read {
            self.take(now, id, record);
        }
        self.newest = self.newest.max(newest.unwrap_or(0));
        let remembered = REMEMBERED * self.lease;
        self.seen
            .retain(|_, seen| seen.present || now.saturating_sub(seen.present_at) < remembered);
        self.seen
            .iter()
            .filter(|(_, seen)| self.is_alive(seen))
            .map(|(id, seen)| (id.clone(), seen.record.clone()))
            .collect()
    }

    fn take(&mut self, now: Duration, id: MemberId, record: MemberRecord) {
        let Some(seen) = self.seen.get_mut(&id) else {
            if self.seen.len() < MOST {
                let is_new = record.revision > self.newest;
                let seen = Seen {
                    silent: if is_new { Duration::ZERO } else { self.lease },
                    present_at: now,
                    present: true,
                    doubtful: false,
                    record,
                };
                self.seen.insert(id, seen);
            }
            return;
        };
        seen.present = true;
        seen.present_at = now;
        if record.revision > seen.record.revision {
            seen.record = record;
            seen.silent = Duration::ZERO;
        } else if seen.doubtful {
            // whether it is renewed is seen from here on
            seen.record = record;
        }
        seen.doubtful = false;
    }

    fn is_alive(&self, seen: &Seen) -> bool {
        // a member that leaves says so before its record is gone
        let there = seen.present || (self.copies > 1 && !seen.record.leaving);
        there && seen.silent < self.lease
    }

    /// Records that the table still has though nobody has renewed them for long, with their
    /// revisions: the records of members that died.
    pub fn removable(&self) -> impl Iterator<Item = (&MemberId, u64)> {
        let long = REMOVABLE * self.lease;
        self.seen
            .iter()
            .filter(move |(_, seen)| seen.present && seen.silent >= long)
            .map(|(id, seen)| (id, seen.record.revision))
    }

    /// The connection was lost: the server may have lost its newest writes, so that renewals have
    /// lower revisions than before. (Where there are several copies, most of them would have had to
    /// lose them, and any one of them may just be behind.)
    pub fn interrupted(&mut self) {
        for seen in self.seen.values_mut() {
            seen.doubtful = self.copies <= 1;
        }
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

    fn removable(roster: &Roster) -> Vec<(String, u64)> {
        roster
            .removable()
            .map(|(id, revision)| (id.to_string(), revision))
            .collect()
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
        for copies in [1, 3] {
            let mut roster = Roster::new(LEASE, copies);
            let mut last = Vec::new();
            for second in 0..40 {
                let mut rows = vec![("a", 100 + second)];
                // of several copies every other one has the ghost
                if copies == 1 || second % 2 == 0 {
                    rows.push(("ghost", 7));
                }
                last.push(names(&roster.members(at(second), table(&rows))));
            }
            let changes = last.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!(changes, 1, "{last:?}");
            // for a lease it may be alive
            assert_eq!(last[5], ["a", "ghost"]);
            assert_eq!(last[6], ["a"]);
            assert_eq!(last[39], ["a"]);
        }
    }

    #[test]
    fn a_record_that_comes_back_is_no_member_again() {
        let cases = [(1, 15, 50), (1, 15, 40), (1, 300, 50), (1, 300, 40)];
        let copied = [(3, 15, 50), (3, 15, 40), (3, 300, 50)];
        for (copies, forgotten, back) in cases.into_iter().chain(copied) {
            let mut roster = Roster::new(LEASE, copies);
            for second in 0..3 {
                roster.members(at(second), table(&[("a", 100 + second), ("b", 50)]));
            }
            // b died and expired, and comes back with the server, as it was or as it was before
            for second in 3..forgotten {
                roster.members(at(second), table(&[("a", 100 + second)]));
            }
            roster.interrupted();
            for second in forgotten..forgotten + 20 {
                let rows = [("a", 100 + second), ("b", back)];
                let members = roster.members(at(second), table(&rows));
                assert_eq!(names(&members), ["a"], "after {second} s");
            }
        }
    }

    #[test]
    fn a_record_that_is_renewed_after_all_is_a_member_again() {
        let mut roster = Roster::new(LEASE, 1);
        for second in 0..20 {
            roster.members(at(second), table(&[("a", 100 + second), ("b", 7)]));
        }
        let rows = table(&[("a", 120), ("b", 121)]);
        assert_eq!(names(&roster.members(at(20), rows)), ["a", "b"]);
        assert_eq!(removable(&roster), []);
    }

    #[test]
    fn one_that_starts_among_ghosts_counts_all_of_them_for_a_lease() {
        let mut roster = Roster::new(LEASE, 1);
        for second in 0..6 {
            let rows = table(&[("ghost", 7), ("living", 100 + second), ("me", 200 + second)]);
            let members = names(&roster.members(at(second), rows));
            assert_eq!(members, ["ghost", "living", "me"], "after {second} s");
        }
        let rows = table(&[("ghost", 7), ("living", 106), ("me", 206)]);
        assert_eq!(names(&roster.members(at(6), rows)), ["living", "me"]);
    }

    #[test]
    fn nobody_is_silent_while_the_table_cannot_be_read() {
        let mut roster = Roster::new(LEASE, 1);
        roster.members(at(0), table(&[("a", 1), ("b", 2)]));
        // the server stood still: nobody could write either
        let members = roster.members(at(60), table(&[("a", 1), ("b", 2)]));
        assert_eq!(names(&members), ["a", "b"]);
        // b does not come back
        let silent = (61..70)
            .map(|second| names(&roster.members(at(second), table(&[("a", second), ("b", 2)]))))
            .position(|members| members == ["a"]);
        assert_eq!(silent, Some(3), "2 s of the pause count, and 4 s since");
    }

    #[test]
    fn connections_that_come_and_go_do_not_keep_a_ghost_alive() {
        let mut roster = Roster::new(LEASE, 3);
        for second in 0..12 {
            roster.interrupted();
            roster.members(at(second), table(&[("a", 100 + second), ("ghost", 7)]));
        }
        let rows = table(&[("a", 112), ("ghost", 7)]);
        assert_eq!(names(&roster.members(at(12), rows)), ["a"]);
    }

    #[test]
    fn a_server_that_lost_its_newest_writes_does_not_make_the_living_silent() {
        let mut roster = Roster::new(LEASE, 1);
        roster.members(at(0), table(&[("a", 1_000), ("b", 1_001)]));
        roster.interrupted();
        for second in 1..20 {
            let rows = table(&[("a", 900 + second), ("b", 901 + second)]);
            assert_eq!(names(&roster.members(at(second), rows)), ["a", "b"]);
        }
    }

    #[test]
    fn one_that_is_gone_is_let_go_after_its_lease_and_one_that_left_at_once() {
        let mut roster = Roster::new(LEASE, 3);
        roster.members(at(0), table(&[("a", 1), ("b", 2)]));
        for second in 1..=5 {
            let members = roster.members(at(second), table(&[("a", 2 + second)]));
            assert_eq!(names(&members), ["a", "b"]);
        }
        assert_eq!(names(&roster.members(at(6), table(&[("a", 8)]))), ["a"]);

        let mut leaving = table(&[("a", 9), ("c", 10)]);
        leaving.get_mut(&MemberId::new("c")).unwrap().leaving = true;
        assert_eq!(names(&roster.members(at(7), leaving)), ["a", "c"]);
        assert_eq!(names(&roster.members(at(8), table(&[("a", 11)]))), ["a"]);
    }

    #[test]
    fn where_there_is_one_copy_a_record_that_is_gone_has_expired() {
        let mut roster = Roster::new(LEASE, 1);
        roster.members(at(0), table(&[("a", 1), ("b", 2)]));
        assert_eq!(names(&roster.members(at(1), table(&[("a", 3)]))), ["a"]);
    }

    #[test]
    fn only_what_was_silent_for_long_and_is_still_there_is_removable() {
        let mut roster = Roster::new(LEASE, 1);
        for second in 0..60 {
            let mut rows = vec![("a", 100 + second), ("ghost", 7)];
            if second < 20 {
                rows.push(("expired", 8));
            }
            roster.members(at(second), table(&rows));
            let expected: &[(String, u64)] = if second < 30 {
                &[]
            } else {
                &[("ghost".to_owned(), 7)]
            };
            assert_eq!(removable(&roster), expected, "after {second} s");
        }
    }
}
