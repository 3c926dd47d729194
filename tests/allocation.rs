//! Allocations per bar of a known series: none in the engine, and from the bytes of a message to
//! those of its signal only the payload.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use technical_analysis_agent::aggregate::TradePlan;
use technical_analysis_agent::engine::{AnalysisConfig, Effect, Engine, Refusal};
use technical_analysis_agent::indicators::{catalogue, parse};
use technical_analysis_agent::market::{
    Bar, BarEvent, Finality, Timeframe, Timestamp, Trade, TradeConditions, TradeEvent, TradeId,
};
use technical_analysis_agent::pipeline::{Filter, Message, Output, Pipeline, Sink, Taken};
use technical_analysis_agent::tools::synthetic::Synthetic;
use technical_analysis_agent::wire::{Decoder, Encoder, InputRules, SubjectPattern};

const NOW: Timestamp = Timestamp::from_nanos(1_769_869_860_000_000_000);
const WINDOW: usize = 200;
/// Past it, every buffer has its size.
const WARM: usize = 3 * WINDOW;
/// Enough for the window to be slid back several times.
const BARS: u32 = 2_000;

fn payloads() -> Vec<Vec<u8>> {
    let walk = Synthetic {
        symbols: 1,
        bars: BARS,
        seed: 7,
        timeframe: Timeframe::MINUTE,
        end: NOW,
    };
    walk.bars().unwrap().map(|bar| bar.payload).collect()
}

const fn decoder() -> Decoder {
    Decoder::new(InputRules::new(262_144, Timeframe::MINUTE))
}

fn bars() -> Vec<Bar> {
    let mut bars = Vec::new();
    for payload in payloads() {
        decoder().decode(&payload, &Ok(Default::default()), NOW, |element, _| {
            bars.push(element.unwrap().bar);
        });
    }
    bars
}

