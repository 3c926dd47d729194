//! Derived bars through kills, graceful ends and hand-overs: stored once, and those of `replay`.

use crate::Variables;
use crate::churn::{Sent, assert_kept};

const DERIVED: Variables = &[
    ("TECHNICAL_TIMEFRAMES", "2m,5m,15m"),
    // only bars close bars here, never time marks, however slow the machine is
    ("TECHNICAL_BAR_GRACE_SECS", "86400"),
];
/// Opens and closes between full quarters of an hour, within the minutes that are sent.
const SESSION: Variables = &[
    DERIVED[0],
    DERIVED[1],
    ("TECHNICAL_SESSION", "03:07-04:38 UTC"),
    ("TECHNICAL_CORRECTABLE_BARS", "8"),
];
const SYMBOLS: u64 = 5;
const MINUTES: u64 = 120;

/// The bars of a minute, some of them corrected.
fn corrected(n: u64) -> Vec<Sent> {
    let bars = |symbol: u64| {
        let is_corrected = (n + symbol).is_multiple_of(6);
        (0..1 + u64::from(is_corrected)).map(move |correction| Sent {
            symbol,
            minute: n,
            correction,
        })
    };
    (0..SYMBOLS).flat_map(bars).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn derived_signals_are_stored_once_through_kills_and_hand_overs() {
    let kept = assert_kept(DERIVED, MINUTES, 30, corrected).await;
    let expected = kept.expected;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_of_a_session_are_stored_once_through_kills_and_hand_overs() {
    let kept = assert_kept(SESSION, MINUTES, 40, corrected).await;
    let of = |name: &str| {
        let timeframe = format!(r#""timeframe":"{name}""#);
        let mut times: Vec<String> = kept
            .expected
            .iter()
            .filter(|line| line.contains(&timeframe))
            .map(|line| line.parse::<serde_json::Value>().expect("a signal"))
            .map(|signal| signal["timestamp"].as_str().expect("a time").to_owned())
            .collect();
        times.sort_unstable();
        times.dedup();
        times
    };
    let quarters = of("15m");
    assert!(!quarters.is_empty(), "no signal of 15m");
    // they begin at the open, and the last has one minute before the close
    for at in &quarters {
        let minute: u32 = at[14..16].parse().expect("a minute");
        assert_eq!(minute % 15, 7, "{at}");
    }
    assert_eq!(
        quarters.last().map(String::as_str),
        Some("2024-01-02T04:37:00Z")
    );
    let pairs = of("2m");
    assert!(pairs.iter().all(|at| at.as_str() >= "2024-01-02T03:07:00Z"));
    assert!(pairs.iter().all(|at| at.as_str() < "2024-01-02T04:38:00Z"));
}
