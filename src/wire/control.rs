//! Control messages: JSON objects in the input in place of market data.
//!
//! They are in order with the bars, so that a replay, a restart and another member find them at the
//! same place. A control message has exactly one name, and behind it a value of exactly the form
//! below. Any other message goes to the decoder.
//!
//! | message | meaning |
//! |---|---|
//! | `{"reset":{"symbol":"AAPL","timeframe":"1d"}}` | the series is emptied; `"id"` distinguishes resets ([`Reset`]) |
//! | `{"mark":"2024-01-02T15:35:00Z"}` | the current time ([`Mark`]) |
//! | `{"history":{"symbol":"AAPL","timeframe":"1d","id":"…",…}}` | a part of a history, or its end ([`History`]) |

mod history;
mod mark;
mod reset;

use xxhash_rust::xxh3::xxh3_64;

use super::{Reason, Refusal, SubjectParts, SubjectRefusal};
use crate::market::{SeriesKey, Symbol, Timeframe, Timestamp};

pub use history::{History, HistoryStep, write_bar as write_history_bar};
pub use mark::Mark;
pub use reset::Reset;

/// The length of the longest id of a control message.
const ID_MAX: usize = 64;

/// A control message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control<'a> {
    /// It empties a series.
    Reset(Reset),
    /// It closes the derived bars that ended before a time.
    Mark(Mark),
    /// It carries bars of the past, or ends them.
    History(History<'a>),
}

impl<'a> Control<'a> {
    /// Reads a message that arrived at `arrived` on the subject of `parts`; `None` if it is no
    /// control message, which costs a look at its first name.
    ///
    /// # Errors
    /// If it is a control message that cannot be applied.
    pub fn read(
        payload: &'a [u8],
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
        arrived: Timestamp,
    ) -> Option<Result<Self, Refusal<'a>>> {
        match first_name(payload)? {
            b"reset" => Some(Reset::read(payload, parts)?.map(Self::Reset)),
            b"mark" => Some(Mark::read(payload, arrived)?.map(Self::Mark)),
            b"history" => Some(History::read(payload, parts)?.map(Self::History)),
            _ => None,
        }
    }

    /// Its name in the message.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reset(_) => "reset",
            Self::Mark(_) => "mark",
            Self::History(_) => "history",
        }
    }
}

/// The first name in an object, unchanged; `None` if the payload does not begin as an object with a
/// name.
fn first_name(payload: &[u8]) -> Option<&[u8]> {
    let inside = payload.trim_ascii_start().strip_prefix(b"{")?;
    let name = inside.trim_ascii_start().strip_prefix(b"\"")?;
    let end = name.iter().position(|byte| *byte == b'"')?;
    Some(&name[..end])
}

/// The series that a control message of this `kind` names, on the subject of `parts`.
fn series(
    kind: &str,
    symbol: &str,
    timeframe: &str,
    parts: &Result<SubjectParts<'_>, SubjectRefusal>,
) -> Result<SeriesKey, (Reason, String)> {
    let parts = parts
        .as_ref()
        .map_err(|refusal| (refusal.reason, refusal.detail.clone()))?;
    let symbol = Symbol::new(symbol).map_err(|invalid| (Reason::BadSymbol, invalid.to_string()))?;
    let timeframe: Timeframe = timeframe
        .parse()
        .map_err(|invalid| (Reason::BadTimeframe, format!("{invalid}")))?;
    if parts
        .symbol
        .as_deref()
        .is_some_and(|of| of != symbol.as_str())
    {
        let detail = format!("subject and {kind} disagree about the symbol `{symbol}`");
        return Err((Reason::Mismatch, detail));
    }
    if parts.timeframe.is_some_and(|of| of != timeframe) {
        let detail = format!("subject and {kind} disagree about the timeframe `{timeframe}`");
        return Err((Reason::Mismatch, detail));
    }
    Ok(SeriesKey::new(symbol, timeframe))
}

/// The number that identifies a reset or history with this id. Never 0.
fn epoch(id: &str) -> u64 {
    xxh3_64(id.as_bytes()).max(1)
}

/// True if `id` is valid in a control message.
const fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_by_its_first_name() {
        let parts = Ok(SubjectParts::default());
        let now = "2024-01-02T15:35:00Z".parse().unwrap();
        let read = |text: &'static str| Control::read(text.as_bytes(), &parts, now);
        for (text, name) in [
            (r#"{"reset":{"symbol":"A","timeframe":"1m"}}"#, "reset"),
            (" {\n\"mark\" : \"2024-01-02T15:35:00Z\"} ", "mark"),
            (
                r#"{"history":{"symbol":"A","timeframe":"1m","id":"x","parts":1}}"#,
                "history",
            ),
        ] {
            assert_eq!(read(text).unwrap().unwrap().name(), name);
        }
        for text in [
            r#"{"symbol":"A","reset":{"symbol":"A","timeframe":"1m"}}"#,
            r#"[{"mark":"2024-01-02T15:35:00Z"}]"#,
            r#"{"mark"#,
            "{}",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let ahead = read(r#"{"mark":"2024-01-02T16:35:00Z"}"#).unwrap();
        assert_eq!(ahead.unwrap_err().reason, Reason::Future);
    }
}
