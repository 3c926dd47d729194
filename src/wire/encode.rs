//! Domain out: signals and bars to JSON, exact to the last bit of every double.

use bytes::Bytes;
use serde::Serialize;

use crate::engine::Signal;
use crate::market::BarEvent;

/// Writes signals as JSON, one buffer for all of them: the only allocation per signal is
/// its payload.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: Vec<u8>,
}

impl Encoder {
    /// An encoder with an empty buffer, which grows to the largest signal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The payload of `signal`.
    pub fn signal(&mut self, signal: &Signal) -> Bytes {
        Bytes::copy_from_slice(self.signal_bytes(signal))
    }

    /// The payload of `signal`, in the encoder's own buffer.
    pub fn signal_bytes(&mut self, signal: &Signal) -> &[u8] {
        self.buffer.clear();
        write_json(&mut self.buffer, signal);
        &self.buffer
    }
}

/// Appends `event` to `out` as an object with the native field names.
pub fn encode_bar(event: &BarEvent<'_>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Object<'a> {
        symbol: &'a str,
        timeframe: crate::market::Timeframe,
        #[serde(serialize_with = "crate::market::Timestamp::serialize_rfc3339")]
        timestamp: crate::market::Timestamp,
        open: f64,
        high: f64,
        low: f64,
        close: f64,
        volume: f64,
        #[serde(rename = "final")]
        is_final: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<&'a str>,
    }
    let bar = &event.bar;
    let object = Object {
        symbol: &event.symbol,
        timeframe: event.timeframe,
        timestamp: bar.timestamp,
        open: bar.open,
        high: bar.high,
        low: bar.low,
        close: bar.close,
        volume: bar.volume,
        is_final: event.is_final,
        source: event.source.as_deref(),
    };
    write_json(out, &object);
}

fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out, value)
        .expect("a vector takes every byte, and all keys of signals and bars are strings");
}
