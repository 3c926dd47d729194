//! A setting that was changed on one member of a group: no signal twice, and none missing.
//!
//! The table has every variable there is. Members with a harmless change work beside one that has
//! none; the others wait, not ready and alive, and name what stands in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use serde_json::Value;
use technical_analysis_agent::config::keys;

use crate::common::{Agent, NatsServer, until};
use crate::feeder::{bar, connect, store};
use crate::history::{PATIENCE, contents};
use crate::{MIN_BARS, agent};

/// The consequence of a changed value on one member.
#[derive(Clone, Copy)]
enum Outcome {
    /// It works with the others, and every bar that is due has its signal, once.
    Works,
    /// It works with the others, and no bar has two signals; some may have none, as asked for.
    Fewer,
    /// It waits, and says this.
    Waits(&'static [&'static str]),
    /// It is about the process itself, or about how it reaches the server, or is tried elsewhere.
    Own,
}
use Outcome::{Fewer, Own, Waits, Works};

const SAYS_SUBJECTS: Outcome = Waits(&["TECHNICAL_SUBJECTS"]);

/// Every variable, with a value that differs from that of the other members.
const TABLE: &[(&str, &str, Outcome)] = &[
    ("NATS_URL", "", Own),
    ("NATS_CREDS_FILE", "", Own),
    ("NATS_NKEY_SEED", "", Own),
    ("NATS_USER", "", Own),
    ("NATS_PASSWORD", "", Own),
    ("NATS_TOKEN", "", Own),
    ("NATS_TLS_CA", "", Own),
    ("NATS_TLS_CERT", "", Own),
    ("NATS_TLS_KEY", "", Own),
    ("NATS_CONNECT_TIMEOUT", "30", Works),
    (
        "NATS_JETSTREAM_DOMAIN",
        "nowhere",
        Waits(&["NATS_JETSTREAM_DOMAIN=nowhere"]),
    ),
    (
        "NATS_JETSTREAM_PREFIX",
        "JS.nowhere.API",
        Waits(&["NATS_JETSTREAM_PREFIX=JS.nowhere.API"]),
    ),
    ("LOG_LEVEL", "WARN", Works),
    ("LOG_FORMAT", "", Own),
    ("LOG_DIR", "", Own),
    ("SHUTDOWN_TIMEOUT", "10", Works),
    ("TECHNICAL_WATCHDOG_SECS", "", Own),
    ("HTTP_ADDR", "", Own),
    ("HTTP_ADMIN_TOKEN", "t", Works),
    // the name is nobody's identity
    ("TECHNICAL_AGENT_NAME", "first", Works),
    // with another secret it is a stranger to the group, see the tests of forged messages
    ("TECHNICAL_GROUP_SECRET", "", Own),
    // another group is another analysis, with signals of its own
    ("TECHNICAL_GROUP", "", Own),
    (
        "TECHNICAL_DELIVERY",
        "core",
        Waits(&["TECHNICAL_DELIVERY=durable"]),
    ),
    (
        "TECHNICAL_SUBJECTS",
        "raw.market_data.price.*.*",
        SAYS_SUBJECTS,
    ),
    // without the streams of the others, or with only one of them
    ("TECHNICAL_SUBJECTS", "raw.market_data.price", SAYS_SUBJECTS),
    (
        "TECHNICAL_SUBJECTS",
        "raw.market_data.price.>",
        SAYS_SUBJECTS,
    ),
    (
        "TECHNICAL_PUBLISH_SUBJECT",
        "other.{symbol}.{timeframe}",
        Waits(&["TECHNICAL_PUBLISH_SUBJECT (other.*.*)", "--subjects="]),
    ),
    ("TECHNICAL_FORMING_SUBJECT", "forming.{symbol}", Works),
    (
        "TECHNICAL_DEAD_LETTER_SUBJECT",
        "dead.letters",
        Waits(&[
            "TECHNICAL_DEAD_LETTER_SUBJECT (dead.letters)",
            "--subjects=",
        ]),
    ),
    ("TECHNICAL_MAX_PAYLOAD_BYTES", "1024", Works),
    ("TECHNICAL_DEFAULT_TIMEFRAME", "5m", Works),
    // the test's bars have epochs as times, on their grid, and prices above zero
    ("TECHNICAL_TIMEZONE", "America/New_York", Works),
    ("TECHNICAL_GRID", "accept", Works),
    ("TECHNICAL_PRICES", "any", Works),
    // bars get other times: it says what the source sends, and is one for the group
    ("TECHNICAL_TIMESTAMP", "", Own),
    // the test's bars are in the generic shape
    ("TECHNICAL_DIALECT", "generic", Works),
    // the newest bar of each series waits for the next one
    ("TECHNICAL_FINAL", "next", Fewer),
    ("TECHNICAL_DATA_WINDOW_SIZE", "61", Works),
    ("TECHNICAL_MIN_BARS_REQUIRED", "7", Fewer),
    ("TECHNICAL_PUBLISH_FREQUENCY", "2", Fewer),
    ("TECHNICAL_RSI_PERIOD", "7", Works),
    ("TECHNICAL_RSI_OVERBOUGHT", "75", Works),
    ("TECHNICAL_RSI_OVERSOLD", "25", Works),
    ("TECHNICAL_MACD_FAST", "11", Works),
    ("TECHNICAL_MACD_SLOW", "27", Works),
    ("TECHNICAL_MACD_SIGNAL", "8", Works),
    ("TECHNICAL_BB_PERIOD", "21", Works),
    ("TECHNICAL_BB_STD", "2.5", Works),
    ("TECHNICAL_SMA_SHORT", "19", Works),
    ("TECHNICAL_SMA_LONG", "51", Works),
    ("TECHNICAL_EMA_SHORT", "11", Works),
    ("TECHNICAL_EMA_LONG", "27", Works),
    ("TECHNICAL_VOLUME_SMA_PERIOD", "21", Works),
    ("TECHNICAL_INDICATORS", "rsi(7)", Works),
    // a day has too few bars for a signal
    ("TECHNICAL_TIMEFRAMES", "1d", Works),
    ("TECHNICAL_CALENDAR", "Asia/Tokyo", Works),
    ("TECHNICAL_SESSION", "09:30-16:00 America/New_York", Works),
    ("TECHNICAL_BAR_GRACE_SECS", "10", Works),
    // the subjects of trades are read as well
    ("TECHNICAL_TRADES", "1m", SAYS_SUBJECTS),
    ("TECHNICAL_LATENESS_SECS", "20", Works),
    ("TECHNICAL_TRADE_CONDITIONS", "sip", Works),
    ("TECHNICAL_CORRECTABLE_BARS", "32", Works),
    ("TECHNICAL_MAX_SERIES", "1", Fewer),
    ("TECHNICAL_SERIES_IDLE_SECS", "86400", Works),
    ("TECHNICAL_PARTITIONS", "4", Works),
    (
        "TECHNICAL_BARS_STREAM",
        "OTHER_BARS",
        Waits(&["TECHNICAL_BARS_STREAM=TECHNICAL_BARS (here OTHER_BARS)"]),
    ),
    (
        "TECHNICAL_INPUT_STREAM",
        "COPY",
        Waits(&["TECHNICAL_INPUT_STREAM"]),
    ),
    (
        "TECHNICAL_SIGNALS_STREAM",
        "OTHER_SIGNALS",
        Waits(&["TECHNICAL_SIGNALS_STREAM=TECHNICAL_SIGNALS (here OTHER_SIGNALS)"]),
    ),
    ("TECHNICAL_STREAM_REPLICAS", "3", Works),
    ("TECHNICAL_STREAM_STORAGE", "memory", Works),
    ("TECHNICAL_STREAM_PLACEMENT_CLUSTER", "east", Works),
    ("TECHNICAL_STREAM_PLACEMENT_TAGS", "ssd", Works),
    ("TECHNICAL_BARS_PER_SERIES", "500", Works),
    ("TECHNICAL_BARS_MAX_AGE_SECS", "3600", Works),
    ("TECHNICAL_SIGNALS_MAX_AGE_SECS", "3600", Works),
    ("TECHNICAL_BARS_MAX_BYTES", "1000000", Works),
    ("TECHNICAL_SIGNALS_MAX_BYTES", "1000000", Works),
    ("TECHNICAL_LEASE_SECS", "5", Works),
    ("TECHNICAL_CHECKPOINT_SECS", "5", Works),
];

