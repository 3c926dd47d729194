//! The life of the partitions' tasks: started, stopped, and started again when they fail or are
//! refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Coordinator, Kept, Running};
use crate::bus::backoff::backoff;
use crate::bus::durable::partition::{self, Command, Exit, Gauges};

/// A message that makes the agent panic this often is refused.
const TRIES: u32 = 2;
/// Messages of one partition whose panics are remembered, the newest. A refused one is in the
/// partition's marker once it is stored, which remembers as many.
const MAX_PANICS: usize = 1_000;

/// Counts one more panic on a message; how many there were.
fn panicked(panics: &mut BTreeMap<(u32, u64), u32>, unit: u32, seq: u64) -> u32 {
    let of_unit = (unit, 0)..=(unit, u64::MAX);
    let is_known = panics.contains_key(&(unit, seq));
    if !is_known && panics.range(of_unit.clone()).count() >= MAX_PANICS {
        let oldest = panics.range(of_unit).next().map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            panics.remove(&oldest);
        }
    }
    let tries = panics.entry((unit, seq)).or_insert(0);
    *tries = tries.saturating_add(1);
    *tries
}

impl Coordinator {
    /// Starts work on a partition, now or after the pause that is due.
    pub(super) fn begin(&mut self, unit: u32) {
        let pause = self.reloads.pause(unit, self.now());
        if pause.is_zero() {
            self.start(unit);
        } else {
            self.again.insert(unit, Instant::now() + pause);
        }
    }

    pub(super) fn start(&mut self, unit: u32) {
        self.again.remove(&unit);
        self.reloads.note(unit, self.now());
        self.runs += 1;
        let run = self.runs;
        let (commands, receiver) = mpsc::channel(64);
        let gauges = Arc::new(Gauges::default());
        gauges.beat(self.common.uptime_ms());
        let kept = self.kept.remove(&unit).unwrap_or_default();
        gauges.lag.store(kept.lag, Ordering::Relaxed);
        let last = kept.last_processed;
        gauges.last_processed.store(last, Ordering::Relaxed);
        let work = partition::run(
            Arc::clone(&self.common),
            unit,
            Arc::clone(&gauges),
            receiver,
            self.poison(unit),
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

    /// Messages that have panicked often enough.
    fn poison(&self, unit: u32) -> BTreeSet<u64> {
        self.panics
            .range((unit, 0)..=(unit, u64::MAX))
            .filter(|(_, tries)| **tries >= TRIES)
            .map(|((_, seq), _)| *seq)
            .collect()
    }

    pub(super) fn stop(&mut self, unit: u32) {
        self.again.remove(&unit);
        self.kept.remove(&unit);
        match self.running.get_mut(&unit) {
            Some(running) => {
                running.stopping = true;
                // room is there but for a flood of questions; then it ends without a checkpoint
                if running.commands.try_send(Command::Stop).is_err() {
                    running.task.abort();
                }
            }
            None => {
                let steps = self.leases.stopped(unit);
                self.perform(steps);
            }
        }
    }

    pub(super) fn on_ended(
        &mut self,
        ended: Result<(tokio::task::Id, (u32, u64, Exit)), tokio::task::JoinError>,
    ) {
        let (unit, end) = match ended {
            Ok((_, (unit, run, end))) => match self.running.get(&unit) {
                Some(running) if running.run == run => (unit, end),
                _ => return,
            },
            Err(error) => {
                let of = |running: &Running| running.task.id() == error.id();
                let found = self.running.iter().find(|(_, running)| of(running));
                let Some(unit) = found.map(|(unit, _)| *unit) else {
                    return;
                };
                if error.is_panic() {
                    self.common.metrics.panics.inc();
                }
                let reason = if error.is_cancelled() {
                    "it made no progress".to_owned()
                } else {
                    error.to_string()
                };
                (unit, Exit::Failed(reason))
            }
        };
        let Some(running) = self.running.remove(&unit) else {
            return;
        };
        if running.stopping {
            let steps = self.leases.stopped(unit);
            self.perform(steps);
            return;
        }
        let kept = Kept {
            lag: running.gauges.lag.load(Ordering::Relaxed),
            last_processed: running.gauges.last_processed.load(Ordering::Relaxed),
        };
        self.kept.insert(unit, kept);
        let wait = match end {
            Exit::Stopped => Duration::ZERO,
            Exit::Fenced => {
                tracing::info!(
                    unit,
                    "another member has committed to this partition; loading it again if it is \
                     still this one's"
                );
                self.read_at = None;
                Duration::from_millis(100)
            }
            Exit::Hidden => {
                tracing::warn!(
                    unit,
                    "the commit marker of the partition was replaced by a forged one; loading it \
                     again and looking for what is stored already"
                );
                Duration::from_millis(100)
            }
            Exit::Panicked(seq) => {
                let tries = panicked(&mut self.panics, unit, seq);
                if tries < TRIES {
                    tracing::error!(
                        unit,
                        seq,
                        "the agent panicked on a message; loading the partition from its \
                         checkpoint to try once more"
                    );
                } else {
                    tracing::error!(
                        unit,
                        seq,
                        tries,
                        "the agent panicked on the same message again; it is refused as poison"
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
        };
        let wait = wait.max(self.reloads.pause(unit, self.now()));
        self.again.insert(unit, Instant::now() + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_counted_by_message_and_the_oldest_of_a_partition_are_forgotten() {
        let mut panics = BTreeMap::new();
        assert_eq!(panicked(&mut panics, 1, 7), 1);
        assert_eq!(panicked(&mut panics, 1, 7), 2);
        assert_eq!(panicked(&mut panics, 2, 7), 1);
        for seq in 100..10_000 {
            panicked(&mut panics, 1, seq);
        }
        assert_eq!(panics.len(), 1_000 + 1);
        assert_eq!(panics[&(2, 7)], 1, "of another partition");
        assert_eq!(
            panicked(&mut panics, 1, 9_999),
            2,
            "of the newest all is known"
        );
        assert_eq!(panicked(&mut panics, 1, 7), 1, "forgotten");
    }
}
