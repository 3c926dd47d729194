//! Refused input: counted, kept whole with the reason, and no harm to anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::common::{
    Agent, Market, NatsServer, Received, assert_same, collect_signals, flat, publish, replay, send,
    settled, until,
};
use crate::{client, ready_agent};

/// Subject, payload and reason of input that is refused, for every reason that input can give
/// but `late` and `too_many_series`, which take a state.
fn refusals() -> Vec<(&'static str, String, &'static str)> {
    const BARE: &str = "raw.market_data.price";
    const OF_A: &str = "raw.market_data.price.A.1m";
    let with = |field: &str, value: serde_json::Value| {
        let mut bar = flat("A", 0, 10.0);
        bar[field] = value;
        bar.to_string()
    };
    let without = |field: &str| {
        let mut bar = flat("A", 0, 10.0);
        bar.as_object_mut().unwrap().remove(field);
        bar.to_string()
    };
    vec![
        (BARE, "{\"symbol\":\"A\"".to_owned(), "not_json"),
        (BARE, String::new(), "not_json"),
        (BARE, "42".to_owned(), "wrong_type"),
        (BARE, with("open", json!([1])), "wrong_type"),
        (BARE, without("symbol"), "missing_field"),
        (BARE, without("timestamp"), "missing_field"),
        (BARE, without("close"), "missing_field"),
        (BARE, with("high", json!("ten")), "bad_number"),
        (BARE, with("close", json!("NaN")), "bad_price"),
        (BARE, with("low", json!(0)), "bad_price"),
        (BARE, with("open", json!(-3)), "bad_price"),
        (BARE, with("high", json!(9)), "bad_range"),
        (BARE, with("low", json!(11)), "bad_range"),
        (BARE, with("volume", json!(-2)), "bad_volume"),
        (BARE, with("timestamp", json!("yesterday")), "bad_timestamp"),
        (BARE, with("timestamp", json!(45_293)), "bad_timestamp"),
        (BARE, with("timestamp", json!(1_704_067_217)), "misaligned"),
        (BARE, with("previousClose", json!(9)), "unknown_shape"),
        (
            BARE,
            json!({"symbol": "A", "timestamp": 1_704_067_217, "price": 10, "qty": 1}).to_string(),
            "trade",
        ),
        (
            BARE,
            with("timestamp", json!("2200-01-01T00:00:00Z")),
            "future",
        ),
        (BARE, with("symbol", json!("")), "bad_symbol"),
        (BARE, with("symbol", json!("S".repeat(65))), "bad_symbol"),
        (BARE, with("timeframe", json!("7y")), "bad_timeframe"),
        (OF_A, with("symbol", json!("B")), "mismatch"),
        (OF_A, with("timeframe", json!("5m")), "mismatch"),
        (BARE, "[]".to_owned(), "empty"),
    ]
}

/// Ready is not yet settled: what is refused while slots pass is not what is tested here.
fn wait_divided(agents: &[Agent]) {
    until("the slots to be divided", || {
        let held = |agent: &Agent| agent.get("/status").json()["owned_partitions"].as_u64();
        let held: Vec<u64> = agents.iter().filter_map(held).collect();
        (held.iter().sum::<u64>() == 256 && !held.contains(&0)).then_some(())
    });
}

