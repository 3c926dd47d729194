//! Cost of a bar on the wire: reading it, writing its signal, its headers.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use technical_analysis_agent::engine::{Alert, AlertSet, Momentum, Readings, Signal, Trend};
use technical_analysis_agent::market::{Symbol, Timeframe, Timestamp};
use technical_analysis_agent::wire::headers::{Provenance, SignalHeaders, message_id};
use technical_analysis_agent::wire::{
    Decoder, Encoder, InputRules, SubjectParts, SubjectPattern, SubjectRefusal,
};

const NATIVE: &str = r#"{"symbol":"BTCUSDT","timeframe":"1m","timestamp":"2026-01-31T14:30:00Z","open":67123.45,"high":67180.02,"low":67101.9,"close":67155.31,"volume":12.84513}"#;
const EPOCH: &str = r#"{"s":"BTCUSDT","i":"1m","t":1769869800000,"o":"67123.45","h":"67180.02","l":"67101.90","c":"67155.31","v":"12.84513","x":true}"#;
const BINANCE: &str = r#"{"e":"kline","E":1769869860012,"s":"BTCUSDT","k":{"t":1769869800000,"T":1769869859999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"67123.45","c":"67155.31","h":"67180.02","l":"67101.90","v":"12.84513","n":100,"x":true,"q":"862544.1","V":"6.2","Q":"416310.5","B":"0"}}"#;
const NOW: Timestamp = Timestamp::from_nanos(1_769_869_860_000_000_000);

fn signal() -> Signal {
    let mut alerts = AlertSet::EMPTY;
    alerts.add(Alert::MacdBullishCross, true);
    Signal {
        symbol: Symbol::new("BTCUSDT").expect("a symbol"),
        timeframe: Timeframe::MINUTE,
        timestamp: "2026-01-31T14:30:00Z".parse().expect("a timestamp"),
        open: 67_123.45,
        high: 67_180.02,
        low: 67_101.9,
        close: 67_155.31,
        volume: 12.845_13,
        rsi: Some(56.348_129_482_139_84),
        macd: Some(14.238_471_923_847_19),
        macd_signal: Some(12.981_237_481_923_48),
        macd_histogram: Some(1.257_234_441_923_71),
        bb_upper: Some(67_231.183_472_918_35),
        bb_middle: Some(67_102.458_5),
        bb_lower: Some(66_973.733_527_081_65),
        bb_width: Some(257.449_945_836_698_6),
        bb_position: Some(0.705_287_918_237_419),
        sma_short: Some(67_102.458_5),
        sma_long: Some(67_044.119_2),
        ema_short: Some(67_119.918_273_645_1),
        ema_long: Some(67_091.192_837_465_1),
        volume_sma: Some(10.918_273_645_1),
        volume_ratio: Some(1.176_478_912_837_46),
        trend_signal: Trend::Bullish,
        momentum_signal: Momentum::Neutral,
        confidence: 1.0,
        alerts,
        bars_analyzed: 200,
        gap_bars: 0,
        is_final: true,
        revision: 0,
        source: Some(Arc::from("binance")),
        parts: None,
        indicators: Readings::default(),
    }
}

fn decode(c: &mut Criterion) {
    let decoder = Decoder::new(InputRules::new(262_144, Timeframe::MINUTE));
    let pattern: SubjectPattern = "raw.market_data.price.>".parse().expect("a pattern");
    let silent: Result<SubjectParts<'_>, SubjectRefusal> = Ok(SubjectParts::default());
    let array = format!("[{}]", vec![NATIVE; 100].join(","));
    let mut group = c.benchmark_group("decode");
    for (name, payload, bars) in [
        ("native", NATIVE, 1),
        ("exchange", EPOCH, 1),
        ("binance", BINANCE, 1),
        ("array_of_100", &array, 100),
    ] {
        group.throughput(Throughput::Elements(bars));
        group.bench_function(name, |b| {
            b.iter(|| {
                decoder.decode(black_box(payload.as_bytes()), &silent, NOW, |element, _| {
                    assert!(black_box(element).is_ok());
                });
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("subject", |b| {
        b.iter(|| black_box(pattern.parts(black_box("raw.market_data.price.BTCUSDT.1m"))));
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let signal = signal();
    let mut encoder = Encoder::new();
    let headers = SignalHeaders::new("agent-1", "technical-analysis", "0.1.0");
    let series =
        technical_analysis_agent::market::SeriesKey::new(signal.symbol.clone(), signal.timeframe);
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("signal", |b| b.iter(|| encoder.signal(black_box(&signal))));
    group.bench_function("timestamp", |b| {
        b.iter(|| black_box(signal.timestamp).to_string());
    });
    group.bench_function("message_id", |b| {
        b.iter(|| {
            message_id(
                "technical-analysis",
                black_box(&series),
                signal.timestamp,
                0,
                0,
            )
        });
    });
    group.bench_function("headers", |b| {
        b.iter(|| {
            headers.build(Provenance {
                message_id: Some(message_id(
                    "technical-analysis",
                    &series,
                    signal.timestamp,
                    0,
                    0,
                )),
                input_seq: Some(black_box(123_456_789)),
                latency_us: black_box(85),
                traceparent: None,
            })
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
