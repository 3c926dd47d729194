//! Streams, retention and leases of durable delivery.

use std::collections::BTreeSet;
use std::time::Duration;

use super::check::{Check, count, field, name, one_of, stream_name, whole, whole_seconds};
use super::raw::Raw;

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    File,
    /// In memory.
    Memory,
}

/// What durable delivery needs to know.
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
    /// Where the streams are kept.
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

/// Ten years: what is older is not market data any more but an archive.
/// Each is a task, a consumer and a lease, and the table of leases has to fit into one answer of the
/// server (1,024 records) beside the members.
const MAX_PARTITIONS: u32 = 512;
const MAX_AGE_SECS: u64 = 315_360_000;
/// What NATS can hold in a signed 64-bit count.
const MAX_BYTES: u64 = i64::MAX.unsigned_abs();

/// The name of a cluster or tag: one word that a shell passes on as it is.
fn placement_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_alphanumeric() || "-_.:/=".contains(c);
    let text = name(text)?;
    if text.is_empty() || !text.chars().all(plain) {
        return Err("must be letters, digits and - _ . : / = only".to_owned());
    }
    Ok(text)
}

/// In an order of their own, as theirs has no meaning.
fn placement_tags(text: &str) -> Result<Vec<String>, String> {
    let tags: BTreeSet<String> = text
        .split(',')
        .map(|tag| placement_name(tag.trim()))
        .collect::<Result<_, _>>()?;
    Ok(tags.into_iter().collect())
}

pub(super) fn read(raw: &Raw, check: &mut Check<'_>, window: usize) -> DurableConfig {
    let age = || whole_seconds(1..=MAX_AGE_SECS);
    let bytes = || |text: &str| whole(0..=MAX_BYTES)(text).map(|n| (n > 0).then_some(n));
    let storage = one_of(&[("file", Storage::File), ("memory", Storage::Memory)]);
    let two_windows = 2 * window as u64;
    let bars_per_series = check.read_optional(
        &field!(raw.technical_bars_per_series),
        whole(1..=10_000_000),
    );
    check.require(
        bars_per_series.is_none_or(|bars| bars >= two_windows),
        &["TECHNICAL_BARS_PER_SERIES", "TECHNICAL_DATA_WINDOW_SIZE"],
        "the stream must keep two windows of bars for a rebuild",
    );
    let config = DurableConfig {
        partitions: check.read(&field!(raw.technical_partitions), count(1..=MAX_PARTITIONS)),
        bars_stream: check.read(&field!(raw.technical_bars_stream), stream_name),
        input_stream: check.read_optional(&field!(raw.technical_input_stream), stream_name),
        signals_stream: check.read(&field!(raw.technical_signals_stream), stream_name),
        replicas: check.read(&field!(raw.technical_stream_replicas), count(1..=5)),
        storage: check.read(&field!(raw.technical_stream_storage), storage),
        placement_cluster: check.read_optional(
            &field!(raw.technical_stream_placement_cluster),
            placement_name,
        ),
        placement_tags: check
            .read_optional(&field!(raw.technical_stream_placement_tags), placement_tags)
            .unwrap_or_default(),
        bars_per_series,
        bars_max_age: check.read(&field!(raw.technical_bars_max_age_secs), age()),
        signals_max_age: check.read(&field!(raw.technical_signals_max_age_secs), age()),
        bars_max_bytes: check.read(&field!(raw.technical_bars_max_bytes), bytes()),
        signals_max_bytes: check.read(&field!(raw.technical_signals_max_bytes), bytes()),
        lease: check.read(&field!(raw.technical_lease_secs), whole_seconds(2..=3_600)),
        checkpoint: check.read(
            &field!(raw.technical_checkpoint_secs),
            whole_seconds(1..=3_600),
        ),
    };
    check.require(
        config.bars_stream != config.signals_stream,
        &["TECHNICAL_BARS_STREAM", "TECHNICAL_SIGNALS_STREAM"],
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
            "TECHNICAL_INPUT_STREAM",
            "TECHNICAL_BARS_STREAM",
            "TECHNICAL_SIGNALS_STREAM",
        ],
        "the agent makes this stream itself; name the stream that the bars come from, or none",
    );
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_set_of_words() {
        assert_eq!(
            placement_tags("ssd, zone:a,ssd").unwrap(),
            ["ssd", "zone:a"]
        );
        for bad in ["", "a,,b", "a b", "a;b", "$(x)"] {
            assert!(placement_tags(bad).is_err(), "{bad:?}");
        }
    }
}
