//! The last part of the life of the worker.

use tokio::time::{Instant, timeout};

use super::Worker;
use crate::bus::drain::{DrainError, drain_and_close, round_trip};
use crate::bus::setup::Setup;

impl Worker {
    /// Ends work at once, because durable members publish the same signals: what is not published
    /// yet is left to them.
    pub(super) async fn give_way(mut self) -> Setup {
        self.farewell().await;
        let metrics = &self.setup.metrics;
        for gauge in [
            &metrics.partitions_owned,
            &metrics.series,
            &metrics.inflight_bars,
        ] {
            gauge.set(0);
        }
        self.setup
    }

    /// Says the last presence. One that starts asks again who serves when it hears it.
    async fn farewell(&mut self) {
        self.roll_call.serve(false).await;
        let farewell = self.members.handover.farewell();
        self.members.messenger.announce(&farewell).await;
    }

    /// Finishes what was received, and ends the connection when all of it is confirmed.
    pub(super) async fn drain(mut self, deadline: Instant) -> Result<(), DrainError> {
        let (client, link) = (self.setup.client.clone(), self.setup.link.clone());
        self.drain_ready().await;
        if !link.is_connected() && self.pending.is_empty() {
            tracing::warn!("the connection is down; nothing is left to finish");
            return Ok(());
        }
        let finish = async {
            // unsubscribing throws away what is still on its way here: first all of it must come
            self.present(round_trip(&client, &link, deadline)).await?;
            for (_, feed) in &mut self.subscriptions.0 {
                // fails only when the connection is gone, which the end of the drain tells
                let _ = feed.unsubscribe().await;
            }
            self.drain_ready().await;
            self.active = true;
            while !self.pending.is_empty() {
                self.drain_presences();
                self.work_off().await;
                self.progress.beat();
            }
            self.farewell().await;
            self.setup.deliveries.leave().await;
            Ok(())
        };
        let finished = timeout(deadline.saturating_duration_since(Instant::now()), finish).await;
        let left = self.pending.len();
        let outcome = match finished {
            Ok(Ok(())) => drain_and_close(&client, &link, deadline).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(DrainError::Unconfirmed(
                "the time allowed for the drain has passed".into(),
            )),
        };
        if left > 0 {
            tracing::error!(
                messages = left,
                "received messages were not processed before the drain ended"
            );
        }
        outcome
    }
}
