//! A member that is killed while others come and go.

use super::tests::{Millis, World, check, simulate};

/// By when the slots of a killed member have another holder: after the silence in which it may
/// still come back, and a heartbeat more where everyone who heard it has left meanwhile.
const MISSED: Millis = 3_000 + 1_000 + 100;

/// Stops members and starts others in their place, one at a time, for `millis`.
fn restart_one_by_one(world: &mut World, millis: Millis) {
    let end = world.now + millis;
    let in_turn = world.random.below(2) == 0;
    let longest = 50 + world.random.below(1_000);
    while world.now < end {
        let pause = world.random.below(longest);
        world.run(pause);
        // those who were there first go first, or anyone
        let among = if in_turn { 1 } else { world.nodes.len() };
        let at = world.random.below(among as u64);
        world.leave(usize::try_from(at).unwrap());
        let pause = world.random.below(longest);
        world.run(pause);
        world.join();
        while world.serving() < 2 {
            world.run(1);
        }
    }
}

#[test]
fn restarts_after_a_kill_do_not_keep_symbols_without_a_holder() {
    simulate(|world| {
        for _ in 0..3 {
            world.join();
        }
        let before = 3_500 + world.random.below(1_000);
        world.run(before);
        let at = usize::try_from(world.random.below(3)).unwrap();
        let dead = world.nodes.remove(at);
        let missed = *dead.handover.holds();
        let killed = world.now;
        world.note(|_| format!("kill {:?}", dead.handover.members()[0].id));
        restart_one_by_one(world, 5_000);
        world.run(1_000);
        let end = world.now - 500;
        for (slot, number, times) in world.counts(1_000, killed + MISSED) {
            let least = u32::from(!missed.contains(slot));
            check(times, least..=1, slot, number)?;
        }
        for (slot, number, times) in world.counts(killed + MISSED, end) {
            check(times, 1..=1, slot, number)?;
        }
        Ok(())
    });
}
