//! A user that may do what `config --permissions` says and no more, and one that lacks some of it.

use std::process::Command;
use std::time::Instant;

use async_nats::jetstream::{self, Context};

use crate::common::{NatsServer, Options, PATIENCE, until};
use crate::feeder::feed;
use crate::history::settle;
use crate::{Agent, agent};

/// The block that the agent prints for the configuration of these tests.
pub fn block() -> String {
    block_for(&[])
}

/// [`block`] with these further variables.
pub fn block_for(more: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .args(["config", "--permissions"])
        .env_clear()
        .env("TECHNICAL_DELIVERY", "durable")
        .envs(more.iter().copied())
        .output()
        .expect("the agent starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The block without what `subject` is about.
pub fn without(subject: &str) -> String {
    let kept = |line: &&str| !line.contains(&format!("\"{subject}\""));
    let block = block();
    let lines: Vec<&str> = block.lines().filter(kept).collect();
    assert!(
        lines.len() < block.lines().count(),
        "{subject} is not in it"
    );
    lines.join("\n")
}

pub fn configured(permissions: &str) -> String {
    format!(
        "authorization {{ users: [\n{{ user: source, password: s }}\n\
         {{ user: agent, password: a, {permissions} }}\n] }}"
    )
}

pub fn server(permissions: &str) -> NatsServer {
    NatsServer::start(Options {
        jetstream: true,
        config: configured(permissions),
    })
}

pub fn restricted(server: &NatsServer, more: &[(&str, &str)]) -> Agent {
    let user = [("NATS_USER", "agent"), ("NATS_PASSWORD", "a")];
    agent(server, &[&user, more].concat())
}

/// An agent that may do everything.
pub fn trusted(server: &NatsServer, more: &[(&str, &str)]) -> Agent {
    let user = [("NATS_USER", "source"), ("NATS_PASSWORD", "s")];
    agent(server, &[&user, more].concat())
}

pub async fn source(server: &NatsServer) -> Context {
    connected_as(server, "source", "s").await
}

/// The JetStream of a user. The server waits two seconds for a client to say who it is, and on a
/// busy machine it may take more than one try.
pub async fn connected_as(server: &NatsServer, user: &str, password: &str) -> Context {
    let start = Instant::now();
    loop {
        let options =
            async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
        match options.connect(server.url()).await {
            Ok(client) => return jetstream::new(client),
            Err(error) => assert!(start.elapsed() < PATIENCE, "no connection: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_config_prints_is_enough_for_all_that_durable_delivery_does() {
    let server = server(&block());
    let js = source(&server).await;
    let admin = [
        ("HTTP_ADMIN_TOKEN", "secret"),
        ("TECHNICAL_DELIVERY", "auto"),
    ];
    let mut first = restricted(&server, &admin);
    first.wait_ready();
    first.wait_log("delivery is durable");
    feed(&js, 0..20).await;
    settle(&js, 20, 1).await;
    let saved = first.post("/admin/checkpoint", Some("secret"), "");
    assert_eq!(saved.status, 200, "{}", saved.body);
    // a second checkpoint replaces the first; a second agent begins with it
    feed(&js, 20..30).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    let mut second = restricted(&server, &[]);
    second.wait_ready();
    feed(&js, 30..40).await;
    settle(&js, 40, 1).await;
    for agent in [&first, &second] {
        for line in agent.logs() {
            let level = line["level"].as_str().unwrap();
            assert!(!matches!(level, "ERROR" | "WARN"), "{line}");
        }
    }
    assert!(!server.log().contains("Violation"), "{}", server.log());
}

/// Whatever is missing is named, and once it is allowed the same process goes to work.
async fn is_named_and_made_up_for(subject: &str, shown: &str, fed_before: bool) {
    let mut server = server(&without(subject));
    let js = source(&server).await;
    let mut waiting = restricted(&server, &[]);
    let mut fed = 0;
    if fed_before {
        // only found out when there is something to publish
        waiting.wait_ready();
        fed = 20;
        feed(&js, 0..20).await;
    }
    let told = waiting.wait_log("lacks a permission");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains(shown), "{message}");
    until(&format!("{shown} in /health"), || {
        let health = waiting.get("/health");
        (health.status == 503 && health.body.contains(shown)).then_some(())
    });
    assert_eq!(waiting.get("/readyz").status, 503);
    assert_eq!(waiting.get("/livez").status, 200);
    server.reload_with(configured(&block()));
    waiting.wait_ready();
    feed(&js, fed..fed + 20).await;
    settle(&js, fed + 20, 1).await;
    // told once, not at every try
    let times = waiting
        .logs()
        .iter()
        .filter(|line| line["message"].as_str().unwrap().contains(shown))
        .count();
    assert_eq!(times, 1);
    waiting.sigterm();
    assert_eq!(waiting.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_before_work_begins() {
    let cases = [
        (
            "$JS.API.STREAM.INFO.TECHNICAL_BARS",
            "publish to `$JS.API.STREAM.INFO.TECHNICAL_BARS`",
        ),
        (
            "$JS.API.STREAM.CREATE.TECHNICAL_SIGNALS",
            "publish to `$JS.API.STREAM.CREATE.TECHNICAL_SIGNALS`",
        ),
        (
            "$JS.API.CONSUMER.CREATE.TECHNICAL_BARS",
            "publish to `$JS.API.CONSUMER.CREATE.TECHNICAL_BARS`",
        ),
        (
            "$JS.API.CONSUMER.MSG.NEXT.TECHNICAL_BARS.>",
            "publish to `$JS.API.CONSUMER.MSG.NEXT.TECHNICAL_BARS.>`",
        ),
        (
            "commit.TECHNICAL_SIGNALS.>",
            "publish to `commit.TECHNICAL_SIGNALS.probe`",
        ),
    ];
    let tried = cases.map(|(subject, shown)| is_named_and_made_up_for(subject, shown, false));
    futures_util::future::join_all(tried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_for_leases_checkpoints_or_answers_is_named_as_well() {
    let cases = [
        (
            "$KV.TECHNICAL_SIGNALS_GROUPS.>",
            "publish to `$KV.TECHNICAL_SIGNALS_GROUPS.>`",
        ),
        (
            "$O.TECHNICAL_SIGNALS_CHECKPOINTS.>",
            "publish to `$O.TECHNICAL_SIGNALS_CHECKPOINTS.>`",
        ),
        ("_INBOX.>", "subscribe to `_INBOX.>`"),
    ];
    let tried = cases.map(|(subject, shown)| is_named_and_made_up_for(subject, shown, false));
    futures_util::future::join_all(tried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_for_signals_is_named_with_the_first_and_holds_up_until_it_is_given() {
    let shown = "publish to `insight.technical.S0.1m`";
    is_named_and_made_up_for("insight.technical.*.*", shown, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_waits_for_a_permission_rather_than_publish_beside_durable_members() {
    let server = server(&without("commit.TECHNICAL_SIGNALS.>"));
    let auto = [("TECHNICAL_DELIVERY", "auto")];
    let agent = restricted(&server, &auto);
    let told = agent.wait_log("durable delivery cannot begin");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("commit.TECHNICAL_SIGNALS"), "{error}");
    assert_eq!(agent.get("/readyz").status, 503);
    assert_eq!(agent.get("/livez").status, 200);
}
