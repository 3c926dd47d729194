//! Writes the checkpoints of a partition at work, one at a time and beside the work.
//!
//! It knows when one is due and who waits for one. Whether the state may be saved is the ledger's
//! to say.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Gauges;
use crate::bus::durable::checkpoint::Snapshot;
use crate::bus::durable::{Common, saved_name};

/// Writing checkpoints takes at most this share of the time.
const SHARE: u32 = 10;

pub(super) struct Checkpointer {
    common: Arc<Common>,
    unit: u32,
    gauges: Arc<Gauges>,
    /// True if the state has changed since the last checkpoint was taken.
    changed: bool,
    writing: Option<JoinHandle<Result<(), String>>>,
    /// The time at which the last one was taken.
    taken: Instant,
    /// Between two checkpoints at least.
    pause: Duration,
    asked: bool,
    /// Those who wait for the next one to be written.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
    /// True once the checkpoint before the end was begun.
    last_begun: bool,
}

impl Checkpointer {
    pub fn new(common: &Arc<Common>, unit: u32, gauges: &Arc<Gauges>) -> Self {
        Self {
            common: Arc::clone(common),
            unit,
            gauges: Arc::clone(gauges),
            changed: false,
            writing: None,
            taken: Instant::now(),
            pause: Duration::ZERO,
            asked: false,
            waiting: Vec::new(),
            last_begun: false,
        }
    }

    /// The state has changed.
    pub fn note_change(&mut self) {
        if !self.changed {
            self.changed = true;
            let now = self.common.uptime_ms().max(1);
            self.gauges.unsaved.store(now, Ordering::Relaxed);
        }
    }

    /// Somebody asks for a checkpoint, and waits for it to be written.
    pub fn ask(&mut self, reply: oneshot::Sender<Result<(), String>>) {
        self.waiting.push(reply);
        self.asked = true;
    }

    /// Returns once that a checkpoint was asked for.
    pub fn is_asked(&mut self) -> bool {
        std::mem::take(&mut self.asked)
    }

    pub const fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Returns whether it is time for the next one.
    pub fn is_due(&self) -> bool {
        let pause = self.common.config.durable.checkpoint.max(self.pause);
        self.changed && self.taken.elapsed() >= pause
    }

    /// Returns once whether a last checkpoint is to be begun before the partition is given up.
    pub fn begins_last(&mut self) -> bool {
        let begins = !self.is_writing() && self.changed && !self.last_begun;
        self.last_begun |= begins;
        begins
    }

    /// Begins to write `snapshot`.
    pub fn begin(&mut self, snapshot: Snapshot) {
        assert!(
            self.writing.is_none(),
            "one checkpoint is written at a time"
        );
        self.changed = false;
        let since = self.gauges.unsaved.swap(0, Ordering::Relaxed);
        self.gauges.saving.store(since, Ordering::Relaxed);
        self.taken = Instant::now();
        let common = Arc::clone(&self.common);
        let name = saved_name(&common.config.group, self.unit);
        self.writing = Some(tokio::spawn(async move {
            let _turn = common.uploads.acquire().await;
            let encoded = tokio::task::spawn_blocking(|| snapshot.encode()).await;
            let bytes = encoded
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
            let largest = common.client.max_payload();
            let checkpoints = &common.streams.checkpoints;
            checkpoints.write(&name, bytes, largest).await
        }));
    }

    /// Waits for the checkpoint that is being written; never returns while none is.
    pub async fn written(&mut self) -> Result<(), String> {
        match &mut self.writing {
            Some(task) => task.await.unwrap_or_else(|error| Err(error.to_string())),
            None => std::future::pending().await,
        }
    }

    /// The checkpoint was written, or could not be.
    pub fn on_written(&mut self, outcome: Result<(), String>) {
        self.writing = None;
        let since = self.gauges.saving.swap(0, Ordering::Relaxed);
        match &outcome {
            Ok(()) => {
                self.common.metrics.checkpoints.inc();
                self.common.checkpoint_health.over(self.unit);
                self.pause = self.taken.elapsed() * SHARE;
            }
            Err(reason) => {
                self.common.metrics.checkpoints_failed.inc();
                self.common.checkpoint_health.failed(self.unit, reason);
                self.common.suspect_streams();
                self.note_change();
                // it is as old as it was before the attempt
                if since > 0 {
                    self.gauges.unsaved.store(since, Ordering::Relaxed);
                }
            }
        }
        self.answer(&outcome);
    }

    /// Answers those who wait.
    pub fn answer(&mut self, outcome: &Result<(), String>) {
        for reply in self.waiting.drain(..) {
            // the asker may have gone
            let _ = reply.send(outcome.clone());
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.common.checkpoint_health.over(self.unit);
    }
}
