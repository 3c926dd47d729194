//! Bars from trades through kills, graceful ends and hand-overs: stored once, and those of `replay`.

use serde_json::json;

use crate::Variables;
use crate::churn::{Message, assert_all_kept};

/// The lateness is longer than the test, so that no time mark of an agent has a part in it.
const BUILT: Variables = &[
    ("TECHNICAL_TRADES", "1m"),
    ("TECHNICAL_TIMEFRAMES", "5m"),
    ("TECHNICAL_LATENESS_SECS", "180"),
];
const SYMBOLS: u64 = 4;
const TRADES: u64 = 500;

/// Trade `n` of a symbol: five a minute, up to three minutes late, some of them later than that.
fn trade(symbol: u64, n: u64) -> String {
    let turn = n * 7 + symbol * 3;
    let late = match turn % 50 {
        // after the first one, whose minute is not seen from its open
        13 if n > 20 => 200 + turn % 70 + turn % 170,
        _ => turn % 170,
    };
    let at = 1_704_164_400 + 12 * n + 400 - late.min(12 * n);
    let price = f64::from(u32::try_from(1_000 + turn * 31 % 97).unwrap()) / 10.0;
    json!({
        "symbol": format!("S{symbol}"), "timestamp": at, "price": price,
        "size": format!("{}.{}", turn % 11, 1 + turn % 7), "trade_id": n,
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_of_trades_are_stored_once_through_kills_and_hand_overs() {
    let kept = assert_all_kept(BUILT, TRADES, 125, |n| {
        let message = |symbol| {
            // of each kind of subject, and the same partition for both
            let kind = if symbol % 2 == 0 { "trade" } else { "price" };
            Message {
                subject: format!("raw.market_data.{kind}.S{symbol}"),
                payload: trade(symbol, n),
                id: format!("{symbol}-{n}"),
            }
        };
        (0..SYMBOLS).map(message).collect()
    })
    .await;
    let expected = kept.expected;
    let of = |text: &str| expected.iter().filter(|line| line.contains(text)).count();
    assert!(
        of(r#""timeframe":"1m""#) > 150 && of(r#""timeframe":"5m""#) > 20,
        "{} signals",
        expected.len()
    );
    assert!(
        of(r#""revision":1"#) > 10,
        "{} revised",
        of(r#""revision":1"#)
    );
}
