//! Checkpoints of a partition at work, and the start from one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::super::checkpoint::{self, Saved, Snapshot, Unusable};
use super::super::commit::Position;
use super::super::streams::Unit;
use super::super::{Common, saved_name};
use super::{Gauges, LOST, Partition, SAVING_SHARE};
use crate::bus::backoff::backoff;
use crate::bus::intake::Intake;

impl Partition {
    /// Begins to write a checkpoint, unless one is being written or the state is still behind
    /// what it would replace.
    pub(super) fn save(&mut self) {
        if self.saving.is_some() {
            return;
        }
        if !self.ledger.may_save() {
            self.tell(&Err("the partition is still being recovered".to_owned()));
            return;
        }
        let position = Position {
            origin: self.place.origin.clone(),
            seq: self.ledger.last_applied(),
            part: 0,
        };
        let snapshot = Snapshot::take(&self.intake.engine, position);
        self.unsaved = false;
        let since = self.gauges.unsaved.swap(0, Ordering::Relaxed);
        self.gauges.saving.store(since, Ordering::Relaxed);
        self.saved = Instant::now();
        let common = Arc::clone(&self.common);
        let name = saved_name(&common.config.group, self.unit);
        self.saving = Some(tokio::spawn(async move {
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

    pub(super) fn on_saved(&mut self, outcome: Result<(), String>) {
        self.saving = None;
        let since = self.gauges.saving.swap(0, Ordering::Relaxed);
        match &outcome {
            Ok(()) => {
                self.common.metrics.checkpoints.inc();
                self.common.saves.over(self.unit);
                self.save_pause = self.saved.elapsed() * SAVING_SHARE;
            }
            Err(reason) => {
                self.common.metrics.checkpoints_failed.inc();
                self.common.saves.failed(self.unit, reason);
                self.common.doubt();
                self.mark_unsaved();
                // it is as old as it was before the attempt
                if since > 0 {
                    self.gauges.unsaved.store(since, Ordering::Relaxed);
                }
            }
        }
        self.tell(&outcome);
    }

    pub(super) fn tell(&mut self, outcome: &Result<(), String>) {
        for reply in self.waiting.drain(..) {
            // whoever asked may have gone
            let _ = reply.send(outcome.clone());
        }
    }

    pub(super) fn mark_unsaved(&mut self) {
        if !self.unsaved {
            self.unsaved = true;
            let now = self.common.uptime_ms().max(1);
            self.gauges.unsaved.store(now, Ordering::Relaxed);
        }
    }
}

pub(super) async fn saved(
    saving: &mut Option<JoinHandle<Result<(), String>>>,
) -> Result<(), String> {
    match saving {
        Some(task) => task.await.unwrap_or_else(|error| Err(error.to_string())),
        None => std::future::pending().await,
    }
}

/// Restores the checkpoint, if there is one that can be continued; returns the last message in it.
///
/// A checkpoint is passed over when it is not there, when it is of no use to this configuration or
/// stream, or when it is damaged, as seen by two reads of the same revision.
///
/// # Errors
/// The checkpoint cannot be read now. State computed without it could differ, so the partition
/// must not start.
pub(super) async fn restore(
    common: &Common,
    unit: u32,
    place: &Unit,
    intake: &mut Intake,
    gauges: &Gauges,
) -> Result<u64, String> {
    let name = saved_name(&common.config.group, unit);
    let beat = || gauges.beat(common.uptime_ms());
    let mut damaged = None;
    let problem = loop {
        let reading = common.streams.checkpoints.read(&name, beat);
        let read = common.link.unless_lost(reading).await;
        let saved = match read.unwrap_or_else(|| Err(LOST.to_owned())) {
            Ok(None) => return Ok(0),
            Ok(Some(saved)) => saved,
            Err(reason) => {
                let waits = "its checkpoint cannot be read now, and is waited for";
                return Err(format!("{waits}: {reason}"));
            }
        };
        let revision = saved.revision;
        match decode(common, place, intake, saved).await {
            Ok(seq) => return Ok(seq),
            Err(Unusable::Origin) => {
                common.made_anew(&place.stream);
                return Ok(0);
            }
            // it may have been replaced while it was read
            Err(Unusable::Damaged | Unusable::Incomplete)
                if damaged.replace(revision) != Some(revision) =>
            {
                sleep(backoff(1)).await;
            }
            Err(unusable) => break unusable,
        }
        beat();
    };
    tracing::warn!(
        unit,
        problem = %problem,
        "the checkpoint cannot be continued; state is computed anew from the bars that the stream \
         retains"
    );
    Ok(0)
}

/// Puts the state of `saved` into `intake`; returns the last message in it.
async fn decode(
    common: &Common,
    place: &Unit,
    intake: &mut Intake,
    saved: Saved,
) -> Result<u64, Unusable> {
    let bytes = saved.bytes.ok_or(Unusable::Incomplete)?;
    let config = Arc::clone(intake.engine.config());
    let (origin, most) = (place.origin.clone(), common.config.max_series);
    // not on the thread that keeps leases and the connection alive
    let restored =
        tokio::task::spawn_blocking(move || checkpoint::restore(&bytes, &origin, config, most));
    // bytes on which the decoder panics are not what was written
    let (engine, position) = restored.await.unwrap_or(Err(Unusable::Damaged))?;
    intake.engine = engine.forgetting(common.config.series_idle);
    Ok(position.seq)
}
