//! Streams, retention and leases of durable delivery.

use std::time::Duration;

use super::check::Check;
use super::choices::Storage;
use super::keys::Variable;
use super::keys::analysis::TECHNICAL_DATA_WINDOW_SIZE;
use super::keys::durable::{
    DurableValues, TECHNICAL_BARS_PER_SERIES, TECHNICAL_BARS_STREAM, TECHNICAL_INPUT_STREAM,
    TECHNICAL_SIGNALS_STREAM,
};

/// The settings of durable delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableConfig {
    /// Partitions of the symbols, fixed when the streams are made.
    pub partitions: usize,
    /// Name of the stream of bars.
    pub bars_stream: String,
    /// The stream that bars are taken from, if it is named.
    pub input_stream: Option<String>,
    /// Name of the stream of signals.
    pub signals_stream: String,
    /// Copies of each stream in the cluster.
    pub replicas: usize,
    /// The storage of the streams.
    pub storage: Storage,
    /// The NATS cluster that keeps the streams, if it matters.
    pub placement_cluster: Option<String>,
    /// Tags that a server must have to keep them.
    pub placement_tags: Vec<String>,
    /// Bars kept per series, at least two windows; no bound unless set.
    pub bars_per_series: Option<u64>,
    /// Older bars are dropped.
    pub bars_max_age: Duration,
    /// Older signals are dropped.
    pub signals_max_age: Duration,
    /// Bound on the stream of bars.
    pub bars_max_bytes: Option<u64>,
    /// Bound on the stream of signals.
    pub signals_max_bytes: Option<u64>,
    /// A silent owner is replaced after this; whole seconds.
    pub lease: Duration,
    /// Time between checkpoints of a partition.
    pub checkpoint: Duration,
}

pub(super) fn read(values: &DurableValues, check: &mut Check<'_>, window: usize) -> DurableConfig {
    let two_windows = 2 * window as u64;
    let bars_per_series = check.read_optional(&values.TECHNICAL_BARS_PER_SERIES);
    check.require(
        bars_per_series.is_none_or(|bars| bars >= two_windows),
        &[
            TECHNICAL_BARS_PER_SERIES::KEY,
            TECHNICAL_DATA_WINDOW_SIZE::KEY,
        ],
        "the stream must keep two windows of bars for a rebuild",
    );
    let config = DurableConfig {
        partitions: check.read(&values.TECHNICAL_PARTITIONS),
        bars_stream: check.read(&values.TECHNICAL_BARS_STREAM),
        input_stream: check.read_optional(&values.TECHNICAL_INPUT_STREAM),
        signals_stream: check.read(&values.TECHNICAL_SIGNALS_STREAM),
        replicas: check.read(&values.TECHNICAL_STREAM_REPLICAS),
        storage: check.read(&values.TECHNICAL_STREAM_STORAGE),
        placement_cluster: check.read_optional(&values.TECHNICAL_STREAM_PLACEMENT_CLUSTER),
        placement_tags: check
            .read_optional(&values.TECHNICAL_STREAM_PLACEMENT_TAGS)
            .unwrap_or_default(),
        bars_per_series,
        bars_max_age: check.read(&values.TECHNICAL_BARS_MAX_AGE_SECS),
        signals_max_age: check.read(&values.TECHNICAL_SIGNALS_MAX_AGE_SECS),
        bars_max_bytes: check.read(&values.TECHNICAL_BARS_MAX_BYTES),
        signals_max_bytes: check.read(&values.TECHNICAL_SIGNALS_MAX_BYTES),
        lease: check.read(&values.TECHNICAL_LEASE_SECS),
        checkpoint: check.read(&values.TECHNICAL_CHECKPOINT_SECS),
    };
    check.require(
        config.bars_stream != config.signals_stream,
        &[TECHNICAL_BARS_STREAM::KEY, TECHNICAL_SIGNALS_STREAM::KEY],
        "bars and signals need a stream each",
    );
    let bars = &config.bars_stream;
    let made_here = [
        bars.clone(),
        format!("IN_{bars}"),
        format!("{bars}_BARE"),
        config.signals_stream.clone(),
        format!("KV_{}_GROUPS", config.signals_stream),
        format!("OBJ_{}_CHECKPOINTS", config.signals_stream),
    ];
    let input = config.input_stream.as_ref();
    check.require(
        input.is_none_or(|input| !made_here.contains(input)),
        &[
            TECHNICAL_INPUT_STREAM::KEY,
            TECHNICAL_BARS_STREAM::KEY,
            TECHNICAL_SIGNALS_STREAM::KEY,
        ],
        "the agent makes this stream itself; name the stream that the bars come from, or none",
    );
    config
}
