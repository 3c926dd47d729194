//! The law of dialects: real bars in a vendor's shape, with forming updates, repeats and messages
//! that are no bars between them, give the signals of the same bars in the generic shape, byte for
//! byte, each once.

use std::collections::BTreeMap;
use std::sync::Arc;

use technical_analysis_agent::engine::{AnalysisConfig, Engine};
use technical_analysis_agent::indicators::parse;
use technical_analysis_agent::market::{Bar, Timeframe, Timestamp};
use technical_analysis_agent::wire::dialects::REGISTRY;
use technical_analysis_agent::wire::{Content, Decoder, DialectRule, InputRules, SubjectParts};

use crate::bars;
use crate::vendors::{Manner, SYMBOL, Vendor, vendors};

const BARS: usize = 240;
const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

/// The outcome of some messages.
#[derive(Default)]
pub struct Run {
    /// The signals of complete bars, as they are published.
    pub complete: Vec<String>,
    /// The number of signals of forming bars.
    pub forming: usize,
    /// Elements that were no bars: refused by reason, ignored by kind.
    pub others: BTreeMap<String, usize>,
    by: BTreeMap<&'static str, usize>,
}

pub fn run(rule: DialectRule, subject: &SubjectParts<'static>, messages: &[String]) -> Run {
    let rules = InputRules {
        dialect: rule,
        ..InputRules::new(262_144, Timeframe::MINUTE)
    };
    run_by(rules, subject, messages)
}

/// [`run`] by any rules.
pub fn run_by(rules: InputRules, subject: &SubjectParts<'static>, messages: &[String]) -> Run {
    let config = AnalysisConfig {
        indicators: parse("atr(14),adx(14),vwap,obv,stoch(14,3,3)").unwrap(),
        ..AnalysisConfig::default()
    };
    let mut engine = Engine::new(Arc::new(config), 10);
    let decoder = Decoder::new(rules);
    let subject = Ok(subject.clone());
    let mut run = Run::default();
    for message in messages {
        decoder.decode_all(message.as_bytes(), &subject, NOW, |element| {
            let event = match &element.content {
                Content::Bar(event) => event,
                Content::Trade(trade) => panic!("{trade:?} without a setting that takes trades"),
                Content::Ignored(kind) => {
                    *run.others.entry(kind.name().to_owned()).or_default() += 1;
                    return;
                }
                Content::Refused(refusal) => {
                    *run.others.entry(refusal.reason.to_string()).or_default() += 1;
                    return;
                }
            };
            *run.by.entry(element.dialect).or_default() += 1;
            let closed = engine.closed_by(event);
            for event in closed.iter().chain([event]) {
                let outcome = engine.on_bar(event, NOW);
                match outcome.signal {
                    Some(signal) if signal.is_final => {
                        run.complete.push(serde_json::to_string(signal).unwrap());
                    }
                    Some(_) => run.forming += 1,
                    None => {}
                }
            }
        });
    }
    run
}

/// The bar as it was after a part of its time.
fn forming(bar: &Bar) -> [Bar; 2] {
    let first = Bar {
        high: bar.open,
        low: bar.open,
        close: bar.open,
        volume: 1.0,
        ..*bar
    };
    let second = Bar {
        low: bar.open.min(bar.high),
        close: bar.high,
        volume: (bar.volume / 2.0).ceil(),
        ..*bar
    };
    [first, second]
}

/// Messages of the vendor that are no bars, and how many elements they have.
fn others(dialect: &str) -> (Vec<String>, usize) {
    let path = format!(
        "{}/tests/data/dialects/{dialect}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let mut elements = 0;
    let mut messages = Vec::new();
    for line in text.lines().skip(1) {
        let (_, subject, message, contents): (String, String, serde_json::Value, Vec<String>) =
            serde_json::from_str(line).unwrap();
        // what its own subject makes no bar may be one under another
        let is_none =
            |content: &String| content.starts_with("ignored ") || content.starts_with("refused ");
        if contents.iter().all(is_none) && subject.is_empty() && !message[0].is_array() {
            elements += contents.len();
            messages.push(message.to_string());
        }
    }
    (messages, elements)
}

fn check(dialect: &str, vendor: &Vendor) {
    let timeframe: Timeframe = vendor.timeframe.parse().unwrap();
    let bars = bars(timeframe, BARS);
    let clean: Vec<String> = bars
        .iter()
        .map(|bar| {
            let Bar { timestamp, open, high, low, close, volume } = bar;
            format!(
                r#"{{"symbol":"{SYMBOL}","timeframe":"{timeframe}","timestamp":"{timestamp}","open":{open},"high":{high},"low":{low},"close":{close},"volume":{volume}}}"#
            )
        })
        .collect();
    let silent = SubjectParts::default();
    let expected = run(DialectRule::Auto, &silent, &clean);
    assert_eq!(expected.complete.len(), BARS - 49);
    assert!(expected.by.keys().eq(["generic"].iter()) && expected.others.is_empty());

    let (noise, noise_elements) = others(dialect);
    let mut messages = Vec::new();
    let mut noises = 0;
    let mut complete = bars.as_slice();
    if let Some(snapshot) = vendor.snapshot {
        // history first, and once more after a new connection; the newest bar is forming
        let (history, rest) = bars.split_at(100);
        complete = rest;
        for newest in forming(&rest[0]) {
            messages.push(snapshot(&[history, &[newest]].concat()));
        }
    }
    for (at, bar) in complete.iter().enumerate() {
        if vendor.manner != Manner::Complete {
            messages.extend(forming(bar).iter().map(|bar| (vendor.message)(bar, false)));
        }
        if let Some(message) = noise.get(at % noise.len().max(1)) {
            messages.push(message.clone());
            noises += 1;
        }
        let last = (vendor.message)(bar, vendor.manner != Manner::UntilNext);
        messages.extend([last.clone(), last]);
        if let Some(snapshot) = vendor.snapshot
            && at % 50 == 0
        {
            let from = 100 + at;
            messages.push(snapshot(&bars[from.saturating_sub(60)..=from]));
        }
    }
    let subject = if vendor.by_subject {
        SubjectParts {
            symbol: Some(SYMBOL.into()),
            timeframe: Some(timeframe),
        }
    } else {
        silent
    };
    let of_dialect = DialectRule::named(dialect).unwrap();
    for rule in [DialectRule::Auto, of_dialect] {
        let found = run(rule, &subject, &messages);
        // a bar that the next one completes is complete when that comes
        let due = match vendor.manner {
            Manner::UntilNext => &expected.complete[..expected.complete.len() - 1],
            Manner::Flagged | Manner::Complete => &expected.complete,
        };
        assert_eq!(found.complete.len(), due.len(), "{dialect}");
        for (found, due) in found.complete.iter().zip(due) {
            assert_eq!(found, due, "{dialect}");
        }
        let is_formed = vendor.manner != Manner::Complete;
        assert_eq!(found.forming > 0, is_formed, "{dialect}");
        assert!(
            found.by.keys().eq([dialect].iter()),
            "{dialect}: {:?}",
            found.by
        );
        // everything that is no bar is counted, and no bar is refused
        let counted: usize = found.others.values().sum();
        if noises >= noise.len() && !noise.is_empty() {
            assert!(counted >= noise_elements, "{dialect}: {:?}", found.others);
        } else {
            assert_eq!(counted, 0, "{dialect}: {:?}", found.others);
        }
    }
}

#[test]
fn bars_in_the_shape_of_a_vendor_give_the_signals_of_the_bars() {
    for dialect in REGISTRY {
        for vendor in vendors(dialect.name) {
            check(dialect.name, &vendor);
        }
    }
}
