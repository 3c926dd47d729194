use super::*;

const LEASE: Duration = Duration::from_secs(6);

fn id(name: &str) -> MemberId {
    MemberId::new(name)
}

fn signed(sender: &str, counter: u64) -> Result<Option<Signed>, Forgery> {
    Ok(Some(Signed {
        sender: sender.to_owned(),
        counter,
    }))
}

fn member(name: &str, revision: u64, judged: Result<Option<Signed>, Forgery>) -> Row {
    let record = MemberRecord {
        name: name.to_owned(),
        leaving: false,
        fingerprint: 0,
        revision,
    };
    Row {
        revision,
        judged,
        record: Record::Member(id(name), Some(record)),
    }
}

fn lease(owner: &str, revision: u64, judged: Result<Option<Signed>, Forgery>) -> Row {
    Row {
        revision,
        judged,
        record: Record::Lease(3, (!owner.is_empty()).then(|| id(owner))),
    }
}

struct Rig {
    trusted: Trusted,
    start: Instant,
}

impl Rig {
    fn new() -> Self {
        Self {
            trusted: Trusted::new(id("me"), LEASE),
            start: Instant::now(),
        }
    }

    fn look(&mut self, second: u64, rows: Vec<Row>) -> Looked {
        let now = self.start + Duration::from_secs(second);
        self.trusted.look(now, rows)
    }

    /// The members after a look, and how many forgeries it has shown.
    fn members(&mut self, second: u64, rows: Vec<Row>) -> (Vec<String>, usize) {
        let looked = self.look(second, rows);
        let names = looked.table.members.keys().map(ToString::to_string);
        (names.collect(), looked.forgeries.len())
    }
}

/// The lease of partition 3 after a look.
fn owner(looked: &Looked) -> (Option<&str>, u64) {
    let lease = &looked.table.leases[&3];
    (lease.owner.as_ref().map(AsRef::as_ref), lease.revision)
}

#[test]
fn a_record_that_nobody_signed_is_not_there_and_is_counted_once() {
    let mut rig = Rig::new();
    let rows = || {
        vec![
            member("a", 1, signed("a", 1)),
            member("rogue", 2, Err(Forgery::Unsigned)),
            member("other", 3, signed("a", 7)),
        ]
    };
    assert_eq!(rig.members(0, rows()), (vec!["a".to_owned()], 2));
    assert_eq!(rig.members(1, rows()), (vec!["a".to_owned()], 0));
}

#[test]
fn a_forged_record_over_a_members_own_hides_it_for_no_longer_than_its_lease() {
    let mut rig = Rig::new();
    rig.members(0, vec![member("a", 1, signed("a", 1))]);
    let forged = |revision| vec![member("a", revision, Err(Forgery::Wrong))];
    assert_eq!(rig.members(2, forged(2)), (vec!["a".to_owned()], 1));
    // nor when the forged one expires at once
    assert_eq!(rig.members(3, Vec::new()), (vec!["a".to_owned()], 0));
    let renewed = vec![member("a", 3, signed("a", 2))];
    assert_eq!(rig.members(4, renewed), (vec!["a".to_owned()], 0));
    assert_eq!(rig.members(9, forged(4)), (vec!["a".to_owned()], 1));
    assert_eq!(rig.members(10, forged(5)), (Vec::new(), 1));
}

#[test]
fn a_record_that_expired_is_gone_at_once() {
    let mut rig = Rig::new();
    rig.members(0, vec![member("a", 1, signed("a", 1))]);
    assert_eq!(rig.members(1, Vec::new()), (Vec::new(), 0));
}

#[test]
fn a_replayed_record_brings_no_dead_member_back() {
    let mut rig = Rig::new();
    for n in 1..=3 {
        rig.members(n, vec![member("a", n, signed("a", n))]);
    }
    rig.members(9, Vec::new());
    for counter in 1..=3 {
        let replayed = vec![member("a", 10 + counter, signed("a", counter))];
        assert_eq!(rig.members(9 + counter, replayed), (Vec::new(), 1));
    }
}

#[test]
fn a_member_may_remove_the_record_of_a_dead_one_and_of_no_other() {
    let removal = |revision| Row {
        revision,
        judged: signed("b", 40),
        record: Record::Member(id("a"), None),
    };
    let mut rig = Rig::new();
    rig.members(0, vec![member("a", 1, signed("a", 1))]);
    assert_eq!(rig.members(5, vec![removal(2)]), (vec!["a".to_owned()], 0));
    assert_eq!(rig.members(6, vec![removal(2)]), (Vec::new(), 0));
    let forged = Row {
        judged: Err(Forgery::Unsigned),
        ..removal(3)
    };
    assert_eq!(rig.members(7, vec![forged]), (Vec::new(), 1));
}

