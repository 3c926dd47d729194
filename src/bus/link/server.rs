//! The server at the other end.

use async_nats::ServerInfo;

/// The server of the last connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// Its name, or its id where it has none.
    pub name: String,
    /// Its version, such as `2.12.1`.
    pub version: String,
    /// `host:port` as it was dialled: a server says of itself what it listens on, which is mostly
    /// `0.0.0.0`.
    pub address: String,
    /// The largest message it takes, in bytes.
    pub max_payload: usize,
    /// True if it offers `JetStream`.
    pub jetstream: bool,
}

impl ServerView {
    /// The server that says `info` of itself and was dialled as `dialled`, where that is known.
    pub(super) fn new(info: ServerInfo, dialled: Option<String>) -> Self {
        let name = if info.server_name.is_empty() {
            info.server_id
        } else {
            info.server_name
        };
        Self {
            name,
            version: info.version,
            address: dialled.unwrap_or_else(|| format!("{}:{}", info.host, info.port)),
            max_payload: info.max_payload,
            jetstream: info.jetstream,
        }
    }
}
