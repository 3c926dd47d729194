//! The `JetStream` that is configured: of the server and account, of a domain, or under a prefix.

use async_nats::Client;
use async_nats::jetstream::{self, Context};

use crate::config::JetStreamApi;

/// A context whose requests go to `api`.
#[must_use]
pub fn jetstream(client: &Client, api: &JetStreamApi) -> Context {
    jetstream::with_prefix(client.clone(), api.prefix())
}
