//! One series: its window, and what it remembers.
//!
//! Invariants: `after` is the state that the newest bar left; `before` and `mark` are states that
//! earlier bars left, from which the state before any bar that can be corrected is computed
//! ([`AnalysisConfig::marks`]); a bar is computed on a trial state and kept only when all of it
//! succeeded, so that a panic on the way costs nothing but that bar.

mod written;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::analysis::State;
use super::config::AnalysisConfig;
use super::corrections::{Corrections, Revised, Tag};
use super::derived::Derived;
use super::forming::FormingBar;
use super::ring::Ring;
use super::signal::Signal;
use crate::aggregate::{Parts, Trades};
use crate::market::{Bar, BarEvent, Finality, SeriesKey, Timestamp};

/// Everything kept about one symbol in one timeframe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    pub(super) key: SeriesKey,
    pub(super) ring: Ring,
    /// The state after the first number of bars in [`AnalysisConfig::marks`].
    pub(super) before: State,
    pub(super) after: State,
    /// Final bars ever taken in.
    pub(super) bars: u64,
    /// Bars missing right before the newest.
    pub(super) missing: u64,
    /// Number of times the signal of the newest bar changed.
    pub(super) revision: u32,
    pub(super) source: Option<Arc<str>>,
    /// Time at which a bar last arrived.
    touched: Timestamp,
    /// The state after the second number of bars in [`AnalysisConfig::marks`], if there is one. No
    /// format writes it: it follows from `before`.
    #[serde(skip)]
    pub(super) mark: Option<Box<State>>,
    /// Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) corrections: Corrections,
    /// The reset that the series began with; 0 if none. Formats write it beside the rest of the
    /// series.
    #[serde(skip)]
    pub(super) epoch: u64,
    /// The bar that the next one completes. Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) forming: Option<FormingBar>,
    /// Its derivation state. Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) derived: Derived,
    /// The trades that its bars are built from. Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) trades: Option<Box<Trades>>,
}

/// A bar in its series, with the values of its signal that the ring lacks.
pub(super) struct Course<'a> {
    /// Number of newer bars.
    pub newer: usize,
    /// Number of bars of the series up to it.
    pub count: u64,
    pub missing: u64,
    pub revision: u32,
    pub tag: &'a Tag,
}

impl Series {
    pub(super) fn new(key: SeriesKey, config: &AnalysisConfig) -> Self {
        Self {
            key,
            ring: Ring::new(config.window, config.spare_bars()),
            before: State::new(config),
            after: State::new(config),
            bars: 0,
            missing: 0,
            revision: 0,
            source: None,
            touched: Timestamp::from_nanos(i64::MIN),
            mark: None,
            corrections: Corrections::default(),
            epoch: 0,
            forming: None,
            derived: Derived::default(),
            trades: None,
        }
    }

    /// The same series as if no bar had ever come, after the reset `epoch`.
    pub(super) fn emptied(&self, epoch: u64, config: &AnalysisConfig) -> Self {
        Self {
            epoch,
            touched: self.touched,
            ..Self::new(self.key.clone(), config)
        }
    }

    /// Symbol and timeframe of the series.
    #[must_use]
    pub const fn key(&self) -> &SeriesKey {
        &self.key
    }

    /// The window.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Final bars taken in since the series began.
    #[must_use]
    pub const fn bars(&self) -> u64 {
        self.bars
    }

    /// The reset that the series began with; 0 before the first. The numbers identify resets and do
    /// not count them.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest bar's time and revision.
    #[must_use]
    pub fn position(&self) -> Option<(Timestamp, u32)> {
        Some((self.ring.newest()?.timestamp, self.revision))
    }

    /// Number of changes of the series since its last reset, by which two copies are ordered.
    #[must_use]
    pub const fn step(&self) -> u64 {
        self.bars + self.corrections.changes()
    }

    /// Time at which a bar of the series last arrived.
    #[must_use]
    pub const fn touched(&self) -> Timestamp {
        self.touched
    }

    pub(super) const fn touch(&mut self, now: Timestamp) {
        self.touched = now;
    }

    /// Opening time of the oldest bar that can be corrected.
    #[must_use]
    pub fn correctable_since(&self, config: &AnalysisConfig) -> Option<Timestamp> {
        let newer = self.correctable(config).checked_sub(1)?;
        Some(self.ring.back(newer)?.timestamp)
    }

    /// True if the window holds a bar of this time.
    #[must_use]
    pub fn contains(&self, bar: &Bar) -> bool {
        self.find(bar.timestamp)
            .is_some_and(|found| found.same_values(bar))
    }

    /// The bar of the window that opened at `at`.
    pub(super) fn find(&self, at: Timestamp) -> Option<Bar> {
        let bars = self.ring.bars();
        let at = bars.timestamps.binary_search(&at.nanos()).ok()?;
        Some(bars.at(at))
    }

    /// True if the signal of its newest bar was due.
    pub(super) const fn was_published(&self) -> bool {
        self.after.published
    }

