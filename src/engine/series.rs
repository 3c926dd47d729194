//! One series: its window, and what it remembers.
//!
//! Invariants: `after` is what the newest bar left, `before` what it found, so that the newest
//! bar can be replaced; a bar is computed on a trial state and kept only when all of it
//! succeeded, so that a panic on the way costs nothing but that bar.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::analysis::{MOST, State};
use super::config::AnalysisConfig;
use super::derived::Derived;
use super::forming::FormingBar;
use super::ring::Ring;
use super::signal::Signal;
use crate::market::{Bar, BarEvent, SeriesKey, Timestamp};

/// Everything kept about one symbol in one timeframe.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    key: SeriesKey,
    ring: Ring,
    before: State,
    after: State,
    /// Final bars ever taken in.
    bars: u64,
    /// Bars missing right before the newest.
    missing: u64,
    /// Corrections of the newest bar.
    revision: u32,
    source: Option<Arc<str>>,
    /// When a bar last arrived.
    touched: Timestamp,
    /// Which reset it began with; 0 if none. Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) epoch: u64,
    /// The bar that the next one completes. Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) forming: Option<FormingBar>,
    /// Its derivation state. Formats write it beside the rest of the series.
    #[serde(skip)]
    pub(super) derived: Derived,
}

/// What a bar means to a series, by its timestamp.
pub(super) enum Order {
    Later,
    Equal,
    Late { newest: Timestamp },
}

