//! Bars that form until the next one comes, through kills and graceful ends in the middle of a bar.

use serde_json::json;

use crate::churn::replaced;
use crate::common::replay;
use crate::feeder::store;
use crate::history::signals_stored;
use crate::{ANALYSIS, ready};

/// A push of Kraken about minute `n`, of which it is the `push`th.
fn push(n: u64, push: u64) -> String {
    let begin = time_of(n);
    let close = 100.0 + f64::from(u32::try_from((n * 37 + push * 13) % 101).unwrap()) / 10.0;
    json!({
        "channel": "ohlc", "type": "update", "timestamp": begin,
        "data": [{
            "symbol": "S1/USD", "open": 100.0, "high": 112.0, "low": 99.0, "close": close,
            "trades": push, "volume": 10 + push, "vwap": close, "interval_begin": begin, "interval": 1,
        }],
    })
    .to_string()
}

fn time_of(n: u64) -> String {
    let (hour, minute) = (n / 60, n % 60);
    format!("2024-01-02T{hour:02}:{minute:02}:00.000000000Z")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_without_a_flag_has_its_signal_once_through_kills_in_the_middle_of_it() {
    const BARS: u64 = 30;
    let (server, js, mut current) = ready(&[]).await;
    let mut sent = Vec::new();
    for n in 0..BARS {
        for of_bar in 0..3 {
            let payload = push(n, of_bar);
            let subject = "raw.market_data.price.S1%2FUSD.1m";
            store(&js, subject, &payload, &format!("{n}-{of_bar}")).await;
            sent.push(payload);
            if n % 10 == 7 && of_bar == 1 {
                current = replaced(&server, current, n % 20 == 7, &[]).await;
            }
        }
    }
    let is_complete = |line: &String| line.contains(r#""final":true"#);
    let expected: Vec<String> = replay(&sent, ANALYSIS)
        .into_iter()
        .filter(is_complete)
        .collect();
    // the last bar is still forming, and the first four have no signal
    assert_eq!(expected.len(), 25);
    let stored = signals_stored(&js, expected.len()).await;
    let found: Vec<String> = stored
        .iter()
        .map(|stored| String::from_utf8(stored.payload.clone()).unwrap())
        .collect();
    assert_eq!(found, expected);
    current.sigterm();
    assert_eq!(current.wait_exit(), 0);
}
