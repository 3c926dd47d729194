//! Each role with a NATS user of its own, under the permissions that `config --permissions ROLE`
//! prints: it can do its work, and nothing that would speak for another.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;

use crate::agent;
use crate::common::{Agent, NatsServer, Options, until, user_of};
use crate::feeder::{bar, feed, store};
use crate::history::{contents, settle};

const ROLES: [&str; 4] = ["agent", "producer", "consumer", "operator"];

/// Subjects that speak for a member of the group, or for its work.
const OF_AGENTS: [&str; 7] = [
    "agents.technical.group.technical-analysis.presence",
    "agents.technical.group.technical-analysis.to.X",
    "$KV.TECHNICAL_SIGNALS_GROUPS.technical-analysis.member.X",
    "$KV.TECHNICAL_SIGNALS_GROUPS.technical-analysis.lease.1",
    "commit.TECHNICAL_SIGNALS.technical-analysis.1",
    "insight.technical.S0.1m",
    "insight.forming.technical.S0.1m",
];

fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(["config", "--permissions"])
        .args(arguments)
        .env_clear()
        .env("TECHNICAL_DELIVERY", "durable")
        .output()
        .expect("the agent starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A server with a user for each role and one that may do anything.
fn server() -> NatsServer {
    let durable = [("TECHNICAL_DELIVERY", "durable")];
    let users: String = ROLES.map(|role| user_of(role, role, &durable)).concat();
    NatsServer::start(Options {
        jetstream: true,
        config: format!("authorization {{ users: [\n{{ user: root, password: p }}\n{users}] }}"),
    })
}

async fn user(server: &NatsServer, role: &str) -> Client {
    ConnectOptions::with_user_and_password(role.to_owned(), "p".to_owned())
        .request_timeout(Some(Duration::from_secs(2)))
        .connect(server.url())
        .await
        .expect("a connection")
}

fn working_agent(server: &NatsServer) -> Agent {
    let mut agent = agent(server, &[("NATS_USER", "agent"), ("NATS_PASSWORD", "p")]);
    agent.wait_ready();
    agent
}

/// The operations that the server refused this role on this subject.
fn was_refused(server: &NatsServer, operation: &str, role: &str, subject: &str) -> bool {
    let log = server.log();
    let said = format!("{operation} Violation");
    let mut lines = log.lines().filter(|line| line.contains(&said));
    let of = |line: &str| {
        line.contains(&format!("user:{role}\"")) && line.contains(&format!("\"{subject}\""))
    };
    lines.any(of)
}

async fn assert_cannot_publish(server: &NatsServer, role: &str, subjects: &[&str]) {
    let client = user(server, role).await;
    for subject in subjects {
        let publish = client.publish((*subject).to_owned(), "{}".into());
        publish.await.expect("a connection");
        client.flush().await.expect("a connection");
        until(&format!("{role} to be refused {subject}"), || {
            was_refused(server, "Publish", role, subject).then_some(())
        });
    }
}

async fn assert_cannot_listen(server: &NatsServer, role: &str, subjects: &[&str]) {
    let client = user(server, role).await;
    for subject in subjects {
        let subscription = client.subscribe((*subject).to_owned()).await;
        let _subscription = subscription.expect("a connection");
        client.flush().await.expect("a connection");
        until(&format!("{role} to be refused {subject}"), || {
            was_refused(server, "Subscription", role, subject).then_some(())
        });
    }
}

/// No line of the server's log says that this role was refused something.
fn assert_never_refused(server: &NatsServer, role: &str) {
    let log = server.log();
    let of = |line: &&str| line.contains("Violation") && line.contains(&format!("user:{role}\""));
    let refused: Vec<&str> = log.lines().filter(of).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_publishes_market_data_and_nothing_else() {
    let server = server();
    let root = jetstream::new(user(&server, "root").await);
    let _agent = working_agent(&server);
    let js = jetstream::new(user(&server, "producer").await);
    // acknowledged by the stream
    feed(&js, 0..20).await;
    settle(&root, 20, 1).await;
    assert_never_refused(&server, "producer");
    assert_never_refused(&server, "agent");
    assert_cannot_publish(&server, "producer", &OF_AGENTS).await;
    let others = [
        "dead.technical",
        "commit.TECHNICAL_SIGNALS.redrive",
        "_INBOX.somebody",
        "$O.TECHNICAL_SIGNALS_CHECKPOINTS.C.x",
        "$JS.API.STREAM.PURGE.TECHNICAL_BARS",
        "$JS.API.STREAM.DELETE.TECHNICAL_SIGNALS",
        "$JS.API.CONSUMER.CREATE.TECHNICAL_SIGNALS",
    ];
    assert_cannot_publish(&server, "producer", &others).await;
    let overheard = ["agents.technical.group.>", "commit.>", "$KV.>", ">"];
    assert_cannot_listen(&server, "producer", &overheard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_reads_signals_and_changes_nothing() {
    let server = server();
    let root = jetstream::new(user(&server, "root").await);
    let _agent = working_agent(&server);
    let client = user(&server, "consumer").await;
    let signals = client.subscribe("insight.technical.*.*").await;
    let mut signals = signals.expect("a subscription");
    client.flush().await.expect("a connection");
    feed(&root, 0..20).await;
    settle(&root, 20, 1).await;
    let live = tokio::time::timeout(crate::common::PATIENCE, signals.next()).await;
    assert!(live.expect("a signal in time").is_some());

    // the stream, with acknowledgements, by a consumer that outlives the client
    let js = jetstream::new(client.clone());
    let stream = js
        .get_stream("TECHNICAL_SIGNALS")
        .await
        .expect("the stream");
    let config = pull::Config {
        durable_name: Some("desk".to_owned()),
        ack_policy: AckPolicy::Explicit,
        filter_subject: "insight.technical.S0.1m".to_owned(),
        ..pull::Config::default()
    };
    let reader: PullConsumer = stream.create_consumer(config).await.expect("a consumer");
    let mut batch = reader
        .fetch()
        .max_messages(5)
        .messages()
        .await
        .expect("a batch");
    let mut read = 0;
    while let Some(message) = batch.next().await {
        message
            .expect("a message")
            .double_ack()
            .await
            .expect("an answer");
        read += 1;
    }
    assert_eq!(read, 5);
    // and it may ask agents
    let status = client.request("technical.status", "".into()).await;
    assert!(status.expect("an answer").payload.starts_with(b"{"));
    assert_never_refused(&server, "consumer");

    assert_cannot_publish(&server, "consumer", &OF_AGENTS).await;
    let others = [
        "raw.market_data.price.S0.1m",
        "dead.technical",
        "_INBOX.somebody",
        "$JS.API.STREAM.PURGE.TECHNICAL_SIGNALS",
        "$JS.API.STREAM.MSG.DELETE.TECHNICAL_SIGNALS",
        "$JS.API.STREAM.UPDATE.TECHNICAL_SIGNALS",
        "$JS.API.CONSUMER.DELETE.TECHNICAL_SIGNALS.another",
        "$JS.API.CONSUMER.CREATE.TECHNICAL_BARS",
    ];
    assert_cannot_publish(&server, "consumer", &others).await;
    let overheard = ["raw.market_data.price.>", "agents.technical.group.>", ">"];
    assert_cannot_listen(&server, "consumer", &overheard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_feeds_redrives_and_manages_streams_and_speaks_for_no_agent() {
    let server = server();
    let root = jetstream::new(user(&server, "root").await);
    let _agent = working_agent(&server);
    let url = server.url();
    let as_operator = [
        ("NATS_URL", url.as_str()),
        ("NATS_USER", "operator"),
        ("NATS_PASSWORD", "p"),
    ];
    let line = ["feed", "--synthetic", "--symbols", "1", "--bars", "20"];
    let mut fed = Agent::start_with(&line, as_operator);
    assert_eq!(fed.wait_exit(), 0, "{}", fed.output());

    // too far ahead to be taken: a dead letter, put back and refused again
    let mut ahead = bar(0, 0);
    ahead["timestamp"] = 32_503_680_000_u64.into();
    let subject = "raw.market_data.price.S0.1m";
    store(&root, subject, &ahead.to_string(), "ahead").await;
    letters(&root, 1).await;
    let mut redriven = Agent::start_with(&["redrive", "--keep"], as_operator);
    assert_eq!(redriven.wait_exit(), 0, "{}", redriven.output());
    letters(&root, 2).await;
    let mut redriven = Agent::start_with(&["redrive"], as_operator);
    redriven.wait_exit();

    let js = jetstream::new(user(&server, "operator").await);
    let stream = js
        .get_stream("TECHNICAL_SIGNALS")
        .await
        .expect("the stream");
    let read: PullConsumer = stream
        .create_consumer(pull::Config::default())
        .await
        .expect("a consumer");
    let name = read.cached_info().name.clone();
    stream.delete_consumer(&name).await.expect("it is deleted");
    let bars = js.get_stream("TECHNICAL_BARS").await.expect("the stream");
    bars.get_raw_message(1).await.expect("a bar");
    let mut config = bars.cached_info().config.clone();
    config.description = Some("changed by the operator".to_owned());
    js.update_stream(config).await.expect("it is changed");
    bars.purge().await.expect("it is purged");
    let table = js.get_stream("KV_TECHNICAL_SIGNALS_GROUPS").await;
    table.expect("the table of members");
    assert_never_refused(&server, "operator");
    assert_cannot_publish(&server, "operator", &OF_AGENTS).await;
    let others = [
        "dead.technical",
        "$O.TECHNICAL_SIGNALS_CHECKPOINTS.C.x",
        "$JS.API.STREAM.DELETE.SOMEBODY_ELSES",
        "_INBOX.somebody",
    ];
    assert_cannot_publish(&server, "operator", &others).await;
}

/// Waits until so many dead letters are stored.
async fn letters(js: &Context, count: usize) {
    let start = std::time::Instant::now();
    while contents(js, "TECHNICAL_SIGNALS", "dead.technical")
        .await
        .len()
        < count
    {
        assert!(
            start.elapsed() < crate::history::PATIENCE,
            "{count} letters"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_publishes_no_market_data_and_deletes_no_stream() {
    let server = server();
    let _agent = working_agent(&server);
    assert_never_refused(&server, "agent");
    let others = [
        "raw.market_data.price.S0.1m",
        "$JS.API.STREAM.DELETE.TECHNICAL_BARS",
        "$JS.API.STREAM.PURGE.TECHNICAL_SIGNALS",
    ];
    assert_cannot_publish(&server, "agent", &others).await;
}

#[test]
fn without_a_role_the_agents_block_is_printed_and_the_others_are_comments() {
    let all = printed(&[]);
    for role in ROLES {
        assert!(all.contains(&format!("# {role}: ")), "{all}");
    }
    let is_plain = |line: &&str| !line.starts_with('#');
    let plain: Vec<&str> = all.lines().filter(is_plain).collect();
    assert_eq!(plain.join("\n") + "\n", printed(&["agent"]));
    for role in ["producer", "consumer", "operator"] {
        let commented: String = printed(&[role])
            .lines()
            .map(|l| format!("# {l}\n"))
            .collect();
        assert!(all.contains(&commented), "{role}: {all}");
    }
}
