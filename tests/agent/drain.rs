//! The drain under load: what was received is finished, and what was cut is said.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::common::{
    Agent, Flow, Market, NatsServer, assert_nothing_twice, collect_signals, free_port, replay,
    until, until_async,
};
use crate::{client, every_bar};

const SYMBOLS: usize = 20;

/// A server that tells over HTTP what it delivered to whom.
fn monitored() -> (NatsServer, u16) {
    let port = free_port();
    let server = NatsServer::with(format!("http: \"127.0.0.1:{port}\""));
    (server, port)
}

/// Messages that the server has handed to the connection named `name` so far.
fn delivered(port: u16, name: &str) -> u64 {
    until("the connection in the server's monitor", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let request = "GET /connz HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let connections = json["connections"].as_array()?;
        let ours = connections.iter().find(|c| c["name"] == name)?;
        ours["out_msgs"].as_u64()
    })
}

/// Counts what is sent to inboxes from now on.
async fn spy_on_inboxes(server: &NatsServer) -> Arc<AtomicUsize> {
    let client = client(server).await;
    let mut inboxes = client.subscribe("_INBOX.>").await.unwrap();
    let mut first = client.subscribe("spy").await.unwrap();
    client.publish("spy", "".into()).await.unwrap();
    first.next().await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while inboxes.next().await.is_some() {
            counter.fetch_add(1, Ordering::AcqRel);
        }
        drop(client);
    });
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bar_that_was_on_its_way_gives_its_signal() {
    let (server, monitor) = monitored();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    // what else is delivered to the agent: its own presences, and its round trips to itself
    let presences = collect_signals(&client, "agents.technical.group.>").await;
    let round_trips = spy_on_inboxes(&server).await;
    // a log of every bar makes it slow, so that the drain takes a while
    let mut agent = crate::ready_agent(&server, "one", &[("LOG_LEVEL", "DEBUG")]);
    // more than it can take, so that bars wait everywhere when it is told to stop
    let flow = Flow::start(&client, Market::new(SYMBOLS), 50_000);
    signals.wait_for(1_000).await;
    let delivered = until("bars to wait", || {
        let delivered = delivered(monitor, "one");
        (delivered > 10_000).then_some(delivered)
    });
    agent.sigterm();
    let code = agent.wait_exit();
    flow.wait_more(1_000).await;
    let sent = flow.stop().await;
    assert_eq!(code, 0);
    agent.wait_log("everything received was finished");

    let came = signals.wait_quiet(Duration::from_millis(400)).await;
    let presences = presences.wait_quiet(Duration::from_millis(100)).await.len();
    let others = presences + round_trips.load(Ordering::Acquire);
    assert!(
        came.len() + others >= usize::try_from(delivered).unwrap(),
        "{} signals of {delivered} messages, {others} of them no bars",
        came.len()
    );
    assert!(came.len() < sent.len(), "the drain was not under load");
    assert_nothing_twice(&came);
    // one publisher: what was received is the beginning of what was sent, without a hole
    let expected = replay(&sent[..came.len()], &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]);
    crate::common::assert_same(&came, &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_cuts_the_drain() {
    let server = NatsServer::plain();
    let mut agent = crate::ready_agent(&server, "one", &[("SHUTDOWN_TIMEOUT", "600")]);
    // a server that answers nothing keeps the drain from ending
    server.freeze();
    agent.sigterm();
    agent.wait_log("draining");
    // one right behind the first counts as the same, sent to the process and to its group
    std::thread::sleep(std::time::Duration::from_millis(100));
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 75);
    agent.wait_log("a second signal came");
    server.thaw();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_cannot_finish_in_time_is_cut_and_says_so() {
    let server = NatsServer::plain();
    let mut agent = crate::ready_agent(&server, "one", &[("SHUTDOWN_TIMEOUT", "2")]);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let flow = Flow::start(&client, Market::new(SYMBOLS), 2_000);
    flow.wait_more(2_000).await;
    signals.wait_for(1_000).await;
    server.freeze();
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 75);
    let cut = agent.wait_log("the drain was cut short");
    assert_eq!(cut["level"], "ERROR");
    assert_eq!(cut["exit_code"], 75);
    let why = cut["message"].as_str().unwrap();
    assert!(why.contains("did not confirm the last messages"), "{why}");
    server.thaw();
    drop(flow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_agent_is_alive_and_not_ready() {
    let server = NatsServer::plain();
    let agent = crate::ready_agent(&server, "one", &[("SHUTDOWN_TIMEOUT", "600")]);
    assert_eq!(agent.get("/readyz").status, 200);
    server.freeze();
    agent.sigterm();
    until_async("not to be ready", || {
        (agent.get("/readyz").status == 503).then_some(())
    })
    .await;
    assert_eq!(agent.get("/livez").status, 200);
    server.thaw();
}

#[test]
fn one_that_still_waits_for_nats_stops_at_once() {
    let url = format!("nats://127.0.0.1:{}", free_port());
    let mut agent = Agent::start(every_bar(&url, "one"));
    agent.wait_log("operations endpoint listens");
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
}
