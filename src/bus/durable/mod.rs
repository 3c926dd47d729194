//! Durable delivery over `JetStream`: nothing lost, nothing twice.
//!
//! Bars are stored in a stream whose subjects are divided into partitions; the members of a group
//! divide the partitions among themselves by leases ([`crate::group::Leases`]). Each `partition` is
//! a task that reads its bars in order and stores their outputs together with how far it has read
//! (`commit`). The next owner of a partition starts from its checkpoint and its marker. The
//! `coordinator` keeps the lease and the tasks; it decides nothing about what is stored.
//!
//! This module is the order of things: find the streams, work until told to stop or the streams are
//! gone, close.

mod already;
mod checkpoint;
mod checkpoint_health;
mod circuit;
mod commit;
mod common;
mod coordinator;
mod feed;
mod gauges;
mod ledger;
mod limits;
mod losses;
mod marker;
mod markers;
mod partition;
mod prepare;
mod recompute;
mod stream_state;
mod streams;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, jetstream};

use super::drain::{DrainError, drain_and_close};
use super::jetstream::jetstream as api_of;
use super::layout::key;
use super::setup::Setup;
use crate::clock;
use crate::config::JetStreamApi;
use crate::failpoints;

pub use super::layout::partition as partition_of;
#[cfg(fuzzing)]
pub use checkpoint::fuzz as checkpoint_fuzz;
use common::Common;
use coordinator::Coordinator;
use prepare::{beside, prepared};
pub use recompute::{Committed, Input, Output, Partitions, Place, Recomputation};
pub use streams::SetupError;

/// The time of a drain that is reserved for the last flush.
const LAST_FLUSH: Duration = Duration::from_secs(1);
/// For the connection to be closed in order.
const CLOSE: Duration = Duration::from_secs(3);

/// The reason why durable delivery could not end well.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// Not everything could be finished in time.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

/// The name of a partition's checkpoint.
fn saved_name(group: &str, unit: u32) -> String {
    format!("{}.{unit}", key(group))
}

/// For JetStream to answer one request.
const ANSWER: Duration = Duration::from_secs(5);

/// The `JetStream` of `api`, by way of `client`, every request bounded.
fn jetstream_of(client: &Client, api: &JetStreamApi) -> jetstream::Context {
    let mut jetstream = api_of(client, api);
    jetstream.set_timeout(ANSWER);
    jetstream
}

/// Checks that the server supports durable delivery, and makes the missing streams and buckets.
///
/// # Errors
/// The reason why it cannot work.
pub async fn offered(setup: &Setup) -> Result<(), SetupError> {
    let (client, link, config) = (&setup.client, &setup.link, &setup.config);
    let js = jetstream_of(client, &config.nats.jetstream);
    match streams::prepare(client, &js, link, config, &beside(setup)).await {
        Ok(_) => Ok(()),
        Err(error @ SetupError::TooOld(_)) => Err(streams::outdated(&js, config, error).await),
        Err(error) => Err(error),
    }
}

/// Works until told to stop, then gives up what it owns and closes the connection.
///
/// # Errors
/// If the drain is not clean by the deadline.
pub async fn run(mut setup: Setup) -> Result<(), DurableError> {
    let mut stop = setup.stop.clone();
    let started = Instant::now();
    let started_at = clock::now();
    failpoints::announce();
    let guard = Arc::new(setup.guard());
    let mut before = Vec::new();
    let mut interrupted = None;
    loop {
        let streams = tokio::select! {
            streams = prepared(&setup, interrupted.take()) => streams,
            deadline = stopped(&mut stop) => {
                // nothing was received
                close(&setup, deadline).await;
                return Ok(());
            }
        };
        coordinator::report_lost_streams(&before, &streams.dependencies, &setup.metrics);
        before.clone_from(&streams.dependencies);
        let mut coordinator = Coordinator::new(&setup, &guard, streams, started, started_at);
        tokio::select! {
            () = coordinator.common.survey() => {}
            // it only counts, and a stop does not wait for it
            _ = stopped(&mut stop) => {}
        }
        if let Some(deadline) = coordinator.serve(&mut setup).await {
            let drained = coordinator.end(deadline).await;
            drop(coordinator);
            setup.deliveries.leave().await;
            close(&setup, deadline).await;
            return Ok(drained?);
        }
        let reason = coordinator.lost().unwrap_or_default().to_owned();
        tracing::warn!(
            reason,
            "work is interrupted; recreating what is missing and restarting from stored state"
        );
        let component = setup.health.component("intake", true);
        component.down(reason);
        interrupted = Some(component);
    }
}

/// Closes the connection, in order if there is somebody to take leave of. Everything that is
/// promised was stored before, so how that goes decides about nothing.
async fn close(setup: &Setup, deadline: tokio::time::Instant) {
    let by = deadline.min(tokio::time::Instant::now() + CLOSE);
    if let Err(error) = drain_and_close(&setup.client, &setup.link, by).await {
        tracing::warn!(%error, "the connection was not closed in order");
    }
}

/// Returns when it is time to stop, with the time by which that must be done.
async fn stopped(
    stop: &mut tokio::sync::watch::Receiver<Option<tokio::time::Instant>>,
) -> tokio::time::Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(tokio::time::Instant::now),
        Err(_) => tokio::time::Instant::now(),
    }
}
