//! The broker dies, comes back, or is not there yet: the agent lives on and works again by itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{
    Agent, NatsServer, assert_nothing_twice, assert_same, collect_signals, flat, free_port, replay,
    send, settled, until,
};
use crate::{client, every_bar, ready_agent};

fn wait_status(agent: &Agent, path: &str, status: u16) {
    until(&format!("{path} to be {status}"), || {
        (agent.get(path).status == status).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_survives_a_killed_broker_and_goes_on_where_it_was() {
    let mut server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    let mut sent = Vec::new();
    let mut came = Vec::new();
    for half in 0..2 {
        let client = client(&server).await;
        let signals = collect_signals(&client, "insight.technical.>").await;
        for minute in half * 30..half * 30 + 30 {
            let bar = flat("A", minute, 10.0 + (minute % 7) as f64);
            send(&client, &bar).await;
            sent.push(bar.to_string());
        }
        came.extend(settled(&signals, 30).await);
        if half == 0 {
            server.kill();
            wait_status(&agent, "/readyz", 503);
            assert_eq!(agent.get("/livez").status, 200);
            assert_eq!(agent.get("/startupz").status, 200);
            let health = agent.get("/health");
            assert_eq!(health.status, 503);
            assert!(health.body.contains("nats"), "{}", health.body);
            // a supervisor that restarts what fails its check must leave this agent alone
            assert_eq!(agent.health(&["--live"]), Some(0));
            assert_eq!(agent.health(&["--ready"]), Some(1));
            assert_eq!(agent.health(&[]), Some(1));
            agent.wait_metrics(&[("technical_nats_connected", 0.0)]);
            // longer than the silence after which a member must take itself for replaced
            tokio::time::sleep(Duration::from_secs(4)).await;
            assert_eq!(agent.get("/livez").status, 200);
            server.restart();
            assert_eq!(agent.health(&["--ready", "--wait", "30"]), Some(0));
            wait_status(&agent, "/health", 200);
            assert_eq!(agent.health(&["--live"]), Some(0));
            assert_eq!(agent.health(&[]), Some(0));
        }
    }
    assert_same(
        &came,
        &replay(&sent, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]),
    );
    assert_nothing_twice(&came);
    let metrics = agent.metrics();
    assert!(metrics.get("technical_nats_reconnects_total") >= Some(1.0));
    agent.wait_metrics(&[("technical_nats_connected", 1.0), ("technical_ready", 1.0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_agrees_again_after_its_broker_came_back() {
    let mut server = NatsServer::plain();
    let agents = ["a", "b", "c"].map(|name| ready_agent(&server, name, &[]));
    server.kill();
    for agent in &agents {
        wait_status(agent, "/readyz", 503);
    }
    server.restart();
    for agent in &agents {
        wait_status(agent, "/readyz", 200);
    }
    let owned = || {
        let of = |agent: &Agent| agent.get("/status").json()["owned_partitions"].as_u64();
        agents.iter().map(of).sum::<Option<u64>>()
    };
    let members = || {
        let of = |agent: &Agent| {
            agent.get("/status").json()["members"]
                .as_array()
                .map(Vec::len)
        };
        agents.iter().all(|agent| of(agent) == Some(3))
    };
    until("the slots to be divided", || {
        (members() && owned() == Some(256)).then_some(())
    });
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut sent = Vec::new();
    for minute in 0..5 {
        for symbol in 0..40 {
            let bar = flat(&format!("S{symbol}"), minute, 10.0);
            send(&client, &bar).await;
            sent.push(bar.to_string());
        }
    }
    let came = settled(&signals, sent.len()).await;
    assert_same(
        &came,
        &replay(&sent, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]),
    );
    assert_nothing_twice(&came);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_starts_before_its_broker_waits_alive() {
    let port = free_port();
    let url = format!("nats://127.0.0.1:{port}");
    let mut agent = Agent::start(every_bar(&url, "one"));
    agent.wait_log("operations endpoint listens");
    assert_eq!(agent.get("/livez").status, 200);
    assert_eq!(agent.get("/readyz").status, 503);
    assert_eq!(agent.get("/startupz").status, 503);
    let server = NatsServer::on_port(port);
    agent.wait_ready();
    assert_eq!(agent.get("/startupz").status, 200);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    send(&client, &flat("A", 0, 10.0)).await;
    assert_eq!(signals.wait_for(1).await[0].json()["close"], 10.0);
}

#[test]
fn the_reason_why_an_agent_is_not_ready_is_that_of_now() {
    let token = |token: &str| format!("authorization {{ token: {token:?} }}");
    let mut server = NatsServer::with(token("good"));
    let further = [("NATS_TOKEN", "good")];
    let agent = ready_agent(&server, "one", &further);
    let reason = |wanted: &[&str], over: &str| {
        until(&format!("{wanted:?} in /readyz"), || {
            let body = agent.get("/readyz").body;
            let shown = wanted.iter().all(|text| body.contains(text));
            (shown && (over.is_empty() || !body.contains(over))).then_some(())
        });
    };
    let address = format!("127.0.0.1:{}", server.port());
    for _ in 0..2 {
        server.restart_with(token("other"));
        reason(&[&address, "authorization violation"], "");
        server.kill();
        reason(&[&address, "refused"], "authorization");
        server.restart_with(token("good"));
        wait_status(&agent, "/readyz", 200);
        let health = agent.get("/health/nats").json();
        assert_eq!(health["detail"], format!("connected to {address}"));
    }
}

#[test]
fn an_agent_that_was_never_let_in_says_why() {
    let server = NatsServer::with(r#"authorization { token: "good" }"#);
    let url = server.url();
    let agent = Agent::start(every_bar(&url, "one"));
    agent.wait_log("operations endpoint listens");
    until("the refusal in /readyz", || {
        agent
            .get("/readyz")
            .body
            .contains("refused the credentials")
            .then_some(())
    });
}

#[test]
fn the_address_of_the_server_is_the_one_that_was_dialled() {
    let server = NatsServer::with("host: \"0.0.0.0\"");
    let agent = ready_agent(&server, "one", &[]);
    let detail = agent.get("/health/nats").json()["detail"].clone();
    assert_eq!(detail, format!("connected to 127.0.0.1:{}", server.port()));
}

/// Passes everything on to `server` until the agent subscribes, then ends that connection; every
/// later one is left alone.
async fn cut_at_the_first_subscription(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for connection in 0.. {
            let (mut agent, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            if connection > 0 {
                tokio::spawn(async move { copy_bidirectional(&mut agent, &mut server).await });
                continue;
            }
            let (mut from_agent, mut to_agent) = agent.split();
            let (mut from_server, mut to_server) = server.split();
            let until_subscribed = async {
                let mut bytes = [0; 4096];
                loop {
                    let read = from_agent.read(&mut bytes).await.unwrap();
                    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                    if read == 0 || text.contains("SUB raw.market_data") {
                        return;
                    }
                    to_server.write_all(&bytes[..read]).await.unwrap();
                }
            };
            tokio::select! {
                () = until_subscribed => {}
                _ = copy(&mut from_server, &mut to_agent) => {}
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_lost_while_the_agent_begins_is_waited_for() {
    let server = NatsServer::plain();
    let port = cut_at_the_first_subscription(server.port()).await;
    let url = format!("nats://127.0.0.1:{port}");
    let mut agent = Agent::start(every_bar(&url, "one"));
    agent.wait_ready();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    send(&client, &flat("A", 0, 10.0)).await;
    assert_eq!(signals.wait_for(1).await[0].json()["close"], 10.0);
    assert!(agent.metrics().get("technical_nats_reconnects_total") >= Some(1.0));
}
