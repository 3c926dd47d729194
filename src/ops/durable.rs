//! The state of durable delivery: the same numbers, under the same names, in `/status`, in the
//! heartbeat and in the statistics of the NATS service.
//!
//! All of them are read from the metrics, so the three always agree, and a reader costs the worker
//! nothing.

use schemars::JsonSchema;
use serde::Serialize;

use super::metrics::{ACQUIRED, Metrics, RELEASED, Refusal};
use super::query::rfc3339_or_null;
use crate::market::Timestamp;

/// The state that only durable delivery has.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DurableStatus {
    /// Partitions that came to this process and left it since its start.
    pub moves: Moves,
    /// Partitions that no member of the group has owned for longer than two leases.
    pub unowned_partitions: u64,
    /// Bars waiting in partitions that no member owns: this process' share of them.
    pub unowned_lag_bars: u64,
    /// Signals and dead letters that are computed and not yet known to be stored.
    pub inflight_bars: u64,
    /// Seconds since the oldest change of state that is in no checkpoint; 0 when all is.
    pub checkpoint_age_seconds: f64,
    /// True while reading is stopped because signals cannot be stored.
    pub circuit_open: bool,
    /// Atomic commits since its start.
    pub commits: CommitsStatus,
}

/// Changes of ownership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Moves {
    /// Partitions that came.
    pub acquired: u64,
    /// Partitions that left.
    pub released: u64,
}

/// Atomic commits.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CommitsStatus {
    /// Those stored.
    pub count: u64,
    /// Messages in them: signals, dead letters and markers.
    pub messages: u64,
    /// Messages per commit; `null` before the first.
    pub mean_messages: Option<f64>,
    /// Seconds per commit, from handing it to the client to the server's answer.
    pub mean_seconds: Option<f64>,
    /// Messages in the last one.
    pub last_messages: Option<u64>,
    /// Seconds that the last one took.
    pub last_seconds: Option<f64>,
    /// Those not stored, by reason.
    pub refused: Refusals,
}

/// Commits that were not stored, or are not known to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusals {
    /// Another member has committed since.
    pub fenced: u64,
    /// The server said no.
    pub refused: u64,
    /// The server did not answer.
    pub failed: u64,
}

/// One partition that this process owns.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// Its current activity.
    pub state: PartitionState,
    /// Series in it.
    pub series: u64,
    /// Bars waiting to be read.
    pub lag_bars: u64,
    /// The time at which the newest processed bar was stored.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_processed: Option<Timestamp>,
    /// Seconds since the oldest change of its state that is in no checkpoint; 0 when all is.
    pub checkpoint_age_seconds: f64,
}

/// The activity of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    /// Its state is loaded, and bars that have their signals are computed again.
    Recovering,
    /// It works, or waits for bars.
    Active,
    /// Its signals cannot be stored; it reads no further.
    Blocked,
    /// It failed, and is started again soon.
    Restarting,
}

/// The payload of the NATS service's statistics, besides the fields of the protocol: the fields of
/// the heartbeat that change over time, under the same names.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Statistics<'a> {
    /// The name of the process.
    pub agent: &'a str,
    /// Partitions it owns.
    pub owned_partitions: i64,
    /// Series it keeps.
    pub series: i64,
    /// Bars waiting to be read; 0 in core delivery.
    pub lag_bars: i64,
    /// The state of durable delivery; absent in core delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable: Option<DurableStatus>,
}

impl<'a> Statistics<'a> {
    /// Reads the statistics from the metrics.
    #[must_use]
    pub fn of(agent: &'a str, metrics: &Metrics) -> Self {
        Self {
            agent,
            owned_partitions: metrics.partitions_owned.get(),
            series: metrics.series.get(),
            lag_bars: metrics.consumer_lag_bars.get(),
            durable: DurableStatus::of(metrics),
        }
    }
}

