//! Questions to the worker that owns the series, and the plain data it answers with.
//!
//! The worker answers between batches; whoever asks waits at most [`PATIENCE`]. So no lock
//! is shared with the hot path, and a question can never slow it by more than its answer.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::durable::{DurableStatus, PartitionStatus};
use super::http::Checkpoint;
use crate::engine::Series;
use crate::market::{Bar, SeriesKey, Symbol, Timeframe, Timestamp};

/// The time limit of an answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The time limit of checkpoints.
const SAVING_PATIENCE: Duration = Duration::from_secs(30);

/// Questions that may wait to be read.
const CAPACITY: usize = 64;

/// A question, and where its answer goes. An answer nobody waits for any more is dropped.
#[derive(Debug)]
pub enum Query {
    /// Asks for the status of the process.
    Status {
        /// The answer.
        reply: oneshot::Sender<StatusReport>,
    },
    /// Asks for a page of the series. Their order is the same from page to page.
    ListSeries {
        /// The wanted series.
        filter: SeriesFilter,
        /// The number of series to skip.
        offset: usize,
        /// The number of series to list, at most.
        limit: usize,
        /// The answer.
        reply: oneshot::Sender<SeriesPage>,
    },
    /// The series in order, as keys: for a coordinator that makes a page from several workers.
    Keys {
        /// The answer.
        reply: oneshot::Sender<Arc<Vec<SeriesKey>>>,
    },
    /// These series in short, as far as they are there.
    Summaries {
        /// Which, a page at most.
        keys: Vec<SeriesKey>,
        /// The answer.
        reply: oneshot::Sender<Vec<(SeriesKey, SeriesSummary)>>,
    },
    /// Asks for the state of one series.
    Series {
        /// Which.
        key: SeriesKey,
        /// The number of its newest bars to include.
        window: usize,
        /// The answer.
        reply: oneshot::Sender<SeriesAnswer>,
    },
    /// Write checkpoints of everything that is owned.
    Checkpoint {
        /// Receives the outcome.
        reply: oneshot::Sender<Checkpoint>,
    },
}

/// The reason why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Not within [`PATIENCE`], or too many questions wait already.
    #[error("the worker is busy; ask again")]
    Busy,
    /// There is no worker any more, or not yet.
    #[error("the worker is not running")]
    Stopped,
}

/// The asking side. Clones ask the same worker.
#[derive(Debug, Clone)]
pub struct Queries(mpsc::Sender<Query>);

impl Queries {
    /// The asking and the answering side.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Query>) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        (Self(sender), receiver)
    }

    /// Asks for the status of the process.
    ///
    /// # Errors
    /// If the worker does not answer.
    pub async fn status(&self) -> Result<StatusReport, Unanswered> {
        self.ask(|reply| Query::Status { reply }).await
    }

    /// Asks for a page of the series.
    ///
    /// # Errors
    /// If the worker does not answer.
    pub async fn list(
        &self,
        filter: SeriesFilter,
        offset: usize,
        limit: usize,
    ) -> Result<SeriesPage, Unanswered> {
        let query = |reply| Query::ListSeries {
            filter,
            offset,
            limit,
            reply,
        };
        self.ask(query).await
    }

    /// Asks for the state of one series.
    ///
    /// # Errors
    /// If the worker does not answer.
    pub async fn series(&self, key: SeriesKey, window: usize) -> Result<SeriesAnswer, Unanswered> {
        self.ask(|reply| Query::Series { key, window, reply }).await
    }

    /// Writes checkpoints of everything that is owned.
    ///
    /// # Errors
    /// If the worker does not answer.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Unanswered> {
        self.ask_for(SAVING_PATIENCE, |reply| Query::Checkpoint { reply })
            .await
    }

    async fn ask<T>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
    ) -> Result<T, Unanswered> {
        self.ask_for(PATIENCE, query).await
    }

    async fn ask_for<T>(
        &self,
        patience: Duration,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
    ) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        self.0
            .try_send(query(reply))
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => Unanswered::Busy,
                mpsc::error::TrySendError::Closed(_) => Unanswered::Stopped,
            })?;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Unanswered::Stopped),
            Err(_) => Err(Unanswered::Busy),
        }
    }
}

