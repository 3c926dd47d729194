//! Derived bars through kills, graceful ends and hand-overs: stored once, and those of `replay`.

use crate::Variables;
use crate::churn::{Sent, assert_kept};

const DERIVED: Variables = &[
    ("TECHNICAL_TIMEFRAMES", "2m,5m,15m"),
    // only bars close bars here, never time marks, however slow the machine is
    ("TECHNICAL_BAR_GRACE_SECS", "86400"),
];
const SYMBOLS: u64 = 5;
const MINUTES: u64 = 120;

#[tokio::test(flavor = "multi_thread")]
async fn derived_signals_are_stored_once_through_kills_and_hand_overs() {
    let kept = assert_kept(DERIVED, MINUTES, 30, |n| {
        let bars = |symbol: u64| {
            let is_corrected = (n + symbol).is_multiple_of(6);
            (0..1 + u64::from(is_corrected)).map(move |correction| Sent {
                symbol,
                minute: n,
                correction,
            })
        };
        (0..SYMBOLS).flat_map(bars).collect()
    })
    .await;
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