impl DurableStatus {
    /// Reads the state from the metrics; `None` in core delivery, and before durable delivery
    /// begins.
    #[must_use]
    pub fn of(metrics: &Metrics) -> Option<Self> {
        if !metrics.commits.is_begun() {
            return None;
        }
        let moves = |direction| {
            let moves = &metrics.partition_moves;
            moves.with_label_values(&[direction]).get()
        };
        Some(Self {
            moves: Moves {
                acquired: moves(ACQUIRED),
                released: moves(RELEASED),
            },
            unowned_partitions: u64::try_from(metrics.unowned_partitions.get()).unwrap_or(0),
            unowned_lag_bars: u64::try_from(metrics.unowned_lag_bars.get()).unwrap_or(0),
            inflight_bars: u64::try_from(metrics.inflight_bars.get()).unwrap_or(0),
            checkpoint_age_seconds: metrics.checkpoint_age_seconds.get(),
            circuit_open: metrics.circuit_open.get() > 0,
            commits: CommitsStatus::of(metrics),
        })
    }
}

impl CommitsStatus {
    fn of(metrics: &Metrics) -> Self {
        let commits = &metrics.commits;
        let (count, messages) = (commits.count(), commits.messages());
        #[allow(clippy::cast_precision_loss)] // a mean
        let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
        let last = commits.last();
        #[allow(clippy::cast_precision_loss)]
        let mean_messages = mean(messages as f64);
        Self {
            count,
            messages,
            mean_messages,
            mean_seconds: mean(commits.seconds()),
            last_messages: last.map(|commit| commit.messages),
            last_seconds: last.map(|commit| commit.took.as_secs_f64()),
            refused: Refusals {
                fenced: commits.refusals(Refusal::Fenced),
                refused: commits.refusals(Refusal::Refused),
                failed: commits.refusals(Refusal::Failed),
            },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ops::metrics::{Build, Commit};
    use std::time::Duration;

    /// Metrics of a process that has stored 30 messages in two commits, for tests that need some.
    pub(crate) fn busy() -> Metrics {
        let build = Build {
            version: "1.2.3",
            git: "abc",
            rustc: "1.95.0",
        };
        let metrics = Metrics::new(&[], &[], &[], build);
        metrics.commits.begin();
        for (messages, ms) in [(20, 3), (10, 5)] {
            metrics.commits.stored(Commit {
                messages,
                took: Duration::from_millis(ms),
            });
        }
        metrics.commits.refused(Refusal::Fenced);
        let moves = &metrics.partition_moves;
        moves.with_label_values(&[ACQUIRED]).inc_by(5);
        moves.with_label_values(&[RELEASED]).inc_by(2);
        metrics.partitions_owned.set(3);
        metrics.series.set(4);
        metrics.consumer_lag_bars.set(7);
        metrics.unowned_partitions.set(9);
        metrics.unowned_lag_bars.set(8);
        metrics.inflight_bars.set(6);
        metrics.checkpoint_age_seconds.set(1.5);
        metrics.circuit_open.set(1);
        metrics
    }

    /// [`DurableStatus`] of [`busy`] as JSON.
    pub(crate) const BUSY: &str = r#"{"moves":{"acquired":5,"released":2},"unowned_partitions":9,"unowned_lag_bars":8,"inflight_bars":6,"checkpoint_age_seconds":1.5,"circuit_open":true,"commits":{"count":2,"messages":30,"mean_messages":15.0,"mean_seconds":0.004,"last_messages":10,"last_seconds":0.005,"refused":{"fenced":1,"refused":0,"failed":0}}}"#;

    #[test]
    fn the_numbers_are_those_of_the_metrics() {
        let status = DurableStatus::of(&busy()).unwrap();
        assert_eq!(serde_json::to_string(&status).unwrap(), BUSY);
    }

    #[test]
    fn core_delivery_has_none_and_before_the_first_commit_there_is_no_mean() {
        let build = Build {
            version: "",
            git: "",
            rustc: "",
        };
        let metrics = Metrics::new(&[], &[], &[], build);
        assert_eq!(DurableStatus::of(&metrics), None);
        metrics.commits.begin();
        let commits = DurableStatus::of(&metrics).unwrap().commits;
        assert_eq!((commits.count, commits.messages), (0, 0));
        assert_eq!((commits.mean_messages, commits.mean_seconds), (None, None));
        assert_eq!((commits.last_messages, commits.last_seconds), (None, None));
    }
}
