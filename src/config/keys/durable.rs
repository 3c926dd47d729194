//! Streams, retention and leases of durable delivery.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{section, set, unset};
use crate::config::choices::Storage;
use crate::config::readers::{
    count, name, one_of, or_unlimited, stream_name, whole, whole_seconds,
};

section! {
    DurableValues, "Durable delivery":

    TECHNICAL_PARTITIONS: usize = count(1..=MAX_PARTITIONS),
        set("32", "32", "partitions, at most 512; fixed when the streams are made");

    TECHNICAL_BARS_STREAM: String = stream_name,
        set("TECHNICAL_BARS", "TECHNICAL_BARS", "name of the stream of bars");

    TECHNICAL_INPUT_STREAM: String = stream_name,
        unset("MARKET_COPY",
            "take bars from this stream, where it cannot be found by its subjects: a mirror, or \
             one with sources",
        );

    TECHNICAL_SIGNALS_STREAM: String = stream_name,
        set("TECHNICAL_SIGNALS", "TECHNICAL_SIGNALS", "name of the stream of signals");

    TECHNICAL_STREAM_REPLICAS: usize = count(1..=5),
        set("1", "3", "copies of each stream in the NATS cluster, 1 to 5");

    TECHNICAL_STREAM_STORAGE: Storage = one_of(STORAGES),
        set("file", "memory", "`file` or `memory`");

    TECHNICAL_STREAM_PLACEMENT_CLUSTER: String = placement_name,
        unset("east", "keep the streams in this NATS cluster of a super-cluster");

    TECHNICAL_STREAM_PLACEMENT_TAGS: Vec<String> = placement_tags,
        unset("ssd,zone:a",
            "keep the streams on servers with all of these `server_tags`, comma-separated",
        );

    TECHNICAL_BARS_PER_SERIES: u64 = whole(1..=10_000_000),
        unset("1000",
            "bars kept per series in the stream; no bound unless set, as a bound drops bars that \
             were not read yet",
        );

    TECHNICAL_BARS_MAX_AGE_SECS: Duration = whole_seconds(1..=MAX_AGE_SECS),
        set("2592000", "604800", "bars older than this are dropped from the stream (30 days)");

    TECHNICAL_SIGNALS_MAX_AGE_SECS: Duration = whole_seconds(1..=MAX_AGE_SECS),
        set("604800", "86400", "signals older than this are dropped from the stream (7 days)");

    TECHNICAL_BARS_MAX_BYTES: Option<u64> = or_unlimited(whole(0..=MAX_BYTES)),
        set("0", "10737418240",
            "bound on the stream of bars, beyond which the oldest are dropped; 0 is unlimited",
        );

    TECHNICAL_SIGNALS_MAX_BYTES: Option<u64> = or_unlimited(whole(0..=MAX_BYTES)),
        set("0", "1073741824",
            "bound on the stream of signals, at which analysis waits for room; 0 is unlimited",
        );

    TECHNICAL_LEASE_SECS: Duration = whole_seconds(2..=3_600),
        set("6", "6", "a silent owner is replaced after this");

    TECHNICAL_CHECKPOINT_SECS: Duration = whole_seconds(1..=3_600),
        set("10", "10", "time between checkpoints of a partition");
}

const STORAGES: &[(&str, Storage)] = &[("file", Storage::File), ("memory", Storage::Memory)];

/// Each is a task, a consumer and a lease, and the table of leases has to fit into one answer of the
/// server (1,024 records) beside the members.
const MAX_PARTITIONS: u32 = 512;
/// Ten years: what is older is not market data any more but an archive.
const MAX_AGE_SECS: u64 = 315_360_000;
/// The largest byte count in NATS, a signed 64-bit integer.
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
