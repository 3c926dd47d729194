//! The connection to NATS: servers, authentication, `JetStream`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;

use super::check::Check;
use super::environment::Environment;
use super::keys::nats::{
    NATS_CREDS_FILE, NATS_JETSTREAM_DOMAIN, NATS_JETSTREAM_PREFIX, NATS_NKEY_SEED, NATS_PASSWORD,
    NATS_TLS_CERT, NATS_TLS_KEY, NATS_TOKEN, NATS_URL, NATS_USER, NatsValues,
};
use super::keys::{Entry, Key, Variable};
use super::secret::{Secret, mask_urls};

/// The servers, and what they want to see.
#[derive(Clone)]
pub struct NatsConfig {
    /// At least one; a URL may carry `user:password@`.
    pub servers: Vec<ServerAddr>,
    /// The authentication of the agent.
    pub auth: Auth,
    /// The authority that signed the server's certificate, in PEM.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and private key, in PEM.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// The time limit of the first connection; without it, no limit.
    pub connect_timeout: Option<Duration>,
    /// The `JetStream` in use.
    pub jetstream: JetStreamApi,
}

/// One kind of authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// None, or what the URLs carry.
    None,
    /// A credentials file (JWT and seed).
    CredsFile(PathBuf),
    /// The seed of an nkey.
    Nkey(Secret),
    /// User name and password.
    UserPassword {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
}

/// The prefix of a `JetStream` API: that of the server and account one is connected to, of a domain,
/// or of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamApi {
    prefix: String,
    domain: Option<String>,
}

impl Default for JetStreamApi {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl JetStreamApi {
    const DEFAULT: &str = "$JS.API";

    /// The API of this domain, else under this prefix, else the default one.
    #[must_use]
    pub fn new(domain: Option<String>, prefix: Option<String>) -> Self {
        let of_domain = domain.as_ref().map(|domain| format!("$JS.{domain}.API"));
        Self {
            prefix: of_domain
                .or(prefix)
                .unwrap_or_else(|| Self::DEFAULT.to_owned()),
            domain,
        }
    }

    /// The prefix of every request, without the dot.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The domain that is configured.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Returns whether it is the API of the server and account one is connected to.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.prefix == Self::DEFAULT
    }

    /// The subject of an API request.
    #[must_use]
    pub fn subject(&self, request: &str) -> String {
        format!("{}.{request}", self.prefix)
    }

    /// The subject to publish a key-value record on. Leaf nodes do not pass `$KV` on to another
    /// domain, so it travels under the prefix, as in the clients of NATS.
    #[must_use]
    pub fn record(&self, subject: &str) -> String {
        if self.is_default() {
            subject.to_owned()
        } else {
            self.subject(subject)
        }
    }

    /// The setting that chose it, for messages.
    #[must_use]
    pub fn setting(&self) -> Option<String> {
        match &self.domain {
            Some(domain) => Some(format!("NATS_JETSTREAM_DOMAIN={domain}")),
            None if self.is_default() => None,
            None => Some(format!("NATS_JETSTREAM_PREFIX={}", self.prefix)),
        }
    }
}

impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self
            .servers
            .iter()
            .map(|server| mask_urls(server.as_url_str()))
            .collect();
        f.debug_struct("NatsConfig")
            .field("servers", &servers)
            .field("auth", &self.auth)
            .field("tls_ca", &self.tls_ca)
            .field("tls_client", &self.tls_client)
            .field("connect_timeout", &self.connect_timeout)
            .field("jetstream", &self.jetstream)
            .finish()
    }
}

pub(super) fn read(
    values: &NatsValues,
    check: &mut Check<'_>,
    environment: &dyn Environment,
) -> NatsConfig {
    let servers = check.read(&values.NATS_URL);
    let creds = file(check, environment, &values.NATS_CREDS_FILE);
    let nkey = check.read_optional(&values.NATS_NKEY_SEED);
    let user = check.read_optional(&values.NATS_USER);
    let password = check.read_optional(&values.NATS_PASSWORD);
    let token = check.read_optional(&values.NATS_TOKEN);
    let tls_ca = file(check, environment, &values.NATS_TLS_CA);
    let tls_cert = file(check, environment, &values.NATS_TLS_CERT);
    let tls_key = file(check, environment, &values.NATS_TLS_KEY);
    let connect_timeout = check.read_optional(&values.NATS_CONNECT_TIMEOUT);

    let domain = check.read_optional(&values.NATS_JETSTREAM_DOMAIN);
    let prefix = check.read_optional(&values.NATS_JETSTREAM_PREFIX);
    check.require_set(
        !values.NATS_JETSTREAM_DOMAIN.is_some() || !values.NATS_JETSTREAM_PREFIX.is_some(),
        &[NATS_JETSTREAM_DOMAIN::KEY, NATS_JETSTREAM_PREFIX::KEY],
        "a domain is a prefix of its own ($JS.<domain>.API); set only one of the two",
    );
    check.require_set(
        values.NATS_USER.is_some() == values.NATS_PASSWORD.is_some(),
        &[NATS_USER::KEY, NATS_PASSWORD::KEY],
        "user and password go together",
    );
    check.require_set(
        values.NATS_TLS_CERT.is_some() == values.NATS_TLS_KEY.is_some(),
        &[NATS_TLS_CERT::KEY, NATS_TLS_KEY::KEY],
        "certificate and key go together",
    );
    let in_url = servers
        .iter()
        .any(|server| server.has_user_pass() || server.password().is_some());
    let kinds: Vec<&'static Key> = [
        (in_url, NATS_URL::KEY),
        (values.NATS_CREDS_FILE.is_some(), NATS_CREDS_FILE::KEY),
        (values.NATS_NKEY_SEED.is_some(), NATS_NKEY_SEED::KEY),
        (
            values.NATS_USER.is_some() || values.NATS_PASSWORD.is_some(),
            NATS_USER::KEY,
        ),
        (values.NATS_TOKEN.is_some(), NATS_TOKEN::KEY),
    ]
    .into_iter()
    .filter_map(|(used, key)| used.then_some(key))
    .collect();
    check.require_set(
        kinds.len() <= 1,
        &kinds,
        "only one kind of authentication can be used at a time",
    );

    let auth = match (creds, nkey, user.zip(password), token) {
        (Some(file), ..) => Auth::CredsFile(file),
        (_, Some(seed), ..) => Auth::Nkey(seed),
        (_, _, Some((user, password)), _) => Auth::UserPassword { user, password },
        (.., Some(token)) => Auth::Token(token),
        _ => Auth::None,
    };
    NatsConfig {
        servers,
        auth,
        tls_ca,
        tls_client: tls_cert.zip(tls_key),
        connect_timeout,
        jetstream: JetStreamApi::new(domain, prefix),
    }
}

/// A file that has to be there.
fn file<V: Variable<Value = PathBuf>>(
    check: &mut Check<'_>,
    environment: &dyn Environment,
    entry: &Entry<V>,
) -> Option<PathBuf> {
    let path = check.read_optional(entry)?;
    if let Err(error) = environment.read(&path) {
        check.refuse::<V>(format!("the file cannot be read: {error}"));
        return None;
    }
    Some(path)
}
