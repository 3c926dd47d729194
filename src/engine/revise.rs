//! Corrections: one of the newest bars gets other values, or a missing one is inserted.
//!
//! The state before the bar is computed from the nearest state that the series keeps. Two runs
//! follow: one over the bars as they were, for the signals that were published, and one over the
//! right bars. Signals that differ are published again with the next revision. Afterwards the
//! series is as if the right bar had come at once, except for the revisions.
//!
//! Until both runs are done the series stays as it is, except for its ring, which [`Undo`]
//! restores.

use super::analysis::State;
use super::config::AnalysisConfig;
use super::corrections::{Revised, Tag};
use super::series::{Course, Series, is_due, settle};
use super::signal::Signal;
use crate::aggregate::Parts;
use crate::market::{Bar, BarEvent, Timestamp};

/// The place of a bar that is no later than the newest of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of newer bars.
    pub newer: usize,
    /// False if the series has no bar there.
    pub is_there: bool,
}

/// The change of the ring by a bar, to undo it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Undo {
    /// The bar was appended after this one.
    Append(Option<Bar>),
    /// The bar replaced this one, which has this number of newer bars.
    Replace(usize, Bar),
    /// The bar was inserted at this time, before this number of bars.
    Insert(usize, Timestamp),
}

/// A later bar whose signal may change.
#[derive(Debug)]
struct Later {
    /// The published signal, then the one to publish.
    signal: Signal,
    revised: Revised,
    /// True if a signal of the bar was published.
    spoke: bool,
    publish: bool,
}

/// Buffers for corrections, and the signals of later bars that the last one changed.
#[derive(Debug)]
pub(super) struct Revising {
    said: State,
    before: State,
    mark: State,
    signal: Signal,
    later: Vec<Later>,
    /// Entries of `later` of the last correction that were not handed out yet.
    due: std::ops::Range<usize>,
    /// Signals that were handed out since the process began.
    handed_out: u64,
}

impl Revising {
    pub fn new(config: &AnalysisConfig) -> Self {
        Self {
            said: State::new(config),
            before: State::new(config),
            mark: State::new(config),
            signal: Signal::blank(config),
            later: Vec::new(),
            due: 0..0,
            handed_out: 0,
        }
    }

    /// Forgets the signals that were not handed out.
    pub fn clear(&mut self) {
        self.due = 0..0;
    }

    /// Makes every correction from now on panic in the first later bar.
    #[cfg(test)]
    pub fn poison(&mut self) {
        self.signal.indicators.values.clear();
    }

    /// Number of signals of later bars that were handed out.
    pub const fn handed_out(&self) -> u64 {
        self.handed_out
    }

    /// The signal of the next later bar to publish.
    pub fn next(&mut self) -> Option<&Signal> {
        let later = &self.later;
        let at = self.due.find(|at| later[*at].publish)?;
        self.handed_out = self.handed_out.wrapping_add(1);
        Some(&self.later[at].signal)
    }
}

impl Series {
    /// The place of a bar that opens at `at`; `None` if it is later than all in the window.
    pub(super) fn place(&self, at: Timestamp) -> Option<Place> {
        let newer = match self.ring.newest()?.timestamp {
            newest if newest < at => return None,
            newest if newest == at => 0,
            _ => self.ring.newer_than(at),
        };
        let there = self.ring.back(newer).map(|bar| bar.timestamp);
        Some(Place {
            newer,
            is_there: newer < self.ring.len() && there == Some(at),
        })
    }

    /// True if a bar at `place` can be corrected or inserted. Only a `derived` bar is inserted
    /// before the first bar of the series.
    pub(super) fn is_correctable(
        &self,
        place: Place,
        derived: bool,
        config: &AnalysisConfig,
    ) -> bool {
        let is_first = !place.is_there && place.newer as u64 == self.bars;
        place.newer < config.correctable() && (!is_first || derived)
    }

    /// True if the bar at `place` has the values of `bar`, and `parts` if it was derived.
    pub(super) fn repeats(
        &self,
        place: Place,
        bar: &Bar,
        parts: Option<Parts>,
        config: &AnalysisConfig,
    ) -> bool {
        let kept = self.ring.back(place.newer).filter(|_| place.is_there);
        let same_parts = || {
            let held = self.correctable(config);
            let tags = self.corrections.tags(&self.tag(), held);
            let tag = held.checked_sub(place.newer + 1).map(|at| &tags[at]);
            tag.is_some_and(|tag| tag.parts == parts)
        };
        kept.is_some_and(|kept| kept.same_values(bar)) && (parts.is_none() || same_parts())
    }

    /// The change of the ring that a bar at `place` makes.
    pub(super) fn undo(&self, place: Option<Place>, at: Timestamp) -> Undo {
        let Some(Place { newer, is_there }) = place else {
            return Undo::Append(self.ring.newest());
        };
        match self.ring.back(newer).filter(|_| is_there) {
            Some(bar) => Undo::Replace(newer, bar),
            None => Undo::Insert(newer, at),
        }
    }

