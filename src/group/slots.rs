//! Slots: the unit in which symbols are divided among members.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The number of slots. Enough for an even division among some dozens of members.
pub const SLOTS: usize = 256;

const WORDS: usize = SLOTS / 64;

/// One share of the symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot(u8);

impl Slot {
    /// The slot of a symbol, or of any other text: the same on every machine and in every version.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        #[allow(clippy::cast_possible_truncation)] // SLOTS is 256: the low byte is the remainder
        Self(xxh3_64(key) as u8)
    }

    /// Its number, below [`SLOTS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Every slot.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

/// The member with the highest weight for a slot: adding a member moves slots only to it,
/// removing one moves only the slots it had.
pub fn rendezvous<'a, M: AsRef<str> + Ord>(
    slot: Slot,
    members: impl IntoIterator<Item = &'a M>,
) -> Option<&'a M> {
    members.into_iter().max_by_key(|member| {
        let seed = slot.index() as u64;
        (xxh3_64_with_seed(member.as_ref().as_bytes(), seed), *member)
    })
}

/// A set of slots.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotSet([u64; WORDS]);

impl SlotSet {
    /// No slot.
    pub const EMPTY: Self = Self([0; WORDS]);
    /// Every slot.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// Returns true if `slot` is in it.
    #[inline]
    #[must_use]
    pub const fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] & (1 << (slot.index() % 64)) != 0
    }

    /// Adds `slot`.
    pub const fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    /// Takes `slot` out.
    pub const fn remove(&mut self, slot: Slot) {
        self.0[slot.index() / 64] &= !(1 << (slot.index() % 64));
    }

    /// The number of slots in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Returns true if it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Its slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + use<> {
        let set = *self;
        Slot::all().filter(move |slot| set.contains(*slot))
    }

    /// The slots of either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// The slots of both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// The slots of this one that the other does not have.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::EMPTY;
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Slot::index)).finish()
    }
}

impl Serialize for SlotSet {
    /// 64 hexadecimal digits, the highest slot first.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [a, b, c, d] = self.0;
        serializer.collect_str(&format_args!("{d:016x}{c:016x}{b:016x}{a:016x}"))
    }
}

impl<'de> Deserialize<'de> for SlotSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let invalid = || serde::de::Error::custom("a slot set is 64 hexadecimal digits");
        if text.len() != WORDS * 16 || !text.is_ascii() {
            return Err(invalid());
        }
        let mut set = Self::EMPTY;
        for (word, at) in set.0.iter_mut().rev().zip((0..).step_by(16)) {
            *word = u64::from_str_radix(&text[at..at + 16], 16).map_err(|_| invalid())?;
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_joins_takes_slots_only_for_itself() {
        let members: Vec<String> = (0..5).map(|i| format!("member-{i}")).collect();
        for slot in Slot::all() {
            let before = rendezvous(slot, &members[..4]).unwrap();
            let after = rendezvous(slot, &members).unwrap();
            assert!(after == before || after == &members[4]);
        }
    }

    #[test]
    fn the_division_is_even_enough() {
        let members: Vec<String> = (0..3).map(|i| format!("member-{i}")).collect();
        for member in &members {
            let share = Slot::all()
                .filter(|slot| rendezvous(*slot, &members) == Some(member))
                .count();
            assert!((55..=115).contains(&share), "{share} of 256");
        }
    }

    #[test]
    fn the_slot_of_a_symbol_never_changes() {
        // XXH3-64 with seed 0, low byte; reference values from the xxHash project's own tool
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(Slot::of(b"").index(), 0xc2);
    }

    #[test]
    fn a_set_reads_back_as_it_is_written() {
        let set: SlotSet = [0, 1, 63, 64, 200, 255].map(Slot).into_iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<SlotSet>(&text).unwrap(), set);
        assert_eq!(set.len(), 6);
        assert_eq!(set.iter().count(), 6);
        assert_eq!(SlotSet::ALL.difference(set).len(), 250);
        assert!(serde_json::from_str::<SlotSet>("\"00\"").is_err());
    }
}
