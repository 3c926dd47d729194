//! Messages in the shapes of every vendor's documentation, and what is in them.

mod excerpts;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::value::RawValue;

use super::*;
use crate::market::{Timeframe, Timestamp};
use crate::wire::{Content, Decoder, Element, InputRules, SubjectParts};

const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);

/// One line of a file in `tests/data/dialects`.
struct Case {
    shows: String,
    subject: SubjectParts<'static>,
    message: Box<RawValue>,
    contents: Vec<String>,
}

fn cases(dialect: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialects");
    let text = fs::read_to_string(path.join(format!("{dialect}.jsonl")))
        .unwrap_or_else(|error| panic!("the messages of {dialect}: {error}"));
    let mut lines = text.lines();
    let sources: Vec<String> = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert!(
        sources.iter().all(|source| source.starts_with("https://")),
        "{dialect}"
    );
    let case = |line: &str| {
        let (shows, subject, message, contents): (String, String, Box<RawValue>, Vec<String>) =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{dialect}: {error}: {line}"));
        let mut words = subject.split(' ').filter(|word| !word.is_empty());
        let subject = SubjectParts {
            symbol: words.next().map(|symbol| symbol.to_owned().into()),
            timeframe: words.next().map(|timeframe| timeframe.parse().unwrap()),
        };
        Case {
            shows,
            subject,
            message,
            contents,
        }
    };
    lines.map(case).collect()
}

fn written(element: &Element<'_>) -> String {
    match &element.content {
        Content::Bar(event) => {
            let bar = event.bar;
            format!(
                "{} {} {} {} {} {} {} {} {:?}",
                event.symbol,
                event.timeframe,
                bar.timestamp,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume,
                event.finality
            )
        }
        Content::Ignored(kind) => format!("ignored {}", kind.name()),
        Content::Refused(refusal) => format!("refused {}", refusal.reason),
    }
}

fn read(
    rule: DialectRule,
    message: &str,
    subject: &SubjectParts<'static>,
) -> Vec<(String, String)> {
    let rules = InputRules {
        dialect: rule,
        ..InputRules::new(262_144, Timeframe::MINUTE)
    };
    let subject = Ok(subject.clone());
    let mut found = Vec::new();
    Decoder::new(rules).decode_all(message.as_bytes(), &subject, NOW, |element| {
        found.push((element.dialect.to_owned(), written(&element)));
    });
    found
}

