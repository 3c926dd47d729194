//! A dead letter as it is stored, and the bar that it becomes again.

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::market::Timestamp;
use crate::tools::reader::Stored;
use crate::wire::headers::{
    AGENT, DETAIL, INPUT_SEQ, MESSAGE_ID, REASON, REDRIVEN, SUBJECT, TRUNCATED,
};

/// The headers that a bar keeps when it is put back: the reason of its refusal outlives the letter.
const KEPT: [&str; 4] = [REASON, DETAIL, AGENT, INPUT_SEQ];

/// A message of the dead-letter subject.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub seq: u64,
    pub stored_at: Timestamp,
    headers: HeaderMap,
    /// The refused message.
    pub payload: Bytes,
}

impl From<Stored> for Letter {
    fn from(stored: Stored) -> Self {
        Self {
            seq: stored.seq,
            stored_at: stored.at,
            headers: stored.headers,
            payload: stored.payload,
        }
    }
}

impl Letter {
    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(HeaderValue::as_str)
    }

    /// The reason of the refusal; `None` when no agent wrote the letter.
    pub fn reason(&self) -> Option<&str> {
        self.text(REASON)
    }

    /// The subject where the message came in; `None` when no agent wrote the letter.
    pub fn subject(&self) -> Option<&str> {
        self.text(SUBJECT)
    }

    /// The fault, for people.
    pub fn detail(&self) -> &str {
        self.text(DETAIL).unwrap_or_default()
    }

    /// Returns true if the letter holds only the beginning of the refused message.
    pub fn is_truncated(&self) -> bool {
        self.headers.get(TRUNCATED).is_some()
    }

    /// By which the server tells that it has this bar back already. It names what was refused, not
    /// the letter: two groups that refuse the same message write a letter each. Input without a
    /// place of its own has that of its letter in `origin`, which names a stream and when it was
    /// made.
    pub fn message_id(&self, origin: &str) -> String {
        let mut hash = Xxh3::new();
        let place = match self.text(INPUT_SEQ) {
            Some(seq) => format!("input {seq}"),
            None => format!("letter {origin} {}", self.seq),
        };
        let parts = [
            self.subject().unwrap_or_default().as_bytes(),
            place.as_bytes(),
            &self.payload,
        ];
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        format!("redrive.{:032x}", hash.digest128())
    }

    /// The headers of the bar that is put back from the letter in `stream`.
    pub fn headers(&self, stream: &str, message_id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, message_id);
        headers.insert(REDRIVEN, format!("{stream}.{}", self.seq));
        for name in KEPT {
            if let Some(value) = self.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
        headers
    }
}

/// One for tests.
#[cfg(test)]
pub(super) fn letter(seq: u64, headers: &[(&str, &str)], payload: &str) -> Letter {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    Letter {
        seq,
        stored_at: Timestamp::from_epoch(1_700_000_000),
        headers: map,
        payload: payload.to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: [(&str, &str); 5] = [
        ("Ta-Reason", "future"),
        ("Ta-Detail", "too early"),
        ("Ta-Subject", "raw.A.1m"),
        ("Ta-Agent", "a"),
        ("Ta-Input-Seq", "7"),
    ];

    #[test]
    fn an_id_is_that_of_what_was_refused_wherever_its_letter_lies() {
        let id = |letter: Letter| letter.message_id("S 2026");
        let first = id(letter(1, &HEADERS, "{}"));
        assert_eq!(first.len(), "redrive.".len() + 32);
        assert_eq!(id(letter(2, &HEADERS, "{}")), first);
        assert_ne!(id(letter(1, &HEADERS, "{ }")), first);
        let mut other = HEADERS;
        other[2].1 = "raw.B.1m";
        assert_ne!(id(letter(1, &other, "{}")), first);
        other = HEADERS;
        other[4].1 = "8";
        assert_ne!(id(letter(1, &other, "{}")), first);
    }

    #[test]
    fn without_a_place_of_its_own_input_has_that_of_its_letter() {
        let id = |seq, origin: &str| letter(seq, &HEADERS[..4], "{}").message_id(origin);
        assert_eq!(id(1, "S 2026"), id(1, "S 2026"));
        assert_ne!(id(1, "S 2026"), id(2, "S 2026"));
        assert_ne!(id(1, "S 2026"), id(1, "S 2027"));
    }

    #[test]
    fn a_bar_that_is_put_back_says_why_it_was_refused() {
        let headers = letter(5, &HEADERS, "{}").headers("S", "redrive.x");
        let text = |name: &str| headers.get(name).map(HeaderValue::as_str);
        for (name, expected) in [
            ("Nats-Msg-Id", "redrive.x"),
            ("Ta-Redriven", "S.5"),
            ("Ta-Reason", "future"),
            ("Ta-Detail", "too early"),
            ("Ta-Agent", "a"),
            ("Ta-Input-Seq", "7"),
        ] {
            assert_eq!(text(name), Some(expected), "{name}");
        }
        assert_eq!(headers.len(), 6);
    }
}
