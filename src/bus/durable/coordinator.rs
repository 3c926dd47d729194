//! The coordinator of durable delivery: it joins what its four parts find out and do.
//!
//! - [`membership`] owns this member's record and leases and its view of the group. [`records`]
//!   reads and writes the table, [`trusted`] judges it, [`awaited_writes`] waits for it to show what
//!   others wrote.
//! - [`supervisor`] owns the partitions' tasks, with [`reloads`] for the pauses between loads and
//!   [`panics`] for messages that are poison.
//! - [`stream_monitor`] owns the suspicion that a stream is gone.
//! - [`unowned`] owns what is known of partitions without an owner.
//!
//! [`report`] sets metrics and health from all of them, [`answers`] answers questions from outside.
//!
//! Nothing that happens here can make a signal appear twice or not at all, because only the commit
//! decides about that.

mod answers;
mod awaited_writes;
mod denials;
mod membership;
mod panics;
mod records;
mod reloads;
mod report;
mod request;
mod stream_monitor;
mod supervisor;
mod trusted;
mod unowned;

pub(super) use stream_monitor::report_lost_streams;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::prepare::reconnect_if_deaf;
use super::streams::Streams;
use super::{Common, LAST_FLUSH};
use crate::bus::drain::DrainError;
use crate::bus::guard::Guard;
use crate::bus::permissions::Denial;
use crate::bus::setup::Setup;
use crate::failpoints;
use crate::market::Timestamp;
use crate::ops::health::{Component, Health, Progress};
use crate::ops::metrics::{ACQUIRED, RELEASED};
use denials::DenialMonitor;
use membership::{Membership, Move};
use stream_monitor::StreamMonitor;
use supervisor::{Ended, Supervisor};
use unowned::UnownedMonitor;

const TICK: Duration = Duration::from_millis(50);
/// A coordinator, or a partition, that does nothing for this long while connected has stalled.
const STALL: Duration = Duration::from_secs(15);
/// Between two comparisons of how the other members deliver.
const COMPARE: Duration = Duration::from_millis(250);
/// The server is asked again this often for subscriptions that it has refused.
const CHECK_ANSWERS: Duration = Duration::from_secs(10);

/// One member's part in durable delivery.
pub(super) struct Coordinator {
    pub(super) common: Arc<Common>,
    host: String,
    started_at: Timestamp,
    membership: Membership,
    supervisor: Supervisor,
    stream_monitor: StreamMonitor,
    unowned: UnownedMonitor,
    denials: DenialMonitor,
    /// True once this member has had its full share of partitions at work.
    joined: bool,
    membership_health: Component,
    intake_health: Component,
    progress: Progress,
    health: Health,
}

impl Coordinator {
    pub(super) fn new(
        setup: &Setup,
        guard: &Arc<Guard>,
        streams: Streams,
        started: Instant,
        started_at: Timestamp,
    ) -> Self {
        let partitions = streams.units.len();
        let common = Arc::new(Common::new(setup, guard, streams, started));
        let intake_health = setup.health.component("intake", true);
        intake_health.up(format!(
            "{partitions} partitions of {}",
            setup.config.durable.bars_stream
        ));
        let membership_health = setup.health.component("membership", true);
        membership_health.down("reading the table of members");
        Self {
            host: setup.host.clone(),
            started_at,
            membership: Membership::new(&common),
            supervisor: Supervisor::new(&common),
            stream_monitor: StreamMonitor::new(&common),
            unowned: UnownedMonitor::new(&common),
            denials: DenialMonitor::new(&common),
            joined: false,
            membership_health,
            intake_health,
            progress: setup.health.progress("worker", STALL),
            health: setup.health.clone(),
            common,
        }
    }

