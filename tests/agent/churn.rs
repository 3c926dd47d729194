//! Rounds of messages while a second member joins and the first one leaves.

use std::time::Duration;

use async_nats::Client;
use serde_json::Value;

use crate::common::{Received, assert_nothing_twice, assert_same, publish, replay, settled};
use crate::group::{member, wait_shared};
use crate::{INDICATORS, listening};

/// The symbols of a round, `R0` and so on.
pub const SYMBOLS: usize = 24;
/// The pause between two rounds. A member with a backlog of more than 2.5 s receives its own
/// presence too late, assumes that it was cut off and restarts, which loses signals; these tests
/// are about messages.
const ROUND: Duration = Duration::from_millis(20);
/// The configuration of the members, for replay.
pub const SETTINGS: [(&str, &str); 2] = [
    ("TECHNICAL_INDICATORS", INDICATORS),
    ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
];

/// The messages of one symbol in one round.
type Messages = fn(u64, usize) -> Vec<Value>;

/// Sends the messages of all symbols, round by round, and records them in the order of sending.
struct Source {
    client: Client,
    messages: Messages,
    sent: Vec<String>,
    round: u64,
}

impl Source {
    async fn rounds(&mut self, count: u64) {
        for _ in 0..count {
            for symbol in 0..SYMBOLS {
                let subject = format!("raw.market_data.price.R{symbol}.1m");
                for message in (self.messages)(self.round, symbol) {
                    let payload = message.to_string();
                    publish(&self.client, &subject, &payload).await;
                    self.sent.push(payload);
                }
            }
            self.round += 1;
            tokio::time::sleep(ROUND).await;
        }
    }
}

/// Asserts that every signal of `replay` arrives once, from both members, while a second member
/// joins and the first one leaves. `last` rounds follow after that. Returns the number of signals
/// beyond one for each symbol and round.
pub async fn assert_kept(messages: Messages, last: u64) -> usize {
    let (server, client, signals) = listening().await;
    let mut first = member(&server, "first");
    first.wait_ready();
    let mut source = Source {
        client,
        messages,
        sent: Vec::new(),
        round: 0,
    };
    source.rounds(25).await;
    // while it joins, copies state and takes slots over
    let mut second = member(&server, "second");
    let joining = tokio::task::spawn_blocking(move || {
        second.wait_ready();
        second
    });
    while !joining.is_finished() {
        source.rounds(1).await;
    }
    let second = joining.await.unwrap();
    wait_shared(&[&first, &second]).await;
    source.rounds(15).await;
    first.sigterm();
    let leaving = tokio::task::spawn_blocking(move || assert_eq!(first.wait_exit(), 0));
    while !leaving.is_finished() {
        source.rounds(1).await;
    }
    leaving.await.unwrap();
    source.rounds(last).await;

    let expected = replay(&source.sent, &SETTINGS);
    let came = settled(&signals, expected.len()).await;
    assert_same(&came, &expected);
    assert_nothing_twice(&came);
    let by = |name: &str| {
        came.iter()
            .any(|one: &Received| one.header("Ta-Agent") == Some(name))
    };
    assert!(by("first") && by("second"));
    let bars = SYMBOLS * source.round as usize;
    assert!(expected.len() >= bars, "{} of {bars}", expected.len());
    expected.len() - bars
}
