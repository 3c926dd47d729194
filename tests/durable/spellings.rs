//! One series under several spellings of its symbol: one history, or refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, SubjectTransform};
use futures_util::future::join_all;
use serde_json::json;
use technical_analysis_agent::bus::durable::partition_of;

use crate::agent;
use crate::common::{NatsServer, PATIENCE};
use crate::feeder::{connect, store, store_with};
use crate::history::{contents, settle};

const PRICE: &str = "raw.market_data.price";

fn bar(symbol: &str, n: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let close = 100.0 + (n % 7) as f64;
    json!({
        "symbol": symbol, "timeframe": "1m", "timestamp": 1_699_999_800 + 60 * n,
        "open": close, "high": close + 1.0, "low": close - 1.0, "close": close, "volume": 10,
    })
    .to_string()
}

struct Case {
    symbol: &'static str,
    canonical: &'static str,
    other: &'static str,
    partitions: &'static str,
    /// True if the server puts the other spelling into another partition.
    parted: bool,
}

/// Bars on the other spelling continue the series, or are refused with the canonical subject.
async fn is_one_series_or_refused(case: Case) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[("TECHNICAL_PARTITIONS", case.partitions)]);
    running.wait_ready();
    let canonical = format!("{PRICE}.{}", case.canonical);
    let other = format!("{PRICE}.{}", case.other);
    let expect = case.parted.then_some("mismatch");
    for n in 0..40 {
        let (payload, id) = (bar(case.symbol, n), n.to_string());
        if (20..30).contains(&n) {
            store_with(&js, &other, &payload, &id, expect).await;
        } else {
            store(&js, &canonical, &payload, &id).await;
        }
    }
    settle(&js, if case.parted { 30 } else { 40 }, 1).await;
    let letters = contents(&js, "TECHNICAL_SIGNALS", "dead.technical").await;
    assert_eq!(letters.len(), if case.parted { 10 } else { 0 });
    for letter in letters {
        assert_eq!(letter.header("Ta-Reason").unwrap(), "mismatch");
        let detail = letter.header("Ta-Detail").unwrap();
        assert!(detail.contains(&format!("`{canonical}`")), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_of_a_symbol_continues_its_series_or_is_refused() {
    let case = |symbol, canonical, other, partitions, parted| Case {
        symbol,
        canonical,
        other,
        partitions,
        parted,
    };
    let cases = [
        case("BTC/USDT", "BTC%2FUSDT.1m", "BTC%2fUSDT.1m", "32", false),
        case("BTC/USDT", "BTC%2FUSDT.1m", "BTC%2fUSDT.1m", "64", true),
        case("AAPL", "AAPL.1m", "A%41PL.1m", "8", true),
        case("AAPL", "AAPL", "A%41PL", "32", true),
        case("AAPL", "AAPL", "A%41PL", "1", false),
        case("EUR=X", "EUR%3DX.1m", "EUR=X.1m", "32", true),
    ];
    let mut cases = cases.map(is_one_series_or_refused).into_iter();
    while cases.len() > 0 {
        join_all(cases.by_ref().take(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbol_that_only_the_payload_names_is_taken_as_it_stands() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    // no subject, no escaping: these are two symbols
    for n in 0..10 {
        for symbol in ["BTC/USDT", "BTC%2FUSDT"] {
            store(&js, PRICE, &bar(symbol, n), &format!("{symbol} {n}")).await;
        }
    }
    settle(&js, 20, 2).await;
    for subject in ["BTC%2FUSDT", "BTC%252FUSDT"] {
        let subject = format!("insight.technical.{subject}.1m");
        let signals = contents(&js, "TECHNICAL_SIGNALS", &subject).await;
        assert_eq!(signals.len(), 6, "{subject}");
    }
}

/// The bars of a symbol are in one partition, whatever stands before its name in the subject.
#[tokio::test(flavor = "multi_thread")]
async fn placeholders_say_which_token_is_the_symbol() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let subjects = [("TECHNICAL_SUBJECTS", "md.*.{timeframe}.{symbol}")];
    let mut running = agent(&server, &subjects);
    running.wait_ready();
    let symbols = ["AAPL", "BTC/USDT", "BRK.B"];
    for n in 0..10 {
        for symbol in symbols {
            let token = symbol.replace('/', "%2F").replace('.', "%2E");
            let subject = format!("md.{}.1m.{token}", if n % 2 == 0 { "a" } else { "b" });
            store(&js, &subject, &bar(symbol, n), &format!("{symbol} {n}")).await;
        }
    }
    let start = Instant::now();
    while contents(&js, "TECHNICAL_SIGNALS", "insight.>").await.len() < 18 {
        assert!(start.elapsed() < PATIENCE, "{}", running.output());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut places = BTreeMap::new();
    for message in contents(&js, "TECHNICAL_BARS", "p.>").await {
        let mut tokens = message.subject.splitn(3, '.');
        let place = tokens.nth(1).unwrap().to_owned();
        let symbol = message.subject.rsplit('.').next().unwrap().to_owned();
        places
            .entry(symbol)
            .or_insert_with(BTreeSet::new)
            .insert(place);
    }
    assert_eq!(places.len(), symbols.len());
    assert!(places.values().all(|of| of.len() == 1), "{places:?}");
    for token in ["AAPL", "BTC%2FUSDT", "BRK%2EB"] {
        let subject = format!("insight.technical.{token}.1m");
        let signals = contents(&js, "TECHNICAL_SIGNALS", &subject).await;
        assert_eq!(signals.len(), 6, "{subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_is_in_the_partition_that_the_agent_takes_it_for() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut tokens: Vec<String> = (0..150)
        .map(|n: u32| format!("{:X}", n.wrapping_mul(2_654_435_761)))
        .collect();
    let odd = [
        "é", "日経", "=", "%2f", "%2F", "a", "A", "-", "_", "~", "x y",
    ];
    tokens.extend(odd.iter().map(|token| token.replace(' ', "%20")));
    tokens.push("Q".repeat(200));
    for partitions in [1, 2, 3, 8, 31, 32, 33, 64, 100, 512] {
        let subject = format!("in{partitions}.*.>");
        let transform = SubjectTransform {
            source: subject.clone(),
            destination: format!("p.{{{{partition({partitions},1)}}}}.{{{{wildcard(1)}}}}.>"),
        };
        let name = format!("P{partitions}");
        js.create_stream(Config {
            name: name.clone(),
            subjects: vec![subject],
            subject_transform: Some(transform),
            ..Config::default()
        })
        .await
        .expect("a stream");
        let sent = tokens.iter().map(|token| {
            let subject = format!("in{partitions}.{token}.1m");
            js.publish(subject, "".into())
        });
        for sent in join_all(sent).await {
            sent.expect("a connection").await.expect("it is stored");
        }
        let stored = contents(&js, &name, ">").await;
        assert_eq!(stored.len(), tokens.len());
        for message in stored {
            let mut parts = message.subject.split('.').skip(1);
            let partition: u32 = parts.next().unwrap().parse().unwrap();
            let token = parts.next().unwrap();
            let ours = partition_of(token, partitions);
            assert_eq!(ours, partition, "{token} of {partitions}");
        }
    }
}
