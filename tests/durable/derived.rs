//! Derived bars through kills, graceful ends and hand-overs: stored once, and those of `replay`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Agent, NatsServer, replay};
use crate::feeder::{connect, store};
use crate::history::signals_stored;
use crate::{ANALYSIS, agent};

const DERIVED: [(&str, &str); 2] = [
    ("TECHNICAL_TIMEFRAMES", "2m,5m,15m"),
    // bars close with bars here, and not by time marks, however slow the machine is
    ("TECHNICAL_BAR_GRACE_SECS", "86400"),
];
const SYMBOLS: u64 = 5;
const MINUTES: u64 = 120;

/// Minute `n` of a symbol, unless it is missing.
pub(crate) fn minute(symbol: u64, n: u64, correction: u64) -> Option<String> {
    let turn = n * 7 + symbol * 3;
    if turn.is_multiple_of(13) {
        return None;
    }
    let price = |k: u64| {
        f64::from(u32::try_from(1_000 + (turn * 31 + k * 17 + correction * 5) % 97).unwrap()) / 10.0
    };
    let (open, close) = (price(1), price(2));
    let bar = json!({
        "symbol": format!("S{symbol}"), "timeframe": "1m", "timestamp": 1_704_164_400 + 60 * n,
        "open": open, "high": open.max(close) + 0.3, "low": open.min(close) - 0.2, "close": close,
        "volume": format!("{}.{}", turn % 11, turn % 7),
    });
    Some(bar.to_string())
}

/// The payloads of each series, in order.
pub(crate) fn by_series(
    payloads: impl IntoIterator<Item = String>,
) -> BTreeMap<String, Vec<String>> {
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for payload in payloads {
        let signal: Value = serde_json::from_str(&payload).expect("a signal");
        let key = format!("{} {}", signal["symbol"], signal["timeframe"]);
        series.entry(key).or_default().push(payload);
    }
    series
}

#[tokio::test(flavor = "multi_thread")]
async fn derived_signals_are_stored_once_through_kills_and_hand_overs() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut steady = agent(&server, &DERIVED);
    let mut other = agent(&server, &DERIVED);
    steady.wait_ready();
    other.wait_ready();
    let mut sent = Vec::new();
    for n in 0..MINUTES {
        for symbol in 0..SYMBOLS {
            let corrections = if (n + symbol).is_multiple_of(6) {
                0..2
            } else {
                0..1
            };
            for correction in corrections {
                let Some(payload) = minute(symbol, n, correction) else {
                    continue;
                };
                let subject = format!("raw.market_data.price.S{symbol}.1m");
                store(
                    &js,
                    &subject,
                    &payload,
                    &format!("{symbol}-{n}-{correction}"),
                )
                .await;
                sent.push(payload);
            }
        }
        if n % 30 == 17 {
            // more than the time between two checkpoints, so that one holds open buckets
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            if n % 60 == 17 {
                other.kill();
            } else {
                other.sigterm();
                assert_eq!(other.wait_exit(), 0);
            }
            other = agent(&server, &DERIVED);
        }
    }
    let variables: Vec<_> = ANALYSIS.iter().copied().chain(DERIVED).collect();
    let expected = replay(&sent, &variables);
    let of = |name: &str| {
        let timeframe = format!(r#""timeframe":"{name}""#);
        expected
            .iter()
            .filter(|line| line.contains(&timeframe))
            .count()
    };
    assert!(
        of("2m") > 200 && of("5m") > 80 && of("15m") > 10,
        "{} signals",
        expected.len()
    );
    assert!(
        expected
            .iter()
            .any(|line| line.contains(r#""timeframe":"5m""#) && line.contains(r#""revision":1"#))
    );
    let stored = signals_stored(&js, expected.len()).await;
    let stored = stored
        .iter()
        .map(|stored| String::from_utf8(stored.payload.clone()).unwrap());
    assert_eq!(by_series(stored), by_series(expected));
    // the judge for everyone computes them as well
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
