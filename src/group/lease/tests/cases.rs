//! Single cases: members that join, leave or die, and tables that are old or purged.

use super::*;

/// Brings up `count` members of a calm world.
fn calm(count: usize) -> World {
    let mut world = World::new(7, true);
    for _ in 0..count {
        world.join();
    }
    world.run_for(3 * LEASE);
    world
}

#[test]
fn a_member_that_joins_takes_its_share_and_nothing_else_moves() {
    let mut world = calm(1);
    assert_eq!(world.owned(), [13]);
    world.join();
    world.run_for(LEASE);
    assert_eq!(world.owned(), [7, 6]);
    assert_eq!(world.nodes[0].stops, 6);
    world.join();
    world.run_for(LEASE);
    let mut owned = world.owned();
    owned.sort_unstable();
    assert_eq!(owned, [4, 4, 5]);
    let stops: u32 = world.nodes.iter().map(|node| node.stops).sum();
    assert_eq!(stops, 6 + 4, "the third one's share, and no more");
}

#[test]
fn what_a_member_leaves_is_taken_by_the_others_and_nothing_else_moves() {
    let mut world = calm(3);
    let left = world.nodes[2].work.len();
    world.nodes[2].leases.leave();
    let before: u32 = world.nodes[..2].iter().map(|node| node.stops).sum();
    world.run_for(LEASE);
    assert_eq!(world.nodes.len(), 2);
    let mut owned = world.owned();
    owned.sort_unstable();
    assert_eq!(owned, [6, 7]);
    let after: u32 = world.nodes.iter().map(|node| node.stops).sum();
    assert_eq!(
        after, before,
        "{left} were taken over, none of the others moved"
    );
}

#[test]
fn a_killed_members_partitions_are_taken_within_the_lease_and_its_grace() {
    let mut world = calm(2);
    world.nodes.remove(1);
    let killed = world.now;
    while world.owned() != [13] {
        world.step();
        assert!(world.now - killed < LEASE + LEASE / 3 + 2_000, "too late");
    }
}

#[test]
fn a_member_is_settled_once_it_has_its_share() {
    let mut world = calm(1);
    assert!(world.nodes[0].leases.is_settled());
    world.join();
    let mut held = 0;
    while held < 6 || !world.nodes[1].leases.is_settled() {
        assert!(!world.nodes[1].leases.is_settled(), "with {held}");
        world.step();
        held = world.nodes[1].leases.held().count();
    }
    world.run_for(LEASE);
    assert!(world.nodes.iter().all(|node| node.leases.is_settled()));
}

#[test]
fn what_a_dead_member_holds_leaves_the_others_unsettled_until_it_is_taken() {
    let mut world = calm(1);
    // as when it is started again after it was killed: its record and leases are still there
    world.nodes.remove(0);
    world.join();
    let mut held = 0;
    while held < 13 || !world.nodes[0].leases.is_settled() {
        assert!(!world.nodes[0].leases.is_settled(), "with {held}");
        world.step();
        held = world.nodes[0].leases.held().count();
    }
}

#[test]
fn a_dead_member_that_comes_back_and_stays_keeps_no_partition() {
    let mut world = calm(3);
    let dead = world.nodes.remove(2);
    let record = world.members[&dead.id].clone();
    world.dead.insert(dead.id, record);
    world.run_for(3 * LEASE);
    for _ in 0..2 {
        world.haunt();
        // one that starts just then counts the dead one at first
        world.join();
        world.run_for(4 * LEASE);
    }
    let mut owned = world.owned();
    owned.sort_unstable();
    assert_eq!(owned, [3, 3, 3, 4]);
    assert!(world.nodes.iter().all(|node| node.leases.is_settled()));
}

/// A member that renews its record and takes nothing: bars of its share wait for nobody.
#[test]
fn partitions_without_an_owner_are_missed_by_everybody_and_reported_by_one() {
    let (a, b) = (MemberId::new("a"), MemberId::new("b"));
    let record = |leaving| MemberRecord {
        name: String::new(),
        leaving,
        fingerprint: 0,
        revision: 0,
    };
    let mut table = Table {
        members: BTreeMap::from([(a.clone(), record(false)), (b.clone(), record(false))]),
        leases: BTreeMap::new(),
    };
    let lease = |owner: Option<&MemberId>| LeaseRecord {
        owner: owner.cloned(),
        revision: 1,
    };
    table.leases.insert(0, lease(Some(&a)));
    table.leases.insert(1, lease(None));
    table.leases.insert(2, lease(Some(&MemberId::new("dead"))));
    let long = Duration::from_secs(12);
    let mut both = [&a, &b].map(|id| Leases::new(id.clone(), 4, Duration::from_secs(6)));
    for second in 0..=12 {
        for leases in &mut both {
            let missed: Vec<u32> = leases.unowned(long).collect();
            assert_eq!(missed, [0; 0], "after {second} s");
            // what they take, the table does not show
            leases.observe(Duration::from_secs(second), &table);
        }
    }
    for leases in &both {
        assert_eq!(leases.unowned(long).collect::<Vec<_>>(), [1, 2, 3]);
    }
    let reported = |both: &[Leases; 2], table: &Table| {
        both.each_ref()
            .map(|leases| leases.reports(leases.unowned(long), table).len())
    };
    // b owns nothing, and may be the reason
    assert_eq!(reported(&both, &table), [3, 0]);
    table.leases.insert(3, lease(Some(&b)));
    let at = Duration::from_secs(12);
    for leases in &mut both {
        leases.observe(at, &table);
    }
    let shares = reported(&both, &table);
    assert_eq!(shares.iter().sum::<usize>(), 2, "{shares:?}");
    // one that leaves leaves it to the other
    table.members.insert(b, record(true));
    both[1].leave();
    assert_eq!(reported(&both, &table), [2, 0]);
    // an owner again
    table.leases.insert(1, lease(Some(&a)));
    both[0].observe(Duration::from_secs(13), &table);
    assert_eq!(both[0].unowned(long).collect::<Vec<_>>(), [2]);
}

