//! The signals of a message: where they go, their headers, and which bars have one.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use crate::common::{DAY_ONE, NatsServer, collect_signals, flat, replay};
use crate::feeder::{bar, connect, store};
use crate::history::{PATIENCE, Stored, contents, count, faults};
use crate::{ANALYSIS, agent};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const EVERY_BAR: (&str, &str) = ("TECHNICAL_MIN_BARS_REQUIRED", "1");

/// Waits until so many signals are stored, and returns all.
async fn signals(js: &Context, due: usize) -> Vec<Stored> {
    outputs(js, "insight.>", due).await
}

/// [`signals`] of any subject.
async fn outputs(js: &Context, filter: &str, due: usize) -> Vec<Stored> {
    let start = std::time::Instant::now();
    loop {
        let stored = count(js, filter).await;
        if stored >= due {
            return contents(js, "TECHNICAL_SIGNALS", filter).await;
        }
        assert!(start.elapsed() < PATIENCE, "{stored} of {due} on {filter}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The signals are those of `replay`, byte for byte.
fn assert_replayed(signals: &[Stored], expected: &[String]) {
    let signals: Vec<Vec<u8>> = signals.iter().map(|one| one.payload.clone()).collect();
    let expected: Vec<Vec<u8>> = expected.iter().map(|line| line.clone().into()).collect();
    assert_eq!(faults(&signals, &expected), [""; 0]);
    assert_eq!(signals.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forming_bar_has_a_signal_that_is_not_stored_and_changes_nothing() {
    const BARS: u64 = 20;
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let forming = collect_signals(&js.client(), "insight.forming.technical.>").await;
    let mut running = agent(&server, &[EVERY_BAR]);
    running.wait_ready();
    let subject = "raw.market_data.price.S0.1m";
    let variables = [ANALYSIS, &[EVERY_BAR]].concat();
    let (mut finals, mut provisional) = (Vec::new(), Vec::new());
    for n in 0..BARS {
        // it forms, twice, at other prices than it closes at
        for price in [1.0, 900.0] {
            let mut bar = bar(0, n);
            (bar["high"], bar["low"], bar["close"]) = (json!(1_000), json!(0.5), json!(price));
            let complete = bar.to_string();
            bar["final"] = json!(false);
            store(&js, subject, &bar.to_string(), &format!("{n} {price}")).await;
            if [1, 10, BARS - 1].contains(&n) {
                // it says what it would say if it closed like this
                let so_far = [finals.clone(), vec![complete]].concat();
                let last = replay(&so_far, &variables).pop().expect("a signal");
                assert_eq!(last.matches(r#""final":true"#).count(), 1);
                provisional.push(last.replace(r#""final":true"#, r#""final":false"#));
            }
        }
        let bar = bar(0, n).to_string();
        store(&js, subject, &bar, &n.to_string()).await;
        finals.push(bar);
    }
    let stored = signals(&js, finals.len()).await;
    assert_replayed(&stored, &replay(&finals, &variables));

    // a series begins with its first final bar, so the first minute formed unseen
    let due = 2 * (finals.len() - 1);
    forming.wait_for(due).await;
    let came = forming.wait_quiet(Duration::from_millis(300)).await;
    assert_eq!(came.len(), due);
    let mut payloads = BTreeSet::new();
    for signal in &came {
        assert_eq!(signal.subject.as_str(), "insight.forming.technical.S0.1m");
        assert_eq!(signal.header("Nats-Msg-Id"), None);
        payloads.insert(String::from_utf8(signal.payload.to_vec()).expect("UTF-8"));
    }
    for expected in &provisional {
        assert!(payloads.contains(expected), "{expected} in {payloads:#?}");
    }
    let streams: Vec<String> = js.stream_names().try_collect().await.expect("the streams");
    for stream in &streams {
        let stored = contents(&js, stream, ">").await;
        let found = stored.iter().find(|one| one.subject.contains("forming"));
        assert!(found.is_none(), "{stream} holds {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_message_is_that_of_its_signals_and_of_no_other() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[EVERY_BAR]);
    running.wait_ready();
    let payloads = [
        bar(0, 0).to_string(),
        json!([bar(0, 1), bar(0, 2)]).to_string(),
        bar(0, 3).to_string(),
    ];
    for (at, payload) in payloads.into_iter().enumerate() {
        let mut message = PublishMessage::build().payload(payload.into());
        if at == 1 {
            message = message.header("traceparent", TRACE);
        }
        let subject = "raw.market_data.price.S0.1m";
        let sent = js.send_publish(subject, message).await.expect("sent");
        sent.await.expect("acknowledged");
    }
    let stored = signals(&js, 4).await;
    let traces: Vec<Option<String>> = stored.iter().map(|one| one.header("traceparent")).collect();
    let trace = Some(TRACE.to_owned());
    assert_eq!(traces, [None, trace.clone(), trace, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_third_bar_of_each_series_and_each_bar_with_an_alert_has_a_signal() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let third = ("TECHNICAL_PUBLISH_FREQUENCY", "3");
    let mut running = agent(&server, &[EVERY_BAR, third]);
    running.wait_ready();
    let mut bars = Vec::new();
    for minute in 0..31 {
        if minute == 13 {
            // the count goes on where it was
            running.sigterm();
            assert_eq!(running.wait_exit(), 0);
            running = agent(&server, &[EVERY_BAR, third]);
            running.wait_ready();
        }
        let mut one = flat("A", minute, 10.0);
        if minute == 22 {
            one["volume"] = json!(1_000);
        }
        let second = (minute < 7).then(|| flat("B", minute, 10.0));
        for bar in [Some(one), second].into_iter().flatten() {
            let symbol = bar["symbol"].as_str().expect("a symbol");
            let subject = format!("raw.market_data.price.{symbol}.1m");
            let id = format!("{symbol} {minute}");
            store(&js, &subject, &bar.to_string(), &id).await;
            bars.push(bar.to_string());
        }
    }
    // the last bar has no signal, and is waited for as well
    let last = (DAY_ONE + 60 * 30) as f64;
    running.wait_metrics(&[("technical_last_bar_timestamp_seconds", last)]);
    let stored = signals(&js, 13).await;
    let of = |symbol: &str| -> Vec<(u64, Value)> {
        let signals = stored.iter();
        let signals =
            signals.map(|one| serde_json::from_slice::<Value>(&one.payload).expect("a signal"));
        let signals = signals.filter(|signal| signal["symbol"] == symbol);
        let minute = |signal: &Value| signal["timestamp"].as_str().unwrap()[14..16].parse();
        signals
            .map(|signal| (minute(&signal).unwrap(), signal["alerts"].clone()))
            .collect()
    };
    let none = json!([]);
    let mut expected: Vec<_> = (0..10).map(|n| (3 * n + 2, none.clone())).collect();
    // 1000 over an average of (19 × 100 + 1000) / 20 = 145
    expected.insert(7, (22, json!(["volume_spike"])));
    assert_eq!(of("A"), expected);
    assert_eq!(of("B"), [(2, none.clone()), (5, none)]);
    let variables = [ANALYSIS, &[EVERY_BAR, third]].concat();
    assert_replayed(&stored, &replay(&bars, &variables));
}

#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_symbols_that_are_escaped_in_subjects_have_a_signal_per_bar() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[EVERY_BAR]);
    running.wait_ready();
    let mut good = Vec::new();
    for (symbol, token) in [("BRK.B", "BRK%2EB"), ("BTC/USDT", "BTC%2FUSDT")] {
        for message in 0..3 {
            let mut several: Vec<Value> = (5 * message..5 * message + 5)
                .map(|minute| flat(symbol, minute, 10.0 + minute as f64))
                .collect();
            good.extend(several.iter().map(Value::to_string));
            several.insert(2, json!({"symbol": symbol, "n": message}));
            let subject = format!("raw.market_data.price.{token}.1m");
            let id = format!("{symbol} {message}");
            store(&js, &subject, &json!(several).to_string(), &id).await;
        }
    }
    let stored = signals(&js, good.len()).await;
    assert_replayed(&stored, &replay(&good, &[ANALYSIS, &[EVERY_BAR]].concat()));
    let bars = contents(&js, "TECHNICAL_BARS", ">").await;
    let mut ids = BTreeSet::new();
    for token in ["BRK%2EB", "BTC%2FUSDT"] {
        let of = |subject: &str| subject.ends_with(&format!(".{token}.1m"));
        let messages = bars.iter().filter(|one| of(&one.subject));
        let messages: Vec<String> = messages.map(|one| one.seq.to_string()).collect();
        assert_eq!(messages.len(), 3);
        let subject = format!("insight.technical.{token}.1m");
        let mine: Vec<&Stored> = stored.iter().filter(|one| one.subject == subject).collect();
        assert_eq!(mine.len(), 15);
        for (at, signal) in mine.iter().enumerate() {
            let input = signal.header("Ta-Input-Seq");
            assert_eq!(input.as_ref(), Some(&messages[at / 5]));
            ids.insert(signal.header("Nats-Msg-Id").expect("a message id"));
        }
    }
    assert_eq!(ids.len(), 30);
    let letters = outputs(&js, "dead.technical", 6).await;
    let mut letters: Vec<Value> = letters
        .iter()
        .map(|letter| serde_json::from_slice(&letter.payload).expect("an element"))
        .collect();
    letters.sort_by_key(Value::to_string);
    let expected: Vec<Value> = ["BRK.B", "BTC/USDT"]
        .into_iter()
        .flat_map(|symbol| (0..3).map(move |n| json!({"symbol": symbol, "n": n})))
        .collect();
    assert_eq!(letters.len(), expected.len());
    assert!(
        expected.iter().all(|one| letters.contains(one)),
        "{letters:?}"
    );
}
