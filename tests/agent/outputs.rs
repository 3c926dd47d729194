//! Outputs that cannot be written, and clients that never finish a request.

use std::io::Write as _;
use std::net::TcpStream;

use crate::common::{Agent, NatsServer, collect_signals, flat, send, until};
use crate::{client, every_bar};

/// A file cannot grow beyond its limit: the agent lives, says so on the other output, and counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_file_at_its_limit_is_said_and_counted_and_ends_nothing() {
    let server = NatsServer::plain();
    let logs = tempfile::tempdir().unwrap();
    let url = server.url();
    let mut variables = every_bar(&url, "one");
    variables.extend([
        ("LOG_DIR", logs.path().to_str().unwrap()),
        ("LOG_LEVEL", "DEBUG"),
    ]);
    // blocks of 512 bytes, or of 1 KiB: some shells differ
    let mut agent = Agent::start_after("ulimit -f 32", variables);
    agent.wait_ready();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    for minute in 0..500 {
        send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(500).await;
    let line = agent.wait_log("the log cannot be written");
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["output"].as_str().unwrap().ends_with("one.log"),
        "{line}"
    );
    until("lines to be counted", || {
        (agent.metrics().get("technical_log_errors_total") > Some(10.0)).then_some(())
    });
    let written = std::fs::metadata(logs.path().join("one.log"))
        .unwrap()
        .len();
    assert!(written <= 32 * 1024, "{written}");
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
    let said = agent.logs();
    let said = said.iter().filter(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.contains("log cannot be written"))
    });
    assert_eq!(said.count(), 1, "once, not for every line");
}

/// Nobody reads standard output any more: the file says so, and the agent works on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_output_that_is_full_or_closed_ends_nothing() {
    let server = NatsServer::plain();
    for redirection in [">/dev/full 2>/dev/full", ">&- 2>&-"] {
        let logs = tempfile::tempdir().unwrap();
        let url = server.url();
        let mut variables = every_bar(&url, "one");
        variables.push(("LOG_DIR", logs.path().to_str().unwrap()));
        let mut agent = Agent::start_after(&format!("exec {redirection}"), variables);
        agent.wait_ready();
        let client = client(&server).await;
        let signals = collect_signals(&client, "insight.technical.>").await;
        send(&client, &flat("A", 0, 10.0)).await;
        signals.wait_for(1).await;
        agent.sigterm();
        assert_eq!(agent.wait_exit(), 0, "{redirection}");
        let file = std::fs::read_to_string(logs.path().join("one.log")).unwrap();
        assert!(file.contains("everything received was finished"), "{file}");
        let full = redirection.contains("full");
        assert_eq!(file.contains("the log cannot be written"), full, "{file}");
    }
}

#[test]
fn half_sent_requests_keep_no_probe_out() {
    let server = NatsServer::plain();
    let url = server.url();
    let mut agent = Agent::start(every_bar(&url, "one"));
    agent.wait_ready();
    let mut half = Vec::new();
    for count in 0..400 {
        if let Ok(mut stream) = TcpStream::connect(agent.http_address()) {
            // it may have been closed to make room for the next
            let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n");
            half.push(stream);
        }
        if count % 100 == 99 {
            assert_eq!(agent.get("/livez").status, 200);
        }
    }
    assert_eq!(agent.get("/livez").status, 200);
    assert_eq!(agent.get("/metrics").status, 200);
    assert_eq!(agent.health(&["--live"]), Some(0));
}
