//! Runs that do not come to their end, and what the next one makes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;

use super::{begun, ended, last_seq, letters, letters_stored, market, redrive};
use crate::agent;
use crate::common::{Agent, NatsServer, Options, PATIENCE};
use crate::feeder::{connect, store};
use crate::history::contents;

/// The shortest window that the server accepts.
const FORGETFUL: Duration = Duration::from_millis(100);

/// Number of stored copies of each payload.
async fn copies(js: &Context, stream: &str) -> BTreeMap<Vec<u8>, usize> {
    let mut copies = BTreeMap::new();
    for one in contents(js, stream, ">").await {
        *copies.entry(one.payload).or_default() += 1;
    }
    copies
}

/// Has an agent refuse `count` different messages on three subjects, and end.
async fn refused(server: &NatsServer, js: &Context, count: usize) {
    let mut agent = agent(server, &[]);
    agent.wait_ready();
    for n in 0..count {
        let subject = format!("raw.market_data.price.S{}.1m", n % 3);
        store(js, &subject, &format!("{{\"n\":{n}"), &n.to_string()).await;
    }
    letters_stored(js, count).await;
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
}

/// Every message is in the stream of bars twice: as it came first, and as it was put back.
async fn assert_each_is_back_once(js: &Context, count: usize) {
    let copies = copies(js, "MARKET").await;
    assert_eq!(copies.len(), count);
    let wrong: Vec<_> = copies.iter().filter(|(_, count)| **count != 2).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut newest = BTreeMap::new();
    for one in contents(js, "MARKET", ">").await.split_off(count) {
        let text = String::from_utf8(one.payload).expect("a message of ours");
        let n: usize = text["{\"n\":".len()..].parse().expect("its number");
        // they take turns on three subjects
        let before = newest.insert(n % 3, n);
        assert!(before < Some(n), "{n} came after {before:?} on its subject");
    }
    assert_eq!(letters(js).await.len(), 0);
    let records = contents(js, "TECHNICAL_SIGNALS", "commit.TECHNICAL_SIGNALS.redrive").await;
    assert_eq!(records.len(), 0, "nothing is in doubt any more");
}

/// A server on which `mender` may do everything but remove a message: the letter stays when its
/// bar is back, as after a kill between the two.
fn without_deletion() -> NatsServer {
    NatsServer::start(Options {
        jetstream: true,
        config: r#"
            no_auth_user: all
            authorization { users: [
                { user: all, password: all }
                { user: mender, password: mender, permissions: {
                    publish: { deny: "$JS.API.STREAM.MSG.DELETE.>" }, subscribe: ">" } }
            ] }"#
            .to_owned(),
    })
}

/// Puts 10 letters back and leaves them, for longer than the server knows message ids.
async fn put_back_and_left() -> (NatsServer, Context) {
    let server = without_deletion();
    let js = connect(&server).await;
    market(&js, FORGETFUL).await;
    refused(&server, &js, 10).await;
    let url = format!("nats://mender:mender@127.0.0.1:{}", server.port());
    let cut = redrive(&url, "");
    assert_eq!(
        (cut.code, cut.counts()),
        (69, [10, 0, 0, 0, 0]),
        "{}",
        cut.all
    );
    let why = cut.report()["interrupted"].to_string();
    assert!(why.contains("lacks a permission"), "{why}");
    assert_eq!(letters(&js).await.len(), 10);
    tokio::time::sleep(Duration::from_millis(500)).await;
    (server, js)
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_are_back_and_still_there_do_not_go_back_again_however_late() {
    let (server, js) = put_back_and_left().await;
    let dry = redrive(&server.url(), "--dry-run");
    assert_eq!(
        (dry.code, dry.counts()),
        (0, [0, 10, 0, 0, 0]),
        "{}",
        dry.all
    );
    assert_eq!(letters(&js).await.len(), 10);
    // even where other letters are asked for
    let run = redrive(&server.url(), "--reason future");
    assert_eq!(
        (run.code, run.counts()),
        (0, [0, 10, 0, 0, 0]),
        "{}",
        run.all
    );
    assert_each_is_back_once(&js, 10).await;
}

/// Control of the test above: without the record the letters do go back again.
#[tokio::test(flavor = "multi_thread")]
async fn control_without_the_record_they_go_back_again_and_that_is_found() {
    let (server, js) = put_back_and_left().await;
    let signals = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    let record = "commit.TECHNICAL_SIGNALS.redrive";
    assert_eq!(signals.purge().filter(record).await.unwrap().purged, 1);
    let run = redrive(&server.url(), "");
    assert_eq!(
        (run.code, run.counts()),
        (0, [10, 0, 0, 0, 0]),
        "{}",
        run.all
    );
    assert!(
        copies(&js, "MARKET")
            .await
            .values()
            .all(|count| *count == 3)
    );
}

/// Begins to put 120 letters back, slowly, and returns in the middle of it.
async fn in_the_middle(server: &NatsServer, js: &Context, window: Duration) -> Agent {
    market(js, window).await;
    refused(server, js, 120).await;
    let run = begun(&server.url(), "--rate 20");
    let start = Instant::now();
    while last_seq(js, "MARKET").await < 120 + 50 {
        assert!(start.elapsed() < PATIENCE, "{}", run.output());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_in_the_middle_is_made_good_by_the_next() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut run = in_the_middle(&server, &js, FORGETFUL).await;
    run.kill();
    let left = letters(&js).await.len();
    assert!(0 < left && left < 120, "{left} letters are left");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let next = redrive(&server.url(), "");
    assert_eq!(next.code, 0, "{}", next.all);
    assert_each_is_back_once(&js, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_the_middle_ends_the_run_and_the_next_makes_it_good() {
    let mut server = NatsServer::jetstream();
    let js = connect(&server).await;
    let run = in_the_middle(&server, &js, FORGETFUL).await;
    server.kill();
    let cut = ended(run);
    assert_eq!(cut.code, 69, "{}", cut.all);
    assert!(cut.report()["interrupted"].is_string(), "{}", cut.all);
    server.restart();
    let js = connect(&server).await;
    let next = redrive(&server.url(), "");
    assert_eq!(next.code, 0, "{}", next.all);
    assert_each_is_back_once(&js, 120).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_at_the_same_time_nothing_comes_twice() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let first = in_the_middle(&server, &js, Duration::from_secs(120)).await;
    // takes over what the first has in hand
    let second = redrive(&server.url(), "");
    assert_eq!(second.code, 0, "{}", second.all);
    let first = ended(first);
    if first.code != 0 {
        assert_eq!(first.code, 69, "{}", first.all);
        let why = first.report()["interrupted"].to_string();
        assert!(why.contains("another redrive"), "{why}");
    }
    // what the first had written down is made good as well
    let third = redrive(&server.url(), "");
    assert_eq!(third.code, 0, "{}", third.all);
    assert_each_is_back_once(&js, 120).await;
}