fn event(bar: Bar, is_final: bool) -> BarEvent<'static> {
    BarEvent {
        symbol: Cow::Borrowed("SYN1"),
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

fn config(indicators: &str) -> Arc<AnalysisConfig> {
    Arc::new(AnalysisConfig {
        window: WINDOW,
        indicators: parse(indicators).unwrap(),
        ..AnalysisConfig::default()
    })
}

/// Every indicator there is, those with values of their own to remember among them.
fn whole_catalogue() -> String {
    let names: Vec<&str> = catalogue().iter().map(|entry| entry.name).collect();
    names.join(",")
}

/// Keeps the payload of the last signal.
#[derive(Default)]
struct Encoded {
    encoder: Encoder,
    signal: Option<Bytes>,
}

impl Filter for Encoded {}

impl Sink for Encoded {
    fn output(&mut self, output: Output<'_>) {
        let Output::Taken(Taken { signal, .. }) = output else {
            panic!("{output:?}")
        };
        self.signal = signal.map(|signal| self.encoder.signal(signal));
    }
}

/// Allocations of `engine` on `event`, which must have `effect`.
fn cost(engine: &mut Engine, event: &BarEvent<'_>, effect: Effect) -> u64 {
    let mut seen = None;
    let counted = measure(|| seen = Some(engine.on_bar(event, NOW).effect));
    assert_eq!(seen, Some(effect));
    counted.count_total
}

#[test]
fn the_counter_counts() {
    let counted = measure(|| drop(std::hint::black_box(vec![0u8; 100])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
}

#[test]
fn a_bar_of_a_known_series_allocates_nothing_in_the_engine() {
    for indicators in ["", &whole_catalogue()] {
        let mut engine = Engine::new(config(indicators), 10);
        let bars = bars();
        let mut spoke = 0;
        for (at, bar) in bars.iter().enumerate() {
            let appended = cost(&mut engine, &event(*bar, true), Effect::Appended);
            let mut corrected = *bar;
            corrected.volume += 1.0;
            let mut forming = *bar;
            forming.timestamp =
                Timestamp::from_nanos(bar.timestamp.nanos() + Timeframe::MINUTE.nanos());
            let newest = bar.timestamp;
            // the newest 32 can be corrected
            let late = at.checked_sub(32).map(|at| event(bars[at], true));
            let costs = [
                appended,
                cost(&mut engine, &event(corrected, true), Effect::Corrected),
                cost(&mut engine, &event(corrected, true), Effect::Duplicate),
                cost(&mut engine, &event(forming, false), Effect::Forming),
                late.map_or(0, |late| {
                    let refused = Effect::Refused(Refusal::Late {
                        newest,
                        correctable: 32,
                    });
                    cost(&mut engine, &late, refused)
                }),
            ];
            if at >= WARM {
                assert_eq!(
                    costs, [0; 5],
                    "bar {at} with further indicators: {indicators:?}"
                );
                spoke += 1;
            }
        }
        assert_eq!(spoke, bars.len() - WARM);
    }
}

#[test]
fn derived_bars_allocate_nothing_either() {
    let derived = AnalysisConfig {
        derived: "2m,5m,15m,30m,1h".parse().unwrap(),
        ..AnalysisConfig::clone(&config(""))
    };
    let mut engine = Engine::new(Arc::new(derived), 10);
    let bars = bars();
    let minutes = 24_000;
    let mut closed = 0;
    for minute in 0..minutes {
        let mut bar = bars[usize::try_from(minute).unwrap() % bars.len()];
        bar.timestamp = Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos());
        let event = event(bar, true);
        let counted = measure(|| {
            engine.close_before(&event);
            while engine.next_derived(NOW).is_some() {}
            let effect = engine.on_bar(&event, NOW).effect;
            while engine.next_derived(NOW).is_some() {
                closed += 1;
            }
            engine.peek_derived(&event, effect);
            while engine.next_derived(NOW).is_some() {}
        });
        // 266 hours: the window of the largest is full and was slid back
        if minute > 16_000 {
            assert_eq!(counted.count_total, 0, "minute {minute}");
        }
    }
    assert_eq!(engine.len(), 6);
    assert_eq!(closed, 12_000 + 4_800 + 1_600 + 800 + 400);
}

#[test]
fn a_trade_of_a_known_symbol_allocates_nothing_in_the_engine() {
    let traded = AnalysisConfig {
        derived: "5m,1h".parse().unwrap(),
        trades: Some(TradePlan {
            timeframe: Timeframe::MINUTE,
            lateness: Duration::from_secs(10),
            conditions: TradeConditions::None,
        }),
        ..AnalysisConfig::clone(&config(""))
    };
    let mut engine = Engine::new(Arc::new(traded), 10);
    let mut closed = 0;
    // one in seven seconds, some of them late and two minutes late
    let trades = 160_000_u32;
    for number in 0..trades {
        let late = match number % 50 {
            13 => 130,
            turn => i64::from(turn % 9),
        };
        let seconds = 1_000 + 7 * i64::from(number) - late;
        let event = TradeEvent {
            symbol: Cow::Borrowed("A"),
            trade: Trade {
                timestamp: Timestamp::from_nanos(seconds * 1_000_000_000),
                price: 10.0 + f64::from(number % 17) / 100.0,
                size: f64::from(1 + number % 5) / 10.0,
                id: Some(TradeId::number(u128::from(number))),
                forms_prices: true,
            },
        };
        let counted = measure(|| {
            engine.on_trade(&event, NOW);
            while engine.next_derived(NOW).is_some() {
                closed += 1;
                while engine.next_revision().is_some() {}
            }
        });
        // 272 hours: the window of the largest is full and was slid back
        let reopens = late > 100;
        if number > 140_000 && !reopens {
            assert_eq!(counted.count_total, 0, "trade {number}");
        }
    }
    assert!(closed > 20_000, "{closed}");
    let totals = engine.take_trade_totals();
    assert!(totals.reopened > 3_000, "{totals:?}");
}

#[test]
fn from_message_to_signal_only_the_payload_is_allocated() {
    for indicators in ["", &whole_catalogue()] {
        let mut pipeline = Pipeline::new(decoder(), Engine::new(config(indicators), 10));
        let mut encoded = Encoded::default();
        let pattern: SubjectPattern = "raw.market_data.price.>".parse().unwrap();
        for (at, payload) in payloads().iter().enumerate() {
            encoded.signal = None;
            let counted = measure(|| {
                let message = Message {
                    payload,
                    subject: &pattern.parts("raw.market_data.price.SYN1"),
                    arrived: NOW,
                };
                let taken = pipeline.guard(|pipeline| pipeline.take(&message, &mut encoded));
                assert_eq!(taken, Ok(()));
            });
            if at >= WARM {
                let signal = encoded.signal.as_ref().expect("a signal for every bar");
                let bytes = signal.len() as u64;
                assert_eq!(
                    (counted.count_total, counted.bytes_total),
                    (1, bytes),
                    "bar {at} with further indicators: {indicators:?}"
                );
            }
        }
    }
}
