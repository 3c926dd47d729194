//! Nkeys and credentials files: a signature instead of a password.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use technical_analysis_agent::bus::{ConnectError, Link, Sizing, connect, round_trip};
use technical_analysis_agent::config::{Auth, Secret};
use tokio::time::Instant;

use crate::common::{self, NatsServer};
use crate::{REFUSED, config, enters, kept_out};

#[tokio::test]
async fn nkey() {
    let ours = KeyPair::new_user();
    let server = NatsServer::with(format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        ours.public_key()
    ));
    let auth = |pair: &KeyPair| Auth::Nkey(Secret::new(pair.seed().unwrap()));
    enters(&config(&server.url(), auth(&ours))).await;
    let told = kept_out(&config(&server.url(), auth(&KeyPair::new_user()))).await;
    assert!(told.contains(REFUSED), "{told}");

    let no_seed = config(
        &server.url(),
        Auth::Nkey(Secret::new("SUNOSEED".to_owned())),
    );
    let error = connect(&no_seed, "test", &Link::new(), Sizing::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Seed), "{error}");
}

/// A JWT as NATS wants it: claims signed with an nkey, and an id that is the hash of the claims.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let mut claims = json!({
        "iat": 1_700_000_000,
        "iss": issuer.public_key(),
        "name": name,
        "sub": subject.public_key(),
        "nats": nats,
    });
    claims["jti"] = BASE32_NOPAD.encode(claims.to_string().as_bytes()).into();
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!(
        "{}.{}",
        part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})),
        part(&claims)
    );
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn creds(jwt: &str, pair: &KeyPair) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        pair.seed().unwrap()
    )
}

#[tokio::test]
async fn credentials_file() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (ours, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let operator_jwt = jwt(
        &operator,
        &operator,
        "operator",
        json!({"type": "operator", "version": 2}),
    );
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
        "wildcards": true, "conn": -1, "leaf": -1,
    });
    let trusting = |account: &KeyPair| {
        let claims = json!({"type": "account", "version": 2, "limits": limits});
        let account_jwt = jwt(&operator, account, "account", claims);
        format!(
            "operator: \"{operator_jwt}\"\nresolver: MEMORY\nresolver_preload: {{ {}: \"{account_jwt}\" }}",
            account.public_key()
        )
    };
    let of_user = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let mut server = NatsServer::with(trusting(&account));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.creds");
    let with_file = config(&server.url(), Auth::CredsFile(path.clone()));

    std::fs::write(
        &path,
        creds(&jwt(&account, &ours, "agent", of_user.clone()), &ours),
    )
    .unwrap();
    enters(&with_file).await;

    // The next file, and a server that takes no other: the reconnect reads it.
    let link = Link::new();
    let client = connect(&with_file, "test", &link, Sizing::default())
        .await
        .unwrap();
    let next_account = KeyPair::new_account();
    std::fs::write(
        &path,
        creds(&jwt(&next_account, &ours, "agent", of_user.clone()), &ours),
    )
    .unwrap();
    server.restart_with(trusting(&next_account));
    common::until_async("the reconnect", || (link.reconnects() == 1).then_some(())).await;
    round_trip(&client, &link, Instant::now() + common::PATIENCE)
        .await
        .unwrap();

    // Signed by an account that the operator does not know.
    let foreign = jwt(&KeyPair::new_account(), &stranger, "stranger", of_user);
    std::fs::write(&path, creds(&foreign, &stranger)).unwrap();
    assert!(kept_out(&with_file).await.contains(REFUSED));

    for unusable in [Some("no credentials"), None] {
        match unusable {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = connect(&with_file, "test", &Link::new(), Sizing::default())
            .await
            .unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("NATS_CREDS_FILE") && told.contains("agent.creds"),
            "{told}"
        );
    }
}
