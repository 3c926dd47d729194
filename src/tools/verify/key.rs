//! By which one signal is told from another, read from its payload.

use std::borrow::Cow;

use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

use crate::market::{SeriesKey, Symbol, Timeframe, Timestamp};

/// A signal among all signals of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its series.
    pub series: SeriesKey,
    /// The open time of its bar.
    pub timestamp: Timestamp,
    /// The number of corrections of the bar.
    pub revision: u32,
}

/// The identity of a signal, and how much history it was computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The identity of the signal.
    pub key: Key,
    /// Bars in the window.
    pub bars_analyzed: u64,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    timeframe: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    revision: u32,
    #[serde(default)]
    bars_analyzed: u64,
}

impl Head {
    /// Reads a payload; nothing when it is no signal.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let read: Payload<'_> = serde_json::from_slice(payload).ok()?;
        let symbol = Symbol::new(&read.symbol).ok()?;
        let timeframe: Timeframe = read.timeframe.parse().ok()?;
        Some(Self {
            key: Key {
                series: SeriesKey::new(symbol, timeframe),
                timestamp: read.timestamp.parse().ok()?,
                revision: read.revision,
            },
            bars_analyzed: read.bars_analyzed,
        })
    }
}

/// A hash of what is stored and under which subject.
#[must_use]
pub fn hash(subject: &str, payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&(subject.len() as u64).to_le_bytes());
    hash.update(subject.as_bytes());
    hash.update(payload);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_told_by_series_time_and_revision() {
        let payload = br#"{"symbol":"BTC/USDT","timeframe":"1m","timestamp":"2024-01-01T00:01:00Z",
            "close":1.5,"bars_analyzed":7,"revision":2}"#;
        let head = Head::read(payload).unwrap();
        assert_eq!(head.key.series.to_string(), "BTC/USDT 1m");
        assert_eq!(head.key.timestamp.nanos(), 1_704_067_260_000_000_000);
        assert_eq!((head.key.revision, head.bars_analyzed), (2, 7));
    }

    #[test]
    fn what_is_no_signal_has_no_key() {
        for payload in [
            "",
            "[]",
            "{}",
            r#"{"symbol":"","timeframe":"1m","timestamp":"2024-01-01T00:01:00Z","revision":0}"#,
            r#"{"symbol":"A","timeframe":"7x","timestamp":"2024-01-01T00:01:00Z","revision":0}"#,
            r#"{"symbol":"A","timeframe":"1m","timestamp":"yesterday","revision":0}"#,
            r#"{"symbol":"A","timeframe":"1m","timestamp":"2024-01-01T00:01:00Z"}"#,
        ] {
            assert_eq!(Head::read(payload.as_bytes()), None, "{payload}");
        }
    }

    #[test]
    fn the_subject_is_part_of_what_is_stored() {
        assert_ne!(hash("a", b"b"), hash("b", b"b"));
        assert_ne!(hash("a", b"bc"), hash("ab", b"c"));
        assert_eq!(hash("a", b"b"), hash("a", b"b"));
    }
}
