//! `redrive`: dead letters go back once, whatever happens on the way, and give the signals that
//! their bars would have given.

mod cut_short;
mod envelopes;

use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;
use serde_json::Value;

use crate::common::{Agent, NatsServer, PATIENCE};
use crate::feeder::{bar, connect, store};
use crate::history::{Stored, contents, faults, replay};
use crate::{ANALYSIS, agent};

const SUBJECT: &str = "raw.market_data.price.S0.1m";
const SYMBOLS: u64 = 12;
const BARS: u64 = 15;

/// Exit status and output of a run.
struct Ended {
    code: i32,
    lines: Vec<String>,
    all: String,
}

impl Ended {
    /// The report, which is the last line.
    fn report(&self) -> Value {
        let last = self.lines.last().unwrap_or_else(|| panic!("{}", self.all));
        serde_json::from_str(last).unwrap_or_else(|_| panic!("{}", self.all))
    }

    /// Put back, put back before, refused, failed, passed over.
    fn counts(&self) -> [u64; 5] {
        let report = self.report();
        ["put_back", "already", "refused", "failed", "passed_over"]
            .map(|name| report[name].as_u64().expect("a count"))
    }
}

fn begun(url: &str, options: &str) -> Agent {
    let arguments: Vec<&str> = ["redrive", "--json"]
        .into_iter()
        .chain(options.split_whitespace())
        .collect();
    Agent::start_with(&arguments, [("NATS_URL", url)])
}

fn ended(mut run: Agent) -> Ended {
    let code = run.wait_exit();
    Ended {
        code,
        lines: run.stdout(),
        all: run.output(),
    }
}

fn redrive(url: &str, options: &str) -> Ended {
    ended(begun(url, options))
}

async fn letters(js: &Context) -> Vec<Stored> {
    contents(js, "TECHNICAL_SIGNALS", "dead.technical").await
}

async fn signals(js: &Context) -> Vec<Vec<u8>> {
    let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await;
    stored.into_iter().map(|one| one.payload).collect()
}

