//! The parts of durable delivery that the coordinator and all partitions of a process share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, jetstream};
use tokio::sync::Semaphore;

use super::checkpoint_health::CheckpointHealth;
use super::circuit::Circuit;
use super::commit::Committer;
use super::jetstream_of;
use super::limits::StreamLimit;
use super::losses::Losses;
use super::streams::Streams;
use crate::bus::guard::Guard;
use crate::bus::intake::{Outlet, Refused};
use crate::bus::link::Link;
use crate::bus::setup::Setup;
use crate::config::Config;
use crate::ops::metrics::Metrics;
use crate::ops::receipts::Receipts;

/// Checkpoints written at a time.
const UPLOADS: usize = 2;
/// The time that a drain keeps back for giving up leases, and for the last flush.
const SPARE: Duration = Duration::from_secs(3);

/// State that all partitions of a process share.
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) client: Client,
    pub(super) js: jetstream::Context,
    pub(super) link: Arc<Link>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) receipts: Arc<Receipts>,
    pub(super) instance: String,
    pub(super) streams: Streams,
    /// The fingerprint of everything that decides about outputs.
    pub(super) outputs: String,
    pub(super) guard: Arc<Guard>,
    pub(super) refused: Refused,
    pub(super) committer: Committer,
    /// The newest genuine marker that was seen of each partition.
    pub(super) marked: Mutex<HashMap<u32, u64>>,
    pub(super) stream_limit: StreamLimit,
    pub(super) circuit: Arc<Circuit>,
    pub(super) uploads: Semaphore,
    /// True after a failure that a removed stream would explain.
    pub(super) streams_suspected: AtomicBool,
    /// True once it was logged that the stream of bars was recreated.
    pub(super) warned_recreated: AtomicBool,
    pub(super) checkpoint_health: CheckpointHealth,
    pub(super) losses: Losses,
    pub(super) started: Instant,
    /// By when a drain must be over, once there is one.
    pub(super) stop: tokio::sync::watch::Receiver<Option<tokio::time::Instant>>,
}

impl Common {
    pub(super) fn new(
        setup: &Setup,
        guard: &Arc<Guard>,
        streams: Streams,
        started: Instant,
    ) -> Self {
        let config = &setup.config;
        Self {
            config: Arc::clone(config),
            client: setup.client.clone(),
            js: jetstream_of(&setup.client, &config.nats.jetstream),
            link: Arc::clone(&setup.link),
            metrics: Arc::clone(&setup.metrics),
            receipts: Arc::clone(&setup.receipts),
            instance: setup.instance.clone(),
            stream_limit: StreamLimit::new(streams.largest),
            streams,
            outputs: format!("{:016x}", config.outputs_fingerprint()),
            guard: Arc::clone(guard),
            refused: Outlet::refused(),
            committer: Committer::start(
                setup.client.clone(),
                Arc::clone(&setup.link),
                Arc::clone(guard),
                config.durable.signals_stream.clone(),
                Arc::clone(&setup.metrics),
            ),
            marked: Mutex::default(),
            circuit: Arc::default(),
            uploads: Semaphore::new(UPLOADS),
            streams_suspected: AtomicBool::new(false),
            warned_recreated: AtomicBool::new(false),
            checkpoint_health: CheckpointHealth::new(&setup.health),
            losses: Losses::new(&setup.health),
            started,
            stop: setup.stop.clone(),
        }
    }

    /// True if a partition that stops should not wait for its checkpoint any longer: nobody is there
    /// to take it, or the time is needed to give up leases. The next owner computes a little more.
    pub(super) fn cannot_wait(&self) -> bool {
        let late = |at: tokio::time::Instant| tokio::time::Instant::now() + SPARE >= at;
        !self.link.is_connected() || self.stop.borrow().is_some_and(late)
    }

    /// Something has failed, as it would if a stream were gone.
    pub(super) fn suspect_streams(&self) {
        self.streams_suspected.store(true, Ordering::Relaxed);
    }

    /// The marker or the checkpoint is about a stream of bars that was recreated since.
    pub(super) fn bars_recreated(&self, stream: &str) {
        if !self.warned_recreated.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                stream,
                "the stream of bars was recreated since the last commit; reading it from the \
                 beginning with empty series"
            );
        }
    }

    /// A genuine marker of the partition was seen or written, at this revision.
    pub(super) fn saw_marker(&self, unit: u32, revision: u64) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = marked.entry(unit).or_default();
        *newest = revision.max(*newest);
    }

    /// True if a marker at `revision`, which replaced the one at `replaced`, is a copy of one that
    /// is older than what was seen.
    pub(super) fn is_replayed(&self, unit: u32, revision: u64, replaced: Option<u64>) -> bool {
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = marked.get(&unit).copied().unwrap_or(0);
        revision > newest && replaced.is_some_and(|replaced| replaced < newest)
    }

    pub(super) fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
