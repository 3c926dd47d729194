//! Histories and live bars in any order give the same result as in the order of time.

mod joined;
mod order;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{AnalysisConfig, Engine};
use crate::market::{Bar, SeriesKey, Symbol, Timeframe, Timestamp};
use crate::pipeline::{Filter, Message, Output, Pipeline, Sink};
use crate::wire::{
    Decoder, FinalRule, History, HistoryStep, InputRules, SubjectParts, encode_signal,
    write_history_bar,
};

/// Minute bars of two sessions, with the night between them.
const BARS: &str = include_str!("../../../tests/data/bars/spy_1m.csv");
const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);
const WINDOW: usize = 60;

fn bars() -> Vec<Bar> {
    let number = |text: &str| -> f64 { text.parse().unwrap() };
    let bar = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Bar {
            timestamp: cells[0].parse().unwrap(),
            open: number(cells[1]),
            high: number(cells[2]),
            low: number(cells[3]),
            close: number(cells[4]),
            volume: number(cells[5]),
        }
    };
    BARS.lines().skip(1).map(bar).collect()
}

fn key() -> SeriesKey {
    SeriesKey::new(Symbol::new("SPY").unwrap(), Timeframe::MINUTE)
}

fn live(bar: &Bar) -> Vec<u8> {
    let at = bar.timestamp;
    let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close];
    format!(
        r#"{{"s":"SPY","tf":"1m","t":"{at}","o":{open},"h":{high},"l":{low},"c":{close},"v":{},"source":"live"}}"#,
        bar.volume
    )
    .into_bytes()
}

fn sent(bars: &[Bar]) -> Vec<Vec<u8>> {
    bars.iter().map(live).collect()
}

fn part(id: &str, part: u32, bars: &[Bar], forming: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for (at, bar) in bars.iter().enumerate() {
        text.push(if at == 0 { b'[' } else { b',' });
        write_history_bar(bar, &mut text);
    }
    if bars.is_empty() {
        text.push(b'[');
    }
    text.push(b']');
    let bars = std::str::from_utf8(&text).unwrap();
    let step = HistoryStep::Part {
        part,
        bars,
        forming,
    };
    History::message(&key(), id, step)
}

fn end(id: &str, parts: u32) -> Vec<u8> {
    History::message(&key(), id, HistoryStep::End { parts })
}

/// The messages of a history of these bars, in parts of `size`, with its end.
fn history(id: &str, bars: &[Bar], size: usize, forming: bool) -> Vec<Vec<u8>> {
    let chunks: Vec<&[Bar]> = bars.chunks(size).collect();
    let mut messages = Vec::new();
    for (at, bars) in chunks.iter().enumerate() {
        let forming = forming && at + 1 == chunks.len();
        messages.push(part(id, u32::try_from(at).unwrap(), bars, forming));
    }
    let parts = u32::try_from(messages.len()).unwrap();
    messages.push(end(id, parts));
    messages
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    next: bool,
    idle: bool,
    frequency: u64,
}

fn pipeline(settings: Settings) -> Pipeline {
    let config = AnalysisConfig {
        min_bars: 10,
        window: WINDOW,
        publish_frequency: settings.frequency,
        indicators: crate::indicators::parse("atr(3),obv(),kama(10)").unwrap(),
        derived: "5m,1h".parse().unwrap(),
        ..AnalysisConfig::default()
    };
    let rules = InputRules {
        final_rule: if settings.next {
            FinalRule::Next
        } else {
            FinalRule::Flag
        },
        ..InputRules::new(1 << 20, Timeframe::MINUTE)
    };
    let idle = settings.idle.then_some(Duration::from_secs(6 * 3600));
    let engine = Engine::new(Arc::new(config), 10).forgetting(idle);
    Pipeline::new(Decoder::new(rules), engine)
}

/// Outputs in short form, and the signals of bars.
#[derive(Default)]
struct Noted {
    said: Vec<String>,
    signals: Vec<String>,
    restated: Vec<String>,
}

impl Filter for Noted {}

impl Sink for Noted {
    fn output(&mut self, output: Output<'_>) {
        let encoded = |signal| {
            let mut line = Vec::new();
            encode_signal(signal, &mut line);
            String::from_utf8(line).unwrap()
        };
        match output {
            Output::Taken(taken) | Output::Derived(taken) | Output::Revised(taken) => {
                self.signals.extend(taken.signal.map(encoded));
            }
            Output::Restated(taken) => self.restated.extend(taken.signal.map(encoded)),
            Output::Gathered(bars) => self.said.push(format!("gathered {bars}")),
            Output::Rebuilt(taken) => {
                let one = taken.rebuilt;
                self.said.push(format!(
                    "rebuilt {} new, {} known, {} replaced",
                    one.taken, one.duplicates, one.corrections
                ));
            }
            Output::Refused(refusal) => self.said.push(format!(
                "{} {}: {}",
                refusal.elements, refusal.reason, refusal.detail
            )),
            Output::Duplicate(_)
            | Output::Reset(_)
            | Output::Marked(_)
            | Output::Ignored(_)
            | Output::Trade(_) => {}
        }
    }
}

fn feed<'a>(pipeline: &mut Pipeline, messages: impl IntoIterator<Item = &'a Vec<u8>>) -> Noted {
    let mut noted = Noted::default();
    let subject = Ok(SubjectParts::default());
    for payload in messages {
        let message = Message {
            payload,
            subject: &subject,
            arrived: NOW,
        };
        let taken = pipeline.guard(|pipeline| pipeline.take(&message, &mut noted));
        assert_eq!(taken, Ok(()));
    }
    noted
}

const PLAIN: Settings = Settings {
    next: false,
    idle: false,
    frequency: 1,
};
