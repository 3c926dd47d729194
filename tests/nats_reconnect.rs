//! The connection through everything that happens to it, and its end.

mod common;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use common::{NatsServer, PATIENCE, collect_signals, until_async};
use futures_util::{FutureExt as _, StreamExt as _};
use technical_analysis_agent::bus::{
    ConnectError, DrainError, Link, Sizing, connect, drain_and_close, round_trip,
};
use technical_analysis_agent::config::{Auth, NatsConfig, Secret};
use tokio::time::{Instant, timeout};

fn config(servers: &[String]) -> NatsConfig {
    NatsConfig {
        servers: servers.iter().map(|url| url.parse().unwrap()).collect(),
        auth: Auth::None,
        tls_ca: None,
        tls_client: None,
        connect_timeout: Some(PATIENCE),
        jetstream: technical_analysis_agent::config::JetStreamApi::default(),
    }
}

async fn connected(config: &NatsConfig, sizing: Sizing) -> (Client, Arc<Link>) {
    let link = Link::new();
    let client = connect(config, "test", &link, sizing).await.unwrap();
    (client, link)
}

async fn joined(server: &NatsServer) -> (Client, Arc<Link>) {
    connected(&config(&[server.url()]), Sizing::default()).await
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Waits for a state of the link; fails when it does not come.
async fn sees(link: &Link, what: &str, connected: bool) {
    let waiting = link.wait_for(|state| state.connected == connected);
    timeout(PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("the link never saw: {what}"));
}

#[tokio::test]
async fn subscriptions_survive_a_killed_server() {
    let mut server = NatsServer::plain();
    let (client, link) = joined(&server).await;
    let collected = collect_signals(&client, "bars.>").await;
    client.publish("bars.before", "1".into()).await.unwrap();
    collected.wait_for(1).await;

    server.kill();
    sees(&link, "the loss", false).await;
    server.restart();
    sees(&link, "the return", true).await;
    assert_eq!(link.reconnects(), 1);

    // From another connection: the server itself knows the subscription again.
    let (other, other_link) = joined(&server).await;
    round_trip(&client, &link, soon()).await.unwrap();
    other.publish("bars.after", "2".into()).await.unwrap();
    round_trip(&other, &other_link, soon()).await.unwrap();
    let subjects: Vec<_> = collected
        .wait_for(2)
        .await
        .iter()
        .map(|m| m.subject.to_string())
        .collect();
    assert_eq!(subjects, ["bars.before", "bars.after"]);
}

#[tokio::test]
async fn a_frozen_server_is_noticed() {
    let server = NatsServer::plain();
    let (client, link) = joined(&server).await;
    round_trip(&client, &link, soon()).await.unwrap();
    server.freeze();
    sees(&link, "the silence", false).await;
    server.thaw();
    sees(&link, "the return", true).await;
    round_trip(&client, &link, soon()).await.unwrap();
}

/// Long enough that a test which passes has not merely waited for the server to hang up.
const PATIENT_DUCK: &str = "lame_duck_duration: \"20m\"\nlame_duck_grace_period: \"10m\"";

#[tokio::test]
async fn leaves_a_lame_duck_for_another_server() {
    let servers = [
        NatsServer::with(PATIENT_DUCK),
        NatsServer::with(PATIENT_DUCK),
    ];
    let urls = [servers[0].url(), servers[1].url()];
    let (client, link) = connected(&config(&urls), Sizing::default()).await;
    let collected = collect_signals(&client, "bars").await;
    let at = |server: &NatsServer| format!("127.0.0.1:{}", server.port());
    let first = link.server().unwrap().address;
    let (duck, other) = if first == at(&servers[0]) {
        (0, 1)
    } else {
        (1, 0)
    };
    assert_eq!(first, at(&servers[duck]));

    servers[duck].lame_duck();
    until_async("the move", || {
        (link.reconnects() == 1 && link.is_connected()).then_some(())
    })
    .await;
    round_trip(&client, &link, soon()).await.unwrap();
    assert_eq!(link.server().unwrap().address, at(&servers[other]));
    assert!(!link.state().lame_duck, "the new server is none");
    client.publish("bars", "1".into()).await.unwrap();
    collected.wait_for(1).await;
}

#[tokio::test]
async fn stays_with_the_only_server_there_is() {
    let server = NatsServer::with(PATIENT_DUCK);
    let (client, link) = joined(&server).await;
    server.lame_duck();
    timeout(PATIENCE, link.wait_for(|state| state.lame_duck))
        .await
        .unwrap();
    round_trip(&client, &link, soon()).await.unwrap();
    assert!(link.is_connected());
    assert_eq!(link.reconnects(), 0);
}

#[tokio::test]
async fn gives_up_the_first_connection_when_the_time_is_over() {
    let url = format!("nats://127.0.0.1:{}", common::free_port());
    let config = NatsConfig {
        connect_timeout: Some(Duration::from_millis(600)),
        ..config(std::slice::from_ref(&url))
    };
    let error = connect(&config, "test", &Link::new(), Sizing::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    let told = error.to_string();
    for part in [url.as_str(), "0.6 s", "refused", "nats-server runs there"] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_as_well() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let config = NatsConfig {
        connect_timeout: Some(Duration::from_millis(300)),
        ..config(&[url])
    };
    let error = connect(&config, "test", &Link::new(), Sizing::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[tokio::test]
async fn waits_for_a_server_that_comes_later() {
    let mut server = NatsServer::plain();
    server.kill();
    let config = NatsConfig {
        connect_timeout: None,
        ..config(&[server.url()])
    };
    let link = Link::new();
    let connecting = tokio::spawn({
        let link = link.clone();
        async move { connect(&config, "test", &link, Sizing::default()).await }
    });
    until_async("a failed attempt", || link.last_error()).await;
    assert!(!link.is_connected());
    server.restart();
    timeout(PATIENCE, connecting)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(link.is_connected());
}

#[tokio::test]
async fn dropped_messages_are_counted() {
    let server = NatsServer::plain();
    let sizing = Sizing {
        subscription_capacity: 16,
        ..Sizing::default()
    };
    let (client, link) = connected(&config(&[server.url()]), sizing).await;
    let mut subscription = client.subscribe("bars").await.unwrap();
    for _ in 0..17 {
        client.publish("bars", "x".into()).await.unwrap();
    }
    round_trip(&client, &link, soon()).await.unwrap();
    until_async("the event", || {
        (link.slow_consumer_events() == 1).then_some(())
    })
    .await;
    let kept = std::iter::from_fn(|| subscription.next().now_or_never()).count();
    assert_eq!(kept, 16);
    assert!(link.is_connected());
}

/// More than the sockets between server and client hold (some 8 MB), so that a part is still with
/// the server when the client begins to read.
#[test]
fn a_round_trip_brings_everything_sent_before() {
    const COUNT: usize = 80_000;
    // Two runtimes, of which one does nothing while the other runs.
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let (receiving, sending) = (runtime(), runtime());
    let server = NatsServer::plain();
    let (client, link, mut subscription) = receiving.block_on(async {
        let (client, link) = joined(&server).await;
        let subscription = client.subscribe("bars").await.unwrap();
        round_trip(&client, &link, soon()).await.unwrap();
        (client, link, subscription)
    });
    sending.block_on(async {
        let (client, link) = joined(&server).await;
        let bar = bytes::Bytes::from("x".repeat(250));
        for _ in 0..COUNT {
            client.publish("bars", bar.clone()).await.unwrap();
        }
        round_trip(&client, &link, soon()).await.unwrap();
    });
    receiving.block_on(async { round_trip(&client, &link, soon()).await.unwrap() });
    // Only what is there already: nothing drives the connection any more.
    let there = std::iter::from_fn(|| subscription.next().now_or_never()).count();
    assert_eq!(there, COUNT);
}

/// Messages published while the sockets are full wait in the client, which must not close before
/// they are sent.
#[tokio::test]
async fn a_drain_delivers_everything_published_and_closes() {
    const COUNT: usize = 300;
    let server = NatsServer::plain();
    let (listener, _link) = joined(&server).await;
    let collected = collect_signals(&listener, "out").await;
    let (client, link) = joined(&server).await;
    server.freeze();
    for n in 0..COUNT {
        client
            .publish("out", format!("{n:060000}").into())
            .await
            .unwrap();
    }
    let (drained, ()) = tokio::join!(drain_and_close(&client, &link, soon()), async {
        server.thaw();
    });
    drained.unwrap();
    assert!(link.state().closed && !link.is_connected());
    assert_eq!(collected.wait_for(COUNT).await.len(), COUNT);
    assert!(client.publish("out", "late".into()).await.is_err());
    // Once more does no harm and says the truth.
    let again = drain_and_close(&client, &link, soon()).await;
    assert!(
        matches!(again, Err(DrainError::Unconfirmed(_))),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_drain_without_an_answer_is_an_error() {
    let server = NatsServer::plain();
    let (client, link) = joined(&server).await;
    client.publish("out", "1".into()).await.unwrap();
    server.freeze();
    let deadline = Instant::now() + Duration::from_millis(200);
    let outcome = drain_and_close(&client, &link, deadline).await;
    assert!(
        matches!(outcome, Err(DrainError::Unconfirmed(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_user_without_inboxes_drains_as_well() {
    for denied in ["publish: [\"out\"]", "subscribe: [\"bars\"]"] {
        let server = NatsServer::with(format!(
            "authorization {{ users: [
                {{ user: \"ann\", password: \"word\", permissions: {{ {denied} }} }}
            ] }}",
        ));
        let auth = Auth::UserPassword {
            user: "ann".to_owned(),
            password: Secret::new("word".to_owned()),
        };
        let config = NatsConfig {
            auth,
            ..config(&[server.url()])
        };
        let (client, link) = connected(&config, Sizing::default()).await;
        client.publish("out", "1".into()).await.unwrap();
        drain_and_close(&client, &link, soon()).await.unwrap();
        assert!(link.state().closed);
    }
}
