//! Outputs that are stored already, recognised by identity where no count tells.
//!
//! Two cases need it. The stream of signals is read backwards, and an output that is found there is
//! not stored again. The commit that follows is refused if anything was stored after the marker was
//! looked at.
//!
//! - **A forged marker** may purge the genuine one. The position is then that of the checkpoint, and
//!   reading ends at the last output that the checkpoint covers.
//! - **Another configuration** gives other outputs for a message of which a part is stored. That
//!   message is *divided*: a first signal of a bar that is older than one stored of the same series
//!   was the former owner's decision, and storing it now would put it behind a later bar.

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

/// The part of the stream of signals that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The sequence before the first message.
    pub after: u64,
    /// The last message; none for the end of the stream.
    pub last: Option<u64>,
}

/// Outputs found in the stream of signals.
#[derive(Debug, Default)]
pub(super) struct Already {
    signals: HashSet<u64>,
    letters: HashMap<u64, u32>,
    /// The newest message of the stream of bars that an output was found of; 0 if none was.
    newest: u64,
    /// Everything found stands after this sequence of the stream of signals.
    floor: u64,
    /// The message whose outputs two configurations divide; 0 if there is none.
    divided: u64,
    /// By series: when the newest bar opened that has a signal of that message.
    opened: HashMap<u64, i64>,
}

impl Already {
    /// Looks in `span` for outputs of messages after `after`, of which `divided` may be the next.
    /// `is_ours` returns whether a message id is that of a signal of this partition: one that is not
    /// after `after` ends the search.
    pub async fn find(
        common: &Common,
        span: Span,
        after: u64,
        divided: Option<u64>,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let stream = common
            .js
            .get_stream(&common.streams.signals)
            .await
            .map_err(|error| error.to_string())?;
        let state = &stream.cached_info().state;
        let mut already = Self {
            divided: divided.unwrap_or_default(),
            ..Self::default()
        };
        let mut to = span.last.unwrap_or(u64::MAX).min(state.last_sequence);
        let lowest = state.first_sequence.max(span.after + 1);
        let bound = to.saturating_sub(MOST);
        while to >= lowest {
            if to <= bound {
                tracing::warn!(
                    messages = MOST,
                    "the search for stored outputs has reached its limit; signals older than this \
                     may be stored again"
                );
                break;
            }
            let from = to.saturating_sub(AT_ONCE - 1).max(lowest);
            already.floor = from - 1;
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

    /// The newest message of which an output was found.
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    /// Every output that was found stands after this sequence of the stream of signals.
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// Takes a stored message in; returns whether nothing before it matters.
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
                self.newest = self.newest.max(seq);
                if seq == self.divided
                    && let Some((series, opened, _)) = parts(id)
                {
                    let newest = self.opened.entry(series).or_insert(opened);
                    *newest = opened.max(*newest);
                }
            }
            Some(Output::Letter(hash)) if seq > after => {
                *self.letters.entry(hash).or_default() += 1;
                self.newest = self.newest.max(seq);
            }
            Some(Output::Letter(_)) | None => {}
        }
        false
    }

    /// Returns whether an output must not be stored any more. Each letter that is stored answers
    /// once.
    pub fn holds(&mut self, headers: &HeaderMap, payload: &[u8]) -> bool {
        match identify(headers, payload) {
            Some(Output::Signal(id)) => {
                self.signals.contains(&xxh3_64(id.as_bytes()))
                    || number(headers, INPUT_SEQ) == Some(self.divided) && self.is_behind(id)
            }
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

    /// Returns whether it is the first signal of a bar before one that has a signal.
    fn is_behind(&self, id: &str) -> bool {
        parts(id).is_some_and(|(series, opened, revision)| {
            revision == 0 && self.opened.get(&series).is_some_and(|at| opened < *at)
        })
    }
}

/// A hash of the series in a message id and of the reset that it began with, when its bar opened,
/// and the revision.
fn parts(id: &str) -> Option<(u64, i64, u32)> {
    let mut parts = id.rsplitn(3, '.');
    let (revision, opened) = (parts.next()?, parts.next()?.parse().ok()?);
    let (revision, epoch) = revision.split_once('r').unwrap_or((revision, ""));
    let series = xxh3_64_with_seed(parts.next()?.as_bytes(), xxh3_64(epoch.as_bytes()));
    Some((series, opened, revision.parse().ok()?))
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
    fn in_a_divided_message_no_first_signal_follows_one_of_a_later_bar() {
        let mut already = Already {
            divided: 12,
            ..Already::default()
        };
        note(&mut already, &signal("g.A.1m.200.0", "12"), "{}");
        note(&mut already, &signal("g.A.1m.400.0", "12"), "{}");
        note(&mut already, &signal("g.B.1m.900.0", "11"), "{}");
        assert_eq!(already.newest(), 12);
        let mut holds = |id: &str, seq: &str| already.holds(&signal(id, seq), b"{}");
        // stored; skipped by the former configuration; still to come
        assert!(holds("g.A.1m.400.0", "12"));
        assert!(holds("g.A.1m.300.0", "12"));
        assert!(!holds("g.A.1m.500.0", "12"));
        // a correction, another timeframe, another series, another message
        assert!(!holds("g.A.1m.300.1", "12"));
        assert!(!holds("g.A.5m.300.0", "12"));
        assert!(!holds("g.B.1m.300.0", "12"));
        assert!(!holds("g.A.1m.300.0", "13"));
        // after a reset, times start over
        assert!(!holds("g.A.1m.300.0r1f", "12"));
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
