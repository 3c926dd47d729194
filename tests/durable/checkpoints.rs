//! Checkpoints that cannot be read now are waited for; those that are damaged are passed over. A
//! purged table of leases is written again.

use std::collections::BTreeSet;
use std::ops::Range;

use async_nats::jetstream::Context;
use serde_json::Value;

use crate::common::{Agent, NatsServer, PATIENCE, until};
use crate::feeder::{bar, connect, feed, store};
use crate::history::{contents, settle};
use crate::{agent, permissions};

const LEASES: &str = "KV_TECHNICAL_SIGNALS_GROUPS";
const CHECKPOINTS: &str = "OBJ_TECHNICAL_SIGNALS_CHECKPOINTS";
const PASSED_OVER: &str = "the checkpoint cannot be continued";

async fn purge(js: &Context, stream: &str, filter: &str) {
    let stream = js.get_stream(stream).await.expect("a stream");
    let purged = stream.purge().filter(filter).await.expect("a purge");
    assert!(purged.purged > 0, "{filter} held nothing");
}

fn says(agent: &Agent, text: &str) -> usize {
    let found = |line: &&serde_json::Value| line["message"].as_str().unwrap().contains(text);
    agent.logs().iter().filter(found).count()
}

/// Waits until every partition has a lease again.
async fn leases_are_written(js: &Context) {
    let start = std::time::Instant::now();
    loop {
        // eight partitions, and one of subjects without a symbol
        let leases = contents(js, LEASES, "$KV.*.*.lease.>").await.len();
        if leases == 9 {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{leases} leases of 9");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Two agents whose table is purged under them; one of them ends then, `at_once` or after a while.
async fn a_purge_is_survived(at_once: bool) {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut agents = [agent(&server, &[]), agent(&server, &[])];
    for agent in &mut agents {
        agent.wait_ready();
    }
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    purge(&js, LEASES, ">").await;
    if !at_once {
        leases_are_written(&js).await;
    }
    agents[0].sigterm();
    assert_eq!(agents[0].wait_exit(), 0);
    feed(&js, 20..30).await;
    settle(&js, 30, 1).await;
    leases_are_written(&js).await;
    agents[1].sigterm();
    assert_eq!(agents[1].wait_exit(), 0);
    let mut next = agent(&server, &[]);
    next.wait_ready();
    feed(&js, 30..40).await;
    settle(&js, 40, 1).await;
    for agent in agents.iter().chain([&next]) {
        assert_eq!(says(agent, PASSED_OVER), 0);
    }
    let store = js.get_stream(CHECKPOINTS).await.unwrap();
    assert_eq!(store.cached_info().state.consumer_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_table_of_leases_is_written_again_and_agents_end_in_order() {
    a_purge_is_survived(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_when_the_leases_were_purged_ends_in_order() {
    a_purge_is_survived(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_read_now_is_waited_for() {
    let mut server = permissions::server(&permissions::block());
    let js = permissions::source(&server).await;
    let mut first = permissions::restricted(&server, &[]);
    first.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    first.wait_metrics(&[("technical_checkpoint_age_seconds", 0.0)]);
    // it stands by for the time being: what it takes over, it has to load
    let mut second = permissions::restricted(&server, &[]);
    second.wait_ready();
    let reading = format!("$JS.API.STREAM.MSG.GET.{CHECKPOINTS}");
    let denied = permissions::without(&reading);
    server.reload_with(permissions::configured(&denied));
    first.kill();
    until("the checkpoint to be missed", || {
        let told = "its checkpoint cannot be read now";
        (says(&second, "partition cannot go on") > 0
            && second.logs().iter().any(|line| {
                let reason = line["reason"].as_str();
                reason.is_some_and(|reason| reason.contains(told))
            }))
        .then_some(())
    });
    feed(&js, 20..30).await;
    assert_eq!(second.get("/readyz").status, 503);
    server.reload_with(permissions::configured(&permissions::block()));
    settle(&js, 30, 1).await;
    second.wait_ready();
    assert_eq!(says(&second, PASSED_OVER), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_fails_and_moves_to_another_member_is_no_longer_a_reason_not_to_be_ready()
{
    const SYMBOLS: usize = 24;
    let mut server = permissions::server(&permissions::block());
    let js = permissions::source(&server).await;
    let feed = async |rounds: Range<u64>| {
        for (n, symbol) in rounds.flat_map(|n| (0..SYMBOLS).map(move |symbol| (n, symbol))) {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let (payload, id) = (bar(symbol, n).to_string(), format!("{symbol}-{n}"));
            store(&js, &subject, &payload, &id).await;
        }
    };
    let mut first = permissions::restricted(&server, &[]);
    first.wait_ready();
    feed(0..10).await;
    settle(&js, 10 * SYMBOLS as u64, SYMBOLS as u64).await;
    first.wait_metrics(&[("technical_checkpoint_age_seconds", 0.0)]);
    // it stands by for the time being: what it takes over, it has to load
    let mut second = permissions::restricted(&server, &[("LOG_LEVEL", "DEBUG")]);
    second.wait_ready();
    let reading = format!("$JS.API.STREAM.MSG.GET.{CHECKPOINTS}");
    server.reload_with(permissions::configured(&permissions::without(&reading)));
    first.kill();
    until("three partitions that have failed twice", || {
        let logs = second.logs();
        let again = |line: &&Value| line["failure.times"].as_u64() == Some(2);
        let failed: BTreeSet<u64> = logs
            .iter()
            .filter(again)
            .filter_map(|line| line["unit"].as_u64())
            .collect();
        (failed.len() >= 3).then_some(())
    });

    // some of them move to a member that is allowed to load them
    let mut third = permissions::trusted(&server, &[]);
    third.wait_ready();
    server.reload_with(permissions::configured(&permissions::block()));
    second.wait_ready();

    feed(10..20).await;
    settle(&js, 20 * SYMBOLS as u64, SYMBOLS as u64).await;
    for agent in [&mut second, &mut third] {
        agent.sigterm();
        assert_eq!(agent.wait_exit(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_which_a_part_is_gone_for_good_is_passed_over() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    purge(&js, CHECKPOINTS, "$O.*.C.>").await;
    let mut next = agent(&server, &[]);
    let told = next.wait_log(PASSED_OVER);
    assert_eq!(told["problem"], "a part of it is missing", "{told}");
    next.wait_ready();
    feed(&js, 20..40).await;
    settle(&js, 40, 1).await;
}
