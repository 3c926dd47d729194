//! The outputs of an intake: to be published, or kept for the next owner of a slot.

use std::time::Instant;

use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use crate::group::Slot;
use crate::market::{SeriesKey, Timestamp};
use crate::ops::receipts::FeedId;
use crate::wire::headers::{DETAIL, SUBJECT, TRUNCATED};

/// Something to be published.
#[derive(Debug, Clone)]
pub(in crate::bus) struct Outgoing {
    pub subject: Subject,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// The time at which the bar of a signal was received; `None` for a dead letter.
    pub received: Option<Instant>,
    /// True if it is about a bar that is still forming: not worth keeping.
    pub forming: bool,
    /// The run of `feed` that its bar came from.
    pub feed: Option<FeedId>,
}

impl Outgoing {
    /// Its bytes as the server counts them: headers and payload.
    pub fn size(&self) -> usize {
        header_bytes(&self.headers) + self.payload.len()
    }

    /// Cuts a dead letter to `most` bytes: the payload first, then its texts. A signal stays as it
    /// is, since its bytes are what is promised; so does a letter that cannot become so small.
    pub fn cut(&mut self, most: usize) {
        if self.received.is_some() || self.forming || self.size() <= most {
            return;
        }
        self.headers.insert(TRUNCATED, "true");
        let over = self.size().saturating_sub(most);
        self.payload
            .truncate(self.payload.len().saturating_sub(over));
        for name in [DETAIL, SUBJECT] {
            let over = self.size().saturating_sub(most);
            let text = self.headers.get(name).map_or("", HeaderValue::as_str);
            if over == 0 || text.is_empty() {
                continue;
            }
            let end = (0..=text.len().saturating_sub(over))
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or_default();
            let text = HeaderValue::from(text[..end].to_owned());
            self.headers.insert(name, text);
        }
    }
}

/// The bytes of headers as they are sent.
fn header_bytes(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values
            .iter()
            .map(move |value| name.len() + value.as_str().len() + ": \r\n".len())
    });
    lines.sum::<usize>() + "NATS/1.0\r\n\r\n".len()
}

/// A final signal that another member publishes, kept in case its slot is handed over.
#[derive(Debug)]
pub(in crate::bus) struct Kept {
    pub slot: Slot,
    pub key: SeriesKey,
    pub timestamp: Timestamp,
    pub revision: u32,
    /// The reset that the series began with; 0 if none.
    pub epoch: u64,
    /// Step of the series after this bar.
    pub step: u64,
    pub signal: Outgoing,
}

/// A dead letter that another member writes, kept like a signal.
#[derive(Debug)]
pub(in crate::bus) struct KeptLetter {
    pub slot: Slot,
    pub mark: u64,
    pub letter: Outgoing,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(payload: usize, detail: &str, subject: &str) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert("Ta-Reason", "not_json");
        headers.insert("Ta-Detail", HeaderValue::from(detail.to_owned()));
        headers.insert("Ta-Subject", HeaderValue::from(subject.to_owned()));
        Outgoing {
            subject: "dead.technical".into(),
            headers,
            payload: vec![b'x'; payload].into(),
            received: None,
            forming: false,
            feed: None,
        }
    }

    #[test]
    fn headers_are_counted_as_they_are_sent() {
        let mut map = HeaderMap::new();
        map.insert("Ta-Group", "desk");
        map.append("Ta-Group", "other");
        // NATS/1.0, Ta-Group: desk, Ta-Group: other, each with its end of line, and an empty line
        assert_eq!(header_bytes(&map), 10 + 16 + 17 + 2);
    }

    #[test]
    fn a_letter_that_fits_is_not_touched_and_one_that_does_not_says_that_it_was_cut() {
        let whole = letter(500, "detail", "subject");
        let size = whole.size();
        let mut fits = whole.clone();
        fits.cut(size);
        assert_eq!((fits.headers.len(), fits.payload.len()), (3, 500));
        let mut cut = whole;
        cut.cut(size - 1);
        assert_eq!(cut.headers.get("Ta-Truncated").unwrap().as_str(), "true");
        assert_eq!(cut.size(), size - 1);
        // "Ta-Truncated: true" and its end of line are 20 bytes
        assert_eq!(cut.payload.len(), 500 - 20 - 1);
        assert_eq!(cut.headers.get("Ta-Detail").unwrap().as_str(), "detail");
    }

    #[test]
    fn a_signal_is_never_cut() {
        let mut signal = letter(500, "", "");
        signal.received = Some(Instant::now());
        signal.cut(10);
        assert_eq!((signal.headers.len(), signal.payload.len()), (3, 500));
    }

    proptest! {
        #[test]
        fn what_is_cut_fits(
            payload in 0usize..3_000,
            detail in "[a-zé\u{4e2d}]{0,400}",
            subject in "[a-zé]{0,400}",
            most in 120usize..4_000,
        ) {
            let mut cut = letter(payload, &detail, &subject);
            let fits = cut.size() <= most;
            cut.cut(most);
            prop_assert!(cut.size() <= most, "{} of {most}", cut.size());
            prop_assert_eq!(cut.headers.get("Ta-Truncated").is_some(), !fits);
            prop_assert_eq!(cut.headers.get("Ta-Reason").unwrap().as_str(), "not_json");
        }
    }
}
