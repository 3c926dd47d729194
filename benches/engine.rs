//! Cost of a bar in the engine, by the indicators, the window and the corrections configured, and
//! its cost from the bytes of the message to the bytes of the signal.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use technical_analysis_agent::aggregate::TradePlan;
use technical_analysis_agent::engine::{AnalysisConfig, Engine};
use technical_analysis_agent::indicators::parse;
use technical_analysis_agent::market::{
    Bar, BarEvent, Finality, SeriesKey, Timeframe, Timestamp, Trade, TradeConditions, TradeEvent,
    TradeId,
};
use technical_analysis_agent::pipeline::{Filter, Message, Output, Pipeline, Sink};
use technical_analysis_agent::tools::synthetic::Synthetic;
use technical_analysis_agent::wire::headers::{Provenance, SignalHeaders, message_id};
use technical_analysis_agent::wire::{Decoder, Encoder, InputRules, SubjectPattern};

const TYPICAL: &str = "atr(14),adx(14),stoch(14,3,3),supertrend(10,3),obv";
const NOW: Timestamp = Timestamp::from_nanos(1_769_869_860_000_000_000);
const SYMBOL: &str = "SYN1";
/// Bars that are made up before they repeat, at later times.
const WALK: u32 = 4_096;

const fn decoder() -> Decoder {
    Decoder::new(InputRules::new(262_144, Timeframe::MINUTE))
}

fn payloads() -> Vec<Vec<u8>> {
    let walk = Synthetic {
        symbols: 1,
        bars: WALK,
        seed: 1,
        timeframe: Timeframe::MINUTE,
        end: NOW,
    };
    let bars = walk.bars().expect("a few thousand minutes fit after 1970");
    bars.map(|bar| bar.payload).collect()
}

/// The bars of [`payloads`].
fn walk() -> Vec<Bar> {
    let mut bars = Vec::new();
    for payload in payloads() {
        decoder().decode(&payload, &Ok(Default::default()), NOW, |element, _| {
            bars.push(element.expect("a valid bar").bar);
        });
    }
    bars
}

/// Bars without end: the walk again and again, a minute apart.
struct Feed {
    walk: Vec<Bar>,
    sent: usize,
}

impl Feed {
    fn new() -> Self {
        Self {
            walk: walk(),
            sent: 0,
        }
    }

    fn next(&mut self) -> Bar {
        let mut bar = self.walk[self.sent % self.walk.len()];
        self.sent += 1;
        let minutes = i64::try_from(self.sent).expect("fewer bars than nanoseconds");
        bar.timestamp = Timestamp::from_nanos(minutes * Timeframe::MINUTE.nanos());
        bar
    }
}

fn event(symbol: &str, bar: Bar, is_final: bool) -> BarEvent<'_> {
    BarEvent {
        symbol: Cow::Borrowed(symbol),
        timeframe: Timeframe::MINUTE,
        bar,
        finality: if is_final {
            Finality::Final
        } else {
            Finality::Forming
        },
        adjusted: false,
        source: Some(Cow::Borrowed("synthetic")),
    }
}

fn config(window: usize, indicators: &str) -> Arc<AnalysisConfig> {
    Arc::new(AnalysisConfig {
        window,
        indicators: parse(indicators).expect("indicators of the catalogue"),
        ..AnalysisConfig::default()
    })
}

/// An engine that knows one series with a full window, and what comes next.
fn warm(config: &Arc<AnalysisConfig>) -> (Engine, Feed) {
    let mut engine = Engine::new(Arc::clone(config), 100_000);
    let mut feed = Feed::new();
    for _ in 0..2 * config.window {
        engine.on_bar(&event(SYMBOL, feed.next(), true), NOW);
    }
    (engine, feed)
}

