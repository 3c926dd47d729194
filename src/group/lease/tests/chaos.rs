//! Random schedules of faults: nothing is committed twice, and in the end every partition has an owner.

use super::*;

fn chaos(seed: u64, fenced: bool) -> Result<(), String> {
    let mut world = World::new(seed, fenced);
    for _ in 0..3 {
        world.join();
    }
    for _ in 0..25 {
        let pause = world.random.below(4_000);
        world.run_for(pause);
        world.fault();
    }
    if world.nodes.iter().all(|node| node.leases.is_leaving()) {
        world.join();
    }
    // every pause and cut is over, every dead member's record has expired, and then some
    world.run_for(6 * LEASE);
    if let Some(doubled) = world.doubled() {
        return Err(doubled);
    }
    if !world.nodes.iter().all(|node| node.leases.is_settled()) {
        return Err("not settled".to_owned());
    }
    let two_leases = Duration::from_millis(2 * LEASE);
    if let Some(node) = world
        .nodes
        .iter()
        .find(|node| node.leases.unowned(two_leases).next().is_some())
    {
        return Err(format!("{} misses owners", node.id));
    }
    let owned = world.owned();
    let (least, most) = (owned.iter().min().unwrap(), owned.iter().max().unwrap());
    if owned.iter().sum::<usize>() != UNITS as usize || most - least > 1 {
        return Err(format!("an uneven division: {owned:?}"));
    }
    for unit in 0..UNITS {
        let last = world.last_commit.get(&unit).copied().unwrap_or(0);
        if world.now - last > 3_000 {
            return Err(format!("partition {unit} makes no progress"));
        }
    }
    Ok(())
}

#[test]
fn nothing_is_committed_twice_and_everything_is_owned_when_faults_stop() {
    let failed: Vec<(u64, String)> = (0..80)
        .filter_map(|seed| Some((seed, chaos(seed, true).err()?)))
        .collect();
    assert_eq!(failed, [], "of 80 seeds");
}

/// Control: without the fence the same schedules commit the same bar twice.
#[test]
fn without_the_fence_the_simulation_finds_what_is_committed_twice() {
    let found =
        (0..80).filter(|seed| chaos(*seed, false).is_err_and(|told| told.contains("committed")));
    assert!(found.count() > 3);
}
