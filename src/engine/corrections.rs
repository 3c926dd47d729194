//! The facts about the newest bars of a series that neither their values nor the indicators tell:
//! how often each was corrected, who sent it and how complete it is.
//!
//! Nearly all bars are alike and were never corrected, so only what differs is kept. Invariant:
//! equal histories have equal facts, so that their snapshots are equal.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Horizon, Parts};
use crate::market::Timestamp;

/// The facts that a bar carries into its signal besides its values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tag {
    pub source: Option<Arc<str>>,
    /// The completeness of a derived bar.
    pub parts: Option<Parts>,
}

/// A bar whose signal is not the first one, or was published where it should not have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Revised {
    at: Timestamp,
    /// Number of times its signal changed.
    pub revision: u32,
    /// True if its signal was published though that of the right values is none to be published.
    pub spoken: bool,
}

/// The facts about the bars of a series that can be corrected. Formats write it beside the rest of
/// the series, where it says anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Corrections {
    /// Tags with the number of bars in a row that have them, oldest first. Empty where all bars have
    /// that of the newest.
    tags: Vec<(Tag, usize)>,
    /// By time.
    revised: Vec<Revised>,
    /// Changes of the series besides the bars that it counts.
    changes: u64,
    /// The horizons of the bars that are derived from the series, while it is written down.
    horizons: Vec<Horizon>,
}

impl Corrections {
    /// True if it says no more than the rest of its series, whose newest bar opened at `newest`.
    pub(super) fn is_trivial(&self, newest: Option<Timestamp>) -> bool {
        let of_newest = |one: &Revised| Some(one.at) == newest && !one.spoken;
        self.tags.is_empty()
            && self.changes == 0
            && self.horizons.is_empty()
            && self.revised.iter().all(of_newest)
    }

    /// True if deserialized facts are possible of `held` bars, the newest of which opened at
    /// `newest` and has the revision `revision`.
    pub(super) fn is_sound(&self, held: usize, newest: Option<Timestamp>, revision: u32) -> bool {
        let counts = || self.tags.iter().map(|(_, bars)| *bars);
        let all = counts().try_fold(0_usize, usize::checked_add);
        let is_late = |one: &Revised| Some(one.at) > newest || one.revision == u32::MAX;
        (self.tags.is_empty() || (all == Some(held) && counts().all(|bars| bars > 0)))
            && self.revised.len() <= held
            && self.revised.is_sorted_by(|a, b| a.at < b.at)
            && !self.revised.iter().any(is_late)
            && newest.is_none_or(|at| self.of(at).revision == revision)
            && self.changes <= super::analysis::MOST
    }

    /// Puts in what the bars that are derived from the series need.
    pub(super) fn put_horizons(&mut self, horizons: Vec<Horizon>) {
        self.horizons = horizons;
    }

    /// Takes out what [`Self::put_horizons`] has put in.
    pub(super) fn take_horizons(&mut self) -> Option<Vec<Horizon>> {
        let horizons = std::mem::take(&mut self.horizons);
        (!horizons.is_empty()).then_some(horizons)
    }

    /// Changes of the series besides the bars that it counts.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Counts changes.
    pub(super) const fn count(&mut self, changes: u64) {
        self.changes += changes;
    }

    /// The corrections of the bar at `at`.
    pub(super) fn of(&self, at: Timestamp) -> Revised {
        let found = self.revised.binary_search_by_key(&at, |one| one.at);
        found.map_or(Revised::new(at, 0), |place| self.revised[place])
    }

    /// Sets what is known of a bar.
    pub(super) fn set(&mut self, revised: Revised) {
        let says_nothing = revised.revision == 0 && !revised.spoken;
        match self.revised.binary_search_by_key(&revised.at, |one| one.at) {
            Ok(place) if says_nothing => {
                self.revised.remove(place);
            }
            Ok(place) => self.revised[place] = revised,
            Err(_) if says_nothing => {}
            Err(place) => self.revised.insert(place, revised),
        }
    }

    /// Forgets the bars that opened before `oldest`.
    pub(super) fn forget_before(&mut self, oldest: Option<Timestamp>) {
        if !self.revised.is_empty() {
            self.revised.retain(|one| Some(one.at) >= oldest);
        }
    }

    /// True if the bars have tags of their own.
    pub(super) const fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// A bar with the tag `new` follows `held` bars, the newest of which has the tag `last` if no
    /// other is known. `most` bars are kept.
    pub(super) fn push_tag(
        &mut self,
        last: impl FnOnce() -> Tag,
        new: Tag,
        held: usize,
        most: usize,
    ) {
        if self.tags.is_empty() && held > 0 {
            self.tags.push((last(), held));
        }
        match self.tags.last_mut() {
            Some((tag, bars)) if *tag == new => *bars += 1,
            _ => self.tags.push((new, 1)),
        }
        if held >= most {
            self.tags[0].1 -= 1;
            if self.tags[0].1 == 0 {
                self.tags.remove(0);
            }
        }
        if self.tags.len() == 1 {
            self.tags.clear();
        }
    }

    /// Writes down that all of `held` bars have the tag `newest`, which the next ones do not have.
    pub(super) fn pin_tag(&mut self, newest: Tag, held: usize) {
        if self.tags.is_empty() && held > 0 {
            self.tags.push((newest, held));
        }
    }

    /// The tags of `held` bars, oldest first; `newest` is that of the newest if no other is known.
    pub(super) fn tags(&self, newest: &Tag, held: usize) -> Vec<Tag> {
        if self.tags.is_empty() {
            return vec![newest.clone(); held];
        }
        let runs = self.tags.iter();
        runs.flat_map(|(tag, bars)| std::iter::repeat_n(tag.clone(), *bars))
            .collect()
    }

    /// The tag of the newest bar, which is `newest` if no other is known.
    pub(super) fn newest_tag(&self, newest: Tag) -> Tag {
        self.tags.last().map_or(newest, |(tag, _)| tag.clone())
    }

    /// Sets the tags of all bars, the newest of which has the tag `newest` if no other is said.
    pub(super) fn set_tags(&mut self, tags: &[Tag], newest: &Tag) {
        self.tags.clear();
        for tag in tags {
            match self.tags.last_mut() {
                Some((last, bars)) if last == tag => *bars += 1,
                _ => self.tags.push((tag.clone(), 1)),
            }
        }
        if self.tags.len() == 1 && self.tags[0].0 == *newest {
            self.tags.clear();
        }
    }
}

impl Revised {
    /// A bar whose signal changed `revision` times.
    pub const fn new(at: Timestamp, revision: u32) -> Self {
        Self {
            at,
            revision,
            spoken: false,
        }
    }

    /// The same bar after its signal changed, if it did.
    pub const fn after(self, changed: bool, spoken: bool) -> Self {
        Self {
            at: self.at,
            revision: self.revision.saturating_add(changed as u32),
            spoken,
        }
    }
}
