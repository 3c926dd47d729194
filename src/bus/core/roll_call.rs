//! The roll call of a group: asks the server whether any member serves.
//!
//! A member that starts says hello and listens, but one that serves may be slow to answer: it is
//! busy, or the machine is. The server answers at once. Members that serve subscribe to a subject
//! of the group, and a request on it that nobody is subscribed to comes back as "no responders".
//! They do not answer the request itself. A server knows of a subscription for as long as the
//! connection stands, so a member that is frozen counts until the others take it for dead.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, Request, Subject, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinSet;

/// Requests under way at most; more would tell nothing more.
const ASKED_MAX: usize = 4;

pub(super) struct RollCall {
    client: Client,
    subject: Subject,
    /// The subscription of a member that serves.
    serving: Option<Subscriber>,
    /// Requests under way. Each ends with true if nobody serves.
    asked: JoinSet<bool>,
}

impl RollCall {
    pub fn new(client: Client, subject: Subject) -> Self {
        Self {
            client,
            subject,
            serving: None,
            asked: JoinSet::new(),
        }
    }

    /// Makes this member known as one that serves, or no longer as one.
    pub async fn serve(&mut self, serves: bool) {
        if !serves {
            if let Some(mut serving) = self.serving.take() {
                // it fails only when the client has ended
                let _ = serving.unsubscribe().await;
            }
        } else if self.serving.is_none() {
            match self.client.subscribe(self.subject.clone()).await {
                Ok(subscriber) => self.serving = Some(subscriber),
                // the client has ended
                Err(error) => {
                    tracing::debug!(%error, "cannot subscribe to the roll call; members that start will not wait for this one")
                }
            }
        }
        // what others ask is answered by the subscription itself
        if let Some(serving) = &mut self.serving {
            while let Some(Some(_)) = serving.next().now_or_never() {}
        }
    }

    /// Asks the server whether anyone serves.
    pub fn ask(&mut self, patience: Duration) {
        if self.asked.len() >= ASKED_MAX {
            return;
        }
        let (client, subject) = (self.client.clone(), self.subject.clone());
        self.asked.spawn(async move {
            let request = Request::new().timeout(Some(patience));
            let answer = client.send_request(subject, request).await;
            answer.is_err_and(|error| error.kind() == RequestErrorKind::NoResponders)
        });
    }

    /// True if the server has said that nobody serves since that was last asked here.
    pub fn is_nobody_there(&mut self) -> bool {
        let mut nobody = false;
        while let Some(answer) = self.asked.try_join_next() {
            nobody |= answer.unwrap_or(false);
        }
        nobody
    }

    /// Waits for an answer; for ever if nothing is asked.
    pub async fn answered(&mut self) -> bool {
        match self.asked.join_next().await {
            Some(answer) => answer.unwrap_or(false),
            None => std::future::pending().await,
        }
    }

    /// Forgets what was asked before.
    pub fn forget(&mut self) {
        self.asked = JoinSet::new();
    }
}
