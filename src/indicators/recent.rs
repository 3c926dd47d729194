//! The last values of a derived series, such as the raw %K under a stochastic.

use serde::{Deserialize, Serialize};

/// A ring of the last `n` values, `NaN` where there is none yet. Copying one into another
/// of the same size does not allocate.
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Recent {
    values: Vec<f64>,
    /// Place of the oldest value, which the next one overwrites.
    at: usize,
    /// Values seen, counted up to the size.
    seen: usize,
}

/// A [`Recent`] as it was written, whose places may lie outside of it.
#[derive(Deserialize)]
struct Unchecked {
    values: Vec<f64>,
    at: usize,
    seen: usize,
}

impl TryFrom<Unchecked> for Recent {
    type Error = &'static str;

    fn try_from(Unchecked { values, at, seen }: Unchecked) -> Result<Self, Self::Error> {
        if at < values.len() && seen <= values.len() {
            Ok(Self { values, at, seen })
        } else {
            Err("a place outside of the values")
        }
    }
}

impl Recent {
    /// Room for `n` values, at least one.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self {
            values: vec![f64::NAN; n.max(1)],
            at: 0,
            seen: 0,
        }
    }

    /// Takes in a value; the oldest leaves.
    #[inline]
    pub fn push(&mut self, value: f64) {
        self.values[self.at] = value;
        self.at += 1;
        if self.at == self.values.len() {
            self.at = 0;
        }
        if self.seen < self.values.len() {
            self.seen += 1;
        }
    }

    /// The values in no particular order, once there are `n`.
    #[inline]
    #[must_use]
    pub fn full(&self) -> Option<&[f64]> {
        (self.seen == self.values.len()).then_some(&self.values)
    }

    /// The oldest of `n` values.
    #[inline]
    #[must_use]
    pub fn oldest(&self) -> Option<f64> {
        self.full().map(|values| values[self.at])
    }

    /// The values, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        let (newer, older) = self.values.split_at(self.at);
        older.iter().chain(newer).copied()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.values.fill(f64::NAN);
        self.at = 0;
        self.seen = 0;
    }
}

clone_in_place!(Recent { values, at, seen });

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn it_holds_what_a_bounded_queue_holds(size in 1usize..9, values in prop::collection::vec(-9.0..9.0f64, 0..40)) {
            let (mut recent, mut copy) = (Recent::new(size), Recent::new(size));
            let room = copy.values.as_ptr();
            let mut model = VecDeque::new();
            for value in values {
                recent.push(value);
                model.push_back(value);
                if model.len() > size {
                    model.pop_front();
                }
                copy.clone_from(&recent);
                // copied in place
                prop_assert_eq!(copy.values.as_ptr(), room);
                let full = model.len() == size;
                prop_assert_eq!(copy.oldest(), model.front().copied().filter(|_| full));
                prop_assert_eq!(copy.full().is_some(), full);
                if full {
                    prop_assert!(copy.iter().eq(model.iter().copied()));
                }
            }
        }
    }
}