#[test]
fn the_table_has_every_variable() {
    let decided: BTreeSet<&str> = TABLE.iter().map(|(key, ..)| *key).collect();
    let undecided: Vec<&str> = keys::all()
        .map(|key| key.name)
        .filter(|name| !decided.contains(name))
        .collect();
    assert!(
        undecided.is_empty(),
        "say in the table what becomes of a group where one member has another value: {undecided:?}"
    );
}

const SYMBOLS: usize = 12;

/// Stores these bars of every symbol.
async fn feed(js: &Context, bars: std::ops::Range<u64>) {
    for n in bars {
        for symbol in 0..SYMBOLS {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let id = format!("{symbol}-{n}");
            store(js, &subject, &bar(symbol, n).to_string(), &id).await;
        }
    }
}

/// Number of signals of each bar, by symbol, timestamp and revision.
fn counted<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for payload in payloads {
        let signal: Value = serde_json::from_slice(payload).expect("a signal");
        let bar = format!(
            "{} {} {}",
            signal["symbol"], signal["timestamp"], signal["revision"]
        );
        *counted.entry(bar).or_default() += 1;
    }
    counted
}

/// Waits until so many signals are stored, or for as long as that may take where `at_most`, and
/// has each bar's once.
async fn none_twice(js: &Context, due: usize, at_most: bool) {
    let start = Instant::now();
    let patience = if at_most {
        Duration::from_secs(3)
    } else {
        PATIENCE
    };
    loop {
        let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await;
        let counted = counted(stored.iter().map(|stored| stored.payload.as_slice()));
        let twice: Vec<_> = counted.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "signals that came twice: {twice:?}");
        assert!(counted.len() <= due, "{} of {due}", counted.len());
        if counted.len() == due {
            return;
        }
        if start.elapsed() > patience {
            assert!(at_most, "{} of {due} signals", counted.len());
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn due(bars: u64) -> usize {
    SYMBOLS * (usize::try_from(bars).expect("a few bars") + 1 - MIN_BARS)
}

fn changed(server: &NatsServer, cases: &[&(&'static str, &'static str, Outcome)]) -> Vec<Agent> {
    let start = |(key, value, _): &&(&'static str, &'static str, Outcome)| {
        agent(server, &[("TECHNICAL_DELIVERY", "auto"), (key, value)])
    };
    cases.iter().map(start).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_change_on_one_member_neither_doubles_nor_loses_a_signal() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    feed(&js, 0..6).await;
    let mut bars = 6;
    let works: Vec<_> = TABLE.iter().filter(|c| matches!(c.2, Works)).collect();
    for cases in works.chunks(8) {
        let mut members = changed(&server, cases);
        for member in &mut members {
            member.wait_ready();
        }
        feed(&js, bars..bars + 3).await;
        // half of them leave in order, the others do not
        for (at, member) in members.iter_mut().enumerate() {
            if at % 2 == 0 {
                member.sigterm();
            } else {
                member.kill();
            }
        }
        bars += 3;
        none_twice(&js, due(bars), false).await;
    }
    assert_eq!(first.get("/readyz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_asks_for_fewer_signals_doubles_none() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    feed(&js, 0..6).await;
    let fewer: Vec<_> = TABLE.iter().filter(|c| matches!(c.2, Fewer)).collect();
    let mut members = changed(&server, &fewer);
    for member in &mut members {
        member.wait_ready();
    }
    feed(&js, 6..12).await;
    drop(members);
    feed(&js, 12..16).await;
    none_twice(&js, due(16), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_would_double_signals_is_waited_for_and_named() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    feed(&js, 0..6).await;
    let waits: Vec<_> = TABLE.iter().filter(|c| matches!(c.2, Waits(_))).collect();
    let members = changed(&server, &waits);
    for (member, (key, value, outcome)) in members.iter().zip(&waits) {
        let Waits(shown) = outcome else { continue };
        for text in *shown {
            until(&format!("{text:?} in /readyz with {key}={value}"), || {
                let ready = member.try_get("/readyz")?;
                assert_ne!(ready.status, 200, "ready with {key}={value}");
                ready.body.contains(text).then_some(())
            });
        }
    }
    feed(&js, 6..16).await;
    none_twice(&js, due(16), false).await;
    for member in &members {
        assert_eq!(member.get("/livez").status, 200);
        assert_eq!(member.get("/readyz").status, 503);
    }
    assert_eq!(first.get("/readyz").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_core_delivery_no_change_doubles_a_signal() {
    let server = NatsServer::plain();
    let js = connect(&server).await;
    let client = js.client();
    let mut signals = client.subscribe("insight.>").await.expect("a subscription");
    let core = ("TECHNICAL_DELIVERY", "core");
    let mut first = agent(&server, &[core]);
    first.wait_ready();
    let mut n = 0;
    for change in [
        ("TECHNICAL_RSI_PERIOD", "7"),
        ("TECHNICAL_PUBLISH_FREQUENCY", "2"),
        ("TECHNICAL_DEFAULT_TIMEFRAME", "5m"),
        ("TECHNICAL_SUBJECTS", "raw.market_data.price.*.*"),
        ("TECHNICAL_MAX_SERIES", "3"),
        ("TECHNICAL_DELIVERY", "durable"),
    ] {
        let mut second = agent(&server, &[core, change]);
        match change.0 {
            "TECHNICAL_DELIVERY" => drop(second.wait_log("durable delivery cannot begin")),
            // it has no room for the series of the group, and waits
            "TECHNICAL_MAX_SERIES" => drop(second.wait_log("was not copied whole")),
            _ => second.wait_ready(),
        }
        for _ in 0..8 {
            for symbol in 0..SYMBOLS {
                let subject = format!("raw.market_data.price.S{symbol}.1m");
                let payload = bar(symbol, n).to_string();
                client
                    .publish(subject, payload.into())
                    .await
                    .expect("a connection");
            }
            client.flush().await.expect("a connection");
            tokio::time::sleep(Duration::from_millis(20)).await;
            n += 1;
        }
        second.sigterm();
        assert_eq!(second.wait_exit(), 0);
    }
    let mut received = Vec::new();
    while let Ok(Some(signal)) = tokio::time::timeout(Duration::from_secs(1), signals.next()).await
    {
        received.push(signal.payload);
    }
    let counted = counted(received.iter().map(|payload| payload.as_ref()));
    let twice: Vec<_> = counted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "signals that came twice: {twice:?}");
    assert!(counted.len() > 100, "{}", counted.len());
}
