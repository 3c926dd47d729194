//! Refused input that is larger than what can be stored: its dead letter is cut, and nothing waits.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use crate::agent;
use crate::common::{Agent, NatsServer, Options};
use crate::feeder::{bar, connect, store};
use crate::history::{Stored, contents};

async fn junk(js: &Context, bytes: usize) {
    let id = format!("junk-{bytes}");
    store(js, "raw.market_data.price.S0.1m", &"x".repeat(bytes), &id).await;
}

async fn bars(js: &Context, range: std::ops::Range<u64>) {
    for n in range {
        let (payload, id) = (bar(0, n).to_string(), n.to_string());
        store(js, "raw.market_data.price.S0.1m", &payload, &id).await;
    }
}

/// Waits for so many dead letters, and so many signals.
async fn stored(js: &Context, letters: usize, signals: usize) -> Vec<Stored> {
    let start = std::time::Instant::now();
    loop {
        let found = contents(js, "TECHNICAL_SIGNALS", "dead.technical").await;
        let live = contents(js, "TECHNICAL_SIGNALS", "insight.>").await.len();
        if found.len() >= letters && live >= signals {
            assert_eq!((found.len(), live), (letters, signals));
            return found;
        }
        let waited = start.elapsed();
        assert!(
            waited < crate::common::PATIENCE,
            "{} letters and {live} signals",
            found.len()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn is_cut(letter: &Stored, most: usize) {
    assert_eq!(letter.header("Ta-Truncated").as_deref(), Some("true"));
    assert_eq!(letter.header("Ta-Reason").as_deref(), Some("not_json"));
    assert!(letter.payload.len() < most, "{}", letter.payload.len());
    // as much as there is room for beside the headers
    assert!(
        letter.payload.len() + 1_000 > most,
        "{}",
        letter.payload.len()
    );
    assert!(letter.payload.iter().all(|byte| *byte == b'x'));
}

fn was_never_held_up(agent: &Agent) {
    agent.wait_metrics(&[
        ("technical_circuit_open", 0.0),
        ("technical_publish_errors_total", 0.0),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_larger_than_the_server_takes_is_cut() {
    let server = NatsServer::start(Options {
        jetstream: true,
        config: "max_payload: 65536".to_owned(),
    });
    let js = connect(&server).await;
    let mut running = agent(&server, &[]);
    running.wait_ready();
    junk(&js, 65_300).await;
    bars(&js, 0..10).await;
    let letters = stored(&js, 1, 6).await;
    is_cut(&letters[0], 65_536);
    was_never_held_up(&running);
    running.wait_ready();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_larger_than_the_stream_takes_is_cut_also_when_the_limit_was_lowered_since() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let mut first = agent(&server, &[]);
    first.wait_ready();
    let stream = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
    let config = Config {
        max_message_size: 3_000,
        ..stream.cached_info().config.clone()
    };
    js.update_stream(config).await.expect("another limit");
    junk(&js, 5_000).await;
    bars(&js, 0..10).await;
    is_cut(&stored(&js, 1, 6).await[0], 3_000);
    first.wait_ready();
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    // the next finds the limit before it fails
    let mut second = agent(&server, &[]);
    second.wait_ready();
    junk(&js, 6_000).await;
    bars(&js, 10..20).await;
    is_cut(&stored(&js, 2, 16).await[1], 3_000);
    was_never_held_up(&second);
}
