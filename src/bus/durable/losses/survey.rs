//! Bars that the streams lost while no agent of the group was at work.
//!
//! The newest position of any partition says how far the group was. Every message after it was
//! unread, whichever partition it was for: those that the stream does not hold any more were lost,
//! and the sequences say exactly how many. The partition with that position counts them, so that
//! of several members only one does.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::timeout;

use super::ledger::Loss;
use super::lock;
use crate::bus::durable::Common;
use crate::bus::durable::feed::{self, Feed};
use crate::bus::durable::markers;
use crate::bus::durable::streams::{Unit, marker_subject};

/// For all of it; an agent starts without, rather than late.
const PATIENCE: Duration = Duration::from_secs(10);
/// Markers read at a time.
const AT_A_TIME: usize = 32;
/// Tries to count while no bar arrives.
const TRIES: usize = 3;

/// The result of surveying a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Surveyed {
    /// `hole` counts the messages that are gone up to this sequence.
    pub known: u64,
    hole: Option<Hole>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hole {
    /// The partition that was ahead of all others, and its position.
    unit: u32,
    position: u64,
    bars: u64,
    first: u64,
}

impl Surveyed {
    /// The loss that the partition has to count, if its position is that of the survey.
    pub fn claim(&self, unit: u32, done: u64) -> Option<Loss> {
        let hole = self.hole.as_ref().filter(|hole| hole.unit == unit)?;
        // a checkpoint may be ahead of the marker
        let read = done.checked_sub(hole.position)?;
        let bars = hole.bars.saturating_sub(read);
        (bars > 0 && (read == 0 || done < hole.first)).then_some(Loss {
            bars,
            after: done,
            before: hole.first.max(done + 1),
            guessed: false,
        })
    }
}

impl Common {
    /// Looks at the streams of bars before any partition is read.
    pub(in crate::bus::durable) async fn survey(&self) {
        match timeout(PATIENCE, survey(self)).await {
            Ok(Ok(surveyed)) => *lock(&self.losses.surveyed) = surveyed,
            Ok(Err(reason)) => tracing::debug!(reason, "the streams cannot be surveyed"),
            Err(_) => tracing::debug!("the streams cannot be surveyed in time"),
        }
    }

    /// The newest position of any partition in the stream of `unit`, if it can be read.
    pub(super) async fn newest_position(&self, unit: u32) -> Option<u64> {
        let stream = self.streams.units[unit as usize].stream.as_str();
        let found = timeout(PATIENCE, newest(self)).await.ok()?.ok()?;
        Some(found.get(stream)?.1)
    }
}

/// By stream: the partition with the newest position, and the position.
async fn newest(common: &Common) -> Result<HashMap<&str, (u32, u64)>, String> {
    let mut newest: HashMap<&str, (u32, u64)> = HashMap::new();
    let units = &common.streams.units;
    let mut markers = stream::iter(0_u32..)
        .take(units.len())
        .map(async |unit| {
            let subject = marker_subject(&common.streams.signals, &common.config.group, unit);
            (unit, markers::read(common, unit, &subject).await)
        })
        .buffer_unordered(AT_A_TIME);
    while let Some((unit, found)) = markers.next().await {
        let place = &units[unit as usize];
        let Some(stored) = found?.marker else {
            continue;
        };
        let position = stored.marker.position;
        if position.origin == place.origin {
            let ahead = newest.entry(&place.stream).or_insert((unit, position.seq));
            if position.seq > ahead.1 {
                *ahead = (unit, position.seq);
            }
        }
    }
    drop(markers);
    Ok(newest)
}

async fn survey(common: &Common) -> Result<HashMap<String, Surveyed>, String> {
    let mut surveyed = HashMap::new();
    for (stream, (unit, position)) in newest(common).await? {
        let all = Unit {
            filter: String::new(),
            ..common.streams.units[unit as usize].clone()
        };
        surveyed.insert(stream.to_owned(), look(common, &all, unit, position).await?);
    }
    Ok(surveyed)
}

async fn look(common: &Common, all: &Unit, unit: u32, position: u64) -> Result<Surveyed, String> {
    let mut before = feed::state(&common.js, all).await?;
    let mut held = 0;
    for _ in 0..TRIES {
        held = Feed::waiting(&common.js, all, position + 1).await?;
        let after = feed::state(&common.js, all).await?;
        let same = after.last == before.last;
        if same {
            break;
        }
        before = after;
    }
    // what arrived meanwhile is held as well, so no more is counted than is gone
    let bars = before.last.saturating_sub(position).saturating_sub(held);
    Ok(Surveyed {
        known: before.last.max(position),
        hole: (bars > 0).then_some(Hole {
            unit,
            position,
            bars,
            first: before.first,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_partition_that_was_ahead_counts_and_only_if_it_still_is() {
        let surveyed = Surveyed {
            known: 900,
            hole: Some(Hole {
                unit: 3,
                position: 100,
                bars: 400,
                first: 501,
            }),
        };
        let counted = |unit, done| surveyed.claim(unit, done).map(|loss| loss.bars);
        assert_eq!(counted(3, 100), Some(400));
        assert_eq!(counted(2, 100), None);
        // its checkpoint was ten messages further
        assert_eq!(counted(3, 110), Some(390));
        // another member was at work since
        assert_eq!(counted(3, 600), None);
        assert_eq!(Surveyed::default().claim(0, 0), None);
    }
}
