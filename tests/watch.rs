//! `watch` against a real server: what it prints, when it ends, and what it says when it cannot.

mod common;

use std::process::{Command, Output};

use common::{Agent, NatsServer, collect_signals, flat, publish, replay};
use serde_json::Value;

fn variables(server: &NatsServer) -> [(&'static str, String); 1] {
    [("NATS_URL", server.url())]
}

/// Runs `watch` to its end.
fn watch(variables: &[(&str, String)], arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_technical-analysis-agent"))
        .arg("watch")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(key, value)| (key, value)))
        .current_dir(home.path())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts `watch` and returns when it says that it has begun.
fn start(server: &NatsServer, arguments: &[&str]) -> Agent {
    let arguments = [&["watch"][..], arguments].concat();
    let watching = Agent::start_with(&arguments, [("NATS_URL", server.url().as_str())]);
    common::until("watching", || {
        watching.output().contains("watching").then_some(())
    });
    watching
}

#[tokio::test]
async fn signals_and_dead_letters_are_lines_and_as_json_the_bytes_of_replay() {
    let server = NatsServer::plain();
    let url = server.url();
    let mut agent = Agent::start([("NATS_URL", url.as_str()), ("TECHNICAL_DELIVERY", "core")]);
    agent.wait_ready();
    let bar = |minute| flat("BRK.B", minute, 5.0).to_string();
    let bars: Vec<String> = (0..60).map(bar).collect();
    let count = "12";
    let mut lines = start(&server, &["--count", count]);
    let mut json = start(&server, &["--json", "--count", count]);
    let client = async_nats::connect(&url).await.unwrap();
    for bar in &bars[..59] {
        publish(&client, "raw.market_data.price", bar).await;
    }
    let bad = r#"{"symbol":"BRK.B","timestamp":1700000040,"open":1,"high":1,"low":1}"#;
    publish(&client, "raw.market_data.price", bad).await;
    publish(&client, "raw.market_data.price", &bars[59]).await;
    for watching in [&mut lines, &mut json] {
        assert_eq!(watching.wait_exit(), 0, "{}", watching.output());
        let account = "11 signals, 1 dead letters";
        assert!(watching.output().contains(account), "{}", watching.output());
    }
    let expected = replay(&bars, &[]);
    assert_eq!(expected.len(), 11);
    let is_letter = |line: &&String| line.contains("missing_field");
    let (letters, signals): (Vec<String>, Vec<String>) =
        json.stdout().into_iter().partition(|line| is_letter(&line));
    assert_eq!(signals, expected);
    let letter: Value = serde_json::from_str(&letters[0]).unwrap();
    assert_eq!(letter["refused"]["reason"], "missing_field");
    assert_eq!(letter["refused"]["payload"], bad);
    let (letters, signals): (Vec<String>, Vec<String>) = lines
        .stdout()
        .into_iter()
        .partition(|line| is_letter(&line));
    assert!(letters[0].starts_with("refused as missing_field on raw.market_data.price: "));
    assert!(letters[0].contains(bad), "{letters:?}");
    for (line, signal) in signals.iter().zip(&expected) {
        let signal: Value = serde_json::from_str(signal).unwrap();
        let time = signal["timestamp"].as_str().unwrap();
        assert!(line.starts_with(&format!("{time}  BRK.B ")), "{line}");
        assert!(
            line.contains(&format!("close {} ", signal["close"])),
            "{line}"
        );
    }
}

#[tokio::test]
async fn subjects_of_ones_own_are_watched_until_the_interrupt() {
    let server = NatsServer::plain();
    let mut watching = start(&server, &["a.>", "b"]);
    let client = async_nats::connect(server.url()).await.unwrap();
    let echoes = collect_signals(&client, "b").await;
    publish(&client, "a.x", "one").await;
    publish(&client, "c", "not asked for").await;
    publish(&client, "b", "two").await;
    echoes.wait_for(1).await;
    common::until("two lines", || (watching.stdout().len() == 2).then_some(()));
    watching.sigint();
    assert_eq!(watching.wait_exit(), 0, "{}", watching.output());
    let mut lines = watching.stdout();
    lines.sort();
    assert_eq!(lines, ["a.x: one", "b: two"]);
}

#[test]
fn a_time_that_is_over_ends_it_and_too_few_messages_are_65() {
    let server = NatsServer::plain();
    let variables = variables(&server);
    let nothing = watch(&variables, &["--for", "1"]);
    assert_eq!(nothing.status.code(), Some(0), "{}", stderr(&nothing));
    for words in [
        "0 signals",
        "nothing came on insight.technical.*.*, dead.technical",
        "technical-analysis-agent feed",
    ] {
        assert!(stderr(&nothing).contains(words), "{}", stderr(&nothing));
    }
    let few = watch(&variables, &["--for", "1s", "--count", "1", "--json"]);
    assert_eq!(few.status.code(), Some(65), "{}", stderr(&few));
    assert!(few.stdout.is_empty());
}

#[test]
fn a_subject_that_is_not_allowed_is_named() {
    let server = NatsServer::with(
        r#"authorization { users: [ { user: "ann", password: "pass", permissions: {
            subscribe: ["insight.>", "_INBOX.>"], publish: ["_INBOX.>"] } } ] }"#,
    );
    let user = |password: &str| {
        [
            ("NATS_URL", server.url()),
            ("NATS_USER", "ann".to_owned()),
            ("NATS_PASSWORD", password.to_owned()),
            ("NATS_CONNECT_TIMEOUT", "2".to_owned()),
        ]
    };
    let denied = watch(&user("pass"), &["--for", "60"]);
    assert_eq!(denied.status.code(), Some(69), "{}", stderr(&denied));
    let told = "may not subscribe to `dead.technical`";
    assert!(stderr(&denied).contains(told), "{}", stderr(&denied));
    let allowed = watch(&user("pass"), &["insight.>", "--for", "1"]);
    assert_eq!(allowed.status.code(), Some(0), "{}", stderr(&allowed));
    let unknown = watch(&user("word"), &[]);
    assert_eq!(unknown.status.code(), Some(69), "{}", stderr(&unknown));
    assert!(
        stderr(&unknown).contains("refused the credentials"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn what_cannot_be_watched_is_refused_at_once() {
    let server = NatsServer::plain();
    let twice = watch(&variables(&server), &["insight.>", "insight.technical.*.*"]);
    assert_eq!(twice.status.code(), Some(64), "{}", stderr(&twice));
    assert!(stderr(&twice).contains("overlap"), "{}", stderr(&twice));
    for wrong in [
        &["--count", "0"][..],
        &["--for", "x"],
        &["--for", "-1"],
        &["a..b"],
    ] {
        assert_eq!(
            watch(&variables(&server), wrong).status.code(),
            Some(64),
            "{wrong:?}"
        );
    }
    let nobody = [
        (
            "NATS_URL",
            format!("nats://127.0.0.1:{}", common::free_port()),
        ),
        ("NATS_CONNECT_TIMEOUT", "1".to_owned()),
    ];
    let nobody = watch(&nobody, &[]);
    assert_eq!(nobody.status.code(), Some(69), "{}", stderr(&nobody));
    let told = "check that nats-server runs there";
    assert!(stderr(&nobody).contains(told), "{}", stderr(&nobody));
}