impl Series {
    pub(super) fn new(key: SeriesKey, config: &AnalysisConfig) -> Self {
        Self {
            key,
            ring: Ring::new(config.window),
            before: State::new(config),
            after: State::new(config),
            bars: 0,
            missing: 0,
            revision: 0,
            source: None,
            touched: Timestamp::from_nanos(i64::MIN),
            epoch: 0,
            forming: None,
            derived: Derived::default(),
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

    /// Which series it is.
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

    /// The number of the reset that the series began with; 0 before the first. It tells resets apart and does
    /// not count them.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest bar and how often it was corrected: how far the series has come.
    #[must_use]
    pub fn position(&self) -> Option<(Timestamp, u32)> {
        Some((self.ring.newest()?.timestamp, self.revision))
    }

    /// When a bar of it last arrived.
    #[must_use]
    pub const fn touched(&self) -> Timestamp {
        self.touched
    }

    pub(super) const fn touch(&mut self, now: Timestamp) {
        self.touched = now;
    }

    pub(super) fn order(&self, at: Timestamp) -> Order {
        match self.ring.newest() {
            Some(newest) if at < newest.timestamp => Order::Late {
                newest: newest.timestamp,
            },
            Some(newest) if at == newest.timestamp => Order::Equal,
            _ => Order::Later,
        }
    }

    pub(super) fn is_duplicate(&self, bar: &Bar) -> bool {
        self.ring
            .newest()
            .is_some_and(|newest| newest.same_values(bar))
    }

    /// True if the window holds this bar.
    pub(super) fn contains(&self, bar: &Bar) -> bool {
        let bars = self.ring.bars();
        let at = bars.timestamps.binary_search(&bar.timestamp.nanos());
        at.is_ok_and(|at| bars.at(at).same_values(bar))
    }

    /// Appends a later bar. True when its signal is to be published.
    pub(super) fn append(
        &mut self,
        event: &BarEvent<'_>,
        config: &AnalysisConfig,
        trial: &mut State,
        signal: &mut Signal,
    ) -> bool {
        let missing = self.missing_before(event.bar.timestamp);
        trial.clone_from(&self.after);
        self.ring.push(&event.bar);
        self.compute(config, trial, missing, 0, signal);
        let due = (self.bars + 1).is_multiple_of(config.publish_frequency.max(1));
        let publish = self.ring.len() >= config.min_bars && (due || !signal.alerts.is_empty());
        settle(trial, signal, publish);

        std::mem::swap(&mut self.before, &mut self.after);
        std::mem::swap(&mut self.after, trial);
        self.bars += 1;
        self.missing = missing;
        self.revision = 0;
        self.remember_source(event, signal);
        publish
    }

    /// Replaces the newest bar by another of the same timestamp. True when its signal is to be
    /// published: because that of the bar it replaces was, or because it has alerts.
    pub(super) fn correct(
        &mut self,
        event: &BarEvent<'_>,
        config: &AnalysisConfig,
        trial: &mut State,
        signal: &mut Signal,
    ) -> bool {
        trial.clone_from(&self.before);
        self.ring.replace_newest(&event.bar);
        self.compute(
            config,
            trial,
            self.missing,
            self.revision.saturating_add(1),
            signal,
        );
        let ready = self.ring.len() >= config.min_bars;
        let publish = self.after.published || (ready && !signal.alerts.is_empty());
        settle(trial, signal, publish);

        std::mem::swap(&mut self.after, trial);
        self.revision = self.revision.saturating_add(1);
        self.remember_source(event, signal);
        publish
    }

    /// Computes what a bar that is still forming would say. Changes nothing. True when the
    /// series has bars enough to speak.
    pub(super) fn peek(
        &mut self,
        event: &BarEvent<'_>,
        config: &AnalysisConfig,
        trial: &mut State,
        signal: &mut Signal,
    ) -> bool {
        let missing = self.missing_before(event.bar.timestamp);
        trial.clone_from(&self.after);
        self.ring.push(&event.bar);
        self.compute(config, trial, missing, 0, signal);
        let ready = self.ring.len() >= config.min_bars;
        self.ring.pop();
        signal.is_final = false;
        if signal.source.as_deref() != event.source.as_deref() {
            signal.source = event.source.as_deref().map(Arc::from);
        }
        ready
    }

    /// The signal of the newest bar once more. Changes nothing.
    pub(super) fn latest(&self, config: &AnalysisConfig, trial: &mut State, signal: &mut Signal) {
        trial.clone_from(&self.before);
        self.compute(config, trial, self.missing, self.revision, signal);
    }

    /// Undoes what a panic in the middle of [`Self::append`], [`Self::correct`] or
    /// [`Self::peek`] left in the window.
    pub(super) fn roll_back(&mut self, newest: Option<Bar>) {
        let moved = newest.is_none_or(|bar| self.ring.newest() != Some(bar));
        match newest {
            Some(bar)
                if moved && self.ring.newest().map(|b| b.timestamp) == Some(bar.timestamp) =>
            {
                self.ring.replace_newest(&bar);
            }
            _ if moved => self.ring.pop(),
            _ => {}
        }
    }

    fn compute(
        &self,
        config: &AnalysisConfig,
        state: &mut State,
        missing: u64,
        revision: u32,
        signal: &mut Signal,
    ) {
        let bars = self.ring.bars();
        let bar = bars.bar();
        signal.symbol.clone_from(&self.key.symbol);
        signal.timeframe = self.key.timeframe;
        signal.timestamp = bar.timestamp;
        signal.open = bar.open;
        signal.high = bar.high;
        signal.low = bar.low;
        signal.close = bar.close;
        signal.volume = bar.volume;
        signal.gap_bars = state.gap + missing;
        signal.is_final = true;
        signal.revision = revision;
        signal.source.clone_from(&self.source);
        signal.parts = self.derived.parts;
        state.advance(config, bars, signal);
    }

    /// Bars that should lie between the newest and one at `at`.
    pub(super) fn missing_before(&self, at: Timestamp) -> u64 {
        match self.ring.newest() {
            Some(newest) if newest.timestamp < at => {
                self.key.timeframe.bars_between(newest.timestamp, at)
            }
            _ => 0,
        }
    }

    /// Keeps the text of a source that names itself again and again just once.
    fn remember_source(&mut self, event: &BarEvent<'_>, signal: &mut Signal) {
        let source = event.source.as_deref();
        if self.source.as_deref() != source {
            self.source = source.map(Arc::from);
            signal.source.clone_from(&self.source);
        }
    }

    /// True if a deserialized series can be worked with: its bars and its counts are possible,
    /// and both of its states have the parameters of `config`.
    pub(super) fn is_sound(&self, config: &AnalysisConfig) -> bool {
        self.ring.window() == config.window
            && self.ring.is_sound()
            && self.ring.is_in_order()
            && (self.last_open().is_some() || self.epoch != 0)
            && self.bars <= MOST
            && self.missing <= MOST
            && self.revision < u32::MAX
            && self.before.is_sound(config)
            && self.after.is_sound(config)
            && self.derived.is_sound(
                &config.derived,
                self.key.timeframe,
                self.ring.newest().map(|bar| bar.timestamp),
            )
    }

    pub(super) fn take_derived(&mut self) -> Option<Derived> {
        let derived = std::mem::take(&mut self.derived);
        (!derived.is_none()).then_some(derived)
    }

    pub(super) fn set_derived(&mut self, derived: Derived) {
        self.derived = derived;
    }

    /// True if its bars are derived from those of a smaller timeframe.
    #[must_use]
    pub const fn is_derived(&self) -> bool {
        self.derived.parts.is_some()
    }

    pub(super) fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }
}

/// A gap is told once, on the first signal that is published after it.
fn settle(state: &mut State, signal: &Signal, publish: bool) {
    state.published = publish;
    state.gap = if publish { 0 } else { signal.gap_bars };
}
