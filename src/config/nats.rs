//! How to reach NATS and prove who we are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use super::check::{Check, field, seconds};
use super::environment::Environment;
use super::raw::Raw;
use super::secret::{MASK, Secret, is_cut, mask_urls};

/// The servers, and what they want to see.
#[derive(Clone)]
pub struct NatsConfig {
    /// At least one; a URL may carry `user:password@`.
    pub servers: Vec<ServerAddr>,
    /// How the agent authenticates.
    pub auth: Auth,
    /// The authority that signed the server's certificate, in PEM.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and private key, in PEM.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// How long to wait for the first connection; without it for ever.
    pub connect_timeout: Option<Duration>,
    /// Which `JetStream` is used.
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

pub(super) fn read(raw: &Raw, check: &mut Check<'_>, environment: &dyn Environment) -> NatsConfig {
    let servers = check.read(&field!(raw.nats_url), servers);
    let path = |text: &str| {
        environment
            .read(Path::new(text))
            .map(|_| PathBuf::from(text))
            .map_err(|error| format!("the file cannot be read: {error}"))
    };
    let secret = |text: &str| Ok(Secret::new(text.to_owned()));
    let creds = check.read_optional(&field!(raw.nats_creds_file), path);
    let nkey = check.read_optional(&field!(raw.nats_nkey_seed), nkey_seed);
    let user = check.read_optional(&field!(raw.nats_user), |text| Ok(text.to_owned()));
    let password = check.read_optional(&field!(raw.nats_password), secret);
    let token = check.read_optional(&field!(raw.nats_token), secret);
    let tls_ca = check.read_optional(&field!(raw.nats_tls_ca), path);
    let tls_cert = check.read_optional(&field!(raw.nats_tls_cert), path);
    let tls_key = check.read_optional(&field!(raw.nats_tls_key), path);
    let connect_timeout =
        check.read_optional(&field!(raw.nats_connect_timeout), seconds(0.001..=86_400.0));

    let domain = check.read_optional(&field!(raw.nats_jetstream_domain), domain);
    let prefix = check.read_optional(&field!(raw.nats_jetstream_prefix), prefix);
    check.require_set(
        raw.nats_jetstream_domain.is_none() || raw.nats_jetstream_prefix.is_none(),
        &["NATS_JETSTREAM_DOMAIN", "NATS_JETSTREAM_PREFIX"],
        "a domain is a prefix of its own ($JS.<domain>.API); set only one of the two",
    );
    check.require_set(
        raw.nats_user.is_some() == raw.nats_password.is_some(),
        &["NATS_USER", "NATS_PASSWORD"],
        "user and password go together",
    );
    check.require_set(
        raw.nats_tls_cert.is_some() == raw.nats_tls_key.is_some(),
        &["NATS_TLS_CERT", "NATS_TLS_KEY"],
        "certificate and key go together",
    );
    let in_url = servers
        .iter()
        .any(|server| server.has_user_pass() || server.password().is_some());
    let kinds: Vec<&'static str> = [
        (in_url, "NATS_URL"),
        (raw.nats_creds_file.is_some(), "NATS_CREDS_FILE"),
        (raw.nats_nkey_seed.is_some(), "NATS_NKEY_SEED"),
        (
            raw.nats_user.is_some() || raw.nats_password.is_some(),
            "NATS_USER",
        ),
        (raw.nats_token.is_some(), "NATS_TOKEN"),
    ]
    .into_iter()
    .filter_map(|(used, name)| used.then_some(name))
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

fn domain(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b".*>".contains(&byte);
    if text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must be the name of one domain: ASCII, without spaces and any of . * >".to_owned())
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let token = |token: &str| !token.is_empty() && domain(token).is_ok();
    if text.split('.').all(token) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be the beginning of a subject, such as JS.market.API: tokens of ASCII separated \
             by single dots, without wildcards"
                .to_owned(),
        )
    }
}

fn servers(list: &str) -> Result<Vec<ServerAddr>, String> {
    list.split(',')
        .map(|text| {
            let text = text.trim();
            // it may be half of a password with a comma in it
            let shown = if list.contains('@') && is_cut(text) {
                MASK.to_owned()
            } else {
                mask_urls(text)
            };
            if text.is_empty() {
                return Err("has an empty item; separate servers by single commas".to_owned());
            }
            let unescaped = "; in a user name, password or token, percent-encode everything but \
                             letters, digits and -._~";
            let server: ServerAddr = text.parse().map_err(|error| {
                let hint = if list.contains('@') { unescaped } else { "" };
                format!("`{shown}` is no server address: {error}{hint}")
            })?;
            let (_, rest) = text.split_once("://").unwrap_or(("", text));
            let after = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
            if !matches!(after, "" | "/") {
                let hint = if rest.contains('@') { unescaped } else { "" };
                return Err(format!("`{shown}` goes on after host and port{hint}"));
            }
            for part in [server.username(), server.password()].into_iter().flatten() {
                if percent_decode_str(part).decode_utf8().is_err() {
                    return Err(format!(
                        "the login in `{shown}` is not UTF-8 once it is decoded"
                    ));
                }
            }
            if server.is_websocket() {
                return Err(format!("`{shown}` must begin with nats:// or tls://"));
            }
            if server.host().is_empty() {
                return Err(format!("`{shown}` names no host"));
            }
            Ok(server)
        })
        .collect()
}

/// Only its form is checked here: the checksum is up to the client that uses it.
fn nkey_seed(text: &str) -> Result<Secret, String> {
    let well_formed = text.len() == 58
        && text.starts_with("SU")
        && text.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'));
    if well_formed {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err("must be the seed of a user nkey: SU and 56 characters of base 32".to_owned())
    }
}
