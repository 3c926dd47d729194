//! The signals that do not end an agent, and one more that drains it.

use crate::common::{Agent, NatsServer, collect_signals, flat, free_port, send, until};
use crate::{client, every_bar, ready_agent};

fn write(agent: &Agent, file: &str, text: &str) {
    std::fs::write(agent.home().join(file), text).expect("a writable directory");
}

/// The last line with this message, once there are `count` of them.
fn nth_log(agent: &Agent, message: &str, count: usize) -> serde_json::Value {
    until(&format!("{count} lines with {message:?}"), || {
        let is = |line: &serde_json::Value| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains(message))
        };
        let lines: Vec<_> = agent.logs().into_iter().filter(is).collect();
        (lines.len() >= count).then(|| lines[count - 1].clone())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hup_reloads_what_can_be_and_names_what_needs_a_restart() {
    let server = NatsServer::plain();
    let mut agent = ready_agent(&server, "one", &[]);
    write(
        &agent,
        ".env",
        "LOG_LEVEL=debug\nTECHNICAL_RSI_PERIOD=7\nTECHNICAL_RSI_PEROID=7\n",
    );
    agent.signal("HUP");
    let line = nth_log(&agent, "configuration reloaded", 1);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["changed"], "LOG_LEVEL");
    assert_eq!(line["log_level"], "debug");
    assert_eq!(line["needs_restart"], "TECHNICAL_RSI_PERIOD");
    nth_log(
        &agent,
        "TECHNICAL_RSI_PEROID (.env) is no known variable",
        1,
    );

    // the new level is at work, the new period is not
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    send(&client, &flat("A", 0, 10.0)).await;
    signals.wait_for(1).await;
    until("a line at DEBUG", || {
        agent
            .logs()
            .iter()
            .any(|line| line["level"] == "DEBUG")
            .then_some(())
    });

    // what cannot be used changes nothing
    write(&agent, ".env", "LOG_LEVEL=loud\n");
    agent.signal("HUP");
    let line = nth_log(&agent, "nothing is reloaded", 1);
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().unwrap().contains("LOG_LEVEL"));

    // what is taken back is changed as well
    write(&agent, ".env", "");
    agent.signal("HUP");
    let line = nth_log(&agent, "configuration reloaded", 2);
    assert_eq!(line["changed"], "LOG_LEVEL");
    assert_eq!(line["needs_restart"], "none");
    send(&client, &flat("A", 1, 10.0)).await;
    signals.wait_for(2).await;
    agent.assert_alive();
}

#[test]
fn hup_takes_a_rotated_secret_without_a_restart() {
    let token = |token: &str| format!("authorization {{ token: {token:?} }}");
    let mut server = NatsServer::with(token("old"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let further = [("NATS_TOKEN_FILE", file.to_str().unwrap())];
    let mut agent = ready_agent(&server, "one", &further);
    server.restart_with(token("new"));
    until("the refusal in /readyz", || {
        agent
            .get("/readyz")
            .body
            .contains("authorization")
            .then_some(())
    });
    std::fs::write(&file, "new\n").unwrap();
    agent.signal("HUP");
    let line = nth_log(&agent, "configuration reloaded", 1);
    assert_eq!(line["changed"], "NATS_TOKEN");
    agent.wait_ready();
}

#[test]
fn usr1_logs_the_status_and_usr2_asks_for_nothing() {
    let server = NatsServer::plain();
    let mut agent = ready_agent(&server, "one", &[]);
    agent.signal("USR2");
    agent.signal("USR1");
    let line = agent.wait_log("status");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["state"], "Active");
    assert_eq!(line["ready"], true);
    assert_eq!(line["delivery"], "core");
    assert_eq!(line["members"], 1);
    assert_eq!(line["bars_received"], 0);
    agent.assert_alive();
}

#[test]
fn signals_do_not_end_an_agent_that_waits_for_its_broker() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let mut agent = Agent::start(every_bar(&url, "one"));
    agent.wait_log("technical-analysis-agent starts");
    for signal in ["HUP", "USR1", "USR2", "PIPE"] {
        agent.signal(signal);
    }
    nth_log(&agent, "configuration reloaded", 1);
    let line = nth_log(&agent, "status", 1);
    assert_eq!(line["ready"], false);
    assert!(line["missing"].as_str().unwrap().contains("nats"));
    agent.assert_alive();
    agent.signal("QUIT");
    assert_eq!(agent.wait_exit(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quit_drains_as_term_does() {
    let server = NatsServer::plain();
    let mut agent = ready_agent(&server, "one", &[]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    for minute in 0..200 {
        send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(1).await;
    agent.signal("QUIT");
    assert_eq!(agent.wait_exit(), 0);
    agent.wait_log("stopped; everything received was finished");
    let stopping = agent.wait_log("stopping");
    assert_eq!(stopping["signal"], 3);
}