fn by_payload(letters: &[Received]) -> BTreeMap<(String, String), Vec<&Received>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for letter in letters {
        let payload = String::from_utf8(letter.payload.to_vec()).unwrap();
        let subject = letter.header("Ta-Subject").unwrap().to_owned();
        found.entry((subject, payload)).or_default().push(letter);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_three_keeps_each_refusal_once_and_whole() {
    let server = NatsServer::plain();
    let agents = ["a", "b", "c"].map(|name| ready_agent(&server, name, &[]));
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    wait_divided(&agents);
    let refusals = refusals();
    for (subject, payload, _) in &refusals {
        publish(&client, subject, payload).await;
    }
    letters.wait_for(refusals.len()).await;
    let letters = letters.wait_quiet(Duration::from_millis(400)).await;
    let found = by_payload(&letters);
    for (subject, payload, reason) in &refusals {
        let of = found
            .get(&((*subject).to_owned(), payload.clone()))
            .unwrap_or_else(|| panic!("no dead letter of {payload} on {subject}"));
        assert_eq!(of.len(), 1, "{payload}");
        assert_eq!(of[0].header("Ta-Reason"), Some(*reason), "{payload}");
        assert!(!of[0].header("Ta-Detail").unwrap().is_empty(), "{payload}");
        let agent = of[0].header("Ta-Agent").unwrap();
        assert!(["a", "b", "c"].contains(&agent));
        assert_eq!(of[0].header("Ta-Truncated"), None);
    }
    assert_eq!(letters.len(), refusals.len());
    // every member counts what it refused, one wrote each letter
    for agent in &agents {
        agent.wait_metrics(&[
            ("technical_bars_rejected_total", refusals.len() as f64),
            ("technical_bars_rejected_total{reason=\"bad_price\"}", 3.0),
            ("technical_bars_rejected_total{reason=\"poison\"}", 0.0),
            ("technical_panics_total", 0.0),
        ]);
    }
    // a letter is counted a moment after it may have arrived here
    until("each letter to be counted once", || {
        let written = |agent: &Agent| agent.metrics().sum("technical_dead_letters_total");
        let written: f64 = agents.iter().map(written).sum();
        (written == refusals.len() as f64).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_bar_is_kept_by_the_owner_of_its_series_alone() {
    let server = NatsServer::plain();
    let agents = ["a", "b", "c"].map(|name| ready_agent(&server, name, &[]));
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    wait_divided(&agents);
    for symbol in 0..20 {
        let symbol = format!("S{symbol}");
        send(&client, &flat(&symbol, 1, 10.0)).await;
        send(&client, &flat(&symbol, 0, 10.0)).await;
    }
    letters.wait_for(20).await;
    let owners: BTreeMap<String, String> = signals.wait_for(20).await.iter().map(by).collect();
    let kept = letters.wait_quiet(Duration::from_millis(400)).await;
    assert_eq!(kept.len(), 20);
    for letter in &kept {
        assert_eq!(letter.header("Ta-Reason"), Some("late"));
        let (symbol, agent) = by(letter);
        assert_eq!(owners[&symbol], agent, "{symbol}");
    }
}

/// Of which symbol, and by whom.
fn by(message: &Received) -> (String, String) {
    let symbol = message.json()["symbol"].as_str().unwrap().to_owned();
    (symbol, message.header("Ta-Agent").unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_over_the_limit_is_cut_and_says_so() {
    let server = NatsServer::plain();
    let _agent = ready_agent(&server, "one", &[("TECHNICAL_MAX_PAYLOAD_BYTES", "100000")]);
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let padded = |length: usize| {
        let bar = flat("A", 0, 10.0).to_string();
        let padding = " ".repeat(length - bar.len());
        format!("{bar}{padding}")
    };
    publish(&client, "raw.market_data.price", &padded(100_001)).await;
    publish(&client, "raw.market_data.price", &padded(100_000)).await;
    assert_eq!(signals.wait_for(1).await.len(), 1);
    let letters = letters.wait_for(1).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("Ta-Reason"), Some("too_large"));
    assert_eq!(letters[0].header("Ta-Truncated"), Some("true"));
    assert_eq!(letters[0].payload, padded(100_001).as_bytes()[..65_536]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_beyond_the_limit_is_refused_and_the_others_go_on() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[("TECHNICAL_MAX_SERIES", "2")]);
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    for symbol in ["A", "B", "C", "A"] {
        let minute = signals.len() as u64;
        send(&client, &flat(symbol, minute, 10.0)).await;
        if symbol == "C" {
            letters.wait_for(1).await;
        } else {
            signals
                .wait_for(signals.len().max(minute as usize + 1))
                .await;
        }
    }
    let letter = &letters.messages()[0];
    assert_eq!(letter.header("Ta-Reason"), Some("too_many_series"));
    assert_eq!(letter.json()["symbol"], "C");
    let series = || agent.metrics().get("technical_series");
    until("two series", || (series() == Some(2.0)).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_of_nonsense_costs_the_rest_nothing_and_does_not_flood_the_log() {
    const BARS: usize = 4_000;
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut market = Market::new(20);
    let mut sent = Vec::new();
    let mut bad = 0;
    for at in 0..BARS {
        let (subject, payload) = market.next();
        if at % 4 == 0 {
            let cut = &payload[..payload.len() - 1 - at % 40];
            client
                .publish(subject.clone(), cut.to_owned().into())
                .await
                .unwrap();
            bad += 1;
        }
        client
            .publish(subject, payload.clone().into())
            .await
            .unwrap();
        sent.push(payload);
    }
    let came = settled(&signals, BARS).await;
    assert_same(
        &came,
        &replay(&sent, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]),
    );
    assert_eq!(letters.wait_for(bad).await.len(), bad);

    // one line per reason per ten seconds, and what was held back is counted in the next
    let told: Vec<(f64, String)> = agent
        .logs()
        .iter()
        .filter(|line| line["message"] == "market data was refused")
        .map(|line| {
            assert_eq!(line["level"], "WARN");
            let timestamp = line["timestamp"].as_str().unwrap();
            let (_, clock) = timestamp.trim_end_matches('Z').split_once('T').unwrap();
            let parts: Vec<f64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
            let at = parts[0] * 3_600.0 + parts[1] * 60.0 + parts[2];
            (at, line["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    assert!(!told.is_empty());
    for (at, reason) in &told {
        let close = told
            .iter()
            .filter(|(other, r)| r == reason && (other - at).rem_euclid(86_400.0) < 9.9);
        assert_eq!(close.count(), 1, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_join_and_leave_write_each_dead_letter_once_between_them() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    let mut first = ready_agent(&server, "a", &[]);
    let refused = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let flow = tokio::spawn({
        let (client, refused, over) = (client.clone(), Arc::clone(&refused), Arc::clone(&over));
        async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            // a slow machine must not make up for lost ticks by a flood
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !over.load(Ordering::Relaxed) {
                ticks.tick().await;
                // a negative volume, each of another kind, over symbols of many slots
                let n = refused.fetch_add(1, Ordering::Relaxed);
                let mut bar = flat(&format!("S{}", n % 97), 0, 10.0);
                bar["volume"] = json!(-2.0 - f64::from(u32::try_from(n).unwrap()));
                send(&client, &bar).await;
            }
        }
    });
    let more = async |n: usize| {
        let enough = refused.load(Ordering::Relaxed) + n;
        while refused.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    more(300).await;
    let mut later = ["b", "c"].map(|name| ready_agent(&server, name, &[]));
    more(1_000).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    more(500).await;
    later[0].sigterm();
    assert_eq!(later[0].wait_exit(), 0);
    more(500).await;
    over.store(true, Ordering::Relaxed);
    flow.await.unwrap();

    let sent = refused.load(Ordering::Relaxed);
    let came = settled(&letters, sent).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for letter in &came {
        *times
            .entry(letter.json()["volume"].to_string())
            .or_default() += 1;
    }
    let twice = times.values().filter(|n| **n > 1).count();
    assert_eq!((times.len(), twice), (sent, 0), "of {sent} refused");
    let writers: BTreeSet<_> = came.iter().filter_map(|l| l.header("Ta-Agent")).collect();
    assert_eq!(writers.len(), 3, "{writers:?}");
}

/// The server takes 64 KiB: a refused message of nearly that leaves no room for the headers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_cut_to_what_the_server_takes() {
    let server = NatsServer::with("max_payload: 65536");
    let agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let letters = collect_signals(&client, "dead.technical").await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let junk = "x".repeat(65_500);
    publish(&client, "raw.market_data.price.A.1m", &junk).await;
    send(&client, &flat("A", 0, 10.0)).await;
    settled(&signals, 1).await;
    let letter = &letters.wait_for(1).await[0];
    assert_eq!(letter.header("Ta-Reason"), Some("not_json"));
    assert_eq!(letter.header("Ta-Truncated"), Some("true"));
    assert!(letter.payload.len() > 60_000 && junk.as_bytes().starts_with(&letter.payload));
    agent.wait_metrics(&[
        ("technical_publish_errors_total", 0.0),
        ("technical_nats_reconnects_total", 0.0),
    ]);
}
