//! Core delivery, durable delivery and `replay` agree: the same messages in the same order have the
//! same signals, byte for byte, and the same refusals.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use proptest::prelude::*;

use super::durable::{Input, Partitions, Recomputation};
use super::intake::{Arrival, Duty, Intake};
use crate::app::metrics;
use crate::cli::{self, Command};
use crate::clock;
use crate::config::{Config, Environment};
use crate::group::SlotSet;
use crate::pipeline::TakeAll;
use crate::tools::replay::{Replayed, replay};

/// An environment of these variables alone.
struct Variables(&'static [(&'static str, &'static str)]);

impl Environment for Variables {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let all = self.0.iter().chain(&[
            ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
            (
                "TECHNICAL_SUBJECTS",
                "raw.market_data.price,raw.market_data.price.>",
            ),
        ]);
        all.map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn host(&self) -> String {
        "host".to_owned()
    }

    fn pid(&self) -> u32 {
        1
    }
}

const CONFIGURATIONS: [&[(&str, &str)]; 6] = [
    &[],
    // bars are complete when the next one comes, and a gap starts a series again
    &[
        ("TECHNICAL_FINAL", "next"),
        ("TECHNICAL_SERIES_IDLE_SECS", "300"),
        ("TECHNICAL_DEFAULT_TIMEFRAME", "1m"),
    ],
    // the third series has no place until another one has been silent
    &[
        ("TECHNICAL_MAX_SERIES", "2"),
        ("TECHNICAL_SERIES_IDLE_SECS", "300"),
        ("TECHNICAL_DEFAULT_TIMEFRAME", "1m"),
        ("TECHNICAL_INDICATORS", "atr(3),sma(2)"),
        ("TECHNICAL_PUBLISH_FREQUENCY", "2"),
    ],
    // some sources send bars of two minutes themselves
    &[("TECHNICAL_TIMEFRAMES", "2m,5m")],
    // late bars are moved to their place
    &[
        ("TECHNICAL_TIMEFRAMES", "2m,3m"),
        ("TECHNICAL_CORRECTABLE_BARS", "8"),
        ("TECHNICAL_PUBLISH_FREQUENCY", "2"),
    ],
    // and there is not always room for a derived series
    &[
        ("TECHNICAL_TIMEFRAMES", "2m,3m"),
        ("TECHNICAL_FINAL", "next"),
        ("TECHNICAL_MAX_SERIES", "5"),
        ("TECHNICAL_SERIES_IDLE_SECS", "300"),
        ("TECHNICAL_DEFAULT_TIMEFRAME", "1m"),
    ],
];

const SYMBOLS: [&str; 3] = ["A", "BTC/USDT", "C"];
/// Messages and elements that are no bars.
const GARBAGE: [&str; 10] = [
    r#"{"mark":"soon"}"#,
    r#"{"mark":"2199-01-01T00:00:00Z"}"#,
    "7",
    "\"text\"",
    "null",
    "[]",
    "[[],7]",
    r#"{"symbol":"A","timestamp":1704067200,"price":3}"#,
    r#"{"symbol":"A","timestamp":"yesterday","open":1,"high":1,"low":1,"close":1}"#,
    r#"{"symbol":"C","timestamp":1704067200,"open":1,"high":0.5,"low":1,"close":1}"#,
];

/// A message, and the subject it is published on.
type Published = (String, String);

fn bar() -> impl Strategy<Value = (&'static str, String)> {
    let minute = prop_oneof![8 => 0i64..8, 2 => 8i64..30, 1 => Just(60 * 24 * 365 * 90)];
    let finality =
        prop_oneof![4 => Just(""), 2 => Just(r#","final":false"#), 1 => Just(r#","final":true"#)];
    let timeframe = prop_oneof![12 => Just(1i64), 1 => Just(2)];
    let values = (0..SYMBOLS.len(), minute, 1u8..4, finality, timeframe);
    values.prop_map(|(symbol, minute, close, finality, timeframe)| {
        let symbol = SYMBOLS[symbol];
        let at = 1_704_067_200 + 60 * (minute - minute % timeframe);
        let bar = format!(
            r#"{{"symbol":"{symbol}","timeframe":"{timeframe}m","timestamp":{at},"open":{close},"high":{close},"low":{close},"close":{close}{finality}}}"#
        );
        (symbol, bar)
    })
}

fn element() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => bar().prop_map(|(_, bar)| bar),
        1 => proptest::sample::select(&GARBAGE[..]).prop_map(str::to_owned),
    ]
}

fn published() -> impl Strategy<Value = Published> {
    const BARE: &str = "raw.market_data.price";
    let alone = bar().prop_map(|(symbol, bar)| {
        let token = symbol.replace('/', "%2F");
        (format!("{BARE}.{token}"), bar)
    });
    let several = proptest::collection::vec(element(), 1..6)
        .prop_map(|elements| (BARE.to_owned(), format!("[{}]", elements.join(","))));
    let single = element().prop_map(|element| (BARE.to_owned(), element));
    let mark = (0u8..30).prop_map(|minute| {
        let mark = format!(r#"{{"mark":"2024-01-01T00:{minute:02}:05Z"}}"#);
        (format!("{BARE}.A.mark"), mark)
    });
    prop_oneof![4 => alone, 2 => several, 1 => single, 1 => mark]
}

/// Something that was published: its subject, the reason of a dead letter, its payload.
type Said = (String, Option<String>, Bytes);

fn reason(headers: &HeaderMap) -> Option<String> {
    headers.get("Ta-Reason").map(ToString::to_string)
}

/// The outputs of core delivery, those about forming bars apart.
fn core(config: &Config, messages: &[Published]) -> (Vec<Said>, Vec<Bytes>) {
    let mut intake = Intake::new(config, metrics());
    let duty = Duty {
        holds: SlotSet::ALL,
        keeps: SlotSet::EMPTY,
        offered: SlotSet::EMPTY,
    };
    let (mut lasting, mut signals) = (Vec::new(), Vec::new());
    for (subject, payload) in messages {
        let message = Message {
            subject: subject.as_str().into(),
            reply: None,
            payload: payload.clone().into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        };
        let mut patterns = config.subjects.iter();
        let pattern = patterns.find(|pattern| pattern.matches(subject)).unwrap();
        let arrival = Arrival::plain(&message, clock::now());
        intake.take(arrival, duty, |subject| pattern.parts(subject), TakeAll);
        for one in intake.out.outbox.drain(..) {
            let reason = reason(&one.headers);
            // replay leaves derived bars out while they are forming
            let is_shown = one.forming && one.payload.windows(8).any(|part| part == b"\"parts\":");
            if reason.is_none() && !is_shown {
                signals.push(one.payload.clone());
            }
            if !one.forming {
                lasting.push((one.subject.to_string(), reason, one.payload));
            }
        }
    }
    (lasting, signals)
}

/// The outputs that durable delivery stores.
fn durable(config: &Config, messages: &[Published]) -> Vec<Said> {
    let partitions = Partitions::new(config, 8);
    let mut partition = Recomputation::new(config, &partitions, metrics());
    let (headers, mut stored) = (HeaderMap::new(), Vec::new());
    for (at, (subject, payload)) in messages.iter().enumerate() {
        let input = Input {
            subject: &format!("p.0.{subject}"),
            headers: &headers,
            payload: payload.as_bytes(),
            seq: at as u64 + 1,
            stored_at: clock::now(),
        };
        let outputs = partition.take(input, false).into_iter();
        stored.extend(outputs.map(|one| (one.subject, reason(&one.headers), one.payload)));
    }
    stored
}

fn replayed(config: &Config, messages: &[Published]) -> (Replayed, Vec<u8>) {
    let mut file = tempfile::NamedTempFile::with_suffix(".jsonl").unwrap();
    for (_, payload) in messages {
        writeln!(file, "{payload}").unwrap();
    }
    let arguments = ["technical-analysis-agent", "replay", "--leave-open"].map(OsString::from);
    let path = file.path().as_os_str().to_owned();
    let command = cli::parse(arguments.into_iter().chain([path]));
    let Ok(Command::Replay(args)) = command else {
        panic!("{command:?}");
    };
    let mut out = Vec::new();
    (replay(config, &args, &mut out), out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn three_drivers_give_the_same_signals_and_the_same_refusals(
        configuration in 0..CONFIGURATIONS.len(),
        messages in proptest::collection::vec(published(), 1..40),
    ) {
        let config = Config::load(&Variables(CONFIGURATIONS[configuration])).unwrap();
        let (lasting, signals) = core(&config, &messages);
        prop_assert_eq!(&durable(&config, &messages), &lasting);

        let (replayed, printed) = replayed(&config, &messages);
        prop_assert!(replayed.failure.is_none());
        let lines: Vec<&[u8]> = printed.split(|byte| *byte == b'\n').collect();
        let (last, lines) = lines.split_last().unwrap();
        prop_assert!(last.is_empty());
        prop_assert_eq!(lines, &signals[..]);
        let mut refused = BTreeMap::<&str, u64>::new();
        for reason in lasting.iter().filter_map(|(_, reason, _)| reason.as_deref()) {
            *refused.entry(reason).or_default() += 1;
        }
        prop_assert_eq!(replayed.summary.refused, refused);
    }
}
