//! Bars that are forming until the next of their series comes.
//!
//! Some sources mark no bar as complete: they send a bar again and again while it forms, and then
//! the next one. The newest such bar is part of the state of its series, so that snapshots,
//! replays and live runs agree on when it is complete and with which values.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Engine, Series};
use crate::market::{Bar, BarEvent, Finality, SeriesKeyRef, Timestamp};

/// The newest bar of a series that the next one completes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormingBar {
    bar: Bar,
    source: Option<Arc<str>>,
}

impl FormingBar {
    /// Opening time of the bar.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        self.bar.timestamp
    }

    /// The bar, as it is now.
    pub(super) const fn bar(&self) -> Bar {
        self.bar
    }
}

impl Series {
    /// The bar that is forming until the next one comes.
    #[must_use]
    pub const fn forming(&self) -> Option<&FormingBar> {
        self.forming.as_ref()
    }

    pub(super) fn set_forming(&mut self, forming: Option<FormingBar>) {
        self.forming = forming;
    }

    /// Keeps a bar that the next one completes.
    pub(super) fn hold(&mut self, event: &BarEvent<'_>) {
        let held = self.forming.as_ref().and_then(|held| held.source.clone());
        let source = match (&event.source, held) {
            (Some(source), Some(held)) if **source == *held => Some(held),
            (Some(source), _) => Some(Arc::from(source.as_ref())),
            (None, _) => None,
        };
        self.forming = Some(FormingBar {
            bar: event.bar,
            source,
        });
    }

    /// Drops the forming bar if it opened at `at` or before: it is in the window, or given up.
    pub(super) fn release(&mut self, at: Timestamp) {
        if self.forming().is_some_and(|held| held.timestamp() <= at) {
            self.forming = None;
        }
    }

    /// True if `event` repeats the forming bar.
    pub(super) fn repeats_forming(&self, event: &BarEvent<'_>) -> bool {
        self.forming().is_some_and(|held| {
            held.timestamp() == event.bar.timestamp
                && held.bar.same_values(&event.bar)
                && held.source.as_deref() == event.source.as_deref()
        })
    }

    /// The open time of its newest bar, complete, forming or being built.
    pub(super) fn last_open(&self) -> Option<Timestamp> {
        let complete = self.position().map(|(at, _)| at);
        let built = self.trades.as_ref().and_then(|trades| trades.newest());
        let forming = self.forming().map(FormingBar::timestamp);
        complete.max(forming).max(built)
    }
}

impl Engine {
    /// The bar that `event` completes, because it is the next of its series: to be taken in with
    /// [`Self::on_bar`] before `event`. Every event must be shown here first.
    #[must_use]
    pub fn closed_by<'a>(&self, event: &'a BarEvent<'_>) -> Option<BarEvent<'a>> {
        if !self.has_forming {
            return None;
        }
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        let held = self.get(*self.index.get(&key)?)?.forming()?;
        (held.timestamp() < event.bar.timestamp).then(|| BarEvent {
            symbol: Cow::Borrowed(&event.symbol),
            timeframe: event.timeframe,
            bar: held.bar,
            finality: Finality::Final,
            adjusted: false,
            source: held
                .source
                .as_deref()
                .map(|source| Cow::Owned(source.to_owned())),
        })
    }
}