/// The state of a process in its life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// Not yet connected and subscribed.
    Starting,
    /// Finding the other members of its group, or restoring state.
    Syncing,
    /// At work.
    Active,
    /// Finishing what it has received, taking nothing new.
    Draining,
}

/// One process, as it sees itself and its group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusReport {
    /// The name of the process in logs, metrics and headers.
    pub agent: String,
    /// Unique to this run of the process.
    pub instance: String,
    /// The group whose members share the symbols.
    pub group: String,
    /// The version of the program.
    pub version: String,
    /// The commit it was built from.
    pub git: String,
    /// `core` or `durable`.
    pub delivery: String,
    /// Its state in the life cycle.
    pub state: AgentState,
    /// The machine it runs on.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// The time at which it started.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: f64,
    /// Equal where the configuration that decides about payloads is equal.
    pub config_fingerprint: String,
    /// The live members of the group, itself included.
    pub members: Vec<MemberStatus>,
    /// Partitions it owns.
    pub owned_partitions: u64,
    /// Series it keeps.
    pub series: u64,
    /// Valid bars taken into the engine since the start.
    pub bars_received: u64,
    /// Signals published since the start.
    pub signals_published: u64,
    /// The time at which it last finished a bar.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_processed: Option<Timestamp>,
    /// Bars waiting to be read.
    pub lag_bars: u64,
    /// Resident memory in bytes, where it can be read.
    pub resident_bytes: Option<u64>,
    /// The state of durable delivery; absent in core delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable: Option<DurableStatus>,
    /// The partitions it owns, by number; absent in core delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Vec<PartitionStatus>>,
}

/// One member of the group.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MemberStatus {
    /// Its name.
    pub agent: String,
    /// Unique to its run.
    pub instance: String,
    /// Its state in the life cycle.
    pub state: AgentState,
    /// The share of the symbols or partitions it owns, 0…1.
    pub owned_share: f64,
}

/// Selects series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesFilter {
    /// Of this instrument only.
    pub symbol: Option<Symbol>,
    /// Of this bar length only.
    pub timeframe: Option<Timeframe>,
}

/// Some of the series.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SeriesPage {
    /// The number of series that match.
    pub total: usize,
    /// The number of series that were skipped.
    pub offset: usize,
    /// Those after.
    pub series: Vec<SeriesSummary>,
}

/// One series in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SeriesSummary {
    /// The instrument.
    pub symbol: String,
    /// The bar length.
    pub timeframe: String,
    /// Bars in its window.
    pub bars: usize,
    /// The opening time of its newest bar.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_timestamp: Option<Timestamp>,
    /// True if this process publishes its signals.
    pub owned: bool,
}

/// The state of one series.
#[derive(Debug, Clone)]
pub enum SeriesAnswer {
    /// This process keeps it.
    Known(Box<SeriesDetail>),
    /// This process does not keep it.
    Unknown {
        /// True if it would publish the signals of the series if it knew it.
        owner: bool,
    },
}

/// One series in full.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SeriesDetail {
    /// The series in short.
    #[serde(flatten)]
    pub summary: SeriesSummary,
    /// Its latest signal, as published; `null` before the first.
    #[schemars(with = "Option<serde_json::Value>")]
    pub signal: Option<Box<RawValue>>,
    /// Its bars, oldest first, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Vec<WindowBar>>,
}

/// One bar of a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct WindowBar {
    /// The time at which it opened.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: Timestamp,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Traded volume.
    pub volume: f64,
}

