//! The streams to verify, and the progress of the group in them.

use std::collections::HashMap;

use async_nats::jetstream::stream::Info;

use super::source::{Source, VerifyError};
use crate::bus::durable::{Committed, Partitions};
use crate::config::Config;

/// The streams to verify.
pub(super) struct Found {
    pub partitions: Partitions,
    pub signals: Info,
    pub groups: usize,
    pub committed: HashMap<u32, Committed>,
}

/// Finds the streams, and the progress of the group in each partition.
pub(super) async fn find(source: &Source, config: &Config) -> Result<Found, VerifyError> {
    let unavailable = |text: String| VerifyError::Unavailable(text);
    let durable = &config.durable;
    let bars = &durable.bars_stream;
    let none = |name: &str, key: &str| {
        unavailable(format!(
            "there is no stream {name}: durable delivery has not run here under this configuration; \
             check NATS_URL, {key} and TECHNICAL_SUBJECTS"
        ))
    };
    let recorded = if Partitions::has_symbols(config) {
        let info = source.info(bars).await?;
        let info = info.ok_or_else(|| none(bars, "TECHNICAL_BARS_STREAM"))?;
        Partitions::recorded(&info).ok_or_else(|| {
            unavailable(format!(
                "the stream {bars} was not made by an agent for its bars; set \
                 TECHNICAL_BARS_STREAM as for the agents"
            ))
        })?
    } else {
        0
    };
    let partitions = Partitions::new(config, recorded);
    let name = &durable.signals_stream;
    let looked = source.info(name).await?;
    let looked = looked.ok_or_else(|| none(name, "TECHNICAL_SIGNALS_STREAM"))?;
    let subjects = config.publish_subject.pattern().to_string();
    for subject in [&subjects, &config.dead_letter_subject] {
        if !looked.config.subjects.contains(subject) {
            return Err(unavailable(format!(
                "the stream {name} does not store {subject}, only {}; set \
                 TECHNICAL_SIGNALS_STREAM, TECHNICAL_PUBLISH_SUBJECT and \
                 TECHNICAL_DEAD_LETTER_SUBJECT as for the agents",
                looked.config.subjects.join(", ")
            )));
        }
    }
    let groups = source.groups(config).await?;
    let mut committed = HashMap::new();
    for place in &partitions.places {
        if let Some(one) = source.committed(config, place.number).await? {
            committed.insert(place.number, one);
        }
    }
    // after the markers, so that all that they cover is among the messages
    let signals = source.info(name).await?;
    let signals = signals.ok_or_else(|| none(name, "TECHNICAL_SIGNALS_STREAM"))?;
    Ok(Found {
        partitions,
        signals,
        groups,
        committed,
    })
}
