//! Periodic work: the protocol's clock, health, metrics.

use std::time::{Duration, Instant};

use super::{TICK, Worker};
use crate::bus::Link;
use crate::group::Phase;

/// The time that dropped bars affect health.
const DROPS_REMEMBERED: Duration = Duration::from_secs(60);

impl Worker {
    pub(super) fn tick(&mut self) {
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        let now = self.started.elapsed();
        let link = self.setup.link.clone();
        self.intake.out.max_message = self.setup.client.max_payload();
        self.members.handover.on_link(now, link.is_connected());
        self.members.handover.tick(now);
        self.progress.idle();
        self.intake.flush();
        self.tell();
        self.guard.tell();
        self.watch_intake(&link);
    }

    /// Metrics and health, as they stand.
    pub(super) fn tell(&mut self) {
        let metrics = &self.setup.metrics;
        let held = self.members.handover.holds().len();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.series.set(gauge(self.intake.engine().len()));
        metrics.partitions_owned.set(gauge(held));
        metrics.inflight_bars.set(gauge(self.pending.len()));
        let members = self.members.handover.members().len();
        match self.members.handover.phase() {
            Phase::Active => match self.members.handover.differing_member() {
                None => self.membership.up(format!("{members} members, {held} of 256 slots held")),
                Some(other) => self.membership.degraded(format!(
                    "{other} computes with another configuration: signals of the group are not uniform"
                )),
            },
            Phase::Starting => self.membership.down("looking for the other members of the group"),
            Phase::Syncing => {
                let slots = self.members.handover.awaited().len();
                let text = format!("copying state from the other members; {slots} of 256 slots are missing");
                match self.members.copies.fault() {
                    None => self.membership.down(text),
                    Some(fault) => self.membership.down(format!("{text}; the last copy failed: {fault}")),
                }
            }
            Phase::Leaving | Phase::Gone => self.membership.down("leaving the group"),
        }
    }

    /// Reports to health if market data arrives and signals are published.
    pub(super) fn watch_intake(&mut self, link: &Link) {
        let events = link.slow_consumer_events();
        let fresh = events.saturating_sub(self.slow_consumer_events);
        if fresh > 0 {
            self.slow_consumer_events = events;
            self.setup.metrics.slow_consumer.inc_by(fresh);
            // the client drops a message each time, and does not tell of all
            self.count_dropped(fresh);
        }
        if let Some((_, count)) = self.dropped.due(Instant::now()).first() {
            self.log_dropped(*count);
        }
        if self
            .dropped_at
            .is_some_and(|at| at.elapsed() > DROPS_REMEMBERED)
        {
            self.dropped_at = None;
        }
        let config = &self.setup.config;
        let denials = link.denials();
        // round trips take the refusal of an inbox for an answer
        let mut grave = denials
            .iter()
            .filter(|denial| !denial.is_about_inbox() && !denial.is_minor(config))
            .peekable();
        if grave.peek().is_some() {
            let grave: Vec<String> = grave.map(ToString::to_string).collect();
            self.intake_health.down(format!(
                "the NATS user lacks a permission: {}",
                grave.join(", ")
            ));
        } else if self.dropped_at.is_some() {
            let dropped = self.setup.metrics.messages_dropped.get();
            self.intake_health.degraded(format!(
                "messages were dropped within the last minute ({dropped} since the start): this process is \
                 slower than its market data; give it more CPU, fewer indicators or fewer subjects"
            ));
        } else {
            self.intake_health.up("subscribed");
        }
    }

    /// Counts messages that were received and will not be worked off.
    pub(super) fn count_dropped(&mut self, messages: u64) {
        if messages == 0 {
            return;
        }
        self.setup.metrics.messages_dropped.inc_by(messages);
        let now = Instant::now();
        self.dropped_at = Some(now);
        if let Some(count) = self.dropped.allow_many((), messages, now) {
            self.log_dropped(count);
        }
    }

    fn log_dropped(&self, count: u64) {
        tracing::warn!(
            count,
            total = self.setup.metrics.messages_dropped.get(),
            waiting = self.pending.len(),
            "messages were dropped: this process is slower than its market data"
        );
    }
}
