//! Credentials in the URL of a server.

use technical_analysis_agent::bus::{Link, Sizing, connect, round_trip};
use technical_analysis_agent::config::{Auth, NatsConfig};
use tokio::time::Instant;

use crate::common::{self, NatsServer};
use crate::{REFUSED, config, enters, kept_out};

#[tokio::test]
async fn credentials_in_the_url() {
    let server = NatsServer::with(r#"authorization { user: "ann", password: "s3cret/word" }"#);
    let url = |password: &str| format!("nats://ann:{password}@127.0.0.1:{}", server.port());
    enters(&config(&url("s3cret%2Fword"), Auth::None)).await;
    let told = kept_out(&config(&url("not-the-one"), Auth::None)).await;
    assert!(
        told.contains(REFUSED) && !told.contains("not-the-one"),
        "{told}"
    );

    let server = NatsServer::with(r#"authorization { token: "t0ken" }"#);
    enters(&config(
        &format!("nats://t0ken@127.0.0.1:{}", server.port()),
        Auth::None,
    ))
    .await;
}

#[tokio::test]
async fn credentials_in_a_url_are_those_of_its_server() {
    let secured = |password: &str| {
        NatsServer::with(format!(
            r#"authorization {{ user: "ann", password: "{password}" }}"#
        ))
    };
    let (mut one, two) = (secured("first$"), secured("second"));
    let url = |server: &NatsServer, login: &str| {
        format!("nats://{login}@127.0.0.1:{}", server.port())
            .parse()
            .unwrap()
    };
    // whichever is dialled first, the refusal of one must not keep us from the other
    for _ in 0..4 {
        enters(&NatsConfig {
            servers: vec![url(&one, "ann:wrong"), url(&two, "ann:second")],
            ..config(&two.url(), Auth::None)
        })
        .await;
    }

    let both = NatsConfig {
        servers: vec![url(&one, "ann:first%24"), url(&two, "ann:second")],
        ..config(&one.url(), Auth::None)
    };
    let link = Link::new();
    let client = connect(&both, "test", &link, Sizing::default())
        .await
        .unwrap();
    let at =
        |port: u16| link.server().map(|server| server.address) == Some(format!("127.0.0.1:{port}"));
    // each of them once, and back
    let mut two = two;
    for _ in 0..3 {
        let before = link.reconnects();
        let here = if at(one.port()) { &mut one } else { &mut two };
        here.kill();
        common::until_async("the other server", || {
            (link.reconnects() > before && link.is_connected()).then_some(())
        })
        .await;
        round_trip(&client, &link, Instant::now() + common::PATIENCE)
            .await
            .unwrap();
        if at(one.port()) {
            two.restart();
        } else {
            assert!(at(two.port()));
            one.restart();
        }
    }
}

#[tokio::test]
async fn a_server_that_names_no_login_gets_that_of_another() {
    let server = NatsServer::with(r#"authorization { user: "ann", password: "pw" }"#);
    let away = common::free_port();
    enters(&NatsConfig {
        servers: vec![
            format!("nats://ann:pw@127.0.0.1:{away}").parse().unwrap(),
            server.url().parse().unwrap(),
        ],
        ..config(&server.url(), Auth::None)
    })
    .await;
}
