//! Metrics and health of a member, as its parts stand.

use std::sync::atomic::Ordering;

use super::Coordinator;
use super::request::Trouble;
use super::supervisor::Running;
use crate::bus::durable::streams;

impl Coordinator {
    /// The reason why others cannot count on this member, or this member does not know what others
    /// own, once that has lasted for a lease; logged once.
    fn troubled(&mut self) -> Option<String> {
        let lease = self.common.config.durable.lease;
        if !self.common.link.is_connected() {
            return None;
        }
        let joined = self.joined;
        let lasting = |trouble: &&mut Trouble| !joined || trouble.since.elapsed() > lease;
        if let Some(trouble) = self.membership.unannounced().filter(lasting) {
            let reason = &trouble.reason;
            if !std::mem::replace(&mut trouble.warned, true) {
                tracing::warn!(
                    reason,
                    "the record of this member cannot be written, so other members do not count \
                     on it; trying again"
                );
            }
            return Some(format!(
                "the record of this member cannot be written: {reason}"
            ));
        }
        let trouble = self.membership.unread().filter(lasting)?;
        let reason = &trouble.reason;
        if !std::mem::replace(&mut trouble.warned, true) {
            tracing::warn!(
                reason,
                "the table of members cannot be read, so this member does not see which \
                 partitions have no owner; trying again"
            );
        }
        Some(format!("the table of members cannot be read: {reason}"))
    }

    /// True if this member has its full share of partitions at work.
    pub(super) fn is_settled(&self) -> bool {
        let at_work = |unit| self.supervisor.has_recovered(unit);
        self.membership.is_settled() && self.membership.leases().held().all(at_work)
    }

    /// Bars that are stored and not taken in, as far as is known, with this member's share of those
    /// in partitions that nobody owns.
    pub(super) fn lag(&self) -> u64 {
        self.supervisor.lag() + self.unowned.lag()
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

    /// Sets metrics and health.
    pub(super) fn report(&mut self) {
        self.report_metrics();
        self.report_intake();
        self.report_membership();
    }

    fn report_metrics(&self) {
        let metrics = &self.common.metrics;
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let held = self.membership.leases().held().count();
        metrics.partitions_owned.set(gauge(held as u64));
        metrics.series.set(gauge(
            self.supervisor.sum(|g| g.series.load(Ordering::Relaxed)),
        ));
        metrics.consumer_lag_bars.set(gauge(self.lag()));
        metrics.unowned_lag_bars.set(gauge(self.unowned.lag()));
        metrics
            .unowned_partitions
            .set(gauge(self.unowned.neglected() as u64));
        metrics.inflight_bars.set(gauge(
            self.supervisor.sum(|g| g.inflight.load(Ordering::Relaxed)),
        ));
        let ages = self.supervisor.running().map(|r| self.checkpoint_age(r));
        metrics.checkpoint_age_seconds.set(ages.fold(0.0, f64::max));
        let is_open = self.common.circuit.open().is_some();
        metrics.circuit_open.set(i64::from(is_open));
    }

    fn report_intake(&self) {
        let health = &self.intake_health;
        if let Some(open) = self.common.circuit.open() {
            health.down(format!(
                "signals of {} partitions cannot be stored, and reading waits for it: {}",
                open.partitions, open.reason
            ));
        } else if let Some(denied) = streams::denied(&self.common.link, &self.common.config) {
            health.down(denied.to_string());
        } else if let Some((unit, failure)) = self.supervisor.failing() {
            let (of, reason) = (self.supervisor.failures(), &failure.reason);
            health.down(format!(
                "{of} partitions cannot go on, such as {unit}: {reason}"
            ));
        } else {
            let stream = &self.common.config.durable.bars_stream;
            let partitions = self.common.streams.units.len();
            let hint = self.common.streams.hint.as_ref();
            match hint.filter(|_| self.supervisor.newest() == 0) {
                Some(hint) => health.degraded(format!("no bar has come; {hint}")),
                None => health.up(format!("{partitions} partitions of {stream}")),
            }
        }
    }

    fn report_membership(&mut self) {
        if self.membership.leases().is_leaving() {
            return;
        }
        let units = self.common.streams.units.len();
        let held = self.membership.leases().held().count();
        if let Some(problem) = self.troubled().or_else(|| self.unowned.problem()) {
            self.membership_health.down(problem);
        } else if self.is_settled() {
            self.joined = true;
            let members = self.membership.table().members.len();
            self.membership_health.up(format!(
                "{members} members, {held} of {units} partitions owned"
            ));
            if !self.health.is_started() {
                tracing::info!(members, partitions = held, "joined the group");
                self.health.started();
            }
        } else if !self.joined {
            self.membership_health
                .down(format!("taking over partitions: {held} of {units} so far"));
        } else if self.common.link.is_connected() {
            self.membership_health.degraded(format!(
                "partitions are changing owners; this member owns {held} of {units}"
            ));
        }
    }
}
