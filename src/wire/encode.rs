//! Domain out: signals and bars to JSON, exact to the last bit of every double.

use bytes::Bytes;
use serde::Serialize;

use crate::aggregate::Parts;
use crate::engine::Signal;
use crate::market::{BarEvent, Timeframe, Timestamp};

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
        self.buffer.clear();
        encode_signal(signal, &mut self.buffer);
        Bytes::copy_from_slice(&self.buffer)
    }
}

/// Appends `signal` to `out`: the bytes of its `Serialize`, at half the cost. The keys are
/// known to need no escaping, so each is one copy.
pub fn encode_signal(signal: &Signal, out: &mut Vec<u8>) {
    // taken apart, so that a new field does not compile before it is written
    let Signal {
        symbol,
        timeframe,
        timestamp,
        open,
        high,
        low,
        close,
        volume,
        rsi,
        macd,
        macd_signal,
        macd_histogram,
        bb_upper,
        bb_middle,
        bb_lower,
        bb_width,
        bb_position,
        sma_short,
        sma_long,
        ema_short,
        ema_long,
        volume_sma,
        volume_ratio,
        trend_signal,
        momentum_signal,
        confidence,
        alerts,
        bars_analyzed,
        gap_bars,
        is_final,
        revision,
        source,
        parts,
        indicators,
    } = signal;
    macro_rules! numbers {
        ($($field:ident)*) => {
            $(
                out.extend_from_slice(concat!(",\"", stringify!($field), "\":").as_bytes());
                number((*$field).into(), out);
            )*
        };
    }
    out.extend_from_slice(b"{\"symbol\":");
    json(symbol, out);
    out.extend_from_slice(b",\"timeframe\":\"");
    out.extend_from_slice(timeframe.text().as_str().as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":\"");
    timestamp.write_rfc3339(out);
    out.push(b'"');
    numbers!(open high low close volume);
    numbers!(rsi macd macd_signal macd_histogram);
    numbers!(bb_upper bb_middle bb_lower bb_width bb_position);
    numbers!(sma_short sma_long ema_short ema_long volume_sma volume_ratio);
    out.extend_from_slice(b",\"trend_signal\":");
    json(trend_signal, out);
    out.extend_from_slice(b",\"momentum_signal\":");
    json(momentum_signal, out);
    numbers!(confidence);
    out.extend_from_slice(b",\"alerts\":");
    json(alerts, out);
    out.extend_from_slice(b",\"bars_analyzed\":");
    json(bars_analyzed, out);
    out.extend_from_slice(b",\"gap_bars\":");
    json(gap_bars, out);
    out.extend_from_slice(if *is_final {
        b",\"final\":true,\"revision\":".as_slice()
    } else {
        b",\"final\":false,\"revision\":"
    });
    json(revision, out);
    out.extend_from_slice(b",\"source\":");
    json(source, out);
    if let Some(Parts { have, expected }) = parts {
        out.extend_from_slice(b",\"parts\":");
        json(have, out);
        out.extend_from_slice(b",\"parts_expected\":");
        json(expected, out);
    }
    out.extend_from_slice(b",\"indicators\":");
    json(indicators, out);
    out.push(b'}');
}

/// A double in its shortest form that reads back the same, as `serde_json` writes it.
fn number(value: Option<f64>, out: &mut Vec<u8>) {
    match value {
        Some(value) if value.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        }
        _ => out.extend_from_slice(b"null"),
    }
}

fn json(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value)
        .expect("a vector takes every byte, and all keys of signals and bars are strings");
}

/// Appends `event` to `out` as an object with the native field names.
pub fn encode_bar(event: &BarEvent<'_>, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Object<'a> {
        symbol: &'a str,
        timeframe: Timeframe,
        #[serde(serialize_with = "Timestamp::serialize_rfc3339")]
        timestamp: Timestamp,
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
        is_final: event.finality.is_final(),
        source: event.source.as_deref(),
    };
    json(&object, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use crate::engine::{Alert, AlertSet, Momentum, Readings, Trend};
    use crate::market::Symbol;

    fn value() -> impl Strategy<Value = Option<f64>> {
        proptest::option::of(prop_oneof![
            any::<f64>(),
            -1e6..1e6,
            (-9i32..9).prop_map(f64::from)
        ])
    }

    prop_compose! {
        fn signal()(
            symbol in "[^\\p{Cc}]{1,16}",
            timeframe in proptest::sample::select(vec!["1s", "15m", "1d"]),
            nanos in any::<i64>(),
            plain in any::<[f64; 6]>(),
            v in proptest::collection::vec(value(), 15),
            trend_signal in proptest::sample::select(vec![Trend::Bullish, Trend::Bearish, Trend::Neutral]),
            momentum_signal in proptest::sample::select(
                vec![Momentum::Overbought, Momentum::Oversold, Momentum::Neutral]),
            raised in any::<[bool; 16]>(),
            (bars_analyzed, gap_bars, revision, is_final) in any::<(usize, u64, u32, bool)>(),
            source in proptest::option::of(any::<String>()),
            parts in proptest::option::of(any::<(u64, Option<u64>)>()),
        ) -> Signal {
            let mut alerts = AlertSet::EMPTY;
            for (alert, raised) in Alert::ALL.into_iter().zip(raised) {
                alerts.add(alert, raised);
            }
            let [open, high, low, close, volume, confidence] = plain;
            Signal {
                symbol: Symbol::new(&symbol).unwrap(),
                timeframe: timeframe.parse().unwrap(),
                timestamp: Timestamp::from_nanos(nanos),
                open, high, low, close, volume,
                rsi: v[0], macd: v[1], macd_signal: v[2], macd_histogram: v[3],
                bb_upper: v[4], bb_middle: v[5], bb_lower: v[6], bb_width: v[7], bb_position: v[8],
                sma_short: v[9], sma_long: v[10], ema_short: v[11], ema_long: v[12],
                volume_sma: v[13], volume_ratio: v[14],
                trend_signal, momentum_signal, confidence, alerts, bars_analyzed, gap_bars,
                is_final, revision,
                source: source.map(Into::into),
                parts: parts.map(|(have, expected)| Parts { have, expected }),
                indicators: Readings::default(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_signal_is_written_as_its_serialize_says(signal in signal()) {
            let expected = serde_json::to_string(&signal).unwrap();
            let mut encoder = Encoder::new();
            prop_assert_eq!(&encoder.signal(&signal), expected.as_bytes());
            prop_assert_eq!(&encoder.signal(&signal), expected.as_bytes());
        }
    }
}
