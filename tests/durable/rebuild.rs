//! Histories while live bars keep coming, with processes killed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;

use crate::common::{self, Agent};
use crate::feeder::{bar, store};
use crate::history::{PATIENCE, Stored, contents};
use crate::reset::{assert_kept, feed, file, members, run, until_signals};
use crate::{ANALYSIS, MIN_BARS, agent, ready};

const SUBJECT: &str = "raw.market_data.price.S1.1m";
/// Minutes of the live bars that come before the history has ended: the window of 60 bars still
/// begins within the history.
const LIVE: std::ops::Range<u64> = 1_500..1_555;
/// Bars of the past; the last ten are live bars as well.
const PAST: std::ops::Range<u64> = 0..1_510;

/// Stores live bars from `from` on until the history has ended, and ten more.
async fn live_source(js: Context, from: u64, ended: Arc<AtomicBool>) -> u64 {
    let mut last = LIVE.end;
    let mut n = from;
    while n < last {
        store(&js, SUBJECT, &bar(1, n).to_string(), &format!("live-{n}")).await;
        n += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
        while n == LIVE.end && !ended.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if ended.load(Ordering::Relaxed) && last == LIVE.end {
            last = n + 10;
        }
    }
    n
}

/// Waits until `count` parts of histories are stored.
async fn until_parts(js: &Context, count: usize) {
    let start = Instant::now();
    let is_part = |one: &&Stored| String::from_utf8_lossy(&one.payload).contains(r#""part":"#);
    loop {
        let stored = contents(js, "TECHNICAL_BARS", ">").await;
        if stored.iter().filter(is_part).count() >= count {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{count} parts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Payloads of the signals of S1: those before the rebuild and those after it.
async fn signals(js: &Context) -> (Vec<String>, Vec<String>) {
    let stored = contents(js, "TECHNICAL_SIGNALS", "insight.technical.S1.1m").await;
    let is_rebuilt = |one: &Stored| {
        let id = one.header("Nats-Msg-Id").expect("an id");
        id.rsplit('.').next().expect("a revision").contains('r')
    };
    let (after, before): (Vec<_>, Vec<_>) = stored.iter().partition(|one| is_rebuilt(one));
    let texts = |all: Vec<&Stored>| {
        let text = |one: &&Stored| String::from_utf8(one.payload.clone()).expect("UTF-8");
        all.iter().map(text).collect()
    };
    (texts(before), texts(after))
}

fn lines(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| bar(1, n).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_taken_while_live_bars_come_and_processes_are_killed() {
    let (server, js, mut members) = members().await;
    let home = tempfile::tempdir().expect("a directory");
    feed(&server, &file(home.path(), 0..2, LIVE.start..1_520));
    until_signals(&js, 2 * (20 - (MIN_BARS - 1))).await;
    let ended = Arc::new(AtomicBool::new(false));
    let source = tokio::spawn(live_source(js.clone(), 1_520, Arc::clone(&ended)));

    let past = file(home.path(), 1..2, PAST);
    let past = past.to_str().expect("UTF-8");
    // the first part has 1,000 bars, and at this rate the second comes two seconds later
    let line = ["feed", past, "--history", "--rate", "500", "--json"];
    let url = server.url();
    let variables = [("NATS_URL", url.as_str())];
    let mut broken = Agent::start_with(&line, variables);
    until_parts(&js, 1).await;
    broken.kill();
    // the owner of the series is killed in the middle of the next one
    let stored = contents(&js, "TECHNICAL_SIGNALS", "insight.technical.S1.1m").await;
    let owner = stored.last().and_then(|one| one.header("Ta-Agent"));
    let mut whole = Agent::start_with(&line, variables);
    until_parts(&js, 2).await;
    let at = usize::from(owner.as_deref() == Some("b"));
    members[at].kill();
    assert_eq!(whole.wait_exit(), 0, "{}", whole.output());
    let said = whole.output();
    assert!(
        said.contains("1500 bars taken") && said.contains("10 duplicates"),
        "{said}"
    );
    ended.store(true, Ordering::Relaxed);
    let last = source.await.expect("the source ends");

    let of_live = usize::try_from(last - LIVE.start).expect("few") - (MIN_BARS - 1);
    // S0, the live bars of S1, and the newest of them once more
    assert_kept(&js, 20 - (MIN_BARS - 1) + of_live + 1).await;
    let (before, after) = signals(&js).await;
    let alone = common::replay(&lines(LIVE.start..last), ANALYSIS);
    assert_eq!(before, alone[..before.len()]);
    let in_order = common::replay(&lines(PAST.start..last), ANALYSIS);
    let tail = &in_order[in_order.len() - after.len()..];
    assert_eq!(after[1..], tail[1..]);
    assert_eq!(
        after[0],
        tail[0].replace(r#""revision":0"#, r#""revision":1"#)
    );
    assert_ne!(after[0], alone[before.len() - 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_open_survives_in_the_checkpoint() {
    let (server, js, mut first) = ready(&[]).await;
    let home = tempfile::tempdir().expect("a directory");
    feed(&server, &file(home.path(), 1..2, 100..110));
    until_signals(&js, 6).await;
    let history =
        |rest: &str| format!(r#"{{"history":{{"symbol":"S1","timeframe":"1m","id":"h",{rest}}}}}"#);
    let rows = |range: std::ops::Range<u64>| {
        let row = |n| {
            let bar = bar(1, n);
            let number = |name: &str| bar[name].to_string();
            let at = bar["timestamp"].as_i64().expect("seconds");
            let at = technical_analysis_agent::market::Timestamp::from_nanos(at * 1_000_000_000);
            let prices = ["open", "high", "low", "close", "volume"].map(number);
            format!(r#"["{at}",{}]"#, prices.join(","))
        };
        range.map(row).collect::<Vec<String>>().join(",")
    };
    let part = |part: u32, range| history(&format!(r#""part":{part},"bars":[{}]"#, rows(range)));
    store(&js, SUBJECT, &part(0, 0..60), "part-0").await;
    store(&js, SUBJECT, &bar(1, 110).to_string(), "live-110").await;
    until_signals(&js, 7).await;
    // a checkpoint is written every second
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.kill();
    let mut second = agent(&server, &[]);
    second.wait_ready();
    store(&js, SUBJECT, &part(1, 60..100), "part-1").await;
    store(&js, SUBJECT, &history(r#""parts":2"#), "end").await;
    store(&js, SUBJECT, &bar(1, 111).to_string(), "live-111").await;
    assert_kept(&js, 9).await;
    let in_order = common::replay(&lines(0..112), ANALYSIS);
    let (_, after) = signals(&js).await;
    assert_eq!(after[1], *in_order.last().expect("a signal"));
    assert!(second.metrics().sum("technical_series_rebuilt_total") >= 1.0);
    // after its end the checkpoint has nothing of it
    let line = ["reset", "S1", "1m", "--json"];
    let (code, report, said) = run(&server, &line, &[]);
    assert_eq!((code, &report["forgotten"]), (0, &60.into()), "{said}");
}