    /// Its bars as input, the oldest first: those of the window, then the forming one.
    pub(super) fn kept_events(&self) -> impl Iterator<Item = BarEvent<'_>> {
        let bars = self.ring.iter().map(|bar| (bar, Finality::Final));
        let forming = self.forming.as_ref();
        let forming = forming.map(|held| (held.bar(), Finality::UntilNext));
        bars.chain(forming).map(|(bar, finality)| BarEvent {
            symbol: self.key.symbol.as_str().into(),
            timeframe: self.key.timeframe,
            bar,
            finality,
            adjusted: false,
            source: self.source.as_deref().map(Into::into),
        })
    }

    /// Replaces `former`, the same series with other bars of the past: the signal of the newest
    /// bar, if it was published, becomes a revision.
    pub(super) fn succeed(&mut self, former: Option<&Self>, epoch: u64, now: Timestamp) {
        self.epoch = epoch;
        self.touched = former.map_or(now, |former| former.touched);
        let Some(former) = former else { return };
        let newest = |series: &Self| series.position().map(|(at, _)| at);
        if let Some(at) = newest(self).filter(|at| newest(former) == Some(*at)) {
            let said = former.revision + u32::from(former.was_published());
            self.revision = self.revision.saturating_add(said);
            self.corrections.set(Revised::new(at, self.revision));
        }
    }

    /// Appends a later bar, which has `parts` if it was derived. Returns true if its signal is to
    /// be published.
    pub(super) fn append(
        &mut self,
        event: &BarEvent<'_>,
        parts: Option<Parts>,
        config: &AnalysisConfig,
        trial: &mut State,
        signal: &mut Signal,
    ) -> bool {
        let missing = self.missing_before(event.bar.timestamp, config);
        trial.clone_from(&self.after);
        self.ring.push(&event.bar);
        self.compute_next(config, trial, missing, signal);
        let count = self.bars + 1;
        let publish = is_due(config, count, signal);
        settle(trial, signal, publish);

        self.note_tag(event, parts, config);
        if config.is_mark(self.bars) {
            match &mut self.mark {
                // with one bar that can be corrected there is one mark
                None if config.correctable() == 1 => {
                    std::mem::swap(&mut self.before, &mut self.after);
                }
                None => self.mark = Some(Box::new(self.after.clone())),
                Some(mark) => {
                    std::mem::swap(&mut self.before, mark);
                    std::mem::swap(&mut **mark, &mut self.after);
                }
            }
        }
        std::mem::swap(&mut self.after, trial);
        self.bars = count;
        self.missing = missing;
        self.revision = 0;
        self.forget_corrections(config);
        signal.source.clone_from(&self.source);
        publish
    }

    /// Computes the signal of a bar that is still forming, and changes nothing. Returns true if the
    /// series has enough bars for signals.
    pub(super) fn peek(
        &mut self,
        event: &BarEvent<'_>,
        config: &AnalysisConfig,
        trial: &mut State,
        signal: &mut Signal,
    ) -> bool {
        let missing = self.missing_before(event.bar.timestamp, config);
        trial.clone_from(&self.after);
        self.ring.push(&event.bar);
        self.compute_next(config, trial, missing, signal);
        self.ring.pop();
        signal.is_final = false;
        if signal.source.as_deref() != event.source.as_deref() {
            signal.source = event.source.as_deref().map(Arc::from);
        }
        held(config, self.bars + 1) >= config.min_bars
    }

    /// The signal of the newest bar once more. Changes nothing.
    pub(super) fn latest(&self, config: &AnalysisConfig, trial: &mut State, signal: &mut Signal) {
        self.state_after(self.bars - 1, config, trial, signal);
        let tag = self.corrections.newest_tag(self.tag());
        let course = Course {
            newer: 0,
            count: self.bars,
            missing: self.missing,
            revision: self.revision,
            tag: &tag,
        };
        self.compute(config, trial, &course, signal);
    }

    /// Computes the newest bar of the ring, which is not counted yet. `signal` then lacks only
    /// source and parts.
    fn compute_next(
        &self,
        config: &AnalysisConfig,
        state: &mut State,
        missing: u64,
        signal: &mut Signal,
    ) {
        let bars = self.ring.bars();
        self.describe(bars.bar(), state.gap + missing, 0, signal);
        state.advance(config, bars, held(config, self.bars + 1), signal);
    }

    /// Computes the bar at `course` from the `state` before it.
    pub(super) fn compute(
        &self,
        config: &AnalysisConfig,
        state: &mut State,
        course: &Course<'_>,
        signal: &mut Signal,
    ) {
        let bars = self.ring.bars_before(course.newer);
        let gap = state.gap + course.missing;
        self.describe(bars.bar(), gap, course.revision, signal);
        signal.source.clone_from(&course.tag.source);
        signal.parts = course.tag.parts;
        state.advance(config, bars, held(config, course.count), signal);
    }

    fn describe(&self, bar: Bar, gap: u64, revision: u32, signal: &mut Signal) {
        signal.symbol.clone_from(&self.key.symbol);
        signal.timeframe = self.key.timeframe;
        signal.timestamp = bar.timestamp;
        signal.open = bar.open;
        signal.high = bar.high;
        signal.low = bar.low;
        signal.close = bar.close;
        signal.volume = bar.volume;
        signal.gap_bars = gap;
        signal.is_final = true;
        signal.revision = revision;
    }

    /// Bars that should lie between the newest and one at `at`.
    pub(super) fn missing_before(&self, at: Timestamp, config: &AnalysisConfig) -> u64 {
        match self.ring.newest() {
            Some(newest) if newest.timestamp < at => {
                self.bars_between(newest.timestamp, at, config)
            }
            _ => 0,
        }
    }

    /// Bars that should lie between two: derived bars lie within the sessions of their market.
    pub(super) fn bars_between(
        &self,
        before: Timestamp,
        at: Timestamp,
        config: &AnalysisConfig,
    ) -> u64 {
        let timeframe = self.key.timeframe;
        if self.is_derived() {
            let calendar = config.derived.calendar();
            calendar.bars_between(timeframe, before, at)
        } else {
            timeframe.bars_between(before, at)
        }
    }

    /// The tag of the newest bar, unless it has another one in [`Corrections`].
    pub(super) fn tag(&self) -> Tag {
        Tag {
            source: self.source.clone(),
            parts: self.derived.parts,
        }
    }

    /// Bars that can be corrected.
    pub(super) fn correctable(&self, config: &AnalysisConfig) -> usize {
        config.correctable().min(self.ring.len())
    }

    /// Records the source of a bar that is in the ring and not counted yet. Repeated text of a
    /// source is kept once.
    fn note_tag(&mut self, event: &BarEvent<'_>, parts: Option<Parts>, config: &AnalysisConfig) {
        let source = event.source.as_deref();
        let is_same = self.source.as_deref() == source && self.derived.parts == parts;
        if is_same && !self.corrections.has_tags() {
            return;
        }
        let last = self.tag();
        let source = self.shared_source(source);
        let most = config.correctable();
        if most > 1 {
            let held = self.bars.min(most as u64);
            let held = usize::try_from(held).unwrap_or(most);
            let new = Tag {
                source: source.clone(),
                parts,
            };
            self.corrections.push_tag(|| last, new, held, most);
        }
        self.source = source;
        self.derived.parts = parts;
    }

    /// Records the tag of all bars that can be corrected, before that of the newest is overwritten.
    pub(super) fn pin_tag(&mut self, config: &AnalysisConfig) {
        if self.is_derived() && config.correctable() > 1 {
            let held = self.correctable(config);
            self.corrections.pin_tag(self.tag(), held);
        }
    }

    /// The source `name`; it shares the memory of the newest bar's source if that is the same.
    pub(super) fn shared_source(&self, name: Option<&str>) -> Option<Arc<str>> {
        if self.source.as_deref() == name {
            self.source.clone()
        } else {
            name.map(Arc::from)
        }
    }

    /// Drops the facts of bars that can no longer be corrected.
    #[inline]
    pub(super) fn forget_corrections(&mut self, config: &AnalysisConfig) {
        if !self.corrections.has_revised() {
            return;
        }
        let oldest = self.ring.back(config.correctable() - 1);
        self.corrections
            .forget_before(oldest.map(|bar| bar.timestamp));
    }

    /// True if its bars are derived from those of a smaller timeframe.
    #[must_use]
    pub const fn is_derived(&self) -> bool {
        self.derived.parts.is_some() && self.trades.is_none()
    }

    /// The buckets that take bars or trades for derived bars.
    pub(super) fn open_buckets(&self) -> usize {
        let of_trades = self
            .trades
            .as_ref()
            .map_or(0, |trades| trades.open_buckets());
        self.derived.open_buckets() + of_trades
    }

    /// The trades that its bars are built from.
    #[must_use]
    pub fn trades(&self) -> Option<&Trades> {
        self.trades.as_deref()
    }

    pub(super) fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }
}

/// Bars in the window after `count` bars of a series.
pub(super) fn held(config: &AnalysisConfig, count: u64) -> usize {
    usize::try_from(count).map_or(config.window, |count| count.min(config.window))
}

/// True if the signal of the bar number `count` of a series is to be published.
pub(super) fn is_due(config: &AnalysisConfig, count: u64, signal: &Signal) -> bool {
    let in_turn = count.is_multiple_of(config.publish_frequency.max(1));
    held(config, count) >= config.min_bars && (in_turn || !signal.alerts.is_empty())
}

/// A gap is told once, on the first signal that is published after it.
pub(super) fn settle(state: &mut State, signal: &Signal, publish: bool) {
    state.published = publish;
    state.gap = if publish { 0 } else { signal.gap_bars };
}
