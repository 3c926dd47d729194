//! Messages that make the agent panic, by a failpoint: tried twice, then refused as a whole, and for
//! ever.

use async_nats::jetstream::Context;

use crate::common::{NatsServer, until_async};
use crate::feeder::{bar, connect, store};
use crate::history::{contents, faults};
use crate::verify::verify_after;
use crate::{ANALYSIS, Agent, agent};

/// A price that no other bar closes at.
const DOOM: f64 = 777.0;

fn doomed(n: u64) -> serde_json::Value {
    let mut bar = bar(0, n);
    bar["high"] = 1_000.0.into();
    bar["close"] = DOOM.into();
    bar
}

async fn feed(js: &Context, messages: &[(String, String)]) {
    for (id, payload) in messages {
        store(js, "raw.market_data.price.S0.1m", payload, id).await;
    }
}

fn bars(numbers: std::ops::Range<u64>) -> Vec<(String, String)> {
    numbers
        .map(|n| (n.to_string(), bar(0, n).to_string()))
        .collect()
}

/// Faults in the signals, if these are the bars that count.
async fn wrong(js: &Context, counted: &[(String, String)]) -> Vec<String> {
    let payloads: Vec<&str> = counted
        .iter()
        .map(|(_, payload)| payload.as_str())
        .collect();
    let expected: Vec<Vec<u8>> = crate::common::replay(&payloads, ANALYSIS)
        .into_iter()
        .map(String::into_bytes)
        .collect();
    let stored = contents(js, "TECHNICAL_SIGNALS", "insight.>").await;
    let signals: Vec<Vec<u8>> = stored.into_iter().map(|signal| signal.payload).collect();
    faults(&signals, &expected)
}

async fn wait_signals(js: &Context, count: usize) {
    let start = std::time::Instant::now();
    while contents(js, "TECHNICAL_SIGNALS", "insight.>").await.len() < count {
        assert!(start.elapsed() < crate::common::PATIENCE, "{count} signals");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// No checkpoint but that of an orderly end, so that state is computed from the stream.
fn start(server: &NatsServer, failpoint: &str) -> Agent {
    let more = [
        ("TECHNICAL_CHECKPOINT_SECS", "3600"),
        ("TA_FAILPOINT", failpoint),
    ];
    let mut agent = agent(server, &more);
    agent.wait_ready();
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_message_is_tried_twice_refused_whole_and_passed_over_ever_after() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = start(&server, "panic=777");
    // its first bar is taken in, with a signal to come, before the second panics
    let poison = format!("[{},{}]", bar(0, 20), doomed(21));
    feed(&js, &bars(0..20)).await;
    feed(&js, &[("poison".to_owned(), poison.clone())]).await;
    feed(&js, &bars(30..40)).await;
    let counted = [bars(0..20), bars(30..40)].concat();
    wait_signals(&js, counted.len() - 4).await;
    assert_eq!(wrong(&js, &counted).await, [""; 0]);
    let letters = contents(&js, "TECHNICAL_SIGNALS", "dead.technical").await;
    assert_eq!(letters.len(), 1);
    let header = |name: &str| letters[0].headers.get(name).unwrap().as_str();
    assert_eq!(letters[0].payload, poison.as_bytes());
    assert_eq!(header("Ta-Reason"), "poison");
    assert_eq!(header("Ta-Subject"), "raw.market_data.price.S0.1m");
    let stored = contents(&js, "TECHNICAL_BARS", ">").await;
    assert_eq!(header("Ta-Input-Seq"), stored[20].seq.to_string());
    first.wait_metrics(&[("technical_panics_total", 2.0)]);
    assert_eq!(first.get("/livez").status, 200);
    first.kill();

    // an agent that would not panic recomputes the state, and must skip the message as well
    let mut second = start(&server, "");
    feed(&js, &bars(40..50)).await;
    let counted = [counted, bars(40..50)].concat();
    wait_signals(&js, counted.len() - 4).await;
    assert_eq!(wrong(&js, &counted).await, [""; 0]);
    let letters = contents(&js, "TECHNICAL_SIGNALS", "dead.technical").await;
    assert_eq!(letters.len(), 1);
    second.wait_metrics(&[("technical_panics_total", 0.0)]);
    second.sigterm();
    assert_eq!(second.wait_exit(), 0);
    // nor does one that verifies it all
    assert_eq!(verify_after(&server.url(), &[ANALYSIS]), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_that_does_not_come_again_costs_nothing_and_other_partitions_nothing_at_all() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let agent = start(&server, "panic-once=777");
    let mut counted = bars(0..10);
    counted.push(("once".to_owned(), doomed(10).to_string()));
    counted.extend(bars(11..20));
    feed(&js, &counted).await;
    wait_signals(&js, counted.len() - 4).await;
    assert_eq!(wrong(&js, &counted).await, [""; 0]);
    let letters = contents(&js, "TECHNICAL_SIGNALS", "dead.technical").await;
    assert!(letters.is_empty());
    agent.wait_metrics(&[("technical_panics_total", 1.0)]);
    // only the one partition was loaded again
    let again = |agent: &Agent| {
        let of = |line: &&serde_json::Value| {
            line["message"]
                .as_str()
                .unwrap_or_default()
                .contains("panicked on a message")
        };
        agent.logs().iter().filter(of).count()
    };
    until_async("a line about it", || (again(&agent) == 1).then_some(())).await;
    assert_eq!(agent.get("/readyz").status, 200);
}
