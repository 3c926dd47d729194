//! Derived bars that close while the market is silent, by time marks in the stream of bars.

use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy};

use crate::common::PATIENCE;
use crate::feeder::{bar, store};
use crate::history::{Due, contents, count};
use crate::permissions::{block_for, restricted, server, source};
use crate::verify::report_of;
use crate::{Agent, Variables, agent, ready, ready_pair};

const SETTINGS: Variables = &[
    ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
    ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
    ("TECHNICAL_INDICATORS", "atr(14)"),
    ("TECHNICAL_TIMEFRAMES", "5m,1h"),
    ("TECHNICAL_BAR_GRACE_SECS", "1"),
];

/// [`SETTINGS`] with time to change a stream before a mark is written.
const PATIENT: Variables = &[
    ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
    ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
    ("TECHNICAL_INDICATORS", "atr(14)"),
    ("TECHNICAL_TIMEFRAMES", "5m,1h"),
    ("TECHNICAL_BAR_GRACE_SECS", "10"),
];

/// Stores minutes of `symbol`. The first of them opens an hour.
async fn minutes(js: &Context, symbol: usize, minutes: impl IntoIterator<Item = u64>) {
    for n in minutes {
        let subject = format!("raw.market_data.price.S{symbol}.1m");
        // 23:00 is fifty minutes after the first bar of the source
        let payload = bar(symbol, n + 50).to_string();
        store(js, &subject, &payload, &format!("{symbol}-{n}")).await;
    }
}

