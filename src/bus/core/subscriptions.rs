//! The subscriptions to market data, as one.

use std::task::Poll;
use std::time::Instant;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use tokio::task::unconstrained;

use super::queue::{Queue, lane};
use crate::clock;
use crate::wire::SubjectPattern;

/// Market data, from all subscriptions.
pub(super) struct Subscriptions(pub Vec<(SubjectPattern, Subscriber)>);

impl Subscriptions {
    /// Takes all that has arrived, without waiting. Returns how many messages were dropped.
    pub async fn drain_ready(&mut self, into: &mut Queue) -> u64 {
        let now = (Instant::now(), clock::now());
        let mut dropped = 0;
        for (at, (pattern, feed)) in self.0.iter_mut().enumerate() {
            // not subject to the scheduler's budget: "nothing there" must mean just that
            unconstrained(std::future::poll_fn(|context| {
                while let Poll::Ready(Some(message)) = feed.poll_next_unpin(context) {
                    let lane = lane(pattern, &message.subject);
                    dropped += into.push(at, lane, message, now);
                }
                Poll::Ready(())
            }))
            .await;
        }
        dropped
    }

    /// Waits for a message.
    pub async fn next(&mut self) -> Option<(usize, Message)> {
        std::future::poll_fn(|context| {
            let mut open = false;
            for (at, (_, feed)) in self.0.iter_mut().enumerate() {
                match feed.poll_next_unpin(context) {
                    Poll::Ready(Some(message)) => return Poll::Ready(Some((at, message))),
                    Poll::Pending => open = true,
                    Poll::Ready(None) => {}
                }
            }
            if open {
                Poll::Pending
            } else {
                Poll::Ready(None)
            }
        })
        .await
    }
}
