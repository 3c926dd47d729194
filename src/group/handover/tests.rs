//! Simulation: members, a broker and a source of bars on one simulated clock, under random
//! schedules of joins, departures, kills, freezes and cuts. A failing seed repeats.

mod world;

use std::time::Duration;

use super::*;
pub(super) use world::{Millis, World, check, simulate};

#[test]
fn members_that_join_and_leave_publish_every_bar_exactly_once() {
    simulate(|world| {
        for _ in 0..=world.random.below(3) {
            world.join();
        }
        while world.serving() == 0 {
            world.step();
        }
        let begin = world.now;
        for _ in 0..12 {
            let pause = world.random.below(1200);
            world.run(pause);
            if world.random.below(2) == 0 || world.serving() < 2 {
                for _ in 0..=world.random.below(2) {
                    world.join();
                }
            } else {
                let at = usize::try_from(world.random.below(world.nodes.len() as u64)).unwrap();
                world.leave(at);
            }
        }
        world.run(2000);
        let end = world.now - 500;
        let mut checked = 0;
        for (slot, number, times) in world.counts(begin, end) {
            check(times, 1..=1, slot, number)?;
            checked += 1;
        }
        assert!(checked > 500, "checked only {checked} bars");
        Ok(())
    });
}

#[test]
fn faults_double_nothing_and_everything_is_published_once_they_are_over() {
    simulate(|world| {
        for _ in 0..3 {
            world.join();
        }
        world.run(500);
        for _ in 0..14 {
            let pause = world.random.below(3000);
            world.run(pause);
            let at = usize::try_from(world.random.below(world.nodes.len() as u64)).unwrap();
            let length = world.random.below(8000);
            let until = world.now + length;
            let what = world.random.below(4);
            // bars that waited while nobody served are published by whoever serves next, so one
            // member stays whole
            if !world.answering(at) {
                continue;
            }
            world.note(|w| format!("fault {what} on {:?} for {length}", w.nodes[at].id));
            match what {
                0 => {
                    world.nodes.remove(at);
                }
                1 => world.nodes[at].frozen_until = until,
                2 => world.nodes[at].cut_until = until,
                _ => world.join(),
            }
        }
        world.run(14_000);
        let healed = world.now;
        world.run(3_000);
        for slot in Slot::all() {
            match world.holders(slot) {
                1 => {}
                n => return Err(format!("{slot:?} has {n} holders")),
            }
        }
        for (slot, number, times) in world.counts(0, healed) {
            check(times, 0..=1, slot, number)?;
        }
        for (slot, number, times) in world.counts(healed, healed + 2_500) {
            check(times, 1..=1, slot, number)?;
        }
        Ok(())
    });
}

/// Members that are busy answer late. One that starts meanwhile waits, and takes nobody's place.
#[test]
fn one_that_starts_while_all_are_slow_to_answer_loses_and_doubles_nothing() {
    simulate(|world| {
        for _ in 0..=world.random.below(3) {
            world.join();
        }
        let before = 2_000 + world.random.below(2_000);
        world.run(before);
        let begin = world.now - 500;
        for at in 0..world.nodes.len() {
            world.nodes[at].frozen_until = world.now + 100 + world.random.below(1_300);
        }
        for _ in 0..=world.random.below(2) {
            let pause = world.random.below(60);
            world.run(pause);
            world.join();
        }
        world.run(5_000);
        for (slot, number, times) in world.counts(begin, world.now - 500) {
            check(times, 1..=1, slot, number)?;
        }
        Ok(())
    });
}

#[test]
fn a_killed_member_is_replaced_within_three_seconds() {
    simulate(|world| {
        for _ in 0..3 {
            world.join();
        }
        world.run(4000);
        world.nodes.remove(0);
        let killed = world.now;
        while Slot::all().any(|slot| world.holders(slot) != 1) {
            world.step();
            if world.now - killed > 3_100 {
                return Err(format!("not replaced after {} ms", world.now - killed));
            }
        }
        Ok(())
    });
}

/// One that froze just after it had spoken finds its own words when it wakes up, as if they had
/// come back at once.
#[test]
fn an_echo_that_waited_through_a_freeze_does_not_hide_it() {
    let at = Duration::from_millis;
    let me = MemberId::new("me");
    let mut handover = Handover::new(me, "me".to_owned(), 7, Timing::default(), at(0));
    let echo = |handover: &mut Handover, now| {
        let presence = handover.presence(false);
        handover.on_presence(now, &presence);
    };
    echo(&mut handover, at(1));
    handover.on_nobody(at(2));
    handover.tick(at(100));
    assert_eq!(handover.phase(), Phase::Active);
    echo(&mut handover, at(101));
    handover.take_actions();
    handover.tick(at(1_200));
    let said = handover.presence(false);
    // it freezes for five seconds, and hears itself before anything else
    handover.on_presence(at(6_200), &said);
    handover.tick(at(6_200));
    assert!(handover.take_actions().contains(&Action::Restart));
    assert!(handover.holds().is_empty());
}
