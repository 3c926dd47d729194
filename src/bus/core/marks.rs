//! Time marks, by which derived bars close while the market is silent.
//!
//! The member that owns the slot of a due bar sends a mark to every member, itself included. Each
//! member handles it after the market data that arrived earlier, so that the buckets of all members
//! stay equal. Of several waiting marks only the latest is needed: it closes every bar that the
//! others would close.
//!
//! A mark decides when a bucket closes, never the content of its bar. A member that misses a mark,
//! or refuses one because of its clock, closes the same bar at the next mark or the next bar.

use std::time::Instant;

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::unconstrained;

use super::messenger::MARKS;
use super::{LOG_EVERY, Worker};
use crate::bus::mark_pace::MarkPace;
use crate::clock;
use crate::group::Slot;
use crate::market::Symbol;
use crate::ops::logs::Throttle;
use crate::wire::Mark;

pub(super) struct Marks {
    feed: Subscriber,
    /// The latest mark received and not applied yet.
    waiting: Option<Mark>,
    pace: MarkPace,
    /// Marks refused since the last log line about them.
    refused: Throttle<()>,
}

impl Marks {
    pub fn new(feed: Subscriber) -> Self {
        Self {
            feed,
            waiting: None,
            pace: MarkPace::new(),
            refused: Throttle::new(LOG_EVERY),
        }
    }

    /// Waits for a mark from a member.
    pub async fn next(&mut self) -> Option<Message> {
        self.feed.next().await
    }
}

impl Worker {
    /// Handles the marks that have arrived.
    pub(super) fn hear_marks(&mut self) {
        while let Some(Some(message)) = unconstrained(self.marks.next()).now_or_never() {
            self.on_mark(&message);
        }
    }

    pub(super) fn on_mark(&mut self, message: &Message) {
        let (headers, content) = (message.headers.as_ref(), &message.payload);
        if !self.guard.admits(MARKS, headers, content) {
            return;
        }
        match Mark::read(content, clock::now()) {
            Some(Ok(mark)) => {
                let waiting = self.marks.waiting.map(|waiting| waiting.at);
                self.marks.waiting = Some(Mark {
                    at: waiting.map_or(mark.at, |at| at.max(mark.at)),
                });
            }
            Some(Err(refusal)) => {
                let refused = self.setup.metrics.marks.with_label_values(&["refused"]);
                refused.inc();
                if let Some(count) = self.marks.refused.allow((), Instant::now()) {
                    tracing::warn!(
                        count,
                        detail = %refusal.detail,
                        "a time mark of a member was refused"
                    );
                }
            }
            None => tracing::debug!("a message to the group is no time mark"),
        }
    }

    /// Applies the waiting mark, once all market data that arrived before it is processed.
    pub(super) async fn take_mark(&mut self) {
        if !self.active || !self.pending.is_empty() {
            return;
        }
        let Some(mark) = self.marks.waiting.take() else {
            return;
        };
        self.marks.pace.on_taken(mark.at);
        let duty = self.members.duty();
        self.intake.take_mark(mark, clock::now(), duty);
        self.members.limit_kept(&mut self.intake);
        self.publish().await;
        self.intake.flush();
    }

    /// Sends a mark if it would close a bar of a slot that this member holds.
    pub(super) async fn say_mark(&mut self) {
        if !self.active || !self.marks.pace.is_due() || !self.intake.engine().derives() {
            return;
        }
        if !self.pending.is_empty() || !self.setup.link.is_connected() {
            return;
        }
        let holds = *self.members.handover.holds();
        let is_held = |symbol: &Symbol| holds.contains(Slot::of(symbol.as_str().as_bytes()));
        let engine = self.intake.engine_mut();
        let Some(at) = engine.mark_due(clock::now(), is_held) else {
            self.marks.pace.rest();
            return;
        };
        self.marks.pace.send(at);
        self.members.messenger.mark(Mark { at }).await;
        let written = self.setup.metrics.marks.with_label_values(&["written"]);
        written.inc();
    }
}
