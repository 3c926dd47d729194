//! Panics, counted by partition and message.
//!
//! A message that makes the agent panic is tried again once, from the partition's checkpoint, and
//! then refused as poison. Must not know: what panicked.

use std::collections::{BTreeMap, BTreeSet};

/// A message that makes the agent panic this often is refused.
const TRIES: u32 = 2;
/// Messages of one partition whose panics are remembered, the newest. A refused one is in the
/// partition's marker once it is stored, which remembers as many.
const MAX_PANICS: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Panics(BTreeMap<(u32, u64), u32>);

impl Panics {
    /// Counts one more panic on a message, and returns how many there were.
    pub fn note(&mut self, unit: u32, seq: u64) -> u32 {
        let of_unit = (unit, 0)..=(unit, u64::MAX);
        let is_known = self.0.contains_key(&(unit, seq));
        if !is_known && self.0.range(of_unit.clone()).count() >= MAX_PANICS {
            let oldest = self.0.range(of_unit).next().map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.0.remove(&oldest);
            }
        }
        let tries = self.0.entry((unit, seq)).or_insert(0);
        *tries = tries.saturating_add(1);
        *tries
    }

    /// True if a message has panicked often enough to be refused.
    pub fn is_poison(&self, unit: u32, seq: u64) -> bool {
        self.0
            .get(&(unit, seq))
            .is_some_and(|tries| *tries >= TRIES)
    }

    /// The messages of a partition that are to be refused.
    pub fn poison(&self, unit: u32) -> BTreeSet<u64> {
        self.0
            .range((unit, 0)..=(unit, u64::MAX))
            .filter(|(_, tries)| **tries >= TRIES)
            .map(|((_, seq), _)| *seq)
            .collect()
    }

    /// Forgets the panics of a partition.
    pub fn forget(&mut self, unit: u32) {
        self.0.retain(|(of, _), _| *of != unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_counted_by_message_and_the_oldest_of_a_partition_are_forgotten() {
        let mut panics = Panics::default();
        assert_eq!(panics.note(1, 7), 1);
        assert!(!panics.is_poison(1, 7));
        assert_eq!(panics.note(1, 7), 2);
        assert!(panics.is_poison(1, 7));
        assert_eq!(panics.note(2, 7), 1);
        assert_eq!(panics.poison(1), BTreeSet::from([7]));
        for seq in 100..10_000 {
            panics.note(1, seq);
        }
        assert_eq!(panics.0.len(), 1_000 + 1);
        assert_eq!(panics.0[&(2, 7)], 1, "of another partition");
        assert_eq!(panics.note(1, 9_999), 2, "of the newest all is known");
        assert_eq!(panics.note(1, 7), 1, "forgotten");
        panics.forget(1);
        assert_eq!(panics.0.len(), 1);
    }
}
