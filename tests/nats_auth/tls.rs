//! TLS with certificates of our own, and clients that prove themselves by one.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa};
use technical_analysis_agent::bus::{ConnectError, Link, Sizing, connect};
use technical_analysis_agent::config::{Auth, NatsConfig};

use crate::common::NatsServer;
use crate::{config, enters, kept_out};

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
