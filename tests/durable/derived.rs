//! Derived bars through kills, graceful ends and hand-overs: stored once, and those of `replay`.

use serde_json::json;

use crate::Variables;
use crate::churn::{Bar, assert_kept};

const DERIVED: Variables = &[
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

#[tokio::test(flavor = "multi_thread")]
async fn derived_signals_are_stored_once_through_kills_and_hand_overs() {
    let kept = assert_kept(DERIVED, MINUTES, 30, |n| {
        let mut bars = Vec::new();
        for symbol in 0..SYMBOLS {
            let is_corrected = (n + symbol).is_multiple_of(6);
            for correction in 0..1 + u64::from(is_corrected) {
                bars.extend(minute(symbol, n, correction).map(|payload| Bar {
                    symbol,
                    payload,
                    id: format!("{symbol}-{n}-{correction}"),
                }));
            }
        }
        bars
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