#[test]
fn every_message_of_every_vendor_is_read_as_its_documentation_says() {
    let mut faults = Vec::new();
    for dialect in REGISTRY {
        for case in cases(dialect.name) {
            let message = case.message.get();
            let found = read(DialectRule::Auto, message, &case.subject);
            let contents: Vec<&str> = found.iter().map(|(_, content)| &**content).collect();
            let by_others: Vec<&str> = found
                .iter()
                .filter(|(_, content)| content != "refused unknown_shape")
                .map(|(by, _)| &**by)
                .filter(|by| *by != dialect.name)
                .collect();
            if contents != case.contents || !by_others.is_empty() {
                faults.push(format!(
                    "{}: {}\n  expected {:?}\n  found    {contents:?} by {by_others:?}",
                    dialect.name, case.shows, case.contents
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_dialect_that_is_asked_for_reads_its_messages_in_the_same_way() {
    for dialect in REGISTRY {
        let rule = DialectRule::named(dialect.name).unwrap();
        for case in cases(dialect.name) {
            let found = read(rule, case.message.get(), &case.subject);
            let contents: Vec<String> = found.into_iter().map(|(_, content)| content).collect();
            assert_eq!(contents, case.contents, "{}: {}", dialect.name, case.shows);
        }
    }
}

#[test]
fn the_messages_of_a_dialect_show_what_it_can_read() {
    for dialect in REGISTRY {
        let contents: Vec<String> = cases(dialect.name)
            .into_iter()
            .flat_map(|case| case.contents)
            .collect();
        let has = |what: &str| contents.iter().any(|content| content.contains(what));
        let has_bar = ["Final", "UntilNext", "Forming"]
            .iter()
            .any(|kind| has(kind));
        assert!(has_bar || dialect.notes.bars == "none", "{}", dialect.name);
        // what is in a file of rows is bars, and nothing else
        let only_bars = ["ccxt", "cryptofeed"].contains(&dialect.name);
        assert!(has("ignored ") || only_bars, "{}", dialect.name);
        assert!(
            has("refused trade") || only_bars || dialect.name == "twelvedata",
            "{}",
            dialect.name
        );
    }
}

#[test]
fn a_message_of_one_vendor_is_refused_where_another_is_asked_for() {
    let mut checked = 0;
    for asked in REGISTRY {
        for other in REGISTRY
            .into_iter()
            .filter(|other| other.name != asked.name)
        {
            let shape = other.shape.iter().map(|(path, _)| *path);
            let same = asked
                .shape
                .iter()
                .any(|(path, _)| shape.clone().any(|p| p == *path));
            // rows have no keys, and records of Databento may have lost their header
            let is_open = ["ccxt", "databento"].contains(&asked.name) || other.name == "ccxt";
            if same || is_open {
                continue;
            }
            for case in cases(other.name) {
                let is_bar = |content: &String| content.split(' ').count() > 2;
                if !case.contents.iter().all(is_bar) || !case.message.get().starts_with('{') {
                    continue;
                }
                let rule = DialectRule::named(asked.name).unwrap();
                let found = read(rule, case.message.get(), &case.subject);
                assert_eq!(found.len(), 1);
                assert_eq!(
                    found[0].1, "refused unknown_shape",
                    "{} {}",
                    asked.name, case.shows
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn a_bar_that_is_widened_to_its_open_counts_as_adjusted() {
    let bin = |open: u32| {
        let message = format!(
            r#"{{"table":"tradeBin5m","data":[{{"timestamp":"2024-01-02T00:05:00.000Z","symbol":"X","open":{open},"high":104,"low":100,"close":102,"volume":1}}]}}"#
        );
        let subject = Ok(SubjectParts::default());
        let rules = InputRules::new(4_096, Timeframe::MINUTE);
        let mut adjusted = None;
        Decoder::new(rules).decode(message.as_bytes(), &subject, NOW, |bar, _| {
            adjusted = Some(bar.unwrap().adjusted);
        });
        adjusted.unwrap()
    };
    assert!(bin(105) && bin(95));
    assert!(!bin(101));
}

#[test]
fn names_are_unique_and_every_rule_has_one() {
    let names: BTreeSet<&str> = DialectRule::names().collect();
    assert_eq!(names.len(), REGISTRY.len() + 2);
    for name in names {
        assert!(DialectRule::named(name).is_some(), "{name}");
    }
    assert!(DialectRule::named("polygon").is_none());
    for (at, kind) in Ignored::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, at);
    }
}

/// A flat message is read in one pass unless it has a key that only vendors use.
#[test]
fn the_flat_messages_of_vendors_have_a_mark() {
    for dialect in REGISTRY {
        for case in cases(dialect.name) {
            let value: serde_json::Value = serde_json::from_str(case.message.get()).unwrap();
            let objects = match value {
                serde_json::Value::Array(items) => items,
                other => vec![other],
            };
            for object in objects.iter().filter_map(serde_json::Value::as_object) {
                let is_flat = object
                    .values()
                    .all(|value| !value.is_object() && !value.is_array());
                let marked = object.keys().any(|key| is_mark(key));
                assert!(!is_flat || marked, "{}: {}", dialect.name, case.shows);
            }
        }
    }
}

#[test]
fn an_unknown_message_is_told_from_its_nearest_dialects() {
    let detail = |message: &str| {
        let subject = Ok(SubjectParts::default());
        let rules = InputRules::new(4_096, Timeframe::MINUTE);
        let mut found = String::new();
        Decoder::new(rules).decode_all(message.as_bytes(), &subject, NOW, |element| {
            if let Content::Refused(refusal) = element.content {
                assert_eq!(refusal.reason, Reason::UnknownShape);
                found = refusal.detail.into_owned();
            }
        });
        found
    };
    let near =
        detail(r#"{"channel":"ohlcv","data":[{"interval_begin":"x","interval":1,"symbol":"A"}]}"#);
    assert!(near.contains("kraken (`channel` is \"ohlcv\""), "{near}");
    let missing = detail(r#"{"topic":"kline.5.X","data":{"interval":"5"}}"#);
    assert!(missing.contains("bybit"), "{missing}");
    let far = detail(r#"{"weather":{"t":5},"place":"x"}"#);
    assert!(far.contains("`weather`, `place`"), "{far}");
}
