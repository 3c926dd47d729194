//! Bars that are not simply the next one: duplicates, corrections, late and forming bars, gaps,
//! arrays, and how often a series speaks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{
    NatsServer, assert_same, collect_signals, flat, publish, replay, send, settled,
};
use crate::{client, ready_agent};

/// Timestamp, close, revision and gap of each signal.
fn told(signals: &[crate::common::Received]) -> Vec<(String, f64, u64, u64)> {
    signals
        .iter()
        .map(|signal| {
            let json = signal.json();
            (
                json["timestamp"].as_str().unwrap()[11..16].to_owned(),
                json["close"].as_f64().unwrap(),
                json["revision"].as_u64().unwrap(),
                json["gap_bars"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_is_kept_in_order_whatever_comes() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[("TECHNICAL_CORRECTABLE_BARS", "1")]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let letters = collect_signals(&client, "dead.technical").await;
    let late = flat("A", 0, 9.0);
    for bar in [
        flat("A", 0, 10.0),
        flat("A", 1, 11.0),
        flat("A", 1, 11.0),
        flat("A", 1, 12.0),
        flat("A", 1, 12.0),
        flat("A", 1, 11.0),
        late.clone(),
        flat("A", 5, 13.0),
        flat("A", 6, 14.0),
    ] {
        send(&client, &bar).await;
    }
    signals.wait_for(6).await;
    let came = signals.wait_quiet(Duration::from_millis(300)).await;
    let row = |at: &str, close, revision, gap| (at.to_owned(), close, revision, gap);
    assert_eq!(
        told(&came),
        [
            row("00:00", 10.0, 0, 0),
            row("00:01", 11.0, 0, 0),
            row("00:01", 12.0, 1, 0),
            row("00:01", 11.0, 2, 0),
            row("00:05", 13.0, 0, 3),
            row("00:06", 14.0, 0, 0),
        ]
    );
    crate::common::assert_nothing_twice(&came);
    let letters = letters.wait_for(1).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].header("Ta-Reason"), Some("late"));
    assert_eq!(letters[0].json(), late);

    agent.wait_metrics(&[
        ("technical_messages_received_total", 9.0),
        ("technical_bars_received_total", 6.0),
        ("technical_bars_duplicate_total", 2.0),
        ("technical_bars_corrected_total", 2.0),
        ("technical_bar_gaps_total", 1.0),
        ("technical_bars_rejected_total{reason=\"late\"}", 1.0),
        ("technical_dead_letters_total", 1.0),
        ("technical_signals_published_total", 6.0),
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_series_goes_on_as_if_it_had_had_the_right_bar_from_the_start() {
    let server = NatsServer::plain();
    let _agent = ready_agent(&server, "one", &[("TECHNICAL_INDICATORS", "atr(5),obv")]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let price = |minute: u64| 100.0 + (minute * 7 % 11) as f64;
    let mut right = Vec::new();
    for minute in 0..60 {
        if minute % 9 == 4 {
            send(&client, &flat("A", minute, 300.0)).await;
        }
        let bar = flat("A", minute, price(minute));
        send(&client, &bar).await;
        right.push(bar.to_string());
    }
    // seven bars were wrong at first: minutes 4, 13, … 58
    let came = signals.wait_for(67).await;
    let settings = [
        ("TECHNICAL_INDICATORS", "atr(5),obv"),
        ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
    ];
    let expected: Vec<Value> = replay(&right, &settings)
        .iter()
        .map(|signal| serde_json::from_str(signal).unwrap())
        .collect();
    let last_word: Vec<Value> = came
        .iter()
        .map(|signal| signal.json())
        .filter(|signal| signal["close"] != 300.0)
        .map(|mut signal| {
            let corrected = signal["timestamp"].as_str().unwrap()[14..16]
                .parse::<u64>()
                .unwrap()
                % 9
                == 4;
            assert_eq!(signal["revision"], u64::from(corrected));
            signal["revision"] = json!(0);
            signal
        })
        .collect();
    assert_eq!(last_word, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forming_bar_speaks_on_its_own_subject_and_changes_nothing() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let forming = collect_signals(&client, "insight.forming.technical.>").await;
    let mut finals = Vec::new();
    for minute in 0..40 {
        let price = 50.0 + (minute * 5 % 7) as f64;
        // it forms, twice, at other prices than it closes at
        for price in [1.0, 900.0] {
            let mut bar = flat("A", minute, price);
            bar["final"] = json!(false);
            bar["source"] = json!("forming");
            send(&client, &bar).await;
        }
        let bar = flat("A", minute, price);
        send(&client, &bar).await;
        finals.push(bar.to_string());
    }
    // one that comes behind the complete bar is nothing any more
    let mut behind = flat("A", 39, 5.0);
    behind["final"] = json!(false);
    send(&client, &behind).await;
    let came = signals.wait_for(40).await;
    let expected = replay(&finals, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]);
    assert_same(&came, &expected);
    // a series begins with its first final bar, so the first minute formed unseen
    forming.wait_for(78).await;
    let provisional = forming.wait_quiet(Duration::from_millis(300)).await;
    assert_eq!(provisional.len(), 78);
    for signal in &provisional {
        assert_eq!(signal.subject.as_str(), "insight.forming.technical.A.1m");
        assert_eq!(signal.header("Nats-Msg-Id"), None);
        assert_eq!(signal.header("Ta-Agent"), Some("one"));
        let json = signal.json();
        assert_eq!(json["final"], false);
        assert_eq!(json["source"], "forming");
    }
    assert_eq!(provisional[1].json()["close"], 900.0);
    let window = agent.get("/series/A/1m").json();
    assert_eq!(window["bars"], 40);
    assert_eq!(window["window"][39]["close"], 50.0 + (39 * 5 % 7) as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_counts_for_itself_and_alerts_are_never_held_back() {
    let server = NatsServer::plain();
    let _agent = ready_agent(&server, "one", &[("TECHNICAL_PUBLISH_FREQUENCY", "5")]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    for minute in 0..31 {
        let mut bar = flat("A", minute, 10.0);
        if minute == 22 {
            bar["volume"] = json!(1_000);
        }
        send(&client, &bar).await;
        if minute < 7 {
            send(&client, &flat("B", minute, 10.0)).await;
        }
    }
    // bars 5, 10, … of A and bar 23 with its alert; bar 5 of B
    let came = signals.wait_for(8).await;
    let of = |symbol: &str| -> Vec<(u64, Value)> {
        let signals = came.iter().map(|signal| signal.json());
        let signals = signals.filter(|signal| signal["symbol"] == symbol);
        let minute = |signal: &Value| signal["timestamp"].as_str().unwrap()[14..16].parse();
        signals
            .map(|signal| (minute(&signal).unwrap(), signal["alerts"].clone()))
            .collect()
    };
    let none = json!([]);
    let mut expected: Vec<_> = [4, 9, 14, 19, 24, 29].map(|at| (at, none.clone())).into();
    // 1000 over an average of (19 × 100 + 1000) / 20 = 145
    expected.insert(4, (22, json!(["volume_spike"])));
    assert_eq!(of("A"), expected);
    assert_eq!(of("B"), [(4, none)]);
    assert_eq!(
        signals.wait_quiet(Duration::from_millis(300)).await.len(),
        8
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_elements_of_an_array_stand_alone() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let letters = collect_signals(&client, "dead.technical").await;
    let bad = [
        r#"{"symbol":"A","timestamp":1704067260,"open":1,"high":1,"low":-1,"close":1}"#,
        "7",
        r#"{"symbol":"A","timestamp":1704067200}"#,
    ];
    let array = format!(
        "[{},{},{},{},{},{}]",
        flat("A", 0, 10.0),
        bad[0],
        bad[1],
        flat("B", 0, 20.0),
        bad[2],
        flat("A", 1, 11.0),
    );
    publish(&client, "raw.market_data.price", &array).await;
    let came = signals.wait_for(3).await;
    let refused = letters.wait_for(3).await;
    let closes: Vec<f64> = came
        .iter()
        .map(|signal| signal.json()["close"].as_f64().unwrap())
        .collect();
    assert_eq!(closes, [10.0, 20.0, 11.0]);
    let refused: Vec<(&str, &[u8])> = refused
        .iter()
        .map(|letter| (letter.header("Ta-Reason").unwrap(), letter.payload.as_ref()))
        .collect();
    assert_eq!(
        refused,
        [
            ("bad_price", bad[0].as_bytes()),
            ("wrong_type", bad[1].as_bytes()),
            ("missing_field", bad[2].as_bytes()),
        ]
    );
    agent.wait_metrics(&[
        ("technical_messages_received_total", 1.0),
        ("technical_bars_received_total", 3.0),
    ]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_the_older_agent_and_numbers_as_text_mean_the_same() {
    let server = NatsServer::plain();
    let _agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    // no digit is lost: the double nearest to 0.1 + 0.2 has seventeen
    for payload in [
        r#"{"symbol":"A","timestamp":"2024-01-01T00:00:00Z","open_price":"0.2","high_price":0.30000000000000004,"low_price":0.1,"close_price":"0.30000000000000004","volume":"5"}"#,
        r#"{"sym":"B","ts":1704067200000,"o":0.2,"h":"0.30000000000000004","l":0.1,"c":0.30000000000000004,"v":5}"#,
    ] {
        publish(&client, "raw.market_data.price", payload).await;
    }
    for signal in signals.wait_for(2).await {
        let text = std::str::from_utf8(&signal.payload).unwrap();
        assert!(text.contains(r#""close":0.30000000000000004,"#), "{text}");
        let json = signal.json();
        assert_eq!(json["timestamp"], "2024-01-01T00:00:00Z");
        assert_eq!(json["timeframe"], "1m");
        assert_eq!(json["volume"], 5.0);
    }
}

/// A gap between bars restarts a series; a pause between messages, however long, does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_judged_by_the_times_of_bars_as_in_replay() {
    let server = NatsServer::plain();
    let idle = [("TECHNICAL_SERIES_IDLE_SECS", "60")];
    let _agent = ready_agent(&server, "one", &idle);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut sent = Vec::new();
    for minute in [0, 1, 2, 5, 6] {
        let bar = flat("A", minute, 10.0);
        send(&client, &bar).await;
        sent.push(bar.to_string());
    }
    let came = settled(&signals, sent.len()).await;
    let bars = came
        .iter()
        .map(|signal| signal.json()["bars_analyzed"].clone());
    assert_eq!(bars.collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
    let variables = [("TECHNICAL_MIN_BARS_REQUIRED", "1"), idle[0]];
    assert_same(&came, &replay(&sent, &variables));
}
