//! Control messages: JSON objects on the subject of a series in place of market data.
//!
//! They are in order with the bars of the series, so that a replay, a restart and another member
//! find them at the same place. A control message has exactly one name, and behind it an object
//! with only the names below. Any other message goes to the decoder.
//!
//! | message | means |
//! |---|---|
//! | `{"reset":{"symbol":"AAPL","timeframe":"1d"}}` | the series is reset; an `"id"` identifies the
//! reset |
//! | `{"history":{"symbol":"AAPL","timeframe":"1d","id":"…",…}}` | a part of a history, or its end ([`super::History`]) |

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Reason, Refusal, SubjectParts, SubjectRefusal};
use crate::market::{SeriesKey, Symbol, Timeframe};

/// The size of the largest reset, in bytes.
const BYTES_MAX: usize = 1_024;
/// The length of the longest id of a control message.
const ID_MAX: usize = 64;

/// A message that resets a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The series.
    pub series: SeriesKey,
    /// Tells it from other resets of the series.
    pub id: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    reset: Fields<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    timeframe: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
}

impl Reset {
    /// Reads a message on a subject that says `parts`; nothing when it is no control message.
    ///
    /// # Errors
    /// It is one that cannot be followed.
    pub fn read<'a>(
        payload: &'a [u8],
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
    ) -> Option<Result<Self, Refusal<'a>>> {
        if !may_be_one(payload) {
            return None;
        }
        let Message { reset } = serde_json::from_slice(payload).ok()?;
        if let Some(id) = &reset.id
            && !is_id(id)
        {
            return None;
        }
        Some(Self::of(&reset, parts).map_err(|(reason, detail)| Refusal {
            reason,
            detail: detail.into(),
            payload,
            elements: 1,
            symbol: None,
        }))
    }

    fn of(
        fields: &Fields<'_>,
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
    ) -> Result<Self, (Reason, String)> {
        Ok(Self {
            series: series("reset", &fields.symbol, &fields.timeframe, parts)?,
            id: fields.id.as_deref().map(str::to_owned),
        })
    }

    /// The message, as [`Self::read`] reads it.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let timeframe = self.series.timeframe.to_string();
        let message = Message {
            reset: Fields {
                symbol: self.series.symbol.as_str().into(),
                timeframe: timeframe.into(),
                id: self.id.as_deref().map(Into::into),
            },
        };
        serde_json::to_vec(&message).expect("texts can be written as JSON")
    }

    /// A number by which the time after this reset is told from that after others; nothing when
    /// the reset has no id. Never 0.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.id.as_deref().map(epoch)
    }
}

/// The series that a control message of this `kind` names, on the subject of `parts`.
pub(super) fn series(
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
pub(super) fn epoch(id: &str) -> u64 {
    xxh3_64(id.as_bytes()).max(1)
}

/// True if `payload` may be a message of this quoted `name`.
pub(super) fn is_named(payload: &[u8], name: &[u8]) -> bool {
    let inside = payload.trim_ascii_start().strip_prefix(b"{");
    inside.is_some_and(|inside| inside.trim_ascii_start().starts_with(name))
}

/// True if `id` is valid in a control message.
pub(super) const fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_MAX
}

/// False for nearly all other messages, after a look at a few bytes.
fn may_be_one(payload: &[u8]) -> bool {
    payload.len() <= BYTES_MAX && is_named(payload, br#""reset""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anywhere() -> Result<SubjectParts<'static>, SubjectRefusal> {
        Ok(SubjectParts::default())
    }

    #[test]
    fn a_reset_is_read_as_it_was_written() {
        for (id, text) in [
            (None, r#"{"reset":{"symbol":"BRK.B","timeframe":"1d"}}"#),
            (
                Some("a\"b".to_owned()),
                r#"{"reset":{"symbol":"BRK.B","timeframe":"1d","id":"a\"b"}}"#,
            ),
        ] {
            let reset = Reset {
                series: SeriesKey::new(Symbol::new("BRK.B").unwrap(), Timeframe::DAY),
                id,
            };
            assert_eq!(reset.payload(), text.as_bytes());
            let read = Reset::read(text.as_bytes(), &anywhere());
            assert_eq!(read.unwrap().unwrap(), reset);
        }
        let spaced = "\n { \"reset\" : { \"timeframe\" : \"1day\", \"symbol\" : \"\\u0041\" } } ";
        let read = Reset::read(spaced.as_bytes(), &anywhere())
            .unwrap()
            .unwrap();
        assert_eq!(read.series.to_string(), "A 1d");
    }

    #[test]
    fn nothing_but_its_shape_is_taken_for_a_reset() {
        for text in [
            r#"{"reset":{"symbol":"A"}}"#,
            r#"{"reset":{"symbol":"A","timeframe":"1m","close":1}}"#,
            r#"{"reset":{"symbol":"A","timeframe":"1m"},"close":1}"#,
            r#"{"close":1,"reset":{"symbol":"A","timeframe":"1m"}}"#,
            r#"{"reset":{"symbol":"A","symbol":"B","timeframe":"1m"}}"#,
            r#"{"reset":{"symbol":7,"timeframe":"1m"}}"#,
            r#"{"reset":{"symbol":"A","timeframe":"1m","id":""}}"#,
            r#"{"reset":true}"#,
            r#"[{"reset":{"symbol":"A","timeframe":"1m"}}]"#,
            r#"{"Reset":{"symbol":"A","timeframe":"1m"}}"#,
            r#"{"reset":{"symbol":"A","timeframe":"1m"}} x"#,
            r#"{"symbol":"A","timeframe":"1m","timestamp":1,"close":1}"#,
            "",
        ] {
            assert!(
                Reset::read(text.as_bytes(), &anywhere()).is_none(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_reset_that_cannot_be_followed_is_refused() {
        let refused = |text: &str, parts: &Result<SubjectParts<'_>, SubjectRefusal>| {
            Reset::read(text.as_bytes(), parts)
                .unwrap()
                .unwrap_err()
                .reason
        };
        let of = |symbol: &str, timeframe: &str| {
            format!(r#"{{"reset":{{"symbol":"{symbol}","timeframe":"{timeframe}"}}}}"#)
        };
        assert_eq!(refused(&of("", "1m"), &anywhere()), Reason::BadSymbol);
        assert_eq!(refused(&of("A", "7x"), &anywhere()), Reason::BadTimeframe);
        let parts = Ok(SubjectParts {
            symbol: Some("B".into()),
            timeframe: Some(Timeframe::MINUTE),
        });
        assert_eq!(refused(&of("A", "1m"), &parts), Reason::Mismatch);
        assert_eq!(refused(&of("B", "1h"), &parts), Reason::Mismatch);
        assert!(
            Reset::read(of("B", "1m").as_bytes(), &parts)
                .unwrap()
                .is_ok()
        );
    }

    #[test]
    fn resets_are_told_apart_by_their_ids() {
        let reset = |id: Option<&str>| Reset {
            series: SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE),
            id: id.map(str::to_owned),
        };
        assert_eq!(reset(None).epoch(), None);
        assert_eq!(reset(Some("a")).epoch(), reset(Some("a")).epoch());
        assert_ne!(reset(Some("a")).epoch(), reset(Some("b")).epoch());
    }
}
