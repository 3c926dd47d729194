//! Time marks, by which derived bars close while the market is silent.
//!
//! The member that owns the slot of a due bar sends a mark to every member, itself included. Each
//! member handles it after the market data that arrived earlier, so that the buckets of all members
//! stay equal. Of several waiting marks only the latest is needed: it closes every bar that the
//! others would close.
//!
//! A mark decides when a bucket closes, never the content of its bar. A member that misses a mark,
//! or refuses one because of its clock, closes the same bar at the next mark or the next bar.

use std::time::{Duration, Instant};

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::task::unconstrained;

use super::messenger::MARKS;
use super::{LOG_EVERY, Worker};
use crate::clock;
use crate::group::Slot;
use crate::market::{Symbol, Timestamp};
use crate::ops::logs::Throttle;
use crate::wire::Mark;

/// Interval of checks of the open buckets, and the shortest time between two marks.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time until the same mark is sent again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

pub(super) struct Marks {
    feed: Subscriber,
    /// The latest mark received and not applied yet.
    waiting: Option<Mark>,
    /// The last mark that this member sent, until it returns.
    sent: Option<Timestamp>,
    pause: Duration,
    next: Instant,
    /// Marks refused since the last log line about them.
    refused: Throttle<()>,
}

impl Marks {
    pub fn new(feed: Subscriber) -> Self {
        Self {
            feed,
            waiting: None,
            sent: None,
            pause: PAUSE,
            next: Instant::now(),
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
        if self.marks.sent == Some(mark.at) {
            // it has closed its bars, and more may be due
            self.marks.sent = None;
            self.marks.next = Instant::now();
        }
        let duty = self.members.duty();
        self.intake.take_mark(mark, clock::now(), duty);
        self.members.limit_kept(&mut self.intake);
        self.publish().await;
        self.intake.flush();
    }

    /// Sends a mark if it would close a bar of a slot that this member holds.
    pub(super) async fn say_mark(&mut self) {
        let now = Instant::now();
        if !self.active || now < self.marks.next || !self.intake.engine().derives() {
            return;
        }
        if !self.pending.is_empty() || !self.setup.link.is_connected() {
            return;
        }
        self.marks.next = now + PAUSE;
        let holds = *self.members.handover.holds();
        let is_held = |symbol: &Symbol| holds.contains(Slot::of(symbol.as_str().as_bytes()));
        let engine = self.intake.engine_mut();
        let Some(at) = engine.mark_due(clock::now(), is_held) else {
            self.marks.sent = None;
            return;
        };
        self.marks.pause = if self.marks.sent == Some(at) {
            (self.marks.pause * 2).min(PAUSE_MAX)
        } else {
            PAUSE
        };
        self.marks.sent = Some(at);
        self.marks.next = now + self.marks.pause;
        self.members.messenger.mark(Mark { at }).await;
        let written = self.setup.metrics.marks.with_label_values(&["written"]);
        written.inc();
    }
}
