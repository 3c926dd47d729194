use std::ffi::OsString;
use std::io;
use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::clock;
use crate::config::Environment;
use crate::engine::Alert;
use crate::group::SlotSet;
use crate::ops::metrics::Build;
use crate::pipeline::TakeAll;
use crate::wire::{Ignored, Reason, SubjectPattern};

/// A member alone, with an indicator further than the default ones and these derived timeframes.
struct Alone(&'static str);

impl Environment for Alone {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        [
            ("TECHNICAL_INDICATORS", "atr(3)"),
            ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
            ("TECHNICAL_AGENT_NAME", "one"),
            ("TECHNICAL_TIMEFRAMES", self.0),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
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

fn metrics() -> Arc<Metrics> {
    let reasons = Reason::ALL.map(Reason::name).to_vec().leak();
    let alerts = Alert::ALL.map(Alert::name).to_vec().leak();
    let build = Build {
        version: "",
        git: "",
        rustc: "",
    };
    let ignored = Ignored::ALL.map(Ignored::name).to_vec().leak();
    Arc::new(Metrics::new(reasons, alerts, ignored, build))
}

struct Rig {
    intake: Intake,
    pattern: SubjectPattern,
}

impl Rig {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self::deriving("", metrics)
    }

    fn deriving(timeframes: &'static str, metrics: Arc<Metrics>) -> Self {
        let config = Config::load(&Alone(timeframes)).unwrap();
        Self {
            intake: Intake::new(&config, metrics),
            pattern: config.subjects[0].clone(),
        }
    }

    /// The messages to publish about one message: subject, reason of a dead letter, payload.
    fn take(&mut self, payload: &str) -> Vec<(String, Option<String>, String)> {
        self.take_with(payload, None)
    }

    fn take_with(
        &mut self,
        payload: &str,
        headers: Option<HeaderMap>,
    ) -> Vec<(String, Option<String>, String)> {
        self.take_in(payload, headers);
        let outbox = std::mem::take(&mut self.intake.out.outbox).into_iter();
        outbox
            .map(|outgoing| {
                let reason = outgoing.headers.get("Ta-Reason");
                (
                    outgoing.subject.to_string(),
                    reason.map(ToString::to_string),
                    String::from_utf8(outgoing.payload.to_vec()).unwrap(),
                )
            })
            .collect()
    }

    /// Leaves the messages to publish in the outbox.
    fn take_in(&mut self, payload: &str, headers: Option<HeaderMap>) {
        let message = Message {
            subject: "raw.market_data.price".into(),
            reply: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            headers,
            status: None,
            description: None,
            length: payload.len(),
        };
        let duty = Duty {
            holds: SlotSet::ALL,
            keeps: SlotSet::EMPTY,
            offered: SlotSet::EMPTY,
        };
        let arrival = Arrival::plain(&message, clock::now());
        let parts = |subject| self.pattern.parts(subject);
        self.intake.take(arrival, duty, parts, TakeAll);
    }
}

fn bar(minute: u64, close: f64) -> String {
    let timestamp = 1_704_067_200 + 60 * minute;
    format!(r#"{{"s":"A","t":{timestamp},"o":{close},"h":{close},"l":{close},"c":{close}}}"#)
}

#[test]
fn a_panic_costs_the_message_it_came_with_and_no_more() {
    let metrics = metrics();
    let mut rig = Rig::new(Arc::clone(&metrics));
    let mut undisturbed = Rig::new(self::metrics());
    for minute in 0..5 {
        let expected = undisturbed.take(&bar(minute, 10.0));
        assert_eq!(rig.take(&bar(minute, 10.0)), expected);
    }

    // an append, a correction, a forming bar
    rig.intake.engine_mut().poison();
    let forming = bar(5, 98.0).replace('}', r#","final":false}"#);
    for doomed in [bar(5, 99.0), bar(4, 99.0), forming] {
        let refused = (
            "dead.technical".to_owned(),
            Some("poison".to_owned()),
            doomed.clone(),
        );
        assert_eq!(rig.take(&doomed), [refused]);
    }
    rig.intake.engine_mut().heal();

    for minute in 5..10 {
        let expected = undisturbed.take(&bar(minute, 10.0 + minute as f64));
        assert_eq!(expected[0].0, "insight.technical.A.1m");
        assert_eq!(rig.take(&bar(minute, 10.0 + minute as f64)), expected);
    }
    rig.intake.flush();
    assert_eq!(metrics.panics.get(), 3);
    let refused = |reason| metrics.bars_rejected.with_label_values(&[reason]).get();
    assert_eq!(refused("poison"), 3);
    assert_eq!(metrics.messages_received.get(), 13);
    assert_eq!(metrics.bars_received.get(), 10);
}

#[test]
fn the_elements_before_a_panic_stand_and_the_whole_message_is_kept() {
    let mut rig = Rig::new(metrics());
    rig.take(&bar(0, 10.0));
    rig.intake.engine_mut().poison();
    // a duplicate takes no computing, so it is not what panics
    let array = format!("[{},{}]", bar(0, 10.0), bar(1, 11.0));
    let refused = (
        "dead.technical".to_owned(),
        Some("poison".to_owned()),
        array.clone(),
    );
    assert_eq!(rig.take(&array), [refused]);
    rig.intake.engine_mut().heal();
    let said = rig.take(&array);
    assert_eq!(said.len(), 1);
    assert!(said[0].2.contains(r#""close":11.0"#), "{}", said[0].2);
}

/// Counts of refused elements, by reason.
fn rejected(metrics: &Metrics, reason: Reason) -> u64 {
    let counter = metrics.bars_rejected.with_label_values(&[reason.name()]);
    counter.get()
}

#[test]
fn one_message_causes_a_bounded_number_of_letters_and_every_element_is_counted() {
    let metrics = metrics();
    let mut rig = Rig::new(Arc::clone(&metrics));
    let bars: Vec<String> = (0..5_000)
        .map(|n| {
            if n % 2 == 0 {
                bar(n, 10.0)
            } else {
                "7".to_owned()
            }
        })
        .collect();
    let out = rig.take(&format!("[{}]", bars.join(",")));
    rig.intake.flush();
    let (letters, signals): (Vec<_>, Vec<_>) = out.into_iter().partition(|one| one.1.is_some());
    assert_eq!(signals.len(), 2_048);
    assert_eq!(letters.len(), 2_048 + 1);
    let (_, reason, rest) = letters.last().unwrap();
    assert_eq!(reason.as_deref(), Some("too_many_elements"));
    // put back, the letter gives what the message would have
    assert_eq!(*rest, format!("[{}]", bars[4_096..].join(",")));
    assert_eq!(rejected(&metrics, Reason::WrongType), 2_048);
    assert_eq!(rejected(&metrics, Reason::TooManyElements), 904);
    let again = rig.take(rest);
    assert_eq!(again.len(), 904);
}

#[test]
fn letters_of_one_message_have_a_bounded_size() {
    let metrics = metrics();
    let mut rig = Rig::new(Arc::clone(&metrics));
    let element = format!("\"{}\"", "x".repeat(998));
    let out = rig.take(&format!("[{}]", vec![element.as_str(); 200].join(",")));
    rig.intake.flush();
    // 65 of 1,000 bytes, and one for the other 135
    assert_eq!(out.len(), 66);
    let (_, reason, rest) = out.last().unwrap();
    assert_eq!(reason.as_deref(), Some("too_many_elements"));
    assert_eq!(
        *rest,
        format!("[{}]", vec![element.as_str(); 135].join(","))
    );
    assert_eq!(rejected(&metrics, Reason::WrongType), 200);
    assert_eq!(rejected(&metrics, Reason::TooManyElements), 0);
    // a message that is one bad value is its own letter
    let large = format!("\"{}\"", "x".repeat(200_000));
    assert_eq!(rig.take(&large)[0].2, large);
}

/// A fault of a message as a whole is its letter's reason, also where it is an array that
/// is larger than the letters of its elements may be.
#[test]
fn a_large_message_that_is_refused_whole_keeps_its_reason() {
    let mut rig = Rig::new(metrics());
    for (payload, reason, kept) in [
        (format!("[{}]", " ".repeat(300_000)), "too_large", 65_536),
        (format!("[{}]", " ".repeat(100_000)), "empty", 100_002),
        (format!("[{}", "7,".repeat(50_000)), "not_json", 100_001),
    ] {
        let out = rig.take(&payload);
        assert_eq!(out.len(), 1, "{reason}");
        let (_, said, letter) = &out[0];
        assert_eq!(said.as_deref(), Some(reason));
        assert_eq!(*letter, payload[..kept]);
    }
}

#[test]
fn a_message_of_a_feed_that_makes_the_agent_panic_counts_as_refused_once() {
    let mut rig = Rig::new(metrics());
    let mut headers = HeaderMap::new();
    headers.insert("Ta-Feed", "00000000000000ab");
    rig.take(&bar(0, 10.0));
    rig.intake.engine_mut().poison();
    // a duplicate takes no computing, so it is not what panics
    let doomed = format!("[{},{}]", bar(0, 10.0), bar(1, 99.0));
    rig.take_with(&doomed, Some(headers.clone()));
    rig.intake.engine_mut().heal();
    rig.take_with(&bar(2, 10.0), Some(headers));
    rig.take(&bar(3, 10.0));
    let counted: Vec<_> = rig.intake.out.tallies.take().into_iter().collect();
    let [(feed, receipt)] = &counted[..] else {
        panic!("one feed: {counted:?}")
    };
    assert_eq!(feed.to_string(), "00000000000000ab");
    assert_eq!(receipt.messages, 2);
    let sum = |count: fn(&crate::ops::receipts::Tally) -> u64| {
        receipt.slots.values().map(count).sum::<u64>()
    };
    assert_eq!(sum(|tally| tally.bars), 2);
    assert_eq!(sum(|tally| tally.taken), 1);
    let poison = |tally: &crate::ops::receipts::Tally| tally.refused.get("poison").copied();
    assert_eq!(sum(|tally| tally.refusals()), 1);
    assert!(receipt.slots.values().any(|tally| poison(tally) == Some(1)));
}

#[test]
fn open_derived_bars_are_shown_a_bounded_number_of_times_for_one_message() {
    let mut rig = Rig::deriving("5m,1h", metrics());
    let mut forming_and_not = |minutes: std::ops::Range<u64>| {
        let bars: Vec<String> = minutes.map(|minute| bar(minute, 10.0)).collect();
        let published = rig.take(&format!("[{}]", bars.join(",")));
        let (forming, complete): (Vec<_>, Vec<_>) = published
            .iter()
            .partition(|(subject, ..)| subject.starts_with("insight.forming."));
        (forming.len(), complete.len())
    };
    let bars = 1_200;
    let (forming, complete) = forming_and_not(0..bars);
    // each of the first bars shows up to two open derived bars
    assert!((32..=2 * 64).contains(&forming), "{forming}");
    // of the bars themselves, and of the derived ones
    let derived = bars / 5 + bars / 60;
    assert_eq!(complete as u64, bars + derived);
    // the next message has a share of its own
    let (forming, _) = forming_and_not(bars..bars + 3);
    assert_eq!(forming, 2 * 3);
}

#[test]
fn a_feed_counts_the_signals_of_its_own_bars_and_not_of_derived_ones() {
    let mut rig = Rig::deriving("5m", metrics());
    let mut headers = HeaderMap::new();
    headers.insert("Ta-Feed", "00000000000000f1");
    for minute in 0..10 {
        rig.take_in(&bar(minute, 10.0), Some(headers.clone()));
    }
    let stored = rig.intake.out.outbox.iter().filter(|out| !out.forming);
    let (own, derived): (Vec<_>, Vec<_>) = stored.partition(|out| out.feed.is_some());
    let due: u64 = rig
        .intake
        .out
        .tallies
        .take()
        .values()
        .flat_map(|receipt| receipt.slots.values())
        .map(|tally| tally.signals_due)
        .sum();
    assert_eq!((own.len() as u64, derived.len()), (due, 2));
    assert_eq!(due, 10);
}
