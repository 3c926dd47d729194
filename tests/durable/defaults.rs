//! Nothing configured but the delivery: 32 partitions and leases of 6 s.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::Context;

use crate::ANALYSIS;
use crate::common::{Agent, NatsServer, until};
use crate::feeder::{bar, connect, store};
use crate::history::{contents, settle};

/// Partitions and the one for subjects without a symbol.
const UNITS: u64 = 33;
const SYMBOLS: usize = 40;

fn start(server: &NatsServer, name: &str) -> Agent {
    let url = server.url();
    let mut variables = vec![
        ("NATS_URL", url.as_str()),
        ("TECHNICAL_DELIVERY", "durable"),
        ("TECHNICAL_AGENT_NAME", name),
    ];
    variables.extend_from_slice(ANALYSIS);
    let mut member = Agent::start(variables);
    member.wait_ready();
    member
}

async fn feed(js: &Context, bars: std::ops::Range<u64>) {
    for n in bars {
        for symbol in 0..SYMBOLS {
            let subject = format!("raw.market_data.price.S{symbol}.1m");
            let id = format!("{symbol}-{n}");
            store(js, &subject, &bar(symbol, n).to_string(), &id).await;
        }
    }
}

fn wait_owned(members: &[&Agent], expected: &[u64]) {
    until(&format!("{expected:?} partitions owned"), || {
        let owned = |member: &&Agent| member.get("/status").json()["owned_partitions"].as_u64();
        let mut owned: Vec<u64> = members.iter().filter_map(owned).collect();
        owned.sort_unstable();
        (owned == expected).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_33_units_and_one_takes_over_from_the_other() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let first = start(&server, "first");
    wait_owned(&[&first], &[UNITS]);
    let stream = js.get_stream("TECHNICAL_BARS").await.expect("a stream");
    let config = &stream.cached_info().config;
    let recorded = config.metadata.get("technical.partitions");
    assert_eq!(recorded.map(String::as_str), Some("32"));

    feed(&js, 0..6).await;
    let mut second = start(&server, "second");
    wait_owned(&[&first, &second], &[16, 17]);
    feed(&js, 6..10).await;
    settle(&js, 10 * SYMBOLS as u64, SYMBOLS as u64).await;

    // the server has divided the symbols among more partitions than one member owns
    let bars = contents(&js, "TECHNICAL_BARS", ">").await;
    let partition = |subject: &str| subject.split('.').nth(1)?.parse().ok();
    let used: BTreeSet<u32> = bars.iter().filter_map(|b| partition(&b.subject)).collect();
    assert!(used.len() > 17, "{used:?}");
    assert!(used.iter().all(|partition| *partition < 32), "{used:?}");
    let signals = contents(&js, "TECHNICAL_SIGNALS", "insight.>").await;
    // the newest of each series; one member may be behind the other by more than a round
    let authors = signals.iter().map(|s| (&s.subject, s.header("Ta-Agent")));
    let newest: BTreeMap<&String, Option<String>> = authors.collect();
    let authors: BTreeSet<String> = newest.into_values().flatten().collect();
    assert_eq!(authors, ["first".to_owned(), "second".to_owned()].into());

    second.kill();
    feed(&js, 10..12).await;
    wait_owned(&[&first], &[UNITS]);
    settle(&js, 12 * SYMBOLS as u64, SYMBOLS as u64).await;
}
