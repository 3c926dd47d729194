//! The partitions' tasks: started, stopped, and started again when they fail or are refused.
//!
//! Must not know: why this member owns a partition, health.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::STALL;
use super::panics::Panics;
use super::reloads::Reloads;
use crate::bus::backoff::backoff;
use crate::bus::durable::Common;
use crate::bus::durable::gauges::Gauges;
use crate::bus::durable::partition::{self, Command, Exit};
use crate::group::Leases;

/// A partition at work.
pub(super) struct Running {
    pub commands: mpsc::Sender<Command>,
    pub gauges: Arc<Gauges>,
    task: AbortHandle,
    run: u64,
    stopping: bool,
}

impl Running {
    /// True if it works on new bars, or waits for the store to take their signals.
    fn has_recovered(&self) -> bool {
        self.gauges.phase().has_recovered()
    }
}

/// The gauges of a partition that outlive its task, for its next one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct LastGauges {
    pub lag: u64,
    pub last_processed: u64,
}

/// Consecutive failures of a partition, with the last reason.
#[derive(Default)]
pub(super) struct Failure {
    times: usize,
    pub reason: String,
}

/// The end of a task that concerns the leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The task of this partition stopped when it was told to.
    Stopped(u32),
    /// Another member has committed to its partition.
    Fenced,
}

pub(super) struct Supervisor {
    common: Arc<Common>,
    running: HashMap<u32, Running>,
    /// Of partitions that wait for a restart.
    last_gauges: HashMap<u32, LastGauges>,
    tasks: JoinSet<(u32, u64, Exit)>,
    /// The times at which partitions are to be started again.
    restarts: BTreeMap<u32, Instant>,
    reloads: Reloads,
    failures: HashMap<u32, Failure>,
    panics: Panics,
    /// Tasks started so far, which tells the newest task of a partition from older ones.
    runs: u64,
}

impl Supervisor {
    pub fn new(common: &Arc<Common>) -> Self {
        Self {
            common: Arc::clone(common),
            running: HashMap::new(),
            last_gauges: HashMap::new(),
            tasks: JoinSet::new(),
            restarts: BTreeMap::new(),
            reloads: Reloads::default(),
            failures: HashMap::new(),
            panics: Panics::default(),
            runs: 0,
        }
    }

