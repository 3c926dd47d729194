//! Outputs that are stored already, of a partition that has lost its marker to a forged one.
//!
//! A forged marker may purge the genuine one. The position is then that of the checkpoint, and what
//! was stored since is told by the stream of signals itself: it is read backwards, from the end to
//! the last output that the checkpoint covers, and an output that is found there is not stored
//! again. The commit that follows is refused if anything was stored after the marker was looked at.

use std::collections::{HashMap, HashSet};

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures_util::future::join_all;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Common;
use crate::wire::headers::{INPUT_SEQ, MESSAGE_ID, REASON};

/// Messages asked for at a time.
const AT_ONCE: u64 = 64;
/// Messages read back at most.
const MOST: u64 = 1_000_000;

/// The identity of an output.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Output<'a> {
    /// By its message id.
    Signal(&'a str),
    /// By the reason and the sequence of the input, and a hash of the payload: a message may give
    /// several equal letters.
    Letter(u64),
}

/// Outputs found in the stream of signals.
#[derive(Debug, Default)]
pub(super) struct Already {
    signals: HashSet<u64>,
    letters: HashMap<u64, u32>,
}

impl Already {
    /// Looks for outputs of messages after `after`. `is_ours` tells, by its message id, whether a
    /// signal is of this partition.
    pub async fn find(
        common: &Common,
        after: u64,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let stream = common
            .js
            .get_stream(&common.streams.signals)
            .await
            .map_err(|error| error.to_string())?;
        let state = &stream.cached_info().state;
        let mut already = Self::default();
        let mut to = state.last_sequence;
        let lowest = state.first_sequence.max(1);
        let bound = to.saturating_sub(MOST);
        while to >= lowest {
            if to <= bound {
                tracing::warn!(
                    messages = MOST,
                    "the marker of a partition was forged, and what was stored since its checkpoint \
                     reaches too far back to be found; older signals may be stored again"
                );
                break;
            }
            let from = to.saturating_sub(AT_ONCE - 1).max(lowest);
            let asked = (from..=to).rev().map(|seq| message(common, &stream, seq));
            for found in join_all(asked).await {
                let Some(message) = found? else {
                    continue;
                };
                let (headers, payload) = (&message.headers, &message.payload);
                if already.note(headers, payload, after, &is_ours) {
                    return Ok(already);
                }
            }
            to = from.saturating_sub(1);
        }
        Ok(already)
    }

    /// Takes a stored message in; whether nothing before it matters.
    fn note(
        &mut self,
        headers: &HeaderMap,
        payload: &[u8],
        after: u64,
        is_ours: &impl Fn(&str) -> bool,
    ) -> bool {
        let Some(seq) = number(headers, INPUT_SEQ) else {
            return false;
        };
        match identify(headers, payload) {
            Some(Output::Signal(id)) if seq <= after => return is_ours(id),
            Some(Output::Signal(id)) => {
                self.signals.insert(xxh3_64(id.as_bytes()));
            }
            Some(Output::Letter(hash)) if seq > after => {
                *self.letters.entry(hash).or_default() += 1;
            }
            Some(Output::Letter(_)) | None => {}
        }
        false
    }

    /// Returns whether an output is stored already. Each letter that is stored answers once.
    pub fn holds(&mut self, headers: &HeaderMap, payload: &[u8]) -> bool {
        match identify(headers, payload) {
            Some(Output::Signal(id)) => self.signals.contains(&xxh3_64(id.as_bytes())),
            Some(Output::Letter(hash)) => match self.letters.get_mut(&hash) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            },
            None => false,
        }
    }
}

async fn message(
    common: &Common,
    stream: &Stream,
    seq: u64,
) -> Result<Option<StreamMessage>, String> {
    let asked = stream.get_raw_message(seq);
    let found = common.link.unless_lost(asked).await;
    match found.ok_or("the connection was lost meanwhile")? {
        Ok(message) => Ok(Some(message)),
        // replaced or removed
        Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(format!("cannot read what is stored already: {error}")),
    }
}

fn identify<'a>(headers: &'a HeaderMap, payload: &[u8]) -> Option<Output<'a>> {
    if let Some(id) = text(headers, MESSAGE_ID) {
        return Some(Output::Signal(id));
    }
    let reason = text(headers, REASON)?;
    let seq = number(headers, INPUT_SEQ)?;
    let seed = xxh3_64_with_seed(reason.as_bytes(), seq);
    Some(Output::Letter(xxh3_64_with_seed(payload, seed)))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::as_str)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.insert(*name, *value);
        }
        map
    }

    fn signal(id: &str, seq: &str) -> HeaderMap {
        headers(&[(MESSAGE_ID, id), (INPUT_SEQ, seq)])
    }

    fn letter(reason: &str, seq: &str) -> HeaderMap {
        headers(&[(REASON, reason), (INPUT_SEQ, seq)])
    }

    /// True once reading backwards has reached the oldest message that matters.
    fn note(already: &mut Already, headers: &HeaderMap, payload: &str) -> bool {
        already.note(headers, payload.as_bytes(), 10, &|id| {
            id.starts_with("g.A.")
        })
    }

    #[test]
    fn a_stored_signal_is_known_by_its_id_and_a_letter_by_its_input() {
        let mut already = Already::default();
        assert!(!note(&mut already, &signal("g.A.1m.5.0", "12"), "{}"));
        assert!(!note(&mut already, &letter("late", "11"), "bad"));
        assert!(already.holds(&signal("g.A.1m.5.0", "12"), b"{}"));
        assert!(!already.holds(&signal("g.A.1m.5.1", "12"), b"{}"));
        for other in [letter("late", "12"), letter("future", "11")] {
            assert!(!already.holds(&other, b"bad"));
        }
        assert!(!already.holds(&letter("late", "11"), b"worse"));
        assert!(already.holds(&letter("late", "11"), b"bad"));
    }

    #[test]
    fn of_equal_letters_as_many_are_known_as_are_stored() {
        let mut already = Already::default();
        for _ in 0..2 {
            note(&mut already, &letter("bad_number", "11"), "1");
        }
        let known = [(); 3].map(|()| already.holds(&letter("bad_number", "11"), b"1"));
        assert_eq!(known, [true, true, false]);
    }

    #[test]
    fn the_search_ends_at_a_signal_of_the_partition_that_the_checkpoint_covers() {
        let mut already = Already::default();
        // of another partition, a letter of nobody known, a marker
        assert!(!note(&mut already, &signal("g.B.1m.5.0", "9"), "{}"));
        assert!(!note(&mut already, &letter("late", "9"), "bad"));
        assert!(!note(&mut already, &HeaderMap::new(), "{}"));
        assert!(note(&mut already, &signal("g.A.1m.4.0", "10"), "{}"));
        assert!(!already.holds(&signal("g.A.1m.4.0", "10"), b"{}"));
    }
}
