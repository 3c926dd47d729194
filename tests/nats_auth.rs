//! Every way to prove who we are, against servers that insist on it.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::NatsServer;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa};
use serde_json::{Value, json};
use technical_analysis_agent::bus::{ConnectError, Link, Sizing, connect, round_trip};
use technical_analysis_agent::config::{Auth, NatsConfig, Secret};
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

/// Is kept out until the timeout passes; returns what the user is told.
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
    let connecting = tokio::spawn({
        let link = waiting.clone();
        async move { connect(&old, "test", &link, Sizing::default()).await }
    });
    common::until_async("a refusal", || {
        waiting.last_error().filter(|text| text.contains(REFUSED))
    })
    .await;
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

/// Credentials that are wrong at first and put right while the agent waits.
#[tokio::test]
async fn rotated_credentials_are_taken() {
    let mut server = NatsServer::with(r#"authorization { token: "old" }"#);
    let config = NatsConfig {
        connect_timeout: None,
        ..config(&server.url(), Auth::Token(Secret::new("new".to_owned())))
    };
    let link = Link::new();
    let connecting = tokio::spawn({
        let link = link.clone();
        async move { connect(&config, "test", &link, Sizing::default()).await }
    });
    common::until_async("a refusal", || {
        link.last_error().filter(|text| text.contains(REFUSED))
    })
    .await;
    server.restart_with(r#"authorization { token: "new" }"#);
    connecting.await.unwrap().unwrap();
}

/// A certificate authority with a server and a client certificate, as files.
struct Pki {
    _dir: tempfile::TempDir,
    ca: PathBuf,
    server: (PathBuf, PathBuf),
    client: (PathBuf, PathBuf),
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let ca_path = dir.path().join("ca.pem");
        std::fs::write(&ca_path, ca.pem()).unwrap();
        let issue = |name: &str, usage: ExtendedKeyUsagePurpose| {
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![usage];
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            let path = |kind: &str| dir.path().join(format!("{name}-{kind}.pem"));
            std::fs::write(path("cert"), certificate.pem()).unwrap();
            std::fs::write(path("key"), key.serialize_pem()).unwrap();
            (path("cert"), path("key"))
        };
        Self {
            server: issue("server", ExtendedKeyUsagePurpose::ServerAuth),
            client: issue("client", ExtendedKeyUsagePurpose::ClientAuth),
            ca: ca_path,
            _dir: dir,
        }
    }

    fn nats(&self, more: &str) -> NatsServer {
        NatsServer::with(format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?} {more} }}",
            self.server.0, self.server.1, self.ca
        ))
    }
}

fn tls(server: &NatsServer, ca: Option<&Path>, client: Option<(PathBuf, PathBuf)>) -> NatsConfig {
    NatsConfig {
        tls_ca: ca.map(Path::to_owned),
        tls_client: client,
        ..config(&server.url().replace("nats://", "tls://"), Auth::None)
    }
}

#[tokio::test]
async fn tls_with_a_ca_of_our_own() {
    let pki = Pki::new();
    let server = pki.nats("");
    enters(&tls(&server, Some(&pki.ca), None)).await;

    let other = Pki::new();
    for unknown in [Some(other.ca.as_path()), None] {
        let told = kept_out(&tls(&server, unknown, None)).await;
        assert!(
            told.contains("not signed by a known authority") && told.contains("NATS_TLS_CA"),
            "{told}"
        );
    }

    let plain = NatsServer::plain();
    let told = kept_out(&tls(&plain, Some(&pki.ca), None)).await;
    assert!(told.contains("does not speak TLS"), "{told}");
}

#[tokio::test]
async fn mutual_tls() {
    let pki = Pki::new();
    let server = pki.nats(", verify: true");
    enters(&tls(&server, Some(&pki.ca), Some(pki.client.clone()))).await;

    let told = kept_out(&tls(&server, Some(&pki.ca), None)).await;
    assert!(told.contains("NATS_TLS_CERT"), "{told}");
    let stranger = Pki::new().client;
    let unreadable = tls(&server, Some(&pki.ca), Some(stranger));
    let error = connect(&unreadable, "test", &Link::new(), Sizing::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::File {
                variable: "NATS_TLS_CERT",
                ..
            }
        ),
        "{error}"
    );
    let other = Pki::new();
    let told = kept_out(&tls(&server, Some(&pki.ca), Some(other.client.clone()))).await;
    assert!(told.contains("NATS_TLS_CERT"), "{told}");
}

#[tokio::test]
async fn unusable_certificate_files_are_named_at_once() {
    let pki = Pki::new();
    let server = pki.nats("");
    let missing = pki.ca.with_file_name("missing.pem");
    let (certificate, key) = pki.client.clone();
    let cases = [
        ("NATS_TLS_CA", tls(&server, Some(&missing), None)),
        ("NATS_TLS_CA", tls(&server, Some(&key), None)),
        (
            "NATS_TLS_CERT",
            tls(&server, Some(&pki.ca), Some((missing.clone(), key))),
        ),
        (
            "NATS_TLS_KEY",
            tls(&server, Some(&pki.ca), Some((certificate, missing))),
        ),
    ];
    for (name, config) in cases {
        let config = NatsConfig {
            connect_timeout: None,
            ..config
        };
        let error = connect(&config, "test", &Link::new(), Sizing::default())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, ConnectError::File { variable, .. } if *variable == name),
            "{error}"
        );
    }
}
