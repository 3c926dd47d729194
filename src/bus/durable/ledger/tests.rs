//! A model of the store and of the owners of one partition, under random schedules.
//!
//! Messages give any number of outputs. The store keeps any prefix of a batch, and loses any
//! answer. Owners end anywhere; the next one may have another configuration and an old checkpoint.
//! A failing seed can be repeated. Each owner that is broken on purpose must break a law.

mod cases;
mod model;

use model::{Fault, Frequency, World};

fn run(seed: u64, frequencies: &[Frequency], fault: Option<Fault>) -> Result<(), String> {
    World::new(seed, frequencies, fault).run()
}

#[test]
fn owners_of_one_configuration_leave_what_an_uninterrupted_run_leaves() {
    for seed in 0..4_000 {
        for frequency in 1..=2 {
            let outcome = run(seed, &[frequency], None);
            assert_eq!(outcome, Ok(()), "seed {seed}, every {frequency}");
        }
    }
}

#[test]
fn owners_of_different_configurations_leave_each_output_once_and_in_order() {
    for seed in 0..8_000 {
        let outcome = run(seed, &[1, 2, 3], None);
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

#[test]
fn every_way_to_be_broken_is_found() {
    let one: &[Frequency] = &[1];
    let several: &[Frequency] = &[1, 2, 3];
    for (fault, frequencies) in [
        (Fault::MarkerIgnored, one),
        (Fault::PartIgnored, one),
        (Fault::BehindIgnored, one),
        (Fault::PartialNotNoted, one),
        (Fault::SavedBeforeStored, one),
        (Fault::CountedAlthoughOther, several),
        (Fault::CountedAlthoughMixed, several),
        (Fault::FloorIgnored, several),
    ] {
        let found = (0..8_000).any(|seed| run(seed, frequencies, Some(fault)).is_err());
        assert!(found, "{fault:?} breaks no law");
    }
}
