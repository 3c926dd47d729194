//! Histories: bars of the past as control messages, while live bars keep coming.
//!
//! A history is a run of parts with bars, and a last message with the number of parts. That last
//! message replaces the bars of the series; until then nothing changes, so a history that breaks
//! off has no effect. All messages of a history have one id, and are on the subject of their
//! series, in order with its live bars.
//!
//! | message | is |
//! |---|---|
//! | `{"history":{"symbol":"AAPL","timeframe":"1d","id":"x","part":0,"bars":[["2024-01-02T00:00:00Z",1,2,1,2,7]]}}` | a part; parts are numbered from 0, a bar is open time, open, high, low, close and volume |
//! | the same with `"forming":true` | its last bar is complete only when a later one comes |
//! | `{"history":{"symbol":"AAPL","timeframe":"1d","id":"x","parts":3}}` | the end |
//!
//! Like any control message, it must have exactly this shape. Its bars are in one unit and form
//! whatever the settings of the agent; [`Decoder::history_bars`] judges them like any others.
//!
//! [`Decoder::history_bars`]: crate::wire::Decoder::history_bars

use std::borrow::Cow;
use std::io::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{epoch, is_id, series};
use crate::market::{Bar, SeriesKey};
use crate::wire::{Refusal, SubjectParts, SubjectRefusal};

/// A message of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History<'a> {
    /// The series that it is a history of.
    pub series: SeriesKey,
    /// Identifies the history among those of the series.
    pub id: Cow<'a, str>,
    /// Its place in the history.
    pub step: HistoryStep<'a>,
    /// The whole message.
    pub payload: &'a [u8],
}

/// The place of a message in its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryStep<'a> {
    /// A part.
    Part {
        /// Its number; the first is 0.
        part: u32,
        /// The bars, as an array in JSON.
        bars: &'a str,
        /// True if the last of them is complete only when a later one comes.
        forming: bool,
    },
    /// The end.
    End {
        /// The number of parts before it.
        parts: u32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    history: Fields<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    timeframe: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    part: Option<u32>,
    #[serde(borrow)]
    bars: Option<&'a RawValue>,
    #[serde(default)]
    forming: bool,
    parts: Option<u32>,
}

impl<'a> Fields<'a> {
    fn step(&self) -> Option<HistoryStep<'a>> {
        match (self.part, self.bars, self.parts) {
            (Some(part), Some(bars), None) if bars.get().starts_with('[') => {
                Some(HistoryStep::Part {
                    part,
                    bars: bars.get(),
                    forming: self.forming,
                })
            }
            (None, None, Some(parts)) if !self.forming => Some(HistoryStep::End { parts }),
            _ => None,
        }
    }
}

