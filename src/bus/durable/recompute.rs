//! The outputs of a partition once more: its stored messages, in their order, through the intake
//! that durable delivery uses, with nothing published.
//!
//! Promises the signals and dead letters that an owner of the partition stores for the same
//! messages under the same configuration, forming signals left out. Must not know where messages
//! come from, nor what becomes of the outputs.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use tracing::subscriber::{NoSubscriber, with_default};

use super::marker::Marker;
use super::partition::SPEAKING;
use super::streams::{PARTITIONS, marker_subject, marker_subjects};
use crate::bus::intake::{Arrival, Intake};
use crate::bus::layout::{Layout, filter, key};
use crate::config::Config;
use crate::market::Timestamp;
use crate::ops::metrics::Metrics;
use crate::pipeline::TakeAll;

/// The partitions as they were recorded when the stream of bars was made.
#[derive(Debug, Clone)]
pub struct Partitions {
    layout: Layout,
    /// The partitions of the stream of bars, then that of subjects without a symbol.
    pub places: Vec<Place>,
}

/// The place of one partition's bars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The partition's number, as in its commit marker.
    pub number: u32,
    /// The stream.
    pub stream: String,
    /// The subjects in it; every subject when empty.
    pub filter: String,
    /// True if it holds the bars of subjects without a symbol.
    pub is_bare: bool,
}

/// The progress of a partition's owners: the outputs that they have stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The time at which the stream of bars was made that the sequence belongs to.
    pub origin: String,
    /// All outputs of the messages up to this one are stored.
    pub seq: u64,
    /// Outputs of the message after it that are stored too.
    pub part: usize,
    /// Messages that are refused unread because the engine panicked on them.
    pub poison: BTreeSet<u64>,
}

/// A signal of a final bar, or a dead letter.
#[derive(Debug, Clone)]
pub struct Output {
    /// The subject it is published on.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// The published payload.
    pub payload: Bytes,
    /// True if it is a dead letter.
    pub is_letter: bool,
}

/// A message of the stream of bars.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The subject it is stored under.
    pub subject: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The published outputs.
    pub payload: &'a [u8],
    /// Its sequence.
    pub seq: u64,
    /// The time at which it was stored.
    pub stored_at: Timestamp,
}

impl Partitions {
    /// The number of partitions that the stream of bars `info` was made with; `None` when it was
    /// not made by an agent.
    #[must_use]
    pub fn recorded(info: &Info) -> Option<u32> {
        info.config.metadata.get(PARTITIONS)?.parse().ok()
    }

    /// The partitions of `config`, of which `recorded` are those of subjects with a symbol.
    #[must_use]
    pub fn new(config: &Config, recorded: u32) -> Self {
        let layout = Layout::new(&config.subjects, recorded);
        let bars = &config.durable.bars_stream;
        let mut places = Vec::new();
        if !layout.shapes.is_empty() {
            places.extend((0..recorded).map(|number| Place {
                number,
                stream: bars.clone(),
                filter: filter(number),
                is_bare: false,
            }));
        }
        if !layout.bare.is_empty() {
            places.push(Place {
                number: u32::try_from(places.len()).unwrap_or(u32::MAX),
                stream: format!("{bars}_BARE"),
                filter: String::new(),
                is_bare: true,
            });
        }
        Self { layout, places }
    }

    /// Returns whether some market-data subjects of `config` name a symbol.
    #[must_use]
    pub fn has_symbols(config: &Config) -> bool {
        !Layout::new(&config.subjects, 1).shapes.is_empty()
    }

    /// Returns whether bars on `subject` are in the partition of subjects without a symbol.
    #[must_use]
    pub fn is_bare(&self, subject: &str) -> bool {
        self.layout.bare.iter().any(|bare| bare == subject)
    }
}

impl Committed {
    /// The subject of the marker of partition `number`.
    #[must_use]
    pub fn subject(config: &Config, number: u32) -> String {
        marker_subject(&config.durable.signals_stream, &config.group, number)
    }

    /// The subjects of the markers of all groups.
    #[must_use]
    pub fn subjects(config: &Config) -> String {
        marker_subjects(&config.durable.signals_stream)
    }

    /// The group that a marker's subject names, as it is written there.
    #[must_use]
    pub fn group(subject: &str) -> Option<&str> {
        let mut tokens = subject.split('.').skip(2);
        let group = tokens.next()?;
        tokens.next().map(|_| group)
    }

    /// The own group, as it is written in a marker's subject.
    #[must_use]
    pub fn own_group(config: &Config) -> String {
        key(&config.group)
    }

    /// Reads a marker.
    ///
    /// # Errors
    /// The message is not one of the group.
    pub fn read(payload: &[u8]) -> Result<Self, serde_json::Error> {
        let marker: Marker = serde_json::from_slice(payload)?;
        Ok(Self {
            origin: marker.position.origin,
            seq: marker.position.seq,
            part: marker.position.part,
            poison: marker.poison,
        })
    }
}

/// The state of one partition's series as its messages are read.
pub struct Recomputation {
    intake: Intake,
    layout: Layout,
}

impl Recomputation {
    /// Before the first message of a partition.
    #[must_use]
    pub fn new(config: &Config, partitions: &Partitions, metrics: Arc<Metrics>) -> Self {
        Self {
            intake: Intake::new(config, metrics),
            layout: partitions.layout.clone(),
        }
    }

    /// The outputs of `input`, in the order in which they are stored. A message that is `poison` is
    /// refused unread, as is one on which the engine panics.
    pub fn take(&mut self, input: Input<'_>, poison: bool) -> Vec<Output> {
        let subject = Layout::original(input.subject);
        let arrival = Arrival {
            subject,
            payload: input.payload,
            headers: Some(input.headers),
            input_seq: Some(input.seq),
            arrived: input.stored_at,
        };
        let Self { intake, layout } = self;
        // refusals are the owner's to log
        with_default(NoSubscriber::default(), || {
            if poison {
                intake.refuse_as_poison(arrival, SPEAKING);
            } else {
                intake.take(arrival, SPEAKING, |subject| layout.parts(subject), TakeAll);
            }
        });
        let outputs = intake.out.outbox.drain(..).filter(|one| !one.forming);
        outputs
            .map(|one| Output {
                is_letter: one.received.is_none(),
                subject: one.subject.to_string(),
                headers: one.headers,
                payload: one.payload,
            })
            .collect()
    }
}
