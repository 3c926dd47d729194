//! What work rests on, and whether it is still what it was.
//!
//! A stream that somebody removes and makes anew under the same name counts from the beginning:
//! whoever goes on reading where it stood passes over everything in it. So each is known by when
//! it was made, too.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config as StreamConfig, Info};
use futures_util::future::try_join_all;

use super::verify::broken;
use super::{SetupError, existing};

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Bars,
    /// Bars that the stream of bars takes from it.
    Source,
    Signals,
    Members,
    Checkpoints,
}

/// A stream as it was found.
#[derive(Debug, Clone)]
pub(in crate::bus::durable) struct Rest {
    /// Its name.
    pub name: String,
    /// When it was made, which no other of the same name shares.
    pub origin: String,
    pub(super) holds: Holds,
    pub(super) config: StreamConfig,
}

impl Rest {
    pub(super) fn of(info: Info, holds: Holds) -> Self {
        Self {
            name: info.config.name.clone(),
            origin: info.created.to_string(),
            holds,
            config: info.config,
        }
    }

    /// What it means that it was removed with all that it held, and is there anew.
    pub fn loss(&self) -> &'static str {
        match self.holds {
            Holds::Bars => {
                "bars that had no signal yet are lost, as are those published until it was made \
                 anew; series start anew with the bars that it holds now, and bars that are \
                 published again give signals again"
            }
            Holds::Source => {
                "bars that were not taken from it yet are lost, as are those published until it \
                 was made anew; publish them again"
            }
            Holds::Signals => {
                "signals and dead letters that it held are lost; signals of the bars since the \
                 last checkpoints are stored again, those of earlier bars are not"
            }
            Holds::Members => "nothing is lost; the partitions are divided anew",
            Holds::Checkpoints => {
                "nothing is lost; until the next checkpoints a restart computes state from the \
                 bars that are retained"
            }
        }
    }
}

/// What is not there any more, not the same, or not fit any more; nothing when all is well.
///
/// # Errors
/// That `JetStream` did not answer, or is not there.
pub(in crate::bus::durable) async fn missing(
    js: &Context,
    rests: &[Rest],
) -> Result<Option<String>, SetupError> {
    let found = try_join_all(rests.iter().map(|rest| existing(js, &rest.name))).await?;
    let told: Vec<String> = rests
        .iter()
        .zip(found)
        .filter_map(|(rest, found)| {
            let name = &rest.name;
            let Some(found) = found else {
                return Some(format!("the stream {name} is not there any more"));
            };
            if found.created.to_string() != rest.origin {
                return Some(format!("the stream {name} was removed and made anew"));
            }
            let what = broken(&rest.config, &found.config)?;
            Some(format!("the stream {name} has other {what} than before"))
        })
        .collect();
    Ok((!told.is_empty()).then(|| told.join(", ")))
}
