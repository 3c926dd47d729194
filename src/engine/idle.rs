//! Series that have been silent for too long, judged by their bars' own times.
//!
//! A gap between two bars of a series that is longer than the setting restarts the series with
//! the later bar. Nothing is decided by a clock, so the live agent, a recovery and a replay of the
//! same bars agree. A silent series keeps its place until another one needs it: where the engine
//! is full, those that are silent for too long by the newest bar of all give theirs up.

use std::time::Duration;

use super::{Engine, Series};
use crate::market::{BarEvent, Timeframe, Timestamp};

/// Silence limit of a series, and the latest times of the bars of all series.
#[derive(Debug)]
pub(super) struct Idle {
    /// The longest gap that a series survives, in nanoseconds; none where every one does.
    after: Option<i64>,
    /// The newest bar of all.
    newest: i64,
    /// No series is silent for too long while the newest bar is not later.
    none_before: i64,
}

impl Idle {
    pub const fn never() -> Self {
        Self {
            after: None,
            newest: i64::MIN,
            none_before: i64::MIN,
        }
    }

    /// The same rule, before any bar.
    pub const fn same_rule(&self) -> Self {
        Self {
            after: self.after,
            ..Self::never()
        }
    }

    /// True if the first bar of `series` comes so long after one at `at` that it would have
    /// restarted the series.
    pub fn is_silence(&self, series: &Series, at: Timestamp) -> bool {
        let Some(after) = self.after else {
            return false;
        };
        let first = series.ring().bars().timestamps.first();
        let gap = first.map_or(0, |first| first.saturating_sub(at.nanos()));
        gap > after.max(series.key().timeframe.longest_nanos())
    }
}

impl Engine {
    /// Restarts a series after a gap that is longer than both `idle` and its timeframe.
    #[must_use]
    pub fn forgetting(mut self, idle: Option<Duration>) -> Self {
        self.idle.after = idle.map(|idle| i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX));
        let newest = self.series.iter().flatten();
        let newest = newest.filter_map(|series| series.position());
        self.idle.newest = newest.map(|(at, _)| at.nanos()).max().unwrap_or(i64::MIN);
        self.idle.none_before = i64::MIN;
        self
    }

    /// Returns true if `event` comes so long after the newest bar of its series that it restarts
    /// the series.
    pub(super) fn is_after_silence(&self, newest: Option<Timestamp>, event: &BarEvent<'_>) -> bool {
        let (Some(after), Some(newest)) = (self.idle.after, newest) else {
            return false;
        };
        let gap = event.bar.timestamp.nanos().saturating_sub(newest.nanos());
        gap > after.max(event.timeframe.longest_nanos())
    }

    /// Notes how far the bars have come.
    pub(super) fn note_bar(&mut self, at: Timestamp) {
        if self.idle.after.is_some() {
            self.idle.newest = self.idle.newest.max(at.nanos());
        }
    }

    /// Makes room for another series, if one has been silent for too long.
    pub(super) fn forget_silent(&mut self) {
        let Some(after) = self.idle.after else {
            return;
        };
        if self.idle.newest <= self.idle.none_before {
            return;
        }
        let newest = self.idle.newest;
        let mut silent = Vec::new();
        let mut none_before = i64::MAX;
        for (id, series) in self.iter() {
            let Some(at) = series.last_open() else {
                continue;
            };
            let until = at
                .nanos()
                .saturating_add(after.max(series.key().timeframe.longest_nanos()));
            if newest > until {
                silent.push(id);
            } else {
                none_before = none_before.min(until);
            }
        }
        self.idle.none_before = none_before;
        // the first to be used again is the same in every run
        silent.sort_unstable();
        for id in silent {
            self.forget(id);
        }
    }

    /// A series was put in whose newest bar is at `at`.
    pub(super) fn note_restored(&mut self, at: Timestamp) {
        self.note_bar(at);
        self.idle.none_before = i64::MIN;
    }

    /// A series begins with a bar at `at`, which may be earlier than those of the others.
    pub(super) fn note_begin(&mut self, timeframe: Timeframe, at: Timestamp) {
        if let Some(after) = self.idle.after {
            let after = after.max(timeframe.longest_nanos());
            let until = at.nanos().saturating_add(after);
            self.idle.none_before = self.idle.none_before.min(until);
        }
    }
}