impl<'a> History<'a> {
    /// Reads a message on the subject of `parts`; `None` if it is no message of a history.
    ///
    /// # Errors
    /// If it names no series, or another one than its subject.
    pub fn read(
        payload: &'a [u8],
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
    ) -> Option<Result<Self, Refusal<'a>>> {
        let Message { history: fields } = serde_json::from_slice(payload).ok()?;
        let step = fields.step()?;
        if !is_id(&fields.id) {
            return None;
        }
        let read = series("history", &fields.symbol, &fields.timeframe, parts);
        Some(match read {
            Ok(series) => Ok(Self {
                series,
                id: fields.id,
                step,
                payload,
            }),
            Err((reason, detail)) => Err(Refusal {
                reason,
                detail: detail.into(),
                payload,
                elements: 1,
                symbol: None,
            }),
        })
    }

    /// The number that identifies a series rebuilt with this history. Never 0.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        epoch(&self.id)
    }

    /// The message, for [`Self::read`].
    #[must_use]
    pub fn message(series: &SeriesKey, id: &str, step: HistoryStep<'_>) -> Vec<u8> {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let (symbol, id) = (text(series.symbol.as_str()), text(id));
        let timeframe = text(&series.timeframe.to_string());
        let rest = match step {
            HistoryStep::Part {
                part,
                bars,
                forming,
            } => {
                let forming = if forming { r#","forming":true"# } else { "" };
                format!(r#""part":{part},"bars":{bars}{forming}"#)
            }
            HistoryStep::End { parts } => format!(r#""parts":{parts}"#),
        };
        format!(r#"{{"history":{{"symbol":{symbol},"timeframe":{timeframe},"id":{id},{rest}}}}}"#)
            .into_bytes()
    }
}

/// Appends a bar in the form of a history's parts. Its numbers keep every bit.
pub fn write_bar(bar: &Bar, out: &mut Vec<u8>) {
    let timestamp = bar.timestamp;
    let numbers = (bar.open, bar.high, bar.low, bar.close, bar.volume);
    let numbers = serde_json::to_string(&numbers).expect("numbers of a bar are finite");
    let inside = numbers.trim_start_matches('[');
    write!(out, r#"["{timestamp}",{inside}"#).expect("a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Symbol, Timeframe};
    use crate::wire::Reason;

    fn anywhere() -> Result<SubjectParts<'static>, SubjectRefusal> {
        Ok(SubjectParts::default())
    }

    fn key() -> SeriesKey {
        SeriesKey::new(Symbol::new("BRK.B").unwrap(), Timeframe::DAY)
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let part = HistoryStep::Part {
            part: 2,
            bars: "[[1]]",
            forming: false,
        };
        let forming = HistoryStep::Part {
            part: 2,
            bars: "[]",
            forming: true,
        };
        let of = |rest: &str| {
            format!(r#"{{"history":{{"symbol":"BRK.B","timeframe":"1d","id":"a\"b",{rest}}}}}"#)
        };
        for (step, text) in [
            (part, of(r#""part":2,"bars":[[1]]"#)),
            (forming, of(r#""part":2,"bars":[],"forming":true"#)),
            (HistoryStep::End { parts: 3 }, of(r#""parts":3"#)),
        ] {
            let written = History::message(&key(), "a\"b", step);
            assert_eq!(String::from_utf8(written).unwrap(), text);
            let read = History::read(text.as_bytes(), &anywhere())
                .unwrap()
                .unwrap();
            assert_eq!(
                (read.series, read.id.as_ref(), read.step),
                (key(), "a\"b", step)
            );
        }
    }

    #[test]
    fn a_bar_is_written_to_the_last_bit() {
        let bar = Bar {
            timestamp: "1962-01-02T14:30:00.5Z".parse().unwrap(),
            open: 0.1 + 0.2,
            high: 5e300,
            low: -1e-9,
            close: 7.0,
            volume: 0.0,
        };
        let mut out = Vec::new();
        write_bar(&bar, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"["1962-01-02T14:30:00.5Z",0.30000000000000004,5e+300,-1e-9,7.0,0.0]"#
        );
    }

    #[test]
    fn nothing_but_its_shape_is_taken_for_a_history() {
        let of = |rest: &str| format!(r#"{{"history":{{"symbol":"A","timeframe":"1m"{rest}}}}}"#);
        for text in [
            of(""),
            of(r#","id":"x""#),
            of(r#","id":"","parts":1"#),
            of(r#","id":"x","part":0"#),
            of(r#","id":"x","bars":[]"#),
            of(r#","id":"x","part":0,"bars":{}"#),
            of(r#","id":"x","part":-1,"bars":[]"#),
            of(r#","id":"x","part":0,"bars":[],"parts":1"#),
            of(r#","id":"x","parts":1,"forming":true"#),
            of(r#","id":"x","parts":1,"close":1"#),
            format!("[{}]", of(r#","id":"x","parts":1"#)),
            r#"{"symbol":"A","history":{}}"#.to_owned(),
            String::new(),
        ] {
            assert!(
                History::read(text.as_bytes(), &anywhere()).is_none(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_history_on_the_subject_of_another_series_is_refused() {
        let parts = Ok(SubjectParts {
            symbol: Some("A".into()),
            timeframe: Some(Timeframe::DAY),
        });
        let message = History::message(&key(), "x", HistoryStep::End { parts: 1 });
        let refusal = History::read(&message, &parts).unwrap().unwrap_err();
        assert_eq!(refusal.reason, Reason::Mismatch);
        assert!(refusal.detail.contains("subject and history disagree"));
    }

    #[test]
    fn histories_are_told_apart_by_their_ids() {
        let epoch = |id: &str| {
            let message = History::message(&key(), id, HistoryStep::End { parts: 1 });
            let read = History::read(&message, &anywhere()).unwrap().unwrap();
            read.epoch()
        };
        assert_eq!(epoch("a"), epoch("a"));
        assert_ne!(epoch("a"), epoch("b"));
    }
}