    /// Returns the deadline once told to stop and everything is given up, or the deadline is near;
    /// `None` when the streams are gone.
    pub(super) async fn serve(&mut self, setup: &mut Setup) -> Option<tokio::time::Instant> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.membership.listen().await;
        let mut checked_answers_at = Instant::now();
        let mut compared = Instant::now();
        let mut stop = setup.stop.clone();
        let mut link = setup.link.watch();
        let mut deadline = *stop.borrow_and_update();
        if deadline.is_some() {
            self.leave();
        }
        self.membership.announce();
        loop {
            failpoints::in_worker();
            if let Some(at) = deadline {
                let over = tokio::time::Instant::now() + LAST_FLUSH >= at;
                if over || (self.membership.leases().is_idle() && self.supervisor.is_idle()) {
                    return deadline;
                }
            }
            if compared.elapsed() > COMPARE && deadline.is_none() {
                compared = Instant::now();
                if let Some(reason) = setup.deliveries.objection() {
                    self.stream_monitor.give_way(reason);
                }
            }
            if let Some(reason) = self.stream_monitor.lost()
                && deadline.is_none()
            {
                self.intake_health.down(reason);
                return None;
            }
            tokio::select! {
                moves = self.membership.next() => self.perform(moves),
                ended = self.supervisor.next() => self.on_ended(ended),
                () = self.stream_monitor.next() => {}
                () = self.unowned.next() => {}
                Some(query) = setup.queries.recv() => self.answer(query),
                changed = link.changed() => {
                    if changed.is_err() {
                        sleep(TICK).await;
                    }
                    self.membership.reconnected();
                }
                Ok(()) = stop.changed(), if deadline.is_none() => {
                    deadline = *stop.borrow_and_update();
                    if deadline.is_some() {
                        self.leave();
                    }
                }
                _ = ticks.tick() => self.tick(),
            }
            if checked_answers_at.elapsed() > CHECK_ANSWERS {
                checked_answers_at = Instant::now();
                reconnect_if_deaf(&self.common.client, &self.common.link).await;
                let denials = self.common.link.denials();
                if denials.iter().any(Denial::is_about_changes) {
                    self.membership.listen().await;
                }
            }
            self.membership.poll();
            self.stream_monitor.probe();
        }
    }

    /// The reason why work here cannot go on: a stream that is gone, or members that work in
    /// another way.
    pub(super) fn lost(&self) -> Option<&str> {
        self.stream_monitor.lost()
    }

    fn tick(&mut self) {
        self.progress.idle();
        let leases = self.membership.leases();
        self.supervisor.start_due(leases);
        self.supervisor.clear_failures(leases);
        self.supervisor.restart_stalled();
        self.unowned.probe(leases, self.membership.table());
        self.denials.probe();
        self.common.report_retention();
        self.common.guard.tell();
        self.report();
    }

    fn leave(&mut self) {
        tracing::info!("draining: giving up partitions");
        self.membership_health.down("leaving the group");
        let moves = self.membership.leave();
        self.perform(moves);
    }

    /// Does to the partitions' tasks what the leases ask for.
    fn perform(&mut self, moves: Vec<Move>) {
        for partition in moves {
            match partition {
                Move::Start(unit) => {
                    self.count_move(ACQUIRED);
                    self.supervisor.take_on(unit);
                }
                Move::Stop(unit) => {
                    self.count_move(RELEASED);
                    if self.supervisor.stop(unit) {
                        self.stopped(unit);
                    }
                }
                Move::Drop(unit) => {
                    tracing::info!(unit, "another member owns the partition now");
                    self.count_move(RELEASED);
                    self.supervisor.drop_partition(unit);
                }
            }
        }
    }

    fn count_move(&self, direction: &str) {
        let moves = &self.common.metrics.partition_moves;
        moves.with_label_values(&[direction]).inc();
    }

    fn on_ended(&mut self, ended: Option<Ended>) {
        match ended {
            Some(Ended::Stopped(unit)) => self.stopped(unit),
            Some(Ended::Fenced) => self.membership.read_soon(),
            None => {}
        }
    }

    /// Gives up the lease of a partition whose task has stopped.
    fn stopped(&mut self, unit: u32) {
        let moves = self.membership.stopped(unit);
        self.perform(moves);
    }

    /// Ends requests and tasks that are still under way, and announces that this member has left, so
    /// that nobody waits for its record to expire.
    ///
    /// # Errors
    /// If partitions were not finished. Their next owner reads the bars without a stored signal
    /// again.
    pub(super) async fn end(&mut self, deadline: tokio::time::Instant) -> Result<(), DrainError> {
        let cut = self.supervisor.len();
        let unfinished = self
            .supervisor
            .sum(|gauges| gauges.inflight.load(Ordering::Relaxed));
        self.supervisor.abort();
        self.membership.end(deadline).await;
        let held = self.membership.leases().held().count();
        if held > 0 {
            tracing::warn!(
                partitions = held,
                "could not release these leases in time; other members take them once they expire"
            );
        }
        if cut == 0 {
            return Ok(());
        }
        tracing::error!(
            partitions = cut,
            unfinished,
            "the drain ended before these partitions were finished; their next owner reads the unfinished \
             bars again"
        );
        Err(DrainError::Unconfirmed(format!(
            "{cut} partitions were not finished; {unfinished} of their signals and dead letters may not \
             be stored"
        )))
    }
}
