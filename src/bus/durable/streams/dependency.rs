//! Streams that durable delivery depends on; each must stay the one that was found.
//!
//! A stream that somebody removes and recreates under the same name counts from the beginning. A
//! reader that continued at its old position would pass over everything in it. So a stream is
//! identified by its name and the time when it was created.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config as StreamConfig, Info};
use futures_util::future::try_join_all;

use super::holds::Holds;
use super::verify::{broken, unwanted_bound};
use super::wanted::ours;
use super::{SetupError, existing};

/// A stream as it was found.
#[derive(Debug, Clone)]
pub(in crate::bus::durable) struct StreamDependency {
    /// Its name.
    pub name: String,
    /// The time at which it was made, which no other of the same name shares.
    pub origin: String,
    pub(super) holds: Holds,
    pub(super) config: StreamConfig,
    /// Its state when it was last looked at.
    seen: Arc<Mutex<Seen>>,
}

/// The changing part of a stream's state.
#[derive(Debug, Default)]
struct Seen {
    first: u64,
    last: u64,
    /// The variables and values that stand for its limits.
    limits: String,
    /// The advice about a bound that nobody configured.
    bound: Option<String>,
}

impl Seen {
    fn of(info: &Info, holds: Holds) -> Self {
        let config = &info.config;
        let bound = unwanted_bound(&StreamConfig::default(), config);
        let bound = bound.filter(|_| holds == Holds::Bars || config.description == ours());
        Self {
            first: info.state.first_sequence,
            last: info.state.last_sequence,
            limits: limits(config),
            bound: bound.map(|(bars, command)| {
                let name = &config.name;
                format!(
                    "the stream {name} keeps {bars} bars per series and drops others, read or \
                     not; lift the bound with `{command}`"
                )
            }),
        }
    }
}

/// The limits by which a stream of bars drops messages, as the variables that set them.
fn limits(config: &StreamConfig) -> String {
    let mut limits = Vec::new();
    let mut limit = |name: &str, value: i64| {
        if value > 0 {
            limits.push(format!("{name}={value}"));
        }
    };
    limit("TECHNICAL_BARS_PER_SERIES", config.max_messages_per_subject);
    limit("TECHNICAL_BARS_MAX_BYTES", config.max_bytes);
    limit("max_msgs", config.max_messages);
    let age = i64::try_from(config.max_age.as_secs()).unwrap_or(i64::MAX);
    limit("TECHNICAL_BARS_MAX_AGE_SECS", age);
    if limits.is_empty() {
        return "none, so that it was purged".to_owned();
    }
    limits.join(", ")
}

impl StreamDependency {
    pub(super) fn of(info: Info, holds: Holds) -> Self {
        Self {
            name: info.config.name.clone(),
            origin: info.created.to_string(),
            seen: Arc::new(Mutex::new(Seen::of(&info, holds))),
            holds,
            config: info.config,
        }
    }

    /// The first and the last sequence, when it was last looked at.
    pub fn range(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.first, seen.last)
    }

    /// The limits by which it drops bars.
    pub fn limits(&self) -> String {
        self.seen().limits.clone()
    }

    /// If the stream has a bound per series: that it has, and the command that lifts it.
    pub fn bound_to_lift(&self) -> Option<String> {
        self.seen().bound.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // it is replaced as a whole
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consequences of its removal, with everything that it held, once it was recreated.
    pub fn consequence(&self) -> &'static str {
        match self.holds {
            Holds::Bars => {
                "bars that had no signal yet are lost, as are those published until it was \
                 recreated; series start over with the bars that it holds now, and bars that are \
                 published again give signals again"
            }
            Holds::Source => {
                "bars that were not taken from it yet are lost, as are those published until it \
                 was recreated; publish them again"
            }
            Holds::Signals => {
                "signals and dead letters that it held are lost; signals of the bars since the \
                 last checkpoints are stored again, those of earlier bars are not"
            }
            Holds::Members => "nothing is lost; the partitions are divided again",
            Holds::Checkpoints => {
                "nothing is lost; until the next checkpoints a restart computes state from the \
                 bars that are retained"
            }
        }
    }
}

/// The streams that are gone, were recreated or do not fit any more; `None` when all is well.
///
/// # Errors
/// If `JetStream` did not answer, or is not available.
pub(in crate::bus::durable) async fn missing(
    js: &Context,
    dependencies: &[StreamDependency],
) -> Result<Option<String>, SetupError> {
    let found = try_join_all(
        dependencies
            .iter()
            .map(|dependency| existing(js, &dependency.name)),
    )
    .await?;
    let missing: Vec<String> = dependencies
        .iter()
        .zip(found)
        .filter_map(|(dependency, found)| {
            let name = &dependency.name;
            let Some(found) = found else {
                return Some(format!("the stream {name} is not there any more"));
            };
            if found.created.to_string() != dependency.origin {
                return Some(format!("the stream {name} was removed and recreated"));
            }
            *dependency.seen() = Seen::of(&found, dependency.holds);
            let what = broken(&dependency.config, &found.config)?;
            Some(format!("the stream {name} has other {what} than before"))
        })
        .collect();
    Ok((!missing.is_empty()).then(|| missing.join(", ")))
}
