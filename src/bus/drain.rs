//! Ending a connection without losing what was said on it.
//!
//! async-nats 0.51 does less than the names of its functions promise:
//!
//! - `flush()` returns when the bytes are with the operating system. The server may not have
//!   read one of them.
//! - `drain()` returns when the command is queued. The connection task then sends UNSUB and
//!   PING and closes **the next time it wakes**, whatever woke it: it waits neither for the PONG
//!   nor for a write buffer that the socket would not take whole. What is unwritten, or sent by
//!   the server before it saw the UNSUB, is lost. `Subscriber::drain` is the same for one
//!   subscription.
//! - While there is no server, `drain()` waits for one, for ever.
//! - `Event::Closed` can be dropped when many events are waiting ([`super::Link`] sees the end
//!   regardless).
//!
//! Nothing may be under way when `drain()` is called. [`round_trip`] makes sure of it: a server
//! takes the commands of a connection in order and answers in order.

use std::sync::Arc;

use async_nats::Client;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::Link;

/// The reason why a drain is not clean.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DrainError {
    /// The last messages may not have reached the server.
    #[error("the NATS server did not confirm the last messages: {0}")]
    Unconfirmed(String),
    /// The connection was still open at the deadline.
    #[error("the NATS connection did not close in time")]
    StillOpen,
}

/// Returns once the server has taken everything published on `client` before the call, and
/// everything that it had sent to us by then is in the channels of its subscriptions.
///
/// The answer is a message to ourselves through a fresh inbox. Where the user may not subscribe
/// or publish to it, the server's refusal, which names the inbox, is as good.
///
/// # Errors
/// If there is no answer by `deadline`, or no connection any more.
pub async fn round_trip(client: &Client, link: &Link, deadline: Instant) -> Result<(), DrainError> {
    let inbox = client.new_inbox();
    let lost = |error: &dyn std::fmt::Display| Err(DrainError::Unconfirmed(error.to_string()));
    let answered = async {
        let mut answer = match client.subscribe(inbox.clone()).await {
            Ok(answer) => answer,
            Err(error) => return lost(&error),
        };
        if let Err(error) = client.publish(inbox.clone(), Bytes::new()).await {
            return lost(&error);
        }
        match answer.next().await {
            Some(_) => Ok(()),
            None => lost(&"the connection is closed"),
        }
    };
    let outcome = timeout_at(deadline, async {
        tokio::select! {
            outcome = answered => outcome,
            () = link.refused(&inbox) => Ok(()),
            () = link.wait_closed() => lost(&"the connection is closed"),
        }
    });
    outcome.await.unwrap_or_else(|_| lost(&"no answer in time"))
}

/// Confirms what was published, closes the connection and returns once it is closed.
///
/// Call it when nothing publishes any more and no subscription is of interest.
///
/// # Errors
/// If the deadline passes first, or the last messages could not be confirmed. The connection is
/// closed in the latter case if it can be.
pub async fn drain_and_close(
    client: &Client,
    link: &Arc<Link>,
    deadline: Instant,
) -> Result<(), DrainError> {
    let confirmed = round_trip(client, link, deadline).await;
    // It fails only when the connection has already ended, which is what we wait for.
    let _ = timeout_at(deadline, client.drain()).await;
    let closed = timeout_at(deadline, link.wait_closed()).await;
    confirmed?;
    closed.map_err(|_| DrainError::StillOpen)
}
