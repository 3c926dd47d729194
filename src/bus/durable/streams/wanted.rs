//! The wanted configuration of each stream and bucket.
//!
//! A full stream behaves as its contents require. Bars are processed as they come, so the oldest
//! are dropped first; otherwise the stream would stop taking bars for good. Signals are promised,
//! and the commit markers are among them, so none of them are dropped for room: the whole commit is
//! refused and waits.

use std::time::Duration;

use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, Placement, StorageType,
};

use super::marker_subjects;
use crate::config::{Config, DurableConfig, Storage};

/// Copies of a signal are kept out by the commit, not by their message id.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(1);

/// The description of the streams of bars that agents make.
pub(super) fn ours() -> Option<String> {
    Some("bars, as technical-analysis-agent reads them".to_owned())
}

pub(super) fn bars(durable: &DurableConfig, name: &str) -> StreamConfig {
    StreamConfig {
        name: name.to_owned(),
        description: ours(),
        max_age: durable.bars_max_age,
        max_bytes: limit(durable.bars_max_bytes),
        max_messages_per_subject: -1,
        duplicate_window: Duration::from_secs(120).min(durable.bars_max_age),
        ..common(durable)
    }
}

/// Messages kept per subject of a stream whose subjects name the series; -1 for no bound.
pub(super) fn per_subject(durable: &DurableConfig) -> i64 {
    limit(durable.bars_per_series)
}

pub(super) fn signals(config: &Config) -> StreamConfig {
    let durable = &config.durable;
    StreamConfig {
        name: durable.signals_stream.clone(),
        description: Some("signals, dead letters and how far their bars were read".to_owned()),
        subjects: vec![
            config.publish_subject.pattern().as_str().to_owned(),
            config.dead_letter_subject.clone(),
            marker_subjects(&durable.signals_stream),
        ],
        max_age: durable.signals_max_age,
        max_bytes: limit(durable.signals_max_bytes),
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW.min(durable.signals_max_age),
        allow_atomic_publish: true,
        allow_rollup: true,
        ..common(durable)
    }
}

pub(super) fn leases(durable: &DurableConfig, bucket: &str) -> StreamConfig {
    StreamConfig {
        name: format!("KV_{bucket}"),
        description: Some("members of groups and what they own".to_owned()),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        max_bytes: -1,
        discard: DiscardPolicy::New,
        allow_direct: true,
        allow_rollup: true,
        deny_delete: true,
        allow_message_ttl: true,
        ..common(durable)
    }
}

/// The stream of an object store, as clients of any language make it.
pub(super) fn checkpoints(durable: &DurableConfig, bucket: &str) -> StreamConfig {
    StreamConfig {
        name: format!("OBJ_{bucket}"),
        description: Some("state of series, to start from".to_owned()),
        subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
        max_bytes: -1,
        discard: DiscardPolicy::New,
        allow_direct: true,
        allow_rollup: true,
        ..common(durable)
    }
}

fn common(durable: &DurableConfig) -> StreamConfig {
    let anywhere = durable.placement_cluster.is_none() && durable.placement_tags.is_empty();
    StreamConfig {
        storage: match durable.storage {
            Storage::File => StorageType::File,
            Storage::Memory => StorageType::Memory,
        },
        num_replicas: durable.replicas,
        placement: (!anywhere).then(|| Placement {
            cluster: durable.placement_cluster.clone(),
            tags: durable.placement_tags.clone(),
        }),
        ..StreamConfig::default()
    }
}

/// A limit as the server takes it: -1 for none.
fn limit(bound: Option<u64>) -> i64 {
    bound.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
