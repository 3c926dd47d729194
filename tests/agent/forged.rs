//! A client that forges what members of a group tell one another. With `TECHNICAL_GROUP_SECRET`
//! nothing comes of it but a count, a warning and a word in `/health`.

use std::time::Duration;

use async_nats::{Client, HeaderMap};
use serde_json::{Value, json};

use crate::client;
use crate::common::{Agent, Collected, Flow, Market, NatsServer, Received, collect_signals, until};
use crate::group::{RATE, SYMBOLS, assert_exact, member_with, wait_shared};

const GROUP: &str = "agents.technical.group.technical-analysis";
const SECRET: &[(&str, &str)] = &[("TECHNICAL_GROUP_SECRET", "s3cret of the group")];
const FORGERIES: &str = "technical_group_forgeries_total";

fn is_presence(message: &Received) -> bool {
    message.subject.ends_with(".presence")
}

async fn send(client: &Client, subject: &str, headers: HeaderMap, payload: Vec<u8>) {
    let publish = client.publish_with_headers(subject.to_owned(), headers, payload.into());
    publish.await.expect("a connection");
}

/// Says everything again that was said in the group so far, to the byte.
async fn replay_all(client: &Client, heard: &[Received]) {
    for one in heard {
        let payload = one.payload.to_vec();
        send(client, &one.subject, one.headers.clone(), payload).await;
    }
    client.flush().await.expect("a connection");
}

/// A presence like `model` with other content, its headers copied or left out.
async fn forge(client: &Client, model: &Received, changes: Value, headers: bool) {
    let mut presence = model.json();
    for (key, value) in changes.as_object().expect("an object") {
        presence[key] = value.clone();
    }
    let headers = if headers {
        model.headers.clone()
    } else {
        HeaderMap::new()
    };
    let payload = presence.to_string().into_bytes();
    send(client, &model.subject, headers, payload).await;
}

/// Waits for the first presence of `name`.
fn presence_of(heard: &Collected, name: &str) -> Received {
    until(&format!("a presence of {name}"), || {
        let of = |message: &Received| is_presence(message) && message.json()["name"] == name;
        heard.messages().into_iter().find(of)
    })
}

fn forgeries(agent: &Agent) -> f64 {
    agent.metrics().get(FORGERIES).expect("the counter")
}

/// The agent has counted forgeries, says so once in a while, and goes on.
fn assert_told(agent: &Agent) {
    assert!(forgeries(agent) > 0.0);
    let told = agent.wait_log("forged message or record of the group");
    assert_eq!(told["level"], "WARN");
    let text = told["message"].as_str().unwrap();
    assert!(text.contains("TECHNICAL_GROUP_SECRET"), "{text}");
    let component = until("a word in /health", || {
        let health = agent.get("/health/group-secret").json();
        (health["status"] == "degraded").then_some(health)
    });
    let detail = component["detail"].as_str().unwrap();
    assert!(detail.contains("TECHNICAL_GROUP_SECRET"), "{detail}");
    assert_eq!(agent.get("/readyz").status, 200);
    // not a line for each
    let lines = agent.logs().into_iter().filter(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("forged message or record")
    });
    let lines = lines.count();
    assert!(lines <= 20 && (lines as f64) < forgeries(agent), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_replayed_messages_change_nothing_and_are_told() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let rogue = crate::client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let heard = collect_signals(&client, &format!("{GROUP}.>")).await;
    let mut agents = ["a", "b"].map(|name| member_with(&server, name, SECRET));
    agents.iter_mut().for_each(Agent::wait_ready);
    wait_shared(&agents.each_ref()).await;
    let models = ["a", "b"].map(|name| presence_of(&heard, name));
    assert!(models.iter().all(|model| model.header("Ta-Seal").is_some()));
    // offers, grants and copied state are among what is said again
    let before = heard.messages();
    assert!(before.iter().any(|message| !is_presence(message)));

    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    for round in 0..4 {
        flow.wait_more(500).await;
        replay_all(&rogue, &before).await;
        for sealed in [false, true] {
            for k in 0..5 {
                let id = format!("ROGUE{k}");
                let newcomer = json!({
                    "id": id, "name": id, "claims": "f".repeat(64), "seq": 1_000 + round,
                });
                forge(&rogue, &models[0], newcomer, sealed).await;
            }
            for model in &models {
                let gone = json!({ "phase": "gone", "claims": "0".repeat(64), "seq": 1_000_000 });
                forge(&rogue, model, gone, sealed).await;
                // what one member was told is no word to the other
                let id = model.json()["id"].as_str().unwrap().to_owned();
                for said in before.iter().filter(|message| !is_presence(message)) {
                    let headers = if sealed {
                        said.headers.clone()
                    } else {
                        HeaderMap::new()
                    };
                    let subject = format!("{GROUP}.to.{id}");
                    send(&rogue, &subject, headers, said.payload.to_vec()).await;
                }
            }
        }
        rogue.flush().await.expect("a connection");
    }
    flow.wait_more(500).await;
    wait_shared(&agents.each_ref()).await;
    assert_exact(flow, &signals).await;
    for agent in &agents {
        assert_told(agent);
        let moved = "technical_partition_moves_total{direction=\"released\"}";
        let released = agent.metrics().get(moved).unwrap();
        assert!(released <= 256.0, "slots went to and fro: {released}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_with_different_secrets_both_name_the_setting() {
    let server = NatsServer::plain();
    let mut agents = ["one secret", "another"]
        .map(|secret| member_with(&server, secret, &[("TECHNICAL_GROUP_SECRET", secret)]));
    agents.iter_mut().for_each(Agent::wait_ready);
    for agent in &agents {
        until("forgeries", || (forgeries(agent) > 2.0).then_some(()));
        assert_told(agent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_rolled_out_and_changed_without_a_lost_or_doubled_signal() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let mut serving = member_with(&server, "none", &[]);
    serving.wait_ready();
    let flow = Flow::start(&client, Market::new(SYMBOLS), RATE);
    flow.wait_more(500).await;
    for secrets in ["a,", "a", "a,b", "b,a", "b"] {
        let next = member_with(&server, secrets, &[("TECHNICAL_GROUP_SECRET", secrets)]);
        wait_shared(&[&serving, &next]).await;
        flow.wait_more(500).await;
        serving.sigterm();
        assert_eq!(serving.wait_exit(), 0);
        for agent in [&serving, &next] {
            for line in agent.logs() {
                let message = line["message"].as_str().unwrap();
                assert!(!message.contains("forged"), "{message}");
            }
        }
        serving = next;
    }
    flow.wait_more(500).await;
    wait_shared(&[&serving]).await;
    assert_exact(flow, &signals).await;
    assert!(forgeries(&serving) < 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_nothing_is_added_to_what_is_said() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let heard = collect_signals(&client, &format!("{GROUP}.>")).await;
    let mut agent = member_with(&server, "a", &[]);
    agent.wait_ready();
    let presence = presence_of(&heard, "a");
    assert!(presence.headers.is_empty());
    assert_eq!(agent.get("/health/group-secret").status, 404);
    // nor does anybody need a moment longer to notice what is said
    heard.wait_change(Duration::from_secs(5)).await;
    assert!(heard.messages().iter().all(|m| m.headers.is_empty()));
}
