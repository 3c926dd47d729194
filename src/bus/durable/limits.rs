//! Messages that are larger than what the server or the stream of signals takes.
//!
//! The server says of a batch only that it is incomplete, and nothing of the message that it did
//! not take; the client refuses a message in the middle of a batch. Either fails everything that
//! is stored with it, so sizes are looked at before a batch begins. Dead letters are cut, and
//! markers name fewer poisonous messages; a signal that is too large waits for a higher limit, and
//! its partition with it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Common;
use super::marker::Marker;
use crate::bus::intake::Outgoing;

/// The most bytes that the headers of a batch add to a message.
const IN_BATCH: usize = 80;
/// [`IN_BATCH`] for a marker: its expectation, its rollup, its seal and the end of the batch
/// besides.
const IN_MARKER: usize = 512;

/// The size limit of the stream of signals, as it was last seen.
#[derive(Debug)]
pub(super) struct StreamLimit(AtomicUsize);

impl StreamLimit {
    /// From the stream's configuration, in which 0 and -1 are no limit.
    pub fn new(configured: i32) -> Self {
        Self(AtomicUsize::new(limit(configured)))
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn limit(configured: i32) -> usize {
    match usize::try_from(configured) {
        Ok(most) if most > 0 => most,
        _ => usize::MAX,
    }
}

/// Bytes that a message may have before it becomes a part of a batch.
pub(super) fn largest(common: &Common) -> usize {
    let most = common.client.max_payload().min(common.stream_limit.get());
    most.saturating_sub(IN_BATCH)
}

/// Cuts the dead letters in `range` that are larger than what can be stored.
pub(super) fn cut(common: &Common, outgoing: &mut Arc<Vec<Outgoing>>, range: Range<usize>) {
    let most = largest(common);
    let large = |one: &Outgoing| one.received.is_none() && one.size() > most;
    if outgoing[range.clone()].iter().any(large) {
        for one in &mut Arc::make_mut(outgoing)[range] {
            one.cut(most);
        }
    }
}

/// The newest of `poison` for which there is room in `marker`, where a message may have `most`
/// bytes. Of those that are left out, the agent finds out again.
pub(super) fn newest(most: usize, marker: &Marker, poison: &BTreeSet<u64>) -> BTreeSet<u64> {
    let without = serde_json::to_vec(marker).map_or(0, |json| json.len());
    // `,"poison":[]`, and each number with its comma
    let mut room = most.saturating_sub(IN_MARKER + without + 12);
    let fits = |seq: &&u64| {
        let bytes = seq.checked_ilog10().unwrap_or(0) as usize + 2;
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    poison.iter().rev().take_while(fits).copied().collect()
}

/// Asks the stream for its limit, which somebody may have changed.
pub(super) async fn learn(common: &Common) {
    let asked = common.js.get_stream(&common.streams.signals);
    if let Some(Ok(stream)) = common.link.unless_lost(asked).await {
        let most = limit(stream.cached_info().config.max_message_size);
        common.stream_limit.0.store(most, Ordering::Relaxed);
    }
}

/// The reason why `outgoing` and `marker` cannot be stored, if it is the size of one of them.
pub(super) fn too_large(common: &Common, outgoing: &[Outgoing], marker: &Marker) -> Option<String> {
    let marker = serde_json::to_vec(marker).map_or(0, |json| json.len()) + IN_MARKER;
    let sizes = outgoing.iter().map(|one| one.size() + IN_BATCH);
    let size = sizes.max().unwrap_or(0).max(marker);
    let most = common.client.max_payload();
    if size > most {
        return Some(format!(
            "a message of {size} bytes is to be stored, and the server takes {most}; raise its \
             max_payload"
        ));
    }
    let (name, most) = (&common.streams.signals, common.stream_limit.get());
    (size > most).then(|| {
        format!(
            "a message of {size} bytes is to be stored, and the stream {name} takes {most}; \
             `nats stream edit {name} --max-msg-size=-1` lifts that"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::marker::{MARKER_VERSION, Position};
    use super::*;

    fn marker() -> Marker {
        Marker {
            position: Position {
                origin: "2026-01-01 00:00:00.0 +00:00:00".to_owned(),
                seq: u64::MAX,
                part: 998,
            },
            version: MARKER_VERSION,
            owner: "0123456789abcdef".to_owned(),
            poison: BTreeSet::new(),
            begun: Some(0),
            outputs: Some("0123456789abcdef".to_owned()),
            after: Some(u64::MAX),
        }
    }

    #[test]
    fn a_marker_names_as_many_poisonous_messages_as_there_is_room_for_the_newest() {
        let poison: BTreeSet<u64> = (1..=1_000).map(|n| n * 1_000_003).collect();
        for most in [1_000, 2_000, 4_096, 8_192] {
            let mut full = marker();
            full.poison = newest(most, &full, &poison);
            let bytes = serde_json::to_vec(&full).unwrap().len() + IN_MARKER;
            assert!(bytes <= most, "{bytes} of {most}");
            // one more of at most eleven bytes would not fit
            assert!(bytes + 11 > most, "{bytes} of {most}");
            let left_out = poison.len() - full.poison.len();
            assert!(poison.iter().skip(left_out).eq(&full.poison), "the newest");
        }
        assert_eq!(newest(1 << 20, &marker(), &poison), poison);
        assert!(newest(100, &marker(), &poison).is_empty());
    }

    #[test]
    fn a_stream_without_a_limit_takes_everything() {
        assert_eq!([-1, 0, 900].map(limit), [usize::MAX, usize::MAX, 900]);
    }
}
