//! Resets: messages that empty a series.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{epoch, is_id, series};
use crate::market::SeriesKey;
use crate::wire::{Reason, Refusal, SubjectParts, SubjectRefusal};

/// The size of the largest reset, in bytes.
const BYTES_MAX: usize = 1_024;

/// A message that resets a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The series.
    pub series: SeriesKey,
    /// Identifies the reset among those of the series.
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
    /// Reads a message on the subject of `parts`; `None` if it is no reset.
    ///
    /// # Errors
    /// If it names no series, or another one than its subject.
    pub fn read<'a>(
        payload: &'a [u8],
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
    ) -> Option<Result<Self, Refusal<'a>>> {
        if payload.len() > BYTES_MAX {
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

    /// The message, for [`Self::read`].
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

    /// The number that identifies this reset; `None` if it has no id. Never 0.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.id.as_deref().map(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Symbol, Timeframe};

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
