//! Time marks: messages with the current time, `{"mark":"2024-01-02T15:35:00Z"}`.
//!
//! A mark is in order with the bars of the input, so that a replay, a restart and another member
//! close the same derived bars at the same place. Only the time inside the mark counts. Like a
//! [`Reset`](super::Reset), a message must have exactly this shape to be a mark.

use std::borrow::Cow;

use serde::Deserialize;

use super::first_name;
use crate::market::Timestamp;
use crate::wire::{Reason, Refusal};

/// The size of the largest mark, in bytes.
const BYTES_MAX: usize = 256;
/// Nanoseconds that a mark may be ahead of its arrival, as clocks differ.
const AHEAD_MAX: i64 = 5_000_000_000;

/// A message with the current time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The current time at its sender.
    pub at: Timestamp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    mark: Cow<'a, str>,
}

impl Mark {
    /// Reads a message that arrived at `arrived`; `None` if it is no mark.
    ///
    /// # Errors
    /// If its time cannot be read, or is more than 5 s after its arrival: it would close bars whose
    /// parts may still come.
    pub fn read(payload: &[u8], arrived: Timestamp) -> Option<Result<Self, Refusal<'_>>> {
        if payload.len() > BYTES_MAX {
            return None;
        }
        let Message { mark } = serde_json::from_slice(payload).ok()?;
        let refusal = |reason, detail: String| Refusal {
            reason,
            detail: detail.into(),
            payload,
            elements: 1,
            symbol: None,
        };
        let Ok(at) = mark.parse::<Timestamp>() else {
            let detail = format!("`{mark}` is no time; write a mark as 2024-01-02T15:35:00Z");
            return Some(Err(refusal(Reason::BadTimestamp, detail)));
        };
        let ahead = at.nanos().saturating_sub(arrived.nanos());
        if ahead > AHEAD_MAX {
            let detail = format!(
                "the mark {at} is more than 5 s later than its arrival at {arrived}; set the clock of \
                 its sender"
            );
            return Some(Err(refusal(Reason::Future, detail)));
        }
        Some(Ok(Self { at }))
    }

    /// The message, for [`Self::read`].
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        format!(r#"{{"mark":"{}"}}"#, self.at).into_bytes()
    }

    /// True if a refused message was meant as a mark.
    #[must_use]
    pub fn is_like(payload: &[u8]) -> bool {
        payload.len() <= BYTES_MAX && first_name(payload) == Some(b"mark")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn read(payload: &str, arrived: &str) -> Option<Result<Mark, (Reason, String)>> {
        let read = Mark::read(payload.as_bytes(), at(arrived))?;
        Some(read.map_err(|refusal| (refusal.reason, refusal.detail.into_owned())))
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let time = "2024-01-02T15:35:00Z";
        let mark = Mark { at: at(time) };
        let text = r#"{"mark":"2024-01-02T15:35:00Z"}"#;
        assert_eq!(mark.payload(), text.as_bytes());
        assert_eq!(read(text, time), Some(Ok(mark)));
        let spaced = "\n { \"mark\" : \"2024-01-02T16:35:00+01:00\" }\n";
        assert_eq!(read(spaced, time), Some(Ok(mark)));
    }

    #[test]
    fn nothing_but_its_shape_is_taken_for_a_mark() {
        for text in [
            r#"{"mark":1704209700}"#,
            r#"{"mark":"2024-01-02T15:35:00Z","close":1}"#,
            r#"{"close":1,"mark":"2024-01-02T15:35:00Z"}"#,
            r#"{"mark":"2024-01-02T15:35:00Z","mark":"2024-01-02T15:36:00Z"}"#,
            r#"[{"mark":"2024-01-02T15:35:00Z"}]"#,
            r#"{"mark":{"at":"2024-01-02T15:35:00Z"}}"#,
            r#"{"mark":"2024-01-02T15:35:00Z"} x"#,
            r#"{"marks":"2024-01-02T15:35:00Z"}"#,
            "",
        ] {
            assert_eq!(read(text, "2024-01-02T15:35:00Z"), None, "{text}");
        }
    }

    #[test]
    fn a_mark_without_a_time_or_ahead_of_it_is_refused() {
        let (reason, detail) = read(r#"{"mark":"soon"}"#, "2024-01-02T15:35:00Z")
            .unwrap()
            .unwrap_err();
        assert_eq!(reason, Reason::BadTimestamp);
        assert!(detail.contains("`soon`"), "{detail}");
        let text = r#"{"mark":"2024-01-02T15:35:00Z"}"#;
        assert!(read(text, "2024-01-02T15:34:55Z").unwrap().is_ok());
        let (reason, detail) = read(text, "2024-01-02T15:34:54.999Z").unwrap().unwrap_err();
        assert_eq!(reason, Reason::Future);
        assert!(detail.contains("2024-01-02T15:34:54.999Z"), "{detail}");
        // it may be read at any later time
        assert!(read(text, "2034-01-02T15:35:00Z").unwrap().is_ok());
    }
}
