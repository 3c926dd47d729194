//! The subscriptions to market data, as one.

use std::collections::VecDeque;
use std::task::Poll;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use tokio::task::unconstrained;

use crate::wire::SubjectPattern;

/// Market data, from all subscriptions.
pub(super) struct Feeds(pub Vec<(SubjectPattern, Subscriber)>);

impl Feeds {
    /// Takes what has arrived, at most `limit` messages, without waiting.
    pub async fn gather(&mut self, into: &mut VecDeque<(usize, Message)>, limit: usize) {
        let mut room = limit;
        for (at, (_, feed)) in self.0.iter_mut().enumerate() {
            // not subject to the scheduler's budget: "nothing there" must mean just that
            unconstrained(std::future::poll_fn(|context| {
                while room > 0
                    && let Poll::Ready(Some(message)) = feed.poll_next_unpin(context)
                {
                    into.push_back((at, message));
                    room -= 1;
                }
                Poll::Ready(())
            }))
            .await;
        }
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
