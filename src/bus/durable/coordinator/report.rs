//! What the coordinator does every tick: starts again what failed or stalls, and tells metrics and
//! health how things stand.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Coordinator, Failure, Running, STALL, Trouble};
use crate::bus::durable::partition::Gauges;
use crate::bus::durable::streams;

impl Coordinator {
    pub(super) fn tick(&mut self) {
        self.progress.idle();
        let now = Instant::now();
        let due: Vec<u32> = self
            .again
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(unit, _)| *unit)
            .collect();
        for unit in due {
            self.again.remove(&unit);
            if self.leases.holds(unit) {
                self.start(unit);
            }
        }
        self.clear_failures();
        self.restart_stalled();
        self.look_at_unowned();
        self.common.report_retention();
        self.common.guard.tell();
        self.report();
    }

    /// Starts partitions again that neither work nor wait as they should.
    fn restart_stalled(&mut self) {
        if !self.common.link.is_connected() {
            return;
        }
        let now = self.common.uptime_ms();
        let limit = u64::try_from(STALL.as_millis()).unwrap_or(u64::MAX);
        let stalled: Vec<u32> = self
            .running
            .iter()
            .filter(|(_, running)| {
                now.saturating_sub(running.gauges.beat.load(Ordering::Relaxed)) > limit
            })
            .map(|(unit, _)| *unit)
            .collect();
        for unit in stalled {
            self.common.metrics.stalls.inc();
            tracing::warn!(unit, "partition makes no progress; loading it again");
            if let Some(running) = self.running.get(&unit) {
                running.gauges.beat.store(now, Ordering::Relaxed);
                running.task.abort();
            }
        }
    }

    /// Forgets the failures of partitions that work again, and of those that another member owns
    /// now: they are no reason why this one should not be ready.
    fn clear_failures(&mut self) {
        let (running, leases) = (&self.running, &self.leases);
        self.failures.retain(|unit, _| {
            let works = |running: &Running| running.gauges.phase().has_recovered();
            leases.holds(*unit) && !running.get(unit).is_some_and(works)
        });
    }

    /// A partition that has failed more than once in a row.
    fn failing(&self) -> Option<(u32, &Failure)> {
        let again = |(_, failure): &(&u32, &Failure)| failure.times > 1;
        let (unit, failure) = self
            .failures
            .iter()
            .filter(again)
            .min_by_key(|(u, _)| **u)?;
        Some((*unit, failure))
    }

    /// Why others cannot count on this member, or this member does not know what others own, once
    /// that has lasted for a lease; logged once.
    fn troubled(&mut self) -> Option<String> {
        let lease = self.common.config.durable.lease;
        if !self.common.link.is_connected() {
            return None;
        }
        let lasting = |trouble: &&mut Trouble| !self.joined || trouble.since.elapsed() > lease;
        if let Some(trouble) = self.unannounced.as_mut().filter(lasting) {
            let reason = &trouble.reason;
            if !std::mem::replace(&mut trouble.told, true) {
                tracing::warn!(
                    reason,
                    "the record of this member cannot be written, so that others do not count on \
                     it; trying again"
                );
            }
            return Some(format!(
                "the record of this member cannot be written: {reason}"
            ));
        }
        let trouble = self.unread.as_mut().filter(lasting)?;
        let reason = &trouble.reason;
        if !std::mem::replace(&mut trouble.told, true) {
            tracing::warn!(
                reason,
                "the table of members cannot be read, so that this member does not see which \
                 partitions have no owner; trying again"
            );
        }
        Some(format!("the table of members cannot be read: {reason}"))
    }

    pub(super) fn is_settled(&self) -> bool {
        let at_work = |unit| {
            self.running
                .get(&unit)
                .is_some_and(|running| running.gauges.phase().has_recovered())
        };
        self.seen && self.leases.is_settled() && self.leases.held().all(at_work)
    }

    pub(super) fn sum(&self, of: impl Fn(&Gauges) -> u64) -> u64 {
        self.running
            .values()
            .map(|running| of(&running.gauges))
            .sum()
    }

    /// Bars that are stored and not taken in, as far as is known, with this member's share of those
    /// in partitions that nobody owns.
    pub(super) fn lag(&self) -> u64 {
        let waiting: u64 = self.kept.values().map(|kept| kept.lag).sum();
        waiting + self.unowned.lag() + self.sum(|gauges| gauges.lag.load(Ordering::Relaxed))
    }

    /// When the newest bar was stored.
    pub(super) fn newest(&self) -> u64 {
        let at = |running: &Running| running.gauges.last_processed.load(Ordering::Relaxed);
        let running = self.running.values().map(at);
        let waiting = self.kept.values().map(|kept| kept.last_processed);
        running.chain(waiting).max().unwrap_or(0)
    }

    /// Seconds since the oldest change of the partition's state that is in no checkpoint; 0 when
    /// all is. A checkpoint counts once it is written.
    pub(super) fn checkpoint_age(&self, running: &Running) -> f64 {
        let gauges = &running.gauges;
        let since = [&gauges.saving, &gauges.unsaved].map(|at| at.load(Ordering::Relaxed));
        let oldest = since.into_iter().filter(|at| *at > 0).min();
        #[allow(clippy::cast_precision_loss)]
        oldest.map_or(0.0, |since| {
            self.common.uptime_ms().saturating_sub(since) as f64 / 1_000.0
        })
    }

    /// Metrics and health, as they stand.
    fn report(&mut self) {
        let metrics = &self.common.metrics;
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let held = self.leases.held().count();
        metrics.partitions_owned.set(gauge(held as u64));
        metrics
            .series
            .set(gauge(self.sum(|g| g.series.load(Ordering::Relaxed))));
        metrics.consumer_lag_bars.set(gauge(self.lag()));
        metrics.unowned_lag_bars.set(gauge(self.unowned.lag()));
        metrics
            .unowned_partitions
            .set(gauge(self.unowned.neglected().len() as u64));
        metrics
            .inflight_bars
            .set(gauge(self.sum(|g| g.inflight.load(Ordering::Relaxed))));
        let ages = self.running.values().map(|r| self.checkpoint_age(r));
        metrics.checkpoint_age_seconds.set(ages.fold(0.0, f64::max));
        let open = self.common.circuit.open();
        metrics.circuit_open.set(i64::from(open.is_some()));
        let units = self.common.streams.units.len();
        if let Some(open) = open {
            self.intake.down(format!(
                "signals of {} partitions cannot be stored, and reading waits for it: {}",
                open.partitions, open.reason
            ));
        } else if let Some(denied) = streams::denied(&self.common.link, &self.common.config) {
            self.intake.down(denied.to_string());
        } else if let Some((unit, failure)) = self.failing() {
            let (of, reason) = (self.failures.len(), &failure.reason);
            self.intake.down(format!(
                "{of} partitions cannot go on, such as {unit}: {reason}"
            ));
        } else {
            let stream = &self.common.config.durable.bars_stream;
            let hint = self.common.streams.hint.as_ref();
            match hint.filter(|_| self.newest() == 0) {
                Some(hint) => self.intake.degraded(format!("no bar has come; {hint}")),
                None => self.intake.up(format!("{units} partitions of {stream}")),
            }
        }
        if self.leases.is_leaving() {
            return;
        }
        if let Some(problem) = self.troubled().or_else(|| self.unowned.problem()) {
            self.membership.down(problem);
        } else if self.is_settled() {
            self.joined = true;
            let members = self.table.members.len();
            self.membership.up(format!(
                "{members} members, {held} of {units} partitions owned"
            ));
            if !self.health.is_started() {
                tracing::info!(members, partitions = held, "joined the group");
                self.health.started();
            }
        } else if !self.joined {
            self.membership
                .down(format!("taking partitions over, {held} of {units} so far"));
        } else if self.common.link.is_connected() {
            self.membership
                .degraded(format!("partitions are moving, {held} of {units} owned"));
        }
    }
}
