//! Bars that are corrected or arrive many bars late, through kills and hand-overs: every changed
//! signal is stored once, with the bytes of `replay`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::churn::{Sent, assert_kept};
use crate::common::PATIENCE;
use crate::feeder::{bar, store};
use crate::history::Due;
use crate::{Variables, ready};

const SETTINGS: Variables = &[
    ("TECHNICAL_TIMEFRAMES", "2m,5m,15m"),
    ("TECHNICAL_CORRECTABLE_BARS", "32"),
];
const SYMBOLS: u64 = 4;
const MINUTES: u64 = 100;
/// Minutes by which a late bar is late.
const LATE: u64 = 11;

/// Bars of one symbol that are sent in minute `n`.
fn told(symbol: u64, n: u64) -> Vec<Sent> {
    let is_late = |n: u64| n > 0 && (n * 5 + symbol).is_multiple_of(9);
    let sent = |minute: u64, correction: u64| Sent {
        symbol,
        minute,
        correction,
    };
    let mut told = Vec::new();
    if !is_late(n) {
        told.push(sent(n, 0));
    }
    if n > LATE && is_late(n - LATE) {
        told.push(sent(n - LATE, 0));
    }
    for (depth, every) in [(1, 5), (8, 7), (27, 11)] {
        let is_due = (n + symbol).is_multiple_of(every);
        if n > depth && is_due && !is_late(n - depth) {
            told.push(sent(n - depth, depth));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn revised_signals_are_stored_once_through_kills_and_hand_overs() {
    let kept = assert_kept(SETTINGS, MINUTES, 25, |n| {
        (0..SYMBOLS).flat_map(|symbol| told(symbol, n)).collect()
    })
    .await;
    let revised = |name: &str| {
        let is_revised = |line: &&String| {
            let signal: Value = serde_json::from_str(line).expect("a signal");
            signal["timeframe"] == name && signal["revision"].as_u64() > Some(0)
        };
        kept.expected.iter().filter(is_revised).count()
    };
    let counts = ["1m", "2m", "5m", "15m"].map(revised);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    // no bar has one revision twice
    let identities: BTreeSet<String> = kept
        .stored
        .iter()
        .map(|payload| {
            let signal: Value = serde_json::from_str(payload).expect("a signal");
            ["symbol", "timeframe", "timestamp", "revision"]
                .map(|key| signal[key].to_string())
                .join(" ")
        })
        .collect();
    assert_eq!(identities.len(), kept.expected.len());
}

/// Control: a correction that is not carried up leaves derived signals as they were, and the judge
/// reports them.
#[tokio::test(flavor = "multi_thread")]
async fn control_without_upward_corrections_derived_signals_are_missing_and_that_is_found() {
    let deaf = ("TA_FAILPOINT", "no-upward-corrections");
    let first_only = ("TECHNICAL_MIN_BARS_REQUIRED", "1");
    let (_server, js, running) = ready(&[SETTINGS, &[first_only, deaf]].concat()).await;
    running.wait_log("a failpoint is set");
    // in the first 15 minutes that are seen from their beginning
    let mut corrected = bar(0, 6);
    corrected["volume"] = 1_000.into();
    let bars = (0..20).map(|n| bar(0, n)).chain([corrected]);
    for (n, bar) in bars.enumerate() {
        let subject = "raw.market_data.price.S0.1m";
        store(&js, subject, &bar.to_string(), &n.to_string()).await;
    }
    let settings: Variables = &[
        ("TECHNICAL_TIMEFRAMES", "2m,5m,15m"),
        ("TECHNICAL_CORRECTABLE_BARS", "32"),
        ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
    ];
    let start = Instant::now();
    loop {
        let verdicts = Due::of(&js, &[settings]).await.verdicts(&js).await;
        let faults: Vec<String> = verdicts.into_iter().flat_map(|one| one.faults).collect();
        let is_missed = |count: &str| {
            let missing = |fault: &String| fault.contains("missing") && fault.contains(count);
            faults.iter().any(missing)
        };
        let counts = ["count: 2 ", "count: 5 ", "count: 15 "];
        if counts.into_iter().all(is_missed) && !is_missed("count: 1 ") {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "not found out: {faults:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
