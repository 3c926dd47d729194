//! Making the connection, and everything that is decided when it is made.
//!
//! async-nats can retry the first connection itself (`retry_on_initial_connect`). We do not let
//! it: it would hand out a client before there is a server, subscriptions would queue in silence,
//! and why a connection failed would be known to nobody (its events carry the kind of an error,
//! not the cause). So each attempt at the first connection is our own, the cause of each failure
//! is in hand, and a [`Client`] exists only once a server is there. After that the client
//! reconnects by itself, for ever, and [`Link`] tells what it sees.
//!
//! Files of credentials and certificates are read again for every handshake, the first and each
//! reconnect, so a rotated file is taken. [`super::dial`] picks the server and its login.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::{self, AlertDescription, CertificateError};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::backoff;
use super::link::{EndOfEvents, Link};
use super::{credentials, dial};
use crate::config::{Auth, NatsConfig};

/// A silent server is given up at the third ping: 9 s.
const PING_EVERY: Duration = Duration::from_secs(3);
/// For one server to answer the TCP and NATS handshakes.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The longest pause between attempts while `NATS_CONNECT_TIMEOUT` runs.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// An attempt that is under way when `NATS_CONNECT_TIMEOUT` passes may take this much longer.
const LAST_ATTEMPT: Duration = Duration::from_millis(500);

/// Limits on messages that wait inside the client.
#[derive(Debug, Clone, Copy)]
pub struct Sizing {
    /// Per subscription; a message beyond it is dropped. The room is taken as it is used.
    pub subscription_capacity: usize,
    /// Publishes and other commands on their way to the socket; beyond it the publisher waits.
    pub client_capacity: usize,
}

impl Default for Sizing {
    fn default() -> Self {
        Self {
            // core delivery empties it at every turn into a queue that is bounded in bytes
            subscription_capacity: 1 << 20,
            client_capacity: 2048,
        }
    }
}

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server took the connection in time.
    #[error("no connection to NATS at {servers} within {} s: {cause}", waited.as_secs_f64())]
    Unreachable {
        /// The servers tried.
        servers: String,
        /// `NATS_CONNECT_TIMEOUT`.
        waited: Duration,
        /// The reason of the last failure, and what to check.
        cause: String,
    },
    /// A file of credentials or certificates cannot be used.
    #[error("{variable}: cannot use `{}`: {reason}", path.display())]
    File {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason why it is invalid.
        reason: String,
    },
    /// The seed is none.
    #[error("NATS_NKEY_SEED: not a valid nkey seed; it begins with SU and has 58 characters")]
    Seed,
}

/// Connects, and returns once a server is there.
///
/// Call it once per `link`, from the runtime that is to carry the connection.
///
/// # Errors
/// At once when a file or seed cannot be used; else only when `config.connect_timeout` passes.
pub async fn connect(
    config: &NatsConfig,
    name: &str,
    link: &Arc<Link>,
    sizing: Sizing,
) -> Result<Client, ConnectError> {
    let dialler = link.dialler();
    dialler.begin(config);
    let servers = dial::without_logins(&config.servers);
    let names = shown(&servers);
    let limit = config.connect_timeout;
    let started = Instant::now();
    let left = || limit.map(|limit| limit.saturating_sub(started.elapsed()));
    let mut attempt = 0;
    loop {
        attempt += 1;
        let cause = match options(config, name, link, sizing).await {
            Ok(options) => {
                // each attempt dials one server, so a silent one must leave time for the others
                let share = left().map(|left| left / u32::try_from(servers.len()).unwrap_or(1));
                let patience = share.map(|share| share.max(LAST_ATTEMPT));
                let connecting = options.connect(&servers);
                let outcome = match patience {
                    None => connecting.await.map_err(|error| explain(&error)),
                    Some(patience) => match timeout(patience, connecting).await {
                        Ok(outcome) => outcome.map_err(|error| explain(&error)),
                        Err(_) => Err(SILENT.to_owned()),
                    },
                };
                match outcome {
                    Ok(client) => {
                        link.attach(&client);
                        let server = client.server_info();
                        tracing::info!(
                            server = %server.server_name,
                            version = %server.version,
                            address = dialler.dialled(),
                            "connected to NATS"
                        );
                        return Ok(client);
                    }
                    Err(cause) => match dialler.dialled() {
                        Some(address) => format!("{address}: {cause}"),
                        None => cause,
                    },
                }
            }
            // a file may be away for a moment while it is rotated, but not from the start
            Err(error) if attempt == 1 => return Err(error),
            Err(error) => error.to_string(),
        };
        link.failed(cause.clone());
        if link.outage_line_due() {
            tracing::warn!(servers = %names, attempt, "cannot connect to NATS, trying again: {cause}");
        }
        let round = attempt / servers.len().max(1);
        let untried = !attempt.is_multiple_of(servers.len().max(1));
        let pause = if untried {
            Duration::ZERO
        } else {
            backoff(round)
        };
        match left() {
            Some(left) if left.is_zero() => {
                return Err(ConnectError::Unreachable {
                    servers: names,
                    waited: limit.unwrap_or_default(),
                    cause,
                });
            }
            // the last attempt begins when the time is over
            Some(left) => sleep(pause.min(LONGEST_PAUSE).min(left)).await,
            None => sleep(pause).await,
        }
    }
}

