//! Starts and refused starts: exit codes and error texts.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::common::{Agent, NatsServer, free_port};

#[test]
fn a_server_that_is_not_there_in_time_is_69() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let mut agent = Agent::start([("NATS_URL", url.as_str()), ("NATS_CONNECT_TIMEOUT", "1")]);
    assert_eq!(agent.wait_exit(), 69);
    let said = agent.output();
    assert!(said.contains(&url["nats://".len()..]), "{said}");
    assert!(said.contains("NATS_URL"), "{said}");
}

#[test]
fn a_server_is_waited_for_until_the_timeout_has_passed() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let variables = [("NATS_URL", url.as_str()), ("NATS_CONNECT_TIMEOUT", "3")];
    let began = Instant::now();
    let mut agent = Agent::start(variables);
    assert_eq!(agent.wait_exit(), 69);
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[test]
fn a_server_that_comes_at_the_last_moment_is_found() {
    let port = free_port();
    let url = format!("nats://127.0.0.1:{port}");
    let mut agent = Agent::start([
        ("NATS_URL", url.as_str()),
        ("NATS_CONNECT_TIMEOUT", "20"),
        ("TECHNICAL_DELIVERY", "core"),
    ]);
    // the pauses of a plain back-off are 5 s by then
    std::thread::sleep(Duration::from_secs(16));
    let _server = NatsServer::on_port(port);
    agent.wait_ready();
}

#[test]
fn a_silent_server_leaves_time_for_the_next() {
    // it takes connections and never says a word
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = NatsServer::plain();
    for _ in 0..3 {
        let url = format!("nats://{},{}", silent.local_addr().unwrap(), server.url());
        let mut agent = Agent::start([
            ("NATS_URL", url.as_str()),
            ("NATS_CONNECT_TIMEOUT", "8"),
            ("TECHNICAL_DELIVERY", "core"),
        ]);
        agent.wait_ready();
    }
}

#[test]
fn a_configuration_with_three_faults_is_78_and_names_all_three() {
    let mut agent = Agent::start([
        ("TECHNICAL_RSI_PERIOD", "1"),
        ("TECHNICAL_MACD_FAST", "26"),
        ("TECHNICAL_INDICATORS", "atr(14),nonsense(3)"),
    ]);
    assert_eq!(agent.wait_exit(), 78);
    let said = agent.output();
    for name in [
        "TECHNICAL_RSI_PERIOD",
        "TECHNICAL_MACD_FAST",
        "TECHNICAL_MACD_SLOW",
        "nonsense",
    ] {
        assert!(said.contains(name), "{name} in {said}");
    }
}

#[test]
fn a_bad_command_line_is_64() {
    let mut agent = Agent::start_with(&["run", "--faster"], []);
    assert_eq!(agent.wait_exit(), 64);
    assert!(agent.output().contains("--faster"));
}

#[test]
fn a_port_in_use_is_named() {
    let server = NatsServer::plain();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let url = server.url();
    let mut agent = Agent::start([("NATS_URL", url.as_str()), ("HTTP_ADDR", addr.as_str())]);
    let code = agent.wait_exit();
    let said = agent.output();
    assert!(code == 70 || code == 78, "{code}: {said}");
    assert!(said.contains(&addr), "{said}");
    assert!(said.contains("HTTP_ADDR"), "{said}");
}