#[test]
fn time_without_a_look_at_the_table_makes_no_partition_unowned_for_long() {
    let mut leases = Leases::new(MemberId::new("a"), 1, Duration::from_secs(6));
    let owned_by_a_dead_one = Table {
        members: BTreeMap::new(),
        leases: BTreeMap::from([(
            0,
            LeaseRecord {
                owner: Some(MemberId::new("dead")),
                revision: 1,
            },
        )]),
    };
    leases.observe(Duration::from_secs(0), &owned_by_a_dead_one);
    leases.observe(Duration::from_secs(60), &owned_by_a_dead_one);
    assert_eq!(leases.unowned(Duration::from_secs(12)).count(), 0);
    assert_eq!(leases.unowned(Duration::from_secs(2)).count(), 1);
}

#[test]
fn a_lease_of_a_partition_that_does_not_exist_is_passed_over() {
    let me = MemberId::new("me");
    let mut leases = Leases::new(me.clone(), 1, Duration::from_secs(6));
    let mine = |revision| LeaseRecord {
        owner: Some(me.clone()),
        revision,
    };
    let table = Table {
        members: BTreeMap::new(),
        leases: BTreeMap::from([(0, mine(1)), (700, mine(2))]),
    };
    let start = Step::Start { unit: 0 };
    assert_eq!(leases.observe(Duration::ZERO, &table), [start]);
    assert_eq!(leases.held().collect::<Vec<_>>(), [0]);
}

#[test]
fn an_old_look_at_the_table_takes_nothing_back() {
    let me = MemberId::new("me");
    let mut leases = Leases::new(me.clone(), 1, Duration::from_secs(6));
    let record = MemberRecord {
        name: String::new(),
        leaving: false,
        fingerprint: 0,
        revision: 0,
    };
    let old = Table {
        members: BTreeMap::from([(me, record)]),
        leases: BTreeMap::new(),
    };
    let acquire = Step::Acquire {
        unit: 0,
        revision: 0,
    };
    assert_eq!(leases.observe(Duration::ZERO, &old), [acquire]);
    assert_eq!(leases.acquired(0, Some(4)), [Step::Start { unit: 0 }]);
    assert_eq!(leases.observe(Duration::from_secs(1), &old), []);
    assert!(leases.holds(0));
}

#[test]
fn a_purged_table_is_written_again_and_no_work_is_interrupted() {
    let mut world = calm(3);
    let work = |world: &World| -> Vec<BTreeSet<u32>> {
        let units = |node: &Node| node.work.keys().copied().collect();
        world.nodes.iter().map(units).collect()
    };
    let before = work(&world);
    let stops: u32 = world.nodes.iter().map(|node| node.stops).sum();
    world.purge();
    world.run_for(LEASE);
    assert_eq!(world.leases.len(), UNITS as usize, "every lease is written");
    assert_eq!(work(&world), before);
    assert_eq!(
        world.nodes.iter().map(|node| node.stops).sum::<u32>(),
        stops
    );
    assert!(world.nodes.iter().all(|node| node.leases.is_settled()));
}

#[test]
fn a_dead_members_leases_are_taken_though_their_records_were_purged() {
    let mut world = calm(2);
    world.nodes.remove(0);
    world.purge();
    world.run_for(3 * LEASE);
    assert_eq!(world.owned(), [13]);
}

#[test]
fn a_member_that_leaves_a_purged_table_starts_nothing_again() {
    let me = MemberId::new("a");
    let mut leases = Leases::new(me.clone(), 2, Duration::from_secs(6));
    let mut table = Table::default();
    for step in leases.observe(Duration::ZERO, &table) {
        let Step::Acquire { unit, revision: 0 } = step else {
            panic!("{step:?}");
        };
        assert_eq!(leases.acquired(unit, Some(7)), [Step::Start { unit }]);
    }
    // the table is empty again: both releases are refused
    leases.leave();
    let now = Duration::from_secs(1);
    for step in leases.observe(now, &table) {
        let Step::Stop { unit } = step else {
            panic!("{step:?}");
        };
        let released = leases.stopped(unit);
        assert_eq!(released, [Step::Release { unit, revision: 7 }]);
        leases.released(unit, None);
    }
    assert!(leases.is_idle());
    assert_eq!(leases.observe(now, &table), []);
    // one of them was there after all, as a late look shows: it is given up without work on it
    let owner = Some(me);
    table.leases.insert(1, LeaseRecord { owner, revision: 7 });
    let release = Step::Release {
        unit: 1,
        revision: 7,
    };
    assert_eq!(leases.observe(now, &table), [release]);
}

#[test]
fn what_is_acquired_while_leaving_is_given_up_without_another_look_at_the_table() {
    let mut leases = Leases::new(MemberId::new("a"), 1, Duration::from_secs(6));
    let acquire = Step::Acquire {
        unit: 0,
        revision: 0,
    };
    assert_eq!(leases.observe(Duration::ZERO, &Table::default()), [acquire]);
    leases.leave();
    let release = Step::Release {
        unit: 0,
        revision: 3,
    };
    assert_eq!(leases.acquired(0, Some(3)), [release]);
    leases.released(0, None);
    assert!(leases.is_idle());
}