    /// Tasks at work.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.running.values()
    }

    pub fn get(&self, unit: u32) -> Option<&Running> {
        self.running.get(&unit)
    }

    /// The last gauges of a partition that waits for a restart, and else zeros.
    pub fn last_gauges(&self, unit: u32) -> LastGauges {
        self.last_gauges.get(&unit).copied().unwrap_or_default()
    }

    /// The sum of a gauge over all tasks.
    pub fn sum(&self, of: impl Fn(&Gauges) -> u64) -> u64 {
        self.running().map(|running| of(&running.gauges)).sum()
    }

    /// Bars that are stored in these partitions and not taken in, as far as is known.
    pub fn lag(&self) -> u64 {
        let waiting: u64 = self.last_gauges.values().map(|last| last.lag).sum();
        waiting + self.sum(|gauges| gauges.lag.load(Ordering::Relaxed))
    }

    /// The time at which the newest bar was stored, in nanoseconds since the epoch; 0 if none has
    /// come.
    pub fn newest(&self) -> u64 {
        let at = |running: &Running| running.gauges.last_processed.load(Ordering::Relaxed);
        let running = self.running().map(at);
        let waiting = self.last_gauges.values().map(|last| last.last_processed);
        running.chain(waiting).max().unwrap_or(0)
    }

    /// True if a partition is at work and has recovered.
    pub fn has_recovered(&self, unit: u32) -> bool {
        self.get(unit).is_some_and(Running::has_recovered)
    }

    /// Partitions that have failed lately.
    pub fn failures(&self) -> usize {
        self.failures.len()
    }

    /// The first partition that has failed more than once in a row.
    pub fn failing(&self) -> Option<(u32, &Failure)> {
        let again = |(_, failure): &(&u32, &Failure)| failure.times > 1;
        let failing = self.failures.iter().filter(again);
        let (unit, failure) = failing.min_by_key(|(unit, _)| **unit)?;
        Some((*unit, failure))
    }

    /// Waits for a task to end, and returns its end where it concerns the leases. May be dropped
    /// while it waits.
    pub async fn next(&mut self) -> Option<Ended> {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.on_ended(ended),
            None => std::future::pending().await,
        }
    }

    /// Ends all tasks at once.
    pub fn abort(&mut self) {
        self.tasks.abort_all();
    }

    /// Begins work on a partition that has become this member's, now or after the pause that is due.
    pub fn take_on(&mut self, unit: u32) {
        self.failures.remove(&unit);
        // its owners since have written down which messages are poison
        self.panics.forget(unit);
        let pause = self.reloads.pause(unit, self.common.started.elapsed());
        if pause.is_zero() {
            self.start(unit);
        } else {
            self.restarts.insert(unit, Instant::now() + pause);
        }
    }

    /// Starts partitions whose pause is over, if they are still this member's.
    pub fn start_due(&mut self, leases: &Leases) {
        let now = Instant::now();
        let due: Vec<u32> = self
            .restarts
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(unit, _)| *unit)
            .collect();
        for unit in due {
            self.restarts.remove(&unit);
            if leases.holds(unit) {
                self.start(unit);
            }
        }
    }

    fn start(&mut self, unit: u32) {
        self.restarts.remove(&unit);
        self.reloads.note(unit, self.common.started.elapsed());
        self.runs += 1;
        let run = self.runs;
        let (commands, receiver) = mpsc::channel(64);
        let gauges = Arc::new(Gauges::default());
        gauges.beat(self.common.uptime_ms());
        let last = self.last_gauges.remove(&unit).unwrap_or_default();
        gauges.lag.store(last.lag, Ordering::Relaxed);
        gauges
            .last_processed
            .store(last.last_processed, Ordering::Relaxed);
        let work = partition::run(
            Arc::clone(&self.common),
            unit,
            Arc::clone(&gauges),
            receiver,
            self.panics.poison(unit),
        );
        let task = self.tasks.spawn(async move { (unit, run, work.await) });
        let running = Running {
            commands,
            gauges,
            task,
            run,
            stopping: false,
        };
        if let Some(before) = self.running.insert(unit, running) {
            before.task.abort();
        }
    }

    /// Ends work on a partition in order. True if there is none; otherwise [`Self::next`] returns
    /// when it has stopped.
    pub fn stop(&mut self, unit: u32) -> bool {
        self.forget(unit);
        let Some(running) = self.running.get_mut(&unit) else {
            return true;
        };
        running.stopping = true;
        // room is there but for a flood of questions; then it ends without a checkpoint
        if running.commands.try_send(Command::Stop).is_err() {
            running.task.abort();
        }
        false
    }

    /// Ends work on a partition at once.
    pub fn drop_partition(&mut self, unit: u32) {
        self.forget(unit);
        if let Some(running) = self.running.remove(&unit) {
            running.task.abort();
        }
    }

    /// Forgets what was kept for the next task of a partition.
    fn forget(&mut self, unit: u32) {
        self.restarts.remove(&unit);
        self.last_gauges.remove(&unit);
    }

    /// Forgets the failures of partitions that work again, and of those that another member owns
    /// now: they are no reason why this one should not be ready.
    pub fn clear_failures(&mut self, leases: &Leases) {
        let running = &self.running;
        self.failures.retain(|unit, _| {
            leases.holds(*unit) && !running.get(unit).is_some_and(Running::has_recovered)
        });
    }

    /// Ends tasks that neither work nor wait as they should, so that they are started again.
    pub fn restart_stalled(&mut self) {
        if !self.common.link.is_connected() {
            return;
        }
        let now = self.common.uptime_ms();
        let limit = u64::try_from(STALL.as_millis()).unwrap_or(u64::MAX);
        for (unit, running) in &self.running {
            let beat = running.gauges.beat.load(Ordering::Relaxed);
            if now.saturating_sub(beat) > limit {
                self.common.metrics.stalls.inc();
                tracing::warn!(unit, "partition makes no progress; loading it again");
                running.gauges.beat.store(now, Ordering::Relaxed);
                running.task.abort();
            }
        }
    }

    fn on_ended(
        &mut self,
        ended: Result<(tokio::task::Id, (u32, u64, Exit)), JoinError>,
    ) -> Option<Ended> {
        let (unit, exit) = match ended {
            Ok((_, (unit, run, exit))) => {
                // an older task was replaced
                self.running.get(&unit).filter(|newest| newest.run == run)?;
                (unit, exit)
            }
            Err(error) => {
                let of = |running: &Running| running.task.id() == error.id();
                let (unit, _) = self.running.iter().find(|(_, running)| of(running))?;
                if error.is_panic() {
                    self.common.metrics.panics.inc();
                }
                let reason = if error.is_cancelled() {
                    "it made no progress".to_owned()
                } else {
                    error.to_string()
                };
                (*unit, Exit::Failed(reason))
            }
        };
        let running = self.running.remove(&unit)?;
        if running.stopping {
            return Some(Ended::Stopped(unit));
        }
        let last = LastGauges {
            lag: running.gauges.lag.load(Ordering::Relaxed),
            last_processed: running.gauges.last_processed.load(Ordering::Relaxed),
        };
        self.last_gauges.insert(unit, last);
        let fenced = matches!(exit, Exit::Fenced);
        let pause = self.pause_after(unit, exit);
        let pause = pause.max(self.reloads.pause(unit, self.common.started.elapsed()));
        self.restarts.insert(unit, Instant::now() + pause);
        fenced.then_some(Ended::Fenced)
    }

    /// Logs how the task of a partition ended, and returns the time to wait before the next one.
    fn pause_after(&mut self, unit: u32, exit: Exit) -> Duration {
        match exit {
            Exit::Stopped => Duration::ZERO,
            Exit::Fenced => {
                tracing::info!(
                    unit,
                    "another member has committed to this partition; loading it again if this \
                     member still owns it"
                );
                Duration::from_millis(100)
            }
            Exit::Hidden => {
                tracing::warn!(
                    unit,
                    "the commit marker of the partition was replaced by a forged one; loading it \
                     again and searching for the outputs that are stored already"
                );
                Duration::from_millis(100)
            }
            Exit::Panicked(seq) => {
                let tries = self.panics.note(unit, seq);
                if self.panics.is_poison(unit, seq) {
                    tracing::error!(
                        unit,
                        seq,
                        tries,
                        "the agent panicked on the same message again; refusing the message as poison"
                    );
                } else {
                    tracing::error!(
                        unit,
                        seq,
                        "the agent panicked on a message; loading the partition from its \
                         checkpoint to try once more"
                    );
                }
                Duration::from_millis(50)
            }
            Exit::Failed(reason) if !self.common.link.is_connected() => {
                tracing::debug!(unit, reason, "partition waits for the connection");
                Duration::from_millis(500)
            }
            Exit::Failed(reason) => {
                self.common.suspect_streams();
                // what holds up one may hold up all of them
                let first = self.failures.is_empty();
                let failure = self.failures.entry(unit).or_default();
                failure.times += 1;
                if first {
                    tracing::warn!(unit, reason, "partition cannot go on; loading it again");
                } else {
                    tracing::debug!(unit, reason, failure.times, "partition cannot go on");
                }
                failure.reason = reason;
                backoff(failure.times).min(Duration::from_secs(2))
            }
        }
    }
}