/// Waits until so many letters are stored.
async fn letters_stored(js: &Context, count: usize) {
    let start = Instant::now();
    while letters(js).await.len() < count {
        assert!(start.elapsed() < PATIENCE, "{count} letters");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn last_seq(js: &Context, stream: &str) -> u64 {
    let stream = js.get_stream(stream).await.expect("the stream");
    stream.cached_info().state.last_sequence
}

/// Market data in a stream that knows message ids for so long.
async fn market(js: &Context, duplicate_window: Duration) {
    let config = Config {
        name: "MARKET".to_owned(),
        subjects: vec!["raw.>".to_owned()],
        duplicate_window,
        ..Config::default()
    };
    js.create_stream(config).await.expect("a stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn bars_that_a_limit_refused_go_back_after_the_fix_and_give_their_signals_once() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    // of 12 symbols in 8 partitions some have to share one
    let mut narrow = agent(&server, &[("TECHNICAL_MAX_SERIES", "1")]);
    narrow.wait_ready();
    for n in 0..BARS {
        for symbol in 0..SYMBOLS {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let payload = bar(symbol as usize, n).to_string();
            store(&js, &subject, &payload, &format!("{symbol}-{n}")).await;
        }
    }
    let start = Instant::now();
    let refused = loop {
        let letters = letters(&js).await;
        let series = letters.len() as u64 / BARS;
        let whole = series > 0 && letters.len() as u64 == series * BARS;
        if whole && signals(&js).await.len() as u64 == (SYMBOLS - series) * (BARS - 4) {
            break letters;
        }
        assert!(start.elapsed() < PATIENCE, "{} letters", letters.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    narrow.sigterm();
    assert_eq!(narrow.wait_exit(), 0);
    let count = refused.len() as u64;

    // looked at first
    let before = (
        last_seq(&js, "TECHNICAL_SIGNALS").await,
        last_seq(&js, "TECHNICAL_BARS").await,
    );
    let dry = redrive(&server.url(), "--dry-run");
    assert_eq!(dry.code, 0, "{}", dry.all);
    assert_eq!(dry.counts(), [count, 0, 0, 0, 0]);
    assert_eq!(dry.lines.len() as u64, count + 1, "a line for each");
    let after = (
        last_seq(&js, "TECHNICAL_SIGNALS").await,
        last_seq(&js, "TECHNICAL_BARS").await,
    );
    assert_eq!(before, after);
    assert_eq!(letters(&js).await.len() as u64, count);

    let mut wide = agent(&server, &[]);
    wide.wait_ready();
    let first = redrive(&server.url(), "--reason too_many_series --limit 2");
    assert_eq!(
        (first.code, first.counts()),
        (0, [2, 0, 0, 0, 0]),
        "{}",
        first.all
    );
    let rest = redrive(&server.url(), "--reason too_many_series");
    assert_eq!(
        (rest.code, rest.counts()),
        (0, [count - 2, 0, 0, 0, 0]),
        "{}",
        rest.all
    );
    let again = redrive(&server.url(), "");
    assert_eq!((again.code, again.counts()), (0, [0; 5]), "{}", again.all);

    let due = (SYMBOLS * (BARS - 4)) as usize;
    let start = Instant::now();
    while signals(&js).await.len() < due && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bars = contents(&js, "TECHNICAL_BARS", ">").await;
    assert_eq!(bars.len() as u64, SYMBOLS * BARS + count);
    let signals = signals(&js).await;
    assert_eq!(signals.len(), due);
    let bars: Vec<&Stored> = bars.iter().collect();
    assert_eq!(faults(&signals, &replay(&bars, ANALYSIS)), [""; 0]);
    assert_eq!(letters(&js).await.len(), 0, "nothing was refused again");

    // unchanged, in their order, and with what they were refused for
    let back = &bars[(SYMBOLS * BARS) as usize..];
    for (bar, letter) in back.iter().zip(&refused) {
        assert_eq!(bar.payload, letter.payload);
        let header = |name: &str| bar.headers.get(name).map(async_nats::HeaderValue::as_str);
        let place = format!("TECHNICAL_SIGNALS.{}", letter.seq);
        assert_eq!(header("Ta-Redriven"), Some(place.as_str()));
        assert_eq!(header("Ta-Reason"), Some("too_many_series"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_or_need_not_go_back_stays_and_is_told_of() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agent = agent(&server, &[]);
    agent.wait_ready();
    let large = format!("[{}]", " ".repeat(300_000));
    let messages = [
        bar(0, 1).to_string(),
        bar(0, 0).to_string(),
        large,
        "{".to_owned(),
    ];
    for (n, payload) in messages.iter().enumerate() {
        store(&js, SUBJECT, payload, &n.to_string()).await;
    }
    letters_stored(&js, 3).await;
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
    let mut elsewhere = HeaderMap::new();
    elsewhere.insert("Ta-Reason", "future");
    elsewhere.insert("Ta-Subject", "orders.new");
    for headers in [HeaderMap::new(), elsewhere] {
        let sent = js.publish_with_headers("dead.technical", headers, "{}".into());
        sent.await.unwrap().await.unwrap();
    }
    let before = last_seq(&js, "TECHNICAL_BARS").await;
    let run = redrive(&server.url(), "--verbose");
    assert_eq!(
        (run.code, run.counts()),
        (65, [1, 0, 3, 0, 1]),
        "{}",
        run.all
    );
    let report = run.report();
    assert_eq!(report["by_reason"]["not_json"]["put_back"], 1, "{report}");
    assert_eq!(report["by_reason"]["late"]["passed_over"], 1, "{report}");
    assert_eq!(report["by_reason"]["too_large"]["refused"], 1, "{report}");
    assert_eq!(report["by_reason"]["future"]["refused"], 1, "{report}");
    let told = |why: &str| run.lines.iter().any(|line| line.contains(why));
    assert!(told("only its beginning was kept"), "{}", run.all);
    assert!(told("TECHNICAL_SUBJECTS does not cover"), "{}", run.all);
    assert!(told("no agent wrote it"), "{}", run.all);
    assert_eq!(letters(&js).await.len(), 4);
    assert_eq!(last_seq(&js, "TECHNICAL_BARS").await, before + 1);

    let late = redrive(&server.url(), "--reason late");
    assert_eq!(
        (late.code, late.counts()),
        (0, [1, 0, 0, 0, 0]),
        "{}",
        late.all
    );
    assert_eq!(letters(&js).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_letters_are_stored_it_says_what_to_do() {
    let plain = NatsServer::plain();
    let run = redrive(&plain.url(), "");
    assert_eq!(run.code, 78, "{}", run.all);
    assert!(run.all.contains("durable delivery only"), "{}", run.all);

    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let run = redrive(&server.url(), "");
    assert_eq!(run.code, 78, "{}", run.all);
    assert!(
        run.all.contains("there is no stream TECHNICAL_SIGNALS"),
        "{}",
        run.all
    );
    assert!(run.all.contains("TECHNICAL_SIGNALS_STREAM"), "{}", run.all);
    let run = redrive(&server.url(), "--stream NOWHERE");
    assert_eq!(run.code, 78, "{}", run.all);

    let config = Config {
        name: "LETTERS".to_owned(),
        subjects: vec!["dead.>".to_owned()],
        ..Config::default()
    };
    js.create_stream(config).await.expect("a stream");
    let run = redrive(&server.url(), "");
    assert_eq!(run.code, 78, "{}", run.all);
    assert!(run.all.contains("--stream LETTERS"), "{}", run.all);
    let run = redrive(&server.url(), "--stream LETTERS");
    assert_eq!((run.code, run.counts()), (0, [0; 5]), "{}", run.all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_ones_own_serves_as_well_and_can_be_left_as_it_is() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let config = Config {
        name: "LETTERS".to_owned(),
        subjects: vec!["dead.technical".to_owned()],
        ..Config::default()
    };
    js.create_stream(config).await.expect("a stream");
    let mut headers = HeaderMap::new();
    headers.insert("Ta-Reason", "future");
    headers.insert("Ta-Subject", SUBJECT);
    // more bytes than are read at a time
    for n in 0..60u8 {
        let payload = vec![n; 200_000];
        let sent = js.publish_with_headers("dead.technical", headers.clone(), payload.into());
        sent.await.unwrap().await.unwrap();
    }
    // nobody stores the bars yet
    let run = redrive(&server.url(), "--stream LETTERS --limit 3");
    assert_eq!(
        (run.code, run.counts()),
        (65, [0, 0, 0, 3, 0]),
        "{}",
        run.all
    );
    market(&js, Duration::from_secs(120)).await;
    let run = redrive(&server.url(), "--stream LETTERS --keep --limit 4");
    assert_eq!(
        (run.code, run.counts()),
        (0, [4, 0, 0, 0, 0]),
        "{}",
        run.all
    );
    assert_eq!(contents(&js, "LETTERS", ">").await.len(), 60);
    // within the window in which the server knows message ids
    let run = redrive(&server.url(), "--stream LETTERS");
    assert_eq!(
        (run.code, run.counts()),
        (0, [56, 4, 0, 0, 0]),
        "{}",
        run.all
    );
    assert_eq!(contents(&js, "LETTERS", ">").await.len(), 0);
    let bars = contents(&js, "MARKET", ">").await;
    let order: Vec<u8> = bars.iter().map(|bar| bar.payload[0]).collect();
    assert_eq!(order, (0..60).collect::<Vec<u8>>());
}