    /// Undoes the change of the ring by a bar that panicked.
    pub(super) fn roll_back(&mut self, undo: Undo) {
        match undo {
            Undo::Append(newest) if self.ring.newest() != newest => self.ring.pop(),
            Undo::Append(_) => {}
            Undo::Replace(newer, bar) => self.ring.replace(newer, &bar),
            Undo::Insert(newer, at) => {
                if self.ring.back(newer).map(|bar| bar.timestamp) == Some(at) {
                    self.ring.remove(newer);
                }
            }
        }
    }

    /// Corrects or inserts the bar at `place`, which has `parts` if it was derived. Returns true if
    /// its signal is to be published: because it is due, or because that of the replaced bar was
    /// published. The signals of later bars that it changed are in `revising`.
    pub(super) fn revise(
        &mut self,
        (event, parts): (&BarEvent<'_>, Option<Parts>),
        place: Place,
        config: &AnalysisConfig,
        (trial, signal): (&mut State, &mut Signal),
        revising: &mut Revising,
    ) -> bool {
        let Place { newer, is_there } = place;
        revising.clear();
        let held = self.correctable(config);
        let total = self.bars + u64::from(!is_there);
        let earlier = total - 1 - newer as u64;
        let source = self.shared_source(event.source.as_deref());
        let tag = Tag { source, parts };
        let replaced = self.corrections.of(event.bar.timestamp);

        self.state_after(earlier, config, trial, signal);
        let mut spoke = is_there && self.after.published;
        let old_tags = if newer > 0 {
            let tags = self.corrections.tags(&self.tag(), held);
            spoke = self.say_again(place, &tags, config, trial, signal, revising);
            tags
        } else {
            Vec::new()
        };
        spoke |= replaced.spoken;

        if is_there {
            self.ring.replace(newer, &event.bar);
        } else {
            self.ring.insert(newer, &event.bar);
        }
        let course = Course {
            newer,
            count: earlier + 1,
            missing: self.missing_at(newer, config),
            revision: replaced.after(is_there, false).revision,
            tag: &tag,
        };
        self.compute(config, trial, &course, signal);
        let due = is_due(config, earlier + 1, signal);
        settle(trial, signal, due);
        self.go_on(total, &old_tags, config, trial, revising);

        // nothing panics from here on
        self.keep_marks(earlier, total, config, revising);
        std::mem::swap(&mut self.after, trial);
        self.bars = total;
        self.missing = self.missing_at(0, config);
        self.corrections
            .set(replaced.after(is_there, spoke && !due));
        for later in &revising.later[revising.due.clone()] {
            self.corrections.set(later.revised);
        }
        self.corrections.count(u64::from(is_there));
        if let Some(newest) = self.ring.newest() {
            self.revision = self.corrections.of(newest.timestamp).revision;
        }
        self.forget_corrections(config);
        self.set_tag(place, tag, old_tags, config);
        due || spoke
    }

    /// Recomputes the published signals of the bar at `place` and of those after it. `state` is the
    /// one before it. Returns true if a signal of the bar itself was published.
    fn say_again(
        &self,
        Place { newer, is_there }: Place,
        tags: &[Tag],
        config: &AnalysisConfig,
        state: &State,
        signal: &mut Signal,
        revising: &mut Revising,
    ) -> bool {
        let Revising { said, later, .. } = revising;
        said.clone_from(state);
        let mut spoke = false;
        if is_there {
            self.pass(newer, self.bars - newer as u64, config, said, signal);
            spoke = said.published;
        }
        for (at, newer) in (0..newer).rev().enumerate() {
            if later.len() == at {
                later.push(Later {
                    signal: Signal::blank(config),
                    revised: Revised::new(Timestamp::from_nanos(0), 0),
                    spoke: false,
                    publish: false,
                });
            }
            let one = &mut later[at];
            let count = self.bars - newer as u64;
            let course = self.course(newer, count, tags, config);
            self.compute(config, said, &course, &mut one.signal);
            let due = is_due(config, count, &one.signal);
            settle(said, &one.signal, due);
            one.revised = self.corrections.of(one.signal.timestamp);
            one.spoke = due || one.revised.spoken;
        }
        revising.due = 0..newer;
        spoke
    }

    /// Computes the bars after the corrected one, where `state` is the state after that one, and
    /// decides which of their signals are published again. The series has `total` bars then.
    fn go_on(
        &self,
        total: u64,
        tags: &[Tag],
        config: &AnalysisConfig,
        state: &mut State,
        revising: &mut Revising,
    ) {
        let (first, second) = config.marks(total);
        let mut keep = |count: u64, state: &State| {
            if count == first {
                revising.before.clone_from(state);
            } else if Some(count) == second {
                revising.mark.clone_from(state);
            }
        };
        let later = &mut revising.later[revising.due.clone()];
        keep(total - later.len() as u64, state);
        let new = &mut revising.signal;
        for (newer, one) in (0..later.len()).rev().zip(later) {
            let count = total - newer as u64;
            let course = self.course(newer, count, tags, config);
            self.compute(config, state, &course, new);
            let due = is_due(config, count, new);
            settle(state, new, due);
            keep(count, state);
            let changed = !new.says_the_same(&one.signal);
            one.publish = (changed || !one.spoke) && (due || one.spoke);
            one.revised = one.revised.after(changed, one.spoke && !due);
            new.revision = one.revised.revision;
            std::mem::swap(new, &mut one.signal);
        }
    }

    /// The course of the bar number `count`, which has `newer` newer ones, in a run without
    /// revisions. `tags` are those of the correctable bars.
    fn course<'a>(
        &self,
        newer: usize,
        count: u64,
        tags: &'a [Tag],
        config: &AnalysisConfig,
    ) -> Course<'a> {
        Course {
            newer,
            count,
            missing: self.missing_at(newer, config),
            revision: 0,
            tag: &tags[tags.len() - 1 - newer],
        }
    }

    /// Sets the states that a series of `total` bars keeps. Those after at most `earlier` bars are
    /// unchanged, the others are in `revising`.
    fn keep_marks(
        &mut self,
        earlier: u64,
        total: u64,
        config: &AnalysisConfig,
        revising: &mut Revising,
    ) {
        let (first, second) = config.marks(total);
        if first > earlier {
            std::mem::swap(&mut self.before, &mut revising.before);
        } else if config.marks(self.bars).0 < first
            && let Some(mark) = &mut self.mark
        {
            std::mem::swap(&mut self.before, mark);
        }
        match (&mut self.mark, second) {
            (Some(mark), Some(second)) if second > earlier => {
                std::mem::swap(&mut **mark, &mut revising.mark);
            }
            (mark @ None, Some(_)) => *mark = Some(Box::new(revising.mark.clone())),
            _ => {}
        }
    }

    /// Sets the tag of the bar at `place`; `tags` are the former tags, if there are later bars.
    fn set_tag(&mut self, place: Place, tag: Tag, mut tags: Vec<Tag>, config: &AnalysisConfig) {
        let Place { newer, is_there } = place;
        if newer == 0 {
            if self.tag() == tag && !self.corrections.has_tags() {
                return;
            }
            let held = self.correctable(config);
            tags = self.corrections.tags(&self.tag(), held);
            self.source.clone_from(&tag.source);
            self.derived.parts = tag.parts;
        }
        let at = tags.len() - newer;
        if is_there {
            tags[at - 1] = tag;
        } else {
            tags.insert(at, tag);
        }
        let excess = tags.len() - self.correctable(config);
        let newest = self.tag();
        self.corrections.set_tags(&tags[excess..], &newest);
    }

    /// Puts the state after the first `count` bars into `state`. That is before a correctable bar
    /// or after the newest.
    pub(super) fn state_after(
        &self,
        count: u64,
        config: &AnalysisConfig,
        state: &mut State,
        signal: &mut Signal,
    ) {
        let (first, second) = config.marks(self.bars);
        let mut at = first;
        match (&self.mark, second) {
            (Some(mark), Some(second)) if second <= count => {
                state.clone_from(mark);
                at = second;
            }
            _ => state.clone_from(&self.before),
        }
        while at < count {
            at += 1;
            let newer = usize::try_from(self.bars - at).unwrap_or(usize::MAX);
            self.pass(newer, at, config, state, signal);
        }
    }

    /// Advances `state` by a bar without using its signal.
    fn pass(
        &self,
        newer: usize,
        count: u64,
        config: &AnalysisConfig,
        state: &mut State,
        signal: &mut Signal,
    ) {
        let bars = self.ring.bars_before(newer);
        signal.gap_bars = state.gap + self.missing_at(newer, config);
        state.advance(config, bars, super::series::held(config, count), signal);
        let due = is_due(config, count, signal);
        settle(state, signal, due);
    }

    /// Bars missing right before the one with `newer` newer bars.
    fn missing_at(&self, newer: usize, config: &AnalysisConfig) -> u64 {
        match (self.ring.back(newer + 1), self.ring.back(newer)) {
            (Some(before), Some(bar)) => self.bars_between(before.timestamp, bar.timestamp, config),
            // a window of one bar may have dropped the bar before
            _ if newer == 0 => self.missing,
            _ => 0,
        }
    }

    /// Computes the state that no format writes.
    pub(super) fn rebuild(
        &mut self,
        config: &AnalysisConfig,
        state: &mut State,
        signal: &mut Signal,
    ) {
        self.mark = None;
        if let (_, Some(second)) = config.marks(self.bars) {
            self.state_after(second, config, state, signal);
            self.mark = Some(Box::new(state.clone()));
        }
    }
}