/// The newest `count` bars of a series, oldest first; none for 0.
pub(crate) fn newest(series: &Series, count: usize) -> Option<Vec<WindowBar>> {
    let ring = series.ring();
    let skipped = ring.len().saturating_sub(count);
    (count > 0).then(|| ring.iter().skip(skipped).map(WindowBar::from).collect())
}

impl From<Bar> for WindowBar {
    fn from(bar: Bar) -> Self {
        let Bar {
            timestamp,
            open,
            high,
            low,
            close,
            volume,
        } = bar;
        Self {
            timestamp,
            open,
            high,
            low,
            close,
            volume,
        }
    }
}

pub(super) fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[allow(clippy::ref_option)] // the signature is serde's
pub(super) fn rfc3339_or_null<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::durable::PartitionState;
    use futures_util::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_is_busy_and_one_that_is_gone_has_stopped() {
        let (queries, receiver) = Queries::channel();
        assert_eq!(queries.status().await, Err(Unanswered::Busy));
        drop(receiver);
        assert_eq!(queries.status().await, Err(Unanswered::Stopped));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_refused_at_once() {
        let (queries, _receiver) = Queries::channel();
        // whoever gives up leaves the question in the queue
        for _ in 0..CAPACITY {
            assert!(queries.status().now_or_never().is_none());
        }
        let before = tokio::time::Instant::now();
        assert_eq!(queries.status().await, Err(Unanswered::Busy));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    fn valid<T: JsonSchema + Serialize>(value: &T) -> bool {
        let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
        let json = serde_json::to_value(value).unwrap();
        jsonschema::validator_for(&schema).unwrap().is_valid(&json)
    }

    #[test]
    fn what_is_answered_fits_its_schema() {
        let mut status = crate::ops::heartbeat::tests::status("a");
        status.members.push(MemberStatus {
            agent: "a".to_owned(),
            instance: "i1".to_owned(),
            state: AgentState::Syncing,
            owned_share: 0.5,
        });
        assert!(valid(&status));
        status.durable = DurableStatus::of(&crate::ops::durable::tests::busy());
        let states = ["recovering", "active", "blocked", "restarting"];
        status.partitions = Some(
            [
                PartitionState::Recovering,
                PartitionState::Active,
                PartitionState::Blocked,
                PartitionState::Restarting,
            ]
            .map(|state| PartitionStatus {
                partition: 8,
                state,
                series: 1,
                lag_bars: 2,
                last_processed: Some(status.started_at),
                checkpoint_age_seconds: 0.5,
            })
            .into(),
        );
        assert!(valid(&status));
        let json = serde_json::to_value(&status).unwrap();
        let json = json["partitions"].as_array().unwrap();
        assert!(json.iter().map(|row| &row["state"]).eq(states));
        status.last_processed = None;
        status.resident_bytes = None;
        status.durable = None;
        status.partitions = Some(Vec::new());
        assert!(valid(&status));
    }

    #[test]
    fn core_delivery_has_no_word_of_what_it_has_not() {
        let status = crate::ops::heartbeat::tests::status("a");
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json.get("durable"), None);
        assert_eq!(json.get("partitions"), None);
        assert_eq!(json["lag_bars"], 0);
    }

    #[test]
    fn what_is_answered_about_a_series_fits_its_schema() {
        let status = crate::ops::heartbeat::tests::status("a");

        let mut detail = SeriesDetail {
            summary: SeriesSummary {
                symbol: "A".to_owned(),
                timeframe: "1m".to_owned(),
                bars: 1,
                last_timestamp: Some(status.started_at),
                owned: true,
            },
            signal: Some(RawValue::from_string(r#"{"rsi":50.0}"#.to_owned()).unwrap()),
            window: Some(vec![WindowBar {
                timestamp: status.started_at,
                open: 1.0,
                high: 1.0,
                low: 1.0,
                close: 1.0,
                volume: 0.0,
            }]),
        };
        assert!(valid(&detail));
        detail.summary.last_timestamp = None;
        detail.signal = None;
        detail.window = None;
        assert!(valid(&detail));
    }
}
