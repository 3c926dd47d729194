//! How to reach NATS and prove who we are.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The servers, the credentials and the certificates.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// One or more servers of one cluster.
    pub servers: Vec<async_nats::ServerAddr>,
    /// Who we are.
    pub auth: Auth,
    /// The certificate authority that must have signed the server's certificate (PEM).
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate and its key (PEM), for mutual TLS.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// How long to wait for the first connection; for ever without it.
    pub connect_timeout: Option<Duration>,
}

/// One way to authenticate.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The server asks for nothing.
    None,
    /// A `.creds` file: user JWT and seed.
    CredsFile(PathBuf),
    /// The seed of an nkey.
    Nkey(Secret),
    /// A user and a password.
    UserPassword {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
