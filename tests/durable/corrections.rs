//! Bars that are corrected or come late, many bars after their time, through kills and hand-overs: every
//! signal that changes is stored once, and with the bytes of `replay`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Agent, NatsServer, replay};
use crate::derived::{by_series, minute};
use crate::feeder::{connect, store};
use crate::history::signals_stored;
use crate::{ANALYSIS, agent};

const SETTINGS: [(&str, &str); 2] = [
    ("TECHNICAL_TIMEFRAMES", "2m,5m,15m"),
    ("TECHNICAL_CORRECTABLE_BARS", "32"),
];
const SYMBOLS: u64 = 4;
const MINUTES: u64 = 100;
/// A bar that did not come in its turn comes so many minutes later.
const LATE: u64 = 11;

/// The bars of one symbol that come in minute `n`.
fn told(symbol: u64, n: u64) -> Vec<(u64, u64)> {
    let is_late = |n: u64| n > 0 && (n * 5 + symbol).is_multiple_of(9);
    let mut told = Vec::new();
    if !is_late(n) {
        told.push((n, 0));
    }
    if n > LATE && is_late(n - LATE) {
        told.push((n - LATE, 0));
    }
    for (depth, every) in [(1, 5), (8, 7), (27, 11)] {
        let is_due = (n + symbol).is_multiple_of(every);
        if n > depth && is_due && !is_late(n - depth) {
            told.push((n - depth, depth));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn revised_signals_are_stored_once_through_kills_and_hand_overs() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut steady = agent(&server, &SETTINGS);
    let mut other = agent(&server, &SETTINGS);
    steady.wait_ready();
    other.wait_ready();
    let mut sent = Vec::new();
    for n in 0..MINUTES {
        for symbol in 0..SYMBOLS {
            for (of, correction) in told(symbol, n) {
                let Some(payload) = minute(symbol, of, correction) else {
                    continue;
                };
                let subject = format!("raw.market_data.price.S{symbol}.1m");
                let id = format!("{symbol}-{n}-{of}-{correction}");
                store(&js, &subject, &payload, &id).await;
                sent.push(payload);
            }
        }
        if n % 25 == 17 {
            // more than the time between two checkpoints, so that one holds what is known of corrections
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            if n % 50 == 17 {
                other.kill();
            } else {
                other.sigterm();
                assert_eq!(other.wait_exit(), 0);
            }
            other = agent(&server, &SETTINGS);
        }
    }
    let variables: Vec<_> = ANALYSIS.iter().copied().chain(SETTINGS).collect();
    let expected = replay(&sent, &variables);
    let revised = |name: &str| {
        let is_revised = |line: &&String| {
            let signal: Value = serde_json::from_str(line).expect("a signal");
            signal["timeframe"] == name && signal["revision"].as_u64() > Some(0)
        };
        expected.iter().filter(is_revised).count()
    };
    let counts = ["1m", "2m", "5m", "15m"].map(revised);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    let stored = signals_stored(&js, expected.len()).await;
    let payloads = stored
        .iter()
        .map(|stored| String::from_utf8(stored.payload.clone()).expect("JSON"));
    // no bar has one revision twice
    let identities: BTreeSet<String> = payloads
        .clone()
        .map(|payload| {
            let signal: Value = serde_json::from_str(&payload).expect("a signal");
            ["symbol", "timeframe", "timestamp", "revision"]
                .map(|key| signal[key].to_string())
                .join(" ")
        })
        .collect();
    assert_eq!(identities.len(), expected.len());
    assert_eq!(by_series(payloads), by_series(expected));
    let url = server.url();
    let mut verify = Agent::start_with(
        &["verify", "--json"],
        variables
            .iter()
            .copied()
            .chain([("NATS_URL", url.as_str())]),
    );
    assert_eq!(verify.wait_exit(), 0, "{}", verify.output());
    let report: Value = serde_json::from_str(&verify.stdout().join("\n")).expect("a report");
    assert_eq!(report["ok"], true);
    steady.assert_alive();
    other.assert_alive();
}
