//! The commit marker of a partition: its content, and the context of its seal.
//!
//! The payload is JSON, `{"version":2,"origin":…,"seq":…,"part":…,"owner":…,…}`. A reader passes over
//! fields that it does not know, so agents of before read markers of now.

use std::collections::BTreeSet;

use async_nats::header::HeaderName;
use serde::{Deserialize, Serialize};

use super::ledger::Outputs;

pub(super) static BATCH_ID: HeaderName = HeaderName::from_static("Nats-Batch-Id");
pub(super) static BATCH_SEQUENCE: HeaderName = HeaderName::from_static("Nats-Batch-Sequence");

/// The position of a partition in its stream of bars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Identifies the stream that the sequence belongs to.
    pub origin: String,
    /// The last message of which everything is published.
    pub seq: u64,
    /// The number of outputs of the next message that are published too: a message of many bars may
    /// need more than one batch.
    pub part: usize,
}

/// The format of markers that this version writes. It reads the first as well, which has neither
/// `version` nor `outputs` nor `after`.
pub(super) const MARKER_VERSION: u32 = 2;

const fn first_version() -> u32 {
    1
}

/// The content of a marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    #[serde(default = "first_version")]
    pub version: u32,
    #[serde(flatten)]
    pub position: Position,
    /// The run of the process that wrote it.
    pub owner: String,
    /// Messages that were refused because they made the engine panic. A recomputation skips them,
    /// even if they would not panic again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub poison: BTreeSet<u64>,
    /// At the beginning of a batch. In the first format: the number of outputs after the position
    /// that were stored before it. Now always 0, as the position is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<usize>,
    /// The fingerprint of everything that decides about outputs; none while outputs of several
    /// configurations are stored after the position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
    /// Outputs after the position that are stored before this marker stand after this sequence of
    /// the stream of signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Marker {
    /// The outputs that its writer computed, for a reader whose own have this fingerprint.
    pub fn outputs_seen_by(&self, own: &str) -> Outputs {
        match self.outputs.as_deref() {
            // the first format does not tell: a count has to do
            _ if self.version < 2 => Outputs::Same,
            Some(theirs) if theirs == own => Outputs::Same,
            Some(_) => Outputs::Other,
            None => Outputs::Mixed,
        }
    }
}

/// A marker as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub marker: Marker,
    /// Its sequence in the stream of signals.
    pub revision: u64,
}

/// The context that the seal of a marker covers besides its content.
pub(super) const fn place<'a>(
    stream: &'a str,
    unit: &'a str,
    id: &'a str,
    at: &'a str,
) -> [&'a str; 4] {
    [stream, unit, id, at]
}
