//! Bars that the agent builds from trades, handed over from member to member.

use serde_json::{Value, json};

use crate::common::{NatsServer, assert_same, collect_signals, publish, replay};
use crate::{client, ready_agent};

const BUILT: [(&str, &str); 3] = [
    ("TECHNICAL_TRADES", "1m"),
    ("TECHNICAL_TIMEFRAMES", "5m"),
    // only trades close bars here, never time marks, however slow the machine is
    ("TECHNICAL_LATENESS_SECS", "600"),
];
const EVERY_BAR: (&str, &str) = ("TECHNICAL_MIN_BARS_REQUIRED", "1");

/// Trade `n` of a symbol: one in 20 seconds, up to 20 minutes late.
fn trade(symbol: &str, n: u64) -> Value {
    let late = match n % 31 {
        // later than the lateness
        17 => 700 + n % 500,
        turn => 37 * turn % 590,
    };
    let at = 1_704_189_600 + 20 * n - late.min(20 * n);
    let price = 100.0 + f64::from(u32::try_from(n * 31 % 97).unwrap()) / 10.0;
    json!({
        "symbol": symbol, "timestamp": at, "price": price, "size": format!("0.{}", 1 + n % 9),
        "trade_id": n,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_bars_of_trades_go_from_member_to_member() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut member = ready_agent(&server, "0", &BUILT);
    let mut sent = Vec::new();
    for part in 0..4_u64 {
        for n in 100 * part..100 * (part + 1) {
            for symbol in ["A", "B", "C"] {
                let trade = trade(symbol, n).to_string();
                let subject = format!("raw.market_data.trade.{symbol}");
                publish(&client, &subject, &trade).await;
                sent.push(trade);
            }
            // the next member joins among the trades, and the former leaves
            if n % 100 == 50 {
                let next = ready_agent(&server, &format!("{part}-next"), &BUILT);
                member.sigterm();
                assert_eq!(member.wait_exit(), 0);
                member = next;
            }
        }
    }
    let variables: Vec<_> = BUILT.iter().chain([&EVERY_BAR]).copied().collect();
    let expected = replay(&sent, &variables);
    let of = |text: &str| expected.iter().filter(|line| line.contains(text)).count();
    let counts = [r#""1m""#, r#""5m""#, r#""revision":1"#].map(of);
    assert!(
        counts[0] > 300 && counts[1] > 50 && counts[2] > 5,
        "{counts:?}"
    );
    let came = signals.wait_for(expected.len()).await;
    assert_same(&came, &expected);
    member.assert_alive();
}