#[test]
fn a_copy_of_the_table_that_is_behind_is_no_forgery() {
    let mut rig = Rig::new();
    let newer = vec![
        member("a", 5, signed("a", 5)),
        lease("a", 6, signed("a", 4)),
    ];
    rig.look(0, newer);
    let older = vec![
        member("a", 2, signed("a", 2)),
        lease("b", 3, signed("b", 1)),
    ];
    let looked = rig.look(1, older);
    assert_eq!(looked.forgeries, []);
    assert_eq!(owner(&looked), (Some("a"), 6));
}

#[test]
fn a_lease_keeps_its_owner_and_is_written_again_by_it() {
    let mut rig = Rig::new();
    rig.look(0, vec![lease("me", 4, signed("me", 0))]);
    let looked = rig.look(1, vec![lease("rogue", 7, Err(Forgery::Wrong))]);
    assert_eq!(owner(&looked), (Some("me"), 4));
    assert_eq!(looked.forgeries, [(Purpose::Lease, Forgery::Wrong)]);
    assert_eq!(looked.overlaid, [3]);
    // a change has to replace the record that stands there
    assert_eq!(rig.trusted.standing(3, 4), 7);
    rig.trusted.restored(3, 7, 9);
    let looked = rig.look(2, vec![lease("me", 9, signed("me", 7))]);
    assert_eq!(owner(&looked), (Some("me"), 4));
    assert!(looked.overlaid.is_empty() && looked.forgeries.is_empty());
    assert_eq!(rig.trusted.standing(3, 4), 9);
    // another takes it
    let looked = rig.look(3, vec![lease("b", 12, signed("b", 9))]);
    assert_eq!(owner(&looked), (Some("b"), 12));
}

#[test]
fn a_replayed_lease_changes_nothing() {
    let mut rig = Rig::new();
    rig.look(0, vec![lease("a", 4, signed("a", 0))]);
    rig.look(1, vec![lease("b", 6, signed("b", 4))]);
    let looked = rig.look(2, vec![lease("a", 8, signed("a", 0))]);
    assert_eq!(owner(&looked), (Some("b"), 6));
    assert_eq!(looked.forgeries, [(Purpose::Lease, Forgery::Replayed)]);
    assert!(looked.overlaid.is_empty(), "it is not this member's");
    // the same again, at another revision
    let looked = rig.look(3, vec![lease("b", 9, signed("b", 4))]);
    assert_eq!(owner(&looked), (Some("b"), 6));
    assert_eq!(looked.forgeries, [(Purpose::Lease, Forgery::Replayed)]);
}

#[test]
fn a_lease_that_was_purged_and_is_written_again_is_no_replay() {
    let mut rig = Rig::new();
    rig.look(0, vec![lease("a", 4, signed("a", 2))]);
    rig.look(1, Vec::new());
    // there is none to replace, but its writer has seen the one that was purged
    let looked = rig.look(2, vec![lease("b", 9, signed("b", 4))]);
    assert_eq!(owner(&looked), (Some("b"), 9));
    assert_eq!(looked.forgeries, []);
    assert_eq!((rig.trusted.standing(3, 0), rig.trusted.newest(3)), (0, 9));
}

#[test]
fn a_forged_lease_that_hides_an_unknown_one_is_nobodys() {
    let mut rig = Rig::new();
    let looked = rig.look(0, vec![lease("rogue", 7, Err(Forgery::Unsigned))]);
    assert_eq!(owner(&looked), (None, 7));
    let looked = rig.look(1, vec![lease("rogue", 8, Err(Forgery::Unsigned))]);
    assert_eq!(owner(&looked), (None, 7));
    assert_eq!(rig.trusted.standing(3, 7), 8);
    let looked = rig.look(2, vec![lease("b", 9, signed("b", 8))]);
    assert_eq!(owner(&looked), (Some("b"), 9));
}

#[test]
fn where_unsigned_records_are_accepted_they_count() {
    let mut rig = Rig::new();
    let looked = rig.look(0, vec![member("a", 1, Ok(None)), lease("a", 2, Ok(None))]);
    assert_eq!(owner(&looked), (Some("a"), 2));
    assert!(looked.table.members.contains_key(&id("a")));
    let looked = rig.look(1, vec![lease("b", 5, signed("b", 2))]);
    assert_eq!(owner(&looked), (Some("b"), 5));
    let looked = rig.look(2, vec![lease("a", 7, Ok(None))]);
    assert_eq!(owner(&looked), (Some("a"), 7));
}
