//! Questions over NATS about a series, of which any member may have the partition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::{Client, Message};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::agent;
use crate::common::{NatsServer, PATIENCE};
use crate::feeder::{bar, connect, store};
use crate::history::{Stored, contents, settle};
use crate::ownership::balanced;

const SYMBOLS: usize = 12;

/// All answers to a request: the first, and those that come within a moment of it.
async fn ask(client: &Client, subject: &str) -> Vec<Message> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("an inbox");
    let asked = client.publish_with_reply(subject.to_owned(), inbox, "".into());
    asked.await.expect("a connection");
    let mut found = Vec::new();
    let mut patience = PATIENCE;
    while let Ok(Some(answer)) = tokio::time::timeout(patience, answers.next()).await {
        found.push(answer);
        patience = Duration::from_millis(150);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_described_by_the_member_that_owns_it_and_by_no_other() {
    let server = NatsServer::jetstream();
    let js = connect(&server).await;
    let named = |name| [("TECHNICAL_AGENT_NAME", name)];
    let mut members = [agent(&server, &named("a")), agent(&server, &named("b"))];
    for member in &mut members {
        member.wait_ready();
    }
    balanced(&[&members[0], &members[1]]);
    // the last symbol is escaped in subjects
    let token = |at: usize| match at {
        SYMBOLS => "BTC%2FUSDT".to_owned(),
        _ => format!("S{at}"),
    };
    for n in 0..8 {
        for at in 0..=SYMBOLS {
            let mut bar = bar(at, n);
            bar["symbol"] = token(at).replace("%2F", "/").into();
            let subject = format!("raw.market_data.price.{}.1m", token(at));
            store(&js, &subject, &bar.to_string(), &format!("{at} {n}")).await;
        }
    }
    let series = 1 + SYMBOLS as u64;
    settle(&js, 8 * series, series).await;
    let signals = contents(&js, "TECHNICAL_SIGNALS", "insight.>").await;
    let latest: BTreeMap<&str, &Stored> = signals
        .iter()
        .map(|one| (one.subject.as_str(), one))
        .collect();
    let client = js.client();
    let mut owners = BTreeSet::new();
    for at in 0..=SYMBOLS {
        let series = format!("{}.1m", token(at));
        let answers = ask(&client, &format!("technical.series.{series}")).await;
        assert_eq!(answers.len(), 1, "{series}");
        let signal = latest[format!("insight.technical.{series}").as_str()];
        let headers = answers[0].headers.as_ref().expect("headers");
        let owner = headers.get("Ta-Agent").expect("an agent").to_string();
        assert_eq!(Some(&owner), signal.header("Ta-Agent").as_ref(), "{series}");
        owners.insert(owner);
        let text = std::str::from_utf8(&answers[0].payload).expect("UTF-8");
        let signal = std::str::from_utf8(&signal.payload).expect("UTF-8");
        assert!(text.contains(signal), "{signal} in {text}");
        let detail: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(detail["symbol"], token(at).replace("%2F", "/"));
        let closes = detail["window"].as_array().expect("a window").iter();
        let closes: Vec<Value> = closes.map(|bar| bar["close"].clone()).collect();
        let expected: Vec<Value> = (0..8).map(|n| bar(at, n)["close"].clone()).collect();
        assert_eq!(closes, expected, "{series}");
    }
    assert_eq!(owners, ["a".to_owned(), "b".to_owned()].into());
}
