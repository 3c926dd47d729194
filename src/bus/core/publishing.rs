//! Publishes the outputs of a batch of messages.

use std::time::Instant;

use super::Worker;

impl Worker {
    /// Sends the outbox, and returns once it is with the operating system.
    pub(super) async fn publish(&mut self) {
        if self.intake.out.outbox.is_empty() {
            self.give_receipts();
            return;
        }
        let client = self.setup.client.clone();
        let mut received = Vec::with_capacity(self.intake.out.outbox.len());
        let mut fed = Vec::new();
        for outgoing in std::mem::take(&mut self.intake.out.outbox) {
            let letter = outgoing.received.is_none();
            let feed = outgoing.feed.filter(|_| !outgoing.forming);
            let publish =
                client.publish_with_headers(outgoing.subject, outgoing.headers, outgoing.payload);
            match self.wait_while_disconnected(publish).await {
                Ok(()) if letter => self.setup.metrics.dead_letters.inc(),
                Ok(()) => {
                    received.extend(outgoing.received);
                    fed.extend(feed);
                }
                Err(error) => self.publish_failed(&error.to_string()),
            }
        }
        match self.wait_while_disconnected(client.flush()).await {
            Ok(()) => fed
                .into_iter()
                .for_each(|feed| self.intake.out.tallies.published(feed)),
            Err(error) => self.publish_failed(&error.to_string()),
        }
        self.give_receipts();
        for at in received {
            self.intake.published(at.elapsed());
        }
    }

    /// Reports the outcomes of fed bars whose signals are published.
    fn give_receipts(&mut self) {
        if !self.intake.out.tallies.is_empty() {
            let counted = self.intake.out.tallies.take();
            let receipts = &self.setup.receipts;
            receipts.add("core", counted, Instant::now());
        }
    }

    fn publish_failed(&mut self, error: &str) {
        self.setup.metrics.publish_errors.inc();
        if let Some(count) = self.failures.allow((), Instant::now()) {
            tracing::warn!(
                error,
                count,
                "cannot publish a signal, dead letter or message of the group"
            );
        }
    }
}
