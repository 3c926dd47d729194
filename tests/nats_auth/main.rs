//! Every way to prove who we are, against servers that insist on it.

#[path = "../common/mod.rs"]
mod common;

mod signed;
mod tls;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use common::NatsServer;
use technical_analysis_agent::bus::{ConnectError, Link, Sizing, connect, round_trip};
use technical_analysis_agent::config::{Auth, NatsConfig, Secret};
use tokio::task::JoinHandle;
use tokio::time::Instant;

fn config(url: &str, auth: Auth) -> NatsConfig {
    NatsConfig {
        servers: vec![url.parse().unwrap()],
        auth,
        tls_ca: None,
        tls_client: None,
        connect_timeout: Some(common::PATIENCE),
        jetstream: technical_analysis_agent::config::JetStreamApi::default(),
    }
}

/// Connects and has a message answered: the server really lets us in.
async fn enters(config: &NatsConfig) {
    let link = Link::new();
    let client = connect(config, "test", &link, Sizing::default())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    round_trip(&client, &link, Instant::now() + common::PATIENCE)
        .await
        .unwrap();
    assert!(link.is_connected());
    assert!(
        link.server()
            .is_some_and(|server| server.version.starts_with("2."))
    );
}

/// Asserts that the client stays out until the timeout; returns the error for the user.
async fn kept_out(config: &NatsConfig) -> String {
    let config = NatsConfig {
        connect_timeout: Some(Duration::from_secs(1)),
        ..config.clone()
    };
    let link = Link::new();
    let error = connect(&config, "test", &link, Sizing::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(!link.is_connected() && link.last_error().is_some());
    error.to_string()
}

/// Goes on connecting in the background; returns once the server has refused the credentials.
async fn refused_at_first(
    config: NatsConfig,
    link: &Arc<Link>,
) -> JoinHandle<Result<Client, ConnectError>> {
    let connecting = tokio::spawn({
        let link = Arc::clone(link);
        async move { connect(&config, "test", &link, Sizing::default()).await }
    });
    common::until_async("a refusal", || {
        link.last_error().filter(|text| text.contains(REFUSED))
    })
    .await;
    connecting
}

fn user(user: &str, password: &str) -> Auth {
    Auth::UserPassword {
        user: user.to_owned(),
        password: Secret::new(password.to_owned()),
    }
}

const REFUSED: &str = "the server refused the credentials";

#[tokio::test]
async fn user_and_password() {
    let server = NatsServer::with(r#"authorization { user: "ann", password: "s3cret/word" }"#);
    enters(&config(&server.url(), user("ann", "s3cret/word"))).await;
    let told = kept_out(&config(&server.url(), user("ann", "not-the-one"))).await;
    assert!(
        told.contains(REFUSED) && told.contains(&server.url()),
        "{told}"
    );
    assert!(!told.contains("not-the-one"), "{told}");
    assert!(
        kept_out(&config(&server.url(), Auth::None))
            .await
            .contains(REFUSED)
    );
}

#[tokio::test]
async fn renewed_credentials_are_sent_with_the_next_handshake() {
    let mut server = NatsServer::with(r#"authorization { token: "old" }"#);
    let of = |token: &str| NatsConfig {
        connect_timeout: None,
        ..config(&server.url(), Auth::Token(Secret::new(token.to_owned())))
    };
    let (old, new, newer) = (of("old"), of("new"), of("newer"));
    let link = Link::new();
    let client = connect(&old, "test", &link, Sizing::default())
        .await
        .unwrap();
    server.restart_with(r#"authorization { token: "new" }"#);
    common::until_async("a refusal", || {
        link.last_error()
            .filter(|text| text.contains("authorization"))
    })
    .await;
    link.renew_credentials(&new);
    common::until_async("the reconnect", || link.is_connected().then_some(())).await;
    assert_eq!(link.last_error(), None);
    round_trip(&client, &link, Instant::now() + common::PATIENCE)
        .await
        .unwrap();

    // while the first connection is still being tried for
    server.restart_with(r#"authorization { token: "newer" }"#);
    let waiting = Link::new();
    let connecting = refused_at_first(old, &waiting).await;
    waiting.renew_credentials(&newer);
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn token() {
    let server = NatsServer::with(r#"authorization { token: "t0ken" }"#);
    enters(&config(
        &server.url(),
        Auth::Token(Secret::new("t0ken".to_owned())),
    ))
    .await;
    let told = kept_out(&config(
        &server.url(),
        Auth::Token(Secret::new("other".to_owned())),
    ))
    .await;
    assert!(told.contains(REFUSED), "{told}");
}

/// Credentials that are wrong at first and put right while the agent waits.
#[tokio::test]
async fn rotated_credentials_are_taken() {
    let mut server = NatsServer::with(r#"authorization { token: "old" }"#);
    let config = NatsConfig {
        connect_timeout: None,
        ..config(&server.url(), Auth::Token(Secret::new("new".to_owned())))
    };
    let link = Link::new();
    let connecting = refused_at_first(config, &link).await;
    server.restart_with(r#"authorization { token: "new" }"#);
    connecting.await.unwrap().unwrap();
}