async fn options(
    config: &NatsConfig,
    name: &str,
    link: &Arc<Link>,
    sizing: Sizing,
) -> Result<ConnectOptions, ConnectError> {
    let end = EndOfEvents(Arc::clone(link));
    let dialling = Arc::clone(link);
    let mut options = authenticated(config, link)
        .await?
        .name(name)
        .ping_interval(PING_EVERY)
        .connection_timeout(HANDSHAKE)
        .subscription_capacity(sizing.subscription_capacity)
        .client_capacity(sizing.client_capacity)
        .max_reconnects(None)
        .reconnect_to_server_callback(move |pool, _| std::future::ready(dialling.next(&pool)))
        .event_callback(move |event| {
            end.0.observe(event);
            std::future::ready(())
        });
    if let Some(ca) = &config.tls_ca {
        certificates("NATS_TLS_CA", ca)?;
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &config.tls_client {
        certificates("NATS_TLS_CERT", certificate)?;
        PrivateKeyDer::from_pem_file(key).map_err(|error| file("NATS_TLS_KEY", key, &error))?;
        options = options
            .add_client_certificate(certificate.clone(), key.clone())
            .require_tls(true);
    }
    Ok(options)
}

/// Refuses credentials that can never be used, and has the dialler give those that can.
async fn authenticated(
    config: &NatsConfig,
    link: &Arc<Link>,
) -> Result<ConnectOptions, ConnectError> {
    match &config.auth {
        Auth::CredsFile(path) => {
            let unusable = |error| file("NATS_CREDS_FILE", path, &error);
            credentials::check(path).await.map_err(unusable)?;
        }
        Auth::Nkey(seed) => {
            nkeys::KeyPair::from_seed(seed.reveal()).map_err(|_| ConnectError::Seed)?;
        }
        Auth::None | Auth::UserPassword { .. } | Auth::Token(_) => {}
    }
    let answering = Arc::clone(link);
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        let link = Arc::clone(&answering);
        async move { link.dialler().answer(&nonce).await }
    }))
}

fn certificates(variable: &'static str, path: &Path) -> Result<(), ConnectError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(variable, path, &error))?;
    if found.is_empty() {
        return Err(file(variable, path, &"it holds no certificate in PEM form"));
    }
    Ok(())
}

fn file(variable: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::File {
        variable,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// The servers as a reader may see them: without the credentials a URL can carry.
fn shown(servers: &[ServerAddr]) -> String {
    let one =
        |server: &ServerAddr| format!("{}://{}:{}", server.scheme(), server.host(), server.port());
    servers.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The reason of a failure, and what to check.
fn explain(error: &async_nats::ConnectError) -> String {
    let check = match error.kind() {
        ConnectErrorKind::AuthorizationViolation => {
            return "the server refused the credentials; check NATS_CREDS_FILE, NATS_NKEY_SEED, \
                    NATS_USER and NATS_PASSWORD, NATS_TOKEN, or those in NATS_URL"
                .to_owned();
        }
        ConnectErrorKind::Dns => "check the host name in NATS_URL",
        ConnectErrorKind::TimedOut => return SILENT.to_owned(),
        ConnectErrorKind::Tls => "check NATS_TLS_CA, NATS_TLS_CERT and NATS_TLS_KEY",
        _ => match io_cause(error) {
            Some(Cause::Tls(text)) => text,
            Some(Cause::Io(io::ErrorKind::ConnectionRefused)) => {
                "check that nats-server runs there and NATS_URL names its port"
            }
            _ => "check NATS_URL, and whether the server wants TLS",
        },
    };
    format!("{error}; {check}")
}

const SILENT: &str = "the server does not answer; check NATS_URL and the network";

enum Cause {
    Tls(&'static str),
    Io(io::ErrorKind),
}

fn io_cause(error: &async_nats::ConnectError) -> Option<Cause> {
    let io = error.source()?.downcast_ref::<io::Error>()?;
    let tls = io
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Some(tls.map_or(Cause::Io(io.kind()), |tls| Cause::Tls(tls_check(tls))))
}

fn tls_check(error: &rustls::Error) -> &'static str {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the server's certificate is not signed by a known authority; check NATS_TLS_CA"
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another host name; check the host in NATS_URL",
        InvalidCertificate(_) => "the server's certificate is not acceptable",
        AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a client certificate; set NATS_TLS_CERT and NATS_TLS_KEY"
        }
        AlertReceived(_) => {
            "the server refused our side of TLS; check NATS_TLS_CERT and NATS_TLS_KEY"
        }
        InvalidMessage(_) => "the server does not speak TLS; check NATS_URL and NATS_TLS_CA",
        _ => "check NATS_TLS_CA, NATS_TLS_CERT and NATS_TLS_KEY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_shown_without_their_credentials() {
        let servers: Vec<ServerAddr> = ["nats://ann:s3cret@one:4223", "tls://two"]
            .map(|url| url.parse().unwrap())
            .into();
        assert_eq!(shown(&servers), "nats://one:4223, tls://two:4222");
    }
}