fn one_series(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    for (name, window, indicators) in [
        ("default/window_200", 200, ""),
        ("default/window_1000", 1_000, ""),
        ("typical/window_200", 200, TYPICAL),
        ("typical/window_1000", 1_000, TYPICAL),
    ] {
        let (mut engine, mut feed) = warm(&config(window, indicators));
        group.bench_function(name, |b| {
            b.iter(|| {
                let bar = event(SYMBOL, feed.next(), true);
                black_box(engine.on_bar(black_box(&bar), NOW).signal.is_some())
            });
        });
    }
    let newest_only = AnalysisConfig {
        correctable_bars: 1,
        ..AnalysisConfig::clone(&config(200, ""))
    };
    let (mut engine, mut feed) = warm(&Arc::new(newest_only));
    group.bench_function("newest_correctable/window_200", |b| {
        b.iter(|| {
            let bar = event(SYMBOL, feed.next(), true);
            black_box(engine.on_bar(black_box(&bar), NOW).signal.is_some())
        });
    });
    for depth in [0, 1, 8, 31] {
        let (mut engine, mut feed) = warm(&config(200, ""));
        let bars: Vec<Bar> = (0..32).map(|_| feed.next()).collect();
        for bar in &bars {
            engine.on_bar(&event(SYMBOL, *bar, true), NOW);
        }
        let mut bar = bars[bars.len() - 1 - depth];
        group.bench_function(format!("default/correction_{depth}_bars_deep"), |b| {
            b.iter(|| {
                bar.volume += 1.0;
                let event = event(SYMBOL, bar, true);
                black_box(engine.on_bar(black_box(&event), NOW).signal.is_some());
                let mut revised = 0;
                while let Some(revision) = engine.next_revision() {
                    revised += usize::from(black_box(revision.signal).is_final);
                }
                revised
            });
        });
    }
    // of the bars that close, 1 in 5, 15, 30, 60 and 240
    let derived = AnalysisConfig {
        derived: "5m,15m,30m,1h,4h".parse().expect("timeframes"),
        ..AnalysisConfig::clone(&config(200, ""))
    };
    let (mut engine, mut feed) = warm(&Arc::new(derived));
    group.bench_function("default/derived_5_timeframes", |b| {
        b.iter(|| {
            let bar = event(SYMBOL, feed.next(), true);
            engine.close_before(&bar);
            while engine.next_derived(NOW).is_some() {}
            black_box(engine.on_bar(black_box(&bar), NOW).signal.is_some());
            while engine.next_derived(NOW).is_some() {}
        });
    });
    let trades = AnalysisConfig {
        trades: Some(TradePlan {
            timeframe: Timeframe::MINUTE,
            lateness: Duration::from_secs(10),
            conditions: TradeConditions::None,
        }),
        ..AnalysisConfig::clone(&config(200, ""))
    };
    let mut engine = Engine::new(Arc::new(trades), 100_000);
    let mut number = 0_u32;
    // one in a second, so that one in 60 closes a minute
    group.bench_function("default/trade", |b| {
        b.iter(|| {
            number += 1;
            let trade = TradeEvent {
                symbol: SYMBOL.into(),
                trade: Trade {
                    timestamp: Timestamp::from_nanos(i64::from(number) * 1_000_000_000),
                    price: 100.0 + f64::from(number % 17) / 100.0,
                    size: f64::from(1 + number % 9) / 10.0,
                    id: Some(TradeId::number(u128::from(number))),
                    forms_prices: true,
                },
            };
            engine.on_trade(black_box(&trade), NOW);
            while engine.next_derived(NOW).is_some() {}
        });
    });
    let (mut engine, mut feed) = warm(&config(200, ""));
    engine.on_bar(&event(SYMBOL, feed.next(), true), NOW);
    let forming = feed.next();
    group.bench_function("default/forming", |b| {
        b.iter(|| {
            let event = event(SYMBOL, forming, false);
            black_box(engine.on_bar(black_box(&event), NOW).signal.is_some())
        });
    });
    group.finish();
}

/// Every bar finds its series gone from the caches of the processor.
fn many_series(c: &mut Criterion) {
    const SERIES: usize = 10_000;
    let symbols: Vec<String> = (0..SERIES).map(|n| format!("SYN{n}")).collect();
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    for (name, indicators) in [("default", ""), ("typical", TYPICAL)] {
        let config = config(200, indicators);
        let mut engine = Engine::new(config, 100_000);
        let mut feed = Feed::new();
        for _ in 0..200 {
            let bar = feed.next();
            for symbol in &symbols {
                engine.on_bar(&event(symbol, bar, true), NOW);
            }
        }
        let (mut at, mut bar) = (0, feed.next());
        group.bench_function(format!("{name}/series_{SERIES}"), |b| {
            b.iter(|| {
                if at == SERIES {
                    (at, bar) = (0, feed.next());
                }
                let event = event(&symbols[at], bar, true);
                at += 1;
                black_box(engine.on_bar(black_box(&event), NOW).signal.is_some())
            });
        });
    }
    group.finish();
}

/// Encodes every signal, and makes its headers where they are asked for.
struct Encoded<'h> {
    encoder: Encoder,
    headers: Option<&'h SignalHeaders>,
}

impl Filter for Encoded<'_> {}

impl Sink for Encoded<'_> {
    fn output(&mut self, output: Output<'_>) {
        let Output::Taken(taken) = output else {
            panic!("{output:?}");
        };
        let Some(signal) = taken.signal else {
            return;
        };
        if let Some(headers) = self.headers {
            let key = SeriesKey::new(signal.symbol.clone(), signal.timeframe);
            let (at, revision) = (signal.timestamp, signal.revision);
            let id = message_id("technical-analysis", &key, at, revision, 0);
            black_box(headers.build(Provenance {
                message_id: Some(id),
                input_seq: None,
                latency_us: black_box(85),
                traceparent: None,
            }));
        }
        black_box(self.encoder.signal(signal));
    }
}

/// From a message to its signal. The goal is a microsecond without the headers, which are
/// the connection's form and not ours.
fn pipeline(c: &mut Criterion) {
    let payloads = payloads();
    let pattern: SubjectPattern = "raw.market_data.price.>".parse().expect("a pattern");
    let headers = SignalHeaders::new("agent-1", "technical-analysis", "0.1.0");
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(u64::from(WALK)));
    for (name, indicators, with_headers) in [
        ("default", "", false),
        ("typical", TYPICAL, false),
        ("default_with_headers", "", true),
    ] {
        let config = config(200, indicators);
        let mut encoded = Encoded {
            encoder: Encoder::new(),
            headers: with_headers.then_some(&headers),
        };
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || Pipeline::new(decoder(), Engine::new(Arc::clone(&config), 100_000)),
                |pipeline| {
                    for payload in &payloads {
                        let message = Message {
                            payload,
                            subject: &pattern.parts("raw.market_data.price.SYN1"),
                            arrived: NOW,
                        };
                        pipeline.take(&message, &mut encoded);
                    }
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, one_series, many_series, pipeline);
criterion_main!(benches);
