//! Messages in the shapes of every vendor's documentation, and what is in them.

mod excerpts;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::value::RawValue;

use super::*;
use crate::market::{Timeframe, Timestamp, TradeConditions};
use crate::wire::print::in_words;
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
        Content::Trade(event) => in_words(event),
        Content::Ignored(kind) => format!("ignored {}", kind.name()),
        Content::Refused(refusal) => format!("refused {}", refusal.reason),
    }
}

fn read(
    rule: DialectRule,
    message: &str,
    subject: &SubjectParts<'static>,
) -> Vec<(String, String)> {
    read_with(rule, None, message, subject)
}

/// The elements of a message, where trades are taken or not.
fn read_with(
    rule: DialectRule,
    trades: Option<TradeConditions>,
    message: &str,
    subject: &SubjectParts<'static>,
) -> Vec<(String, String)> {
    let rules = InputRules {
        dialect: rule,
        trades,
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

/// The trades in the messages of each dialect, by the vendors' documentation: symbol, time, price,
/// size and sequence.
const TRADES: &[(&str, &[&str])] = &[
    (
        "binance",
        &[
            "BNBBTC 2022-12-31T19:43:02.136Z 0.001 100 12345",
            "BNBBTC 2022-12-31T19:43:02.136Z 0.001 100 12345",
            "A 2022-12-31T19:43:02.136Z 0.001 100 12345",
        ],
    ),
    (
        "alpaca",
        &[
            "AAPL 2021-02-22T15:51:44.208Z 126.55 1 96921 odd lot",
            "AVAX/USD 2024-03-12T10:27:48.858228144Z 47.299 29.205707815 3447222699101865076",
        ],
    ),
    (
        "massive",
        &[
            "MSFT 2018-09-04T04:53:38.784Z 114.125 100 12345",
            "BCH-USD 2021-01-12T14:40:27.867Z 355.41 0.5 100",
        ],
    ),
    (
        "coinbase",
        &[
            "ETH-USD 2019-08-14T20:42:27.265Z 1260.01 0.3 0",
            "BTC-USD 2014-11-07T08:19:27.028459Z 400.23 5.23512 10",
        ],
    ),
    (
        "kraken",
        &["MATIC/USD 2023-09-25T07:48:36.925533Z 0.5147 6423.46326 4665846"],
    ),
    (
        "bybit",
        &["BTCUSDT 2022-12-29T09:01:26.865Z 16578.5 0.001 -"],
    ),
    (
        "okx",
        &["BTC-USDT 2021-08-27T07:21:37.897Z 42219.9 0.12060306 130639474"],
    ),
    (
        "hyperliquid",
        &["SOL 2024-01-02T00:00:00.123Z 84.5 1.2 118906512037719"],
    ),
    (
        "deribit",
        &["BTC-PERPETUAL 2020-05-26T09:15:12.188Z 8950 10 30289442"],
    ),
    ("bitmex", &["XBTUSD 2024-01-02T00:05:00.123Z 42290.5 100 0"]),
    (
        "databento",
        &[
            "refused missing_field",
            "ESH1 2020-12-28T13:00:00.000429831Z 372025 5 1170380",
        ],
    ),
    (
        "finnhub",
        &["BINANCE:BTCUSDT 2019-12-05T06:18:11.134Z 7296.89 0.011467 -"],
    ),
    (
        "gate",
        &[
            // an epoch with a fraction is read to the microsecond
            "GT_USDT 2020-11-25T08:16:58.213458Z 0.4705 16.47 309143071",
            "BTC_USDT 2021-01-07T02:26:56.123Z 96.4 108 27753479",
        ],
    ),
    (
        "kucoin",
        &["BTC-USDT 2024-10-25T08:00:22.921Z 67523 0.003 11067996711960577"],
    ),
    ("tardis", &["XBTUSD 2019-10-23T10:32:49.669Z 7996 50 text"]),
];

#[test]
fn the_trades_of_every_vendor_are_read_as_its_documentation_says() {
    for dialect in REGISTRY {
        let expected = TRADES.iter().find(|(name, _)| *name == dialect.name);
        let expected = expected.map_or(&[][..], |(_, trades)| trades);
        let mut found = Vec::new();
        for case in cases(dialect.name) {
            let subject = &case.subject;
            let sip = Some(TradeConditions::Sip);
            let elements = read_with(DialectRule::Auto, sip, case.message.get(), subject);
            let is_other = |content: &str| {
                case.contents.iter().any(|other| other == content) && content != "refused trade"
            };
            let trades = elements.into_iter().map(|(_, content)| content);
            found.extend(trades.filter(|content| !is_other(content)));
        }
        assert_eq!(found, expected, "{}", dialect.name);
    }
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
