//! Messages that the client dropped because a subscription was full.
//!
//! They come in bursts, and one line of the log tells of a burst.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::line::LOG_EVERY;

/// A burst of drops is counted for this long before it is logged.
const BURST_COUNT: Duration = Duration::from_secs(1);

/// The drops of one connection.
#[derive(Debug, Default)]
pub(super) struct Drops {
    events: AtomicU64,
    /// True while a burst is being logged.
    burst: AtomicBool,
}

impl Drops {
    /// The number of drops, a lower bound.
    pub fn total(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Counts a drop.
    pub fn note(self: &Arc<Self>) {
        let before = self.events.fetch_add(1, Ordering::Relaxed);
        if self.burst.swap(true, Ordering::AcqRel) {
            return;
        }
        let drops = Arc::clone(self);
        tokio::spawn(async move { drops.log(before).await });
    }

    async fn log(&self, mut reported: u64) {
        loop {
            tokio::time::sleep(BURST_COUNT).await;
            let total = self.total();
            tracing::warn!(
                events = total - reported,
                total,
                "a NATS subscription is full and drops messages: this process is too slow for them"
            );
            reported = total;
            tokio::time::sleep(LOG_EVERY - BURST_COUNT).await;
            if self.total() == reported {
                self.burst.store(false, Ordering::Release);
                // One may have come between the comparison and the store, and seen a burst.
                if self.total() == reported || self.burst.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    }
}