/// Waits until this number of signals of a derived timeframe are stored.
async fn wait_derived(js: &Context, timeframe: &str, expected: usize) {
    let filter = format!("insight.technical.*.{timeframe}");
    let start = Instant::now();
    loop {
        let found = count(js, &filter).await;
        if found >= expected {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{found} of {expected} bars of {timeframe} closed"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asserts that everything is stored once with the bytes of `replay`, and that `verify` agrees.
async fn assert_kept(js: &Context, settings: Variables) -> Due {
    let (due, verdicts) = Due::judged(js, &[settings]).await;
    let faults: Vec<String> = verdicts.into_iter().flat_map(|one| one.faults).collect();
    assert_eq!(faults, [""; 0]);
    let report = report_of(js, settings, 10).await;
    assert!(report.ok, "{report}");
    due
}

fn written(agents: &[&Agent]) -> f64 {
    let of = |agent: &&Agent| {
        agent
            .metrics()
            .get("technical_marks_total{kind=\"written\"}")
    };
    agents.iter().filter_map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_market_closes_its_bars_whoever_owns_them() {
    let (server, js, [mut first, second]) = ready_pair(SETTINGS).await;
    for symbol in 0..6 {
        minutes(&js, symbol, [0, 1, 3]).await;
    }
    // its owner is gone before any bar is due
    first.kill();
    wait_derived(&js, "5m", 6).await;
    wait_derived(&js, "1h", 6).await;
    let due = assert_kept(&js, SETTINGS).await;
    assert!(due.marks() >= 1);
    // another process recovers from the streams, and writes no mark again
    let mut third = agent(&server, SETTINGS);
    third.wait_ready();
    let marks = due.marks();
    // a late part revises the bars that were closed without it; other bars continue
    minutes(&js, 0, [4]).await;
    minutes(&js, 1, 5..10).await;
    wait_derived(&js, "5m", 8).await;
    let due = assert_kept(&js, SETTINGS).await;
    assert!(due.marks() >= marks);
    assert!(written(&[&second, &third]) >= 1.0);
    // nothing is open, so nothing is due, and an idle partition costs nothing
    let idle = written(&[&second, &third]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(written(&[&second, &third]).to_bits(), idle.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_of_subjects_without_a_symbol_close_as_well() {
    let (_server, js, mut running) = ready(SETTINGS).await;
    for n in [50, 51] {
        let payload = bar(0, n).to_string();
        store(&js, "raw.market_data.price", &payload, &n.to_string()).await;
    }
    wait_derived(&js, "1h", 1).await;
    assert_kept(&js, SETTINGS).await;
    running.sigterm();
    assert_eq!(running.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_config_prints_is_enough_for_marks_and_without_it_bars_still_flow() {
    let block = block_for(SETTINGS);
    let mark = "\"raw.market_data.price.*.mark\"";
    assert!(block.contains(mark), "{block}");
    let allowed = server(&block);
    let js = source(&allowed).await;
    let mut running = restricted(&allowed, SETTINGS);
    running.wait_ready();
    minutes(&js, 0, [0, 1]).await;
    wait_derived(&js, "1h", 1).await;
    assert_kept(&js, SETTINGS).await;
    assert!(!allowed.log().contains("Violation"), "{}", allowed.log());

    let lines: Vec<&str> = block.lines().filter(|line| !line.contains(mark)).collect();
    let denied = server(&lines.join("\n"));
    let js = source(&denied).await;
    let mut running = restricted(&denied, SETTINGS);
    running.wait_ready();
    minutes(&js, 0, [0, 1]).await;
    running.wait_log("a time mark cannot be stored");
    assert_eq!(running.get("/readyz").status, 200);
    running.wait_metrics(&[("technical_marks_total{kind=\"failed\"}", 1.0)]);
    // the next bar closes the bars that no mark closes
    minutes(&js, 0, [5]).await;
    wait_derived(&js, "5m", 1).await;
    assert_kept(&js, SETTINGS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_takes_no_mark_and_goes_on_when_there_is_room() {
    let (_server, js, running) = ready(PATIENT).await;
    minutes(&js, 0, [0, 1, 2]).await;
    // it is full of bars, without room for a mark
    let stream = js.get_stream("TECHNICAL_BARS").await.unwrap();
    let roomy = stream.cached_info().config.clone();
    let full = Config {
        max_messages: 3,
        discard: DiscardPolicy::New,
        ..roomy.clone()
    };
    js.update_stream(full).await.unwrap();
    let told = running.wait_log("a time mark cannot be stored");
    assert!(
        told["reason"]
            .as_str()
            .unwrap()
            .contains("maximum messages"),
        "{told}"
    );
    assert_eq!(running.get("/readyz").status, 200);
    assert_eq!(count(&js, "insight.technical.*.1h").await, 0);
    let bars = contents(&js, "TECHNICAL_BARS", ">").await;
    assert_eq!(bars.len(), 3);
    js.update_stream(roomy).await.unwrap();
    wait_derived(&js, "1h", 1).await;
    assert_kept(&js, PATIENT).await;
}

/// A mark by somebody else closes only bars whose time has passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_ahead_is_refused_with_a_letter() {
    let patient = ("TECHNICAL_BAR_GRACE_SECS", "86400");
    let settings = [SETTINGS, &[patient]].concat();
    let (_server, js, running) = ready(&settings).await;
    minutes(&js, 0, [0, 1]).await;
    let subject = "raw.market_data.price.S0.1m";
    store(&js, subject, r#"{"mark":"2199-01-01T00:00:00Z"}"#, "ahead").await;
    running.wait_metrics(&[
        ("technical_marks_total{kind=\"refused\"}", 1.0),
        ("technical_bars_rejected_total{reason=\"future\"}", 1.0),
    ]);
    // any publisher may send a mark of a past time
    store(&js, subject, r#"{"mark":"2023-11-16T00:00:00Z"}"#, "past").await;
    wait_derived(&js, "1h", 1).await;
    assert_eq!(count(&js, "dead.technical").await, 1);
    let report = report_of(&js, &settings, 10).await;
    assert!(report.ok, "{report}");
}

/// Control: without time marks bars stay open, and the judge reports them.
#[tokio::test(flavor = "multi_thread")]
async fn control_without_time_marks_bars_stay_open_and_that_is_found() {
    let deaf = ("TA_FAILPOINT", "no-time-marks");
    let (_server, js, running) = ready(&[SETTINGS, &[deaf]].concat()).await;
    running.wait_log("a failpoint is set");
    minutes(&js, 0, [0, 1]).await;
    let start = Instant::now();
    loop {
        let due = Due::of(&js, &[SETTINGS]).await;
        let verdicts = due.verdicts(&js).await;
        let faults: Vec<String> = verdicts.into_iter().flat_map(|one| one.faults).collect();
        let is_missed = |timeframe: &str| {
            let missing = |fault: &String| fault.contains("missing") && fault.contains(timeframe);
            faults.iter().any(missing)
        };
        if due.marks() > 0 && is_missed("unit: Minute, count: 5") && is_missed("unit: Hour") {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "not found out: {faults:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
