//! Facts about the newest bars of a series that its values and indicators do not show: the
//! corrections, the sender and the completeness of each bar.
//!
//! Nearly all bars have equal facts and were never corrected, so only differences are kept.
//! Invariant: equal histories have equal facts, so that their snapshots are equal.

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

/// A bar whose signal was revised, or was published though the right one is not due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Revised {
    at: Timestamp,
    /// Number of times its signal changed.
    pub revision: u32,
    /// True if its signal was published and the one with the right values is not due.
    pub spoken: bool,
}

/// Facts about the bars of a series that can be corrected. Formats write them beside the rest of
/// the series, unless they follow from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Corrections {
    /// Tags, each with the number of consecutive bars that have it, oldest first. Empty if all bars
    /// have the tag of the newest.
    tags: Vec<(Tag, usize)>,
    /// By time.
    revised: Vec<Revised>,
    /// Changes of the series apart from appended bars.
    changes: u64,
    /// Horizons of the bars derived from the series; set only while the series is written.
    horizons: Vec<Horizon>,
}

impl Corrections {
    /// True if it follows from the rest of its series, whose newest bar opened at `newest`.
    pub(super) fn is_trivial(&self, newest: Option<Timestamp>) -> bool {
        let of_newest = |one: &Revised| Some(one.at) == newest && !one.spoken;
        self.tags.is_empty()
            && self.changes == 0
            && self.horizons.is_empty()
            && self.revised.iter().all(of_newest)
    }

    /// True if deserialized facts can be those of `held` bars, the newest of which opened at
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

    /// Puts in the horizons of the bars derived from the series.
    pub(super) fn put_horizons(&mut self, horizons: Vec<Horizon>) {
        self.horizons = horizons;
    }

    /// Takes out the horizons of [`Self::put_horizons`].
    pub(super) fn take_horizons(&mut self) -> Option<Vec<Horizon>> {
        let horizons = std::mem::take(&mut self.horizons);
        (!horizons.is_empty()).then_some(horizons)
    }

    /// Changes of the series apart from appended bars.
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

    /// Sets the corrections of a bar.
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
        self.revised.retain(|one| Some(one.at) >= oldest);
    }

    /// True if a bar has a revision.
    pub(super) const fn has_revised(&self) -> bool {
        !self.revised.is_empty()
    }

    /// True if the bars have tags of their own.
    pub(super) const fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Notes the tag `new` of a bar that follows `held` bars. `last` is the tag of the newest of
    /// these if no other is recorded. At most `most` bars are kept.
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

    /// Records the tag `newest` of all `held` bars, before bars with another tag follow.
    pub(super) fn pin_tag(&mut self, newest: Tag, held: usize) {
        if self.tags.is_empty() && held > 0 {
            self.tags.push((newest, held));
        }
    }

    /// Tags of `held` bars, oldest first; `newest` is that of the newest if no other is recorded.
    pub(super) fn tags(&self, newest: &Tag, held: usize) -> Vec<Tag> {
        if self.tags.is_empty() {
            return vec![newest.clone(); held];
        }
        let runs = self.tags.iter();
        runs.flat_map(|(tag, bars)| std::iter::repeat_n(tag.clone(), *bars))
            .collect()
    }

    /// Tag of the newest bar, which is `newest` if no other is recorded.
    pub(super) fn newest_tag(&self, newest: Tag) -> Tag {
        self.tags.last().map_or(newest, |(tag, _)| tag.clone())
    }

    /// Sets the tags of all bars; the newest has the tag `newest` if no other is recorded.
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
    /// The corrections of a bar whose signal changed `revision` times.
    pub const fn new(at: Timestamp, revision: u32) -> Self {
        Self {
            at,
            revision,
            spoken: false,
        }
    }

    /// The same bar after one more change of its signal, if its signal changed.
    pub const fn after(self, changed: bool, spoken: bool) -> Self {
        Self {
            at: self.at,
            revision: self.revision.saturating_add(changed as u32),
            spoken,
        }
    }
}
