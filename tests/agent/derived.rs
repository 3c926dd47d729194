//! Larger bars that the agent derives from smaller ones.

use async_nats::Client;
use serde_json::Value;

use crate::common::{
    Agent, Collected, NatsServer, assert_same, collect_signals, flat, replay, send, until,
};
use crate::{client, ready_agent};

const DERIVED: [(&str, &str); 2] = [
    ("TECHNICAL_TIMEFRAMES", "5m,1h"),
    // only bars close bars here, never time marks, however slow the machine is
    ("TECHNICAL_BAR_GRACE_SECS", "86400"),
];
const EVERY_BAR: (&str, &str) = ("TECHNICAL_MIN_BARS_REQUIRED", "1");

/// Minutes of three symbols, some missing, and some corrected.
fn market(minutes: std::ops::Range<u64>) -> Vec<Value> {
    let mut sent = Vec::new();
    for minute in minutes {
        for (symbol, name) in ["A", "B", "BRK.B"].into_iter().enumerate() {
            let turn = minute * 7 + symbol as u64 * 3;
            if turn.is_multiple_of(11) {
                continue;
            }
            let close = 10.0 + f64::from(u8::try_from(turn % 13).unwrap()) / 10.0;
            sent.push(flat(name, minute, close));
            if turn.is_multiple_of(6) {
                sent.push(flat(name, minute, close + 0.7));
            }
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bars_of_a_session_are_those_of_replay() {
    let server = NatsServer::plain();
    let session = ("TECHNICAL_SESSION", "00:07-01:38 UTC");
    let _agent = ready_agent(&server, "one", &[DERIVED[0], DERIVED[1], session]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let sent = market(0..130);
    for bar in &sent {
        send(&client, bar).await;
    }
    let lines: Vec<String> = sent.iter().map(Value::to_string).collect();
    let expected = replay(&lines, &[EVERY_BAR, DERIVED[0], DERIVED[1], session]);
    let came = signals.wait_for(expected.len()).await;
    assert_same(&came, &expected);
    let times: Vec<String> = came
        .iter()
        .filter(|one| one.subject.as_str() == "insight.technical.A.1h")
        .map(|one| one.json()["timestamp"].as_str().unwrap()[11..16].to_owned())
        .collect();
    assert!(times.contains(&"00:07".to_owned()), "{times:?}");
    assert!(times.contains(&"01:07".to_owned()), "{times:?}");
    assert!(times.iter().all(|at| at.ends_with(":07")), "{times:?}");
}

fn expected(sent: &[Value]) -> Vec<String> {
    let sent: Vec<String> = sent.iter().map(Value::to_string).collect();
    replay(&sent, &[EVERY_BAR, DERIVED[0], DERIVED[1]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn derived_signals_are_those_of_replay_and_are_shown() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &DERIVED);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let forming = collect_signals(&client, "insight.forming.technical.A.5m").await;
    let sent = market(0..130);
    for bar in &sent {
        send(&client, bar).await;
    }
    let expected = expected(&sent);
    let came = signals.wait_for(expected.len()).await;
    assert_same(&came, &expected);
    let derived = |name: &str| {
        let subject = format!("insight.technical.BRK%2EB.{name}");
        came.iter()
            .filter(|one| one.subject.as_str() == subject)
            .count()
    };
    // revisions among them
    assert!(derived("5m") >= 25 && derived("1h") >= 2);
    let shown = forming.wait_for(50).await;
    for one in &shown {
        let signal = one.json();
        assert_eq!(signal["final"], false);
        assert_eq!(signal["parts_expected"], 5);
        assert!(one.header("Nats-Msg-Id").is_none());
    }
    let detail = agent.get("/series/A/5m").json();
    assert_eq!(detail["signal"]["timeframe"], "5m");
    assert_eq!(detail["signal"]["parts_expected"], 5);
    let listed = agent.get("/series?timeframe=1h").json();
    assert_eq!(listed["total"], 3);
    until("derived bars to be counted", || {
        let metrics = agent.metrics();
        let count = |kind| metrics.get(&format!("technical_derived_bars_total{{kind=\"{kind}\"}}"));
        let open = metrics.get("technical_open_buckets")?;
        (count("derived")? >= 75.0 && count("revised")? >= 1.0 && open >= 3.0).then_some(())
    });
}

/// Two members of which the second has joined among the bars.
struct Joined<'a> {
    _server: NatsServer,
    client: Client,
    first: Agent,
    second: Agent,
    signals: Collected,
    /// The bars still to be sent.
    rest: &'a [Value],
}

/// Sends the first `alone` bars before the second member joins, and half of the rest after it.
async fn joined<'a>(settings: &[(&str, &str)], sent: &'a [Value], alone: usize) -> Joined<'a> {
    let server = NatsServer::plain();
    let first = ready_agent(&server, "one", settings);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let (before, rest) = sent.split_at(alone);
    let (between, rest) = rest.split_at(rest.len() / 2);
    for bar in before {
        send(&client, bar).await;
    }
    let second = ready_agent(&server, "two", settings);
    for bar in between {
        send(&client, bar).await;
    }
    Joined {
        _server: server,
        client,
        first,
        second,
        signals,
        rest,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_buckets_go_from_member_to_member() {
    let sent = market(0..95);
    let mut members = joined(&DERIVED, &sent, 100).await;
    members.first.sigterm();
    assert_eq!(members.first.wait_exit(), 0);
    for bar in members.rest {
        send(&members.client, bar).await;
    }
    let expected = expected(&sent);
    let came = members.signals.wait_for(expected.len()).await;
    assert_same(&came, &expected);
    members.second.get("/readyz");
}

const CORRECTABLE: [(&str, &str); 2] = [DERIVED[0], ("TECHNICAL_CORRECTABLE_BARS", "32")];

/// The bars of [`market`], some of them many minutes late, and some of these corrected later.
fn late_market(minutes: std::ops::Range<u64>) -> Vec<Value> {
    let mut sent = Vec::new();
    let mut late: Vec<(u64, Value)> = Vec::new();
    for minute in minutes {
        for (at, bar) in (0..).zip(market(minute..minute + 1)) {
            let turn = minute * 5 + at;
            if minute > 0 && turn.is_multiple_of(9) {
                late.push((minute + 13, bar));
                continue;
            }
            if minute > 0 && turn.is_multiple_of(7) {
                let mut again = bar.clone();
                again["volume"] = (1_000 + turn).into();
                late.push((minute + turn % 29, again));
            }
            sent.push(bar);
        }
        let (due, rest) = late.into_iter().partition(|(at, _)| *at <= minute);
        late = rest;
        sent.extend(due.into_iter().map(|(_, bar): (u64, Value)| bar));
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_go_from_member_to_member() {
    let sent = late_market(0..120);
    let mut members = joined(&CORRECTABLE, &sent, 130).await;
    // while slots are handed over
    members.first.sigterm();
    for bar in members.rest {
        send(&members.client, bar).await;
    }
    assert_eq!(members.first.wait_exit(), 0);
    let sent: Vec<String> = sent.iter().map(Value::to_string).collect();
    let expected = replay(&sent, &[EVERY_BAR, CORRECTABLE[0], CORRECTABLE[1]]);
    let revised = |name: &str| {
        let lines = expected.iter().filter(|line| line.contains(name));
        lines
            .filter(|line| !line.contains(r#""revision":0"#))
            .count()
    };
    assert!(revised(r#""timeframe":"1m""#) > 100 && revised(r#""timeframe":"5m""#) > 20);
    let came = members.signals.wait_for(expected.len()).await;
    assert_same(&came, &expected);
    until("corrections to be counted", || {
        let metrics = members.second.metrics();
        ["bars_corrected", "bars_inserted", "signals_revised"]
            .iter()
            .all(|name| metrics.get(&format!("technical_{name}_total")) > Some(0.0))
            .then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bars_of_the_source_win_and_that_is_said_once() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &DERIVED);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.*.5m").await;
    let mut sent = Vec::new();
    for minute in 0..20 {
        for symbol in ["A", "B"] {
            if minute % 5 == 0 {
                let mut own = flat(symbol, minute, 20.0);
                own["timeframe"] = "5m".into();
                sent.push(own);
            }
            sent.push(flat(symbol, minute, 10.0));
        }
    }
    for bar in &sent {
        send(&client, bar).await;
    }
    let came = signals.wait_for(8).await;
    for one in &came {
        assert_eq!(one.json()["close"], 20.0);
        assert!(one.json().get("parts").is_none());
    }
    let note = agent.wait_log("sends 5m bars of A itself");
    assert_eq!(note["level"], "WARN");
    agent.wait_metrics(&[("technical_derived_bars_total{kind=\"own\"}", 2.0)]);
    let said = agent
        .logs()
        .iter()
        .filter(|line| line.to_string().contains("bars of"))
        .count();
    assert_eq!(said, 1);
}
