//! Reading a partition's bars and working them off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::super::commit;
use super::super::feed::{Delivery, Feed};
use super::super::layout::Layout;
use super::{End, LOST, Partition};
use crate::bus::backoff::backoff;
use crate::bus::intake::{Arrival, Duty, Panicked};
use crate::group::SlotSet;
use crate::market::Timestamp;

/// Messages worked off before they are committed.
const BATCH: usize = 256;
/// Bytes of messages worked off before they are committed, one message aside.
const BATCH_BYTES: usize = 1 << 20;
/// Tries to open a feed before the partition is loaded again.
const OPENS: usize = 8;

const SILENT: Duty = Duty {
    holds: SlotSet::EMPTY,
    keeps: SlotSet::EMPTY,
    offered: SlotSet::EMPTY,
};
pub(in crate::bus::durable) const SPEAKING: Duty = Duty {
    holds: SlotSet::ALL,
    keeps: SlotSet::EMPTY,
    offered: SlotSet::EMPTY,
};

impl Partition {
    /// Opens the feed, with some patience; `None` when told to stop meanwhile.
    pub(super) async fn open_again(&mut self) -> Result<Option<Feed>, End> {
        let mut attempt = 0;
        loop {
            self.beat();
            let reason = match self.opened().await? {
                Some(Ok(feed)) => return Ok(Some(feed)),
                Some(Err(reason)) => reason,
                None => return Ok(None),
            };
            // it may be the connection, which comes back by itself
            if attempt >= OPENS {
                return Err(End::Failed(reason));
            }
            self.common.doubt();
            attempt += 1;
            let pause = sleep(backoff(attempt).min(Duration::from_millis(500)));
            if self.until_stopped(pause).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// One try to open the feed; `None` when told to stop meanwhile.
    async fn opened(&mut self) -> Result<Option<Result<Feed, String>>, End> {
        let common = Arc::clone(&self.common);
        let place = self.place.clone();
        let start = self.taken + 1;
        let opening = async {
            let opening = Feed::open(&common.js, &place, start);
            let opened = common.link.unless_lost(opening).await;
            opened.unwrap_or_else(|| Err(LOST.to_owned()))
        };
        let opened = self.until_stopped(opening).await?;
        if let Some(Ok(feed)) = &opened {
            if feed.pending == 0 || self.taken >= self.silent_until {
                self.gauges.recovered.store(true, Ordering::Relaxed);
            }
            self.gauges.lag.store(feed.pending, Ordering::Relaxed);
            let done = self.taken.max(self.silent_until);
            self.account
                .opened(&self.common, self.unit, self.taken, done, feed)
                .await;
            self.forget_part(feed.state.first);
        }
        Ok(opened)
    }

    /// Works off a message and those that are there already. What is wrong with the feed, if
    /// anything, is told when everything before it is committed.
    pub(super) async fn work_off(
        &mut self,
        first: Result<Delivery, String>,
        feed: &mut Feed,
    ) -> Result<Option<String>, End> {
        let mut next = Some(first);
        let mut problem = None;
        let mut lag = None;
        let mut panicked = None;
        let mut bytes = 0;
        for _ in 0..BATCH {
            match next.take() {
                Some(Ok(delivery)) => {
                    lag = Some(delivery.pending);
                    bytes += delivery.message.payload.len();
                    panicked = self.take(&delivery).is_err().then_some(delivery.seq);
                    if panicked.is_some() {
                        break;
                    }
                }
                Some(Err(told)) => {
                    problem = Some(told);
                    break;
                }
                None => break,
            }
            // what a message puts out is at most twice its own bytes, or a signal per bar
            if self.outgoing.len() >= commit::BATCH || bytes >= BATCH_BYTES {
                break;
            }
            next = feed.ready().await;
        }
        match next {
            Some(Ok(delivery)) => {
                lag = Some(delivery.pending);
                panicked = self.take(&delivery).is_err().then_some(delivery.seq);
            }
            Some(Err(told)) => problem = Some(told),
            None => {}
        }
        // a feed that failed says nothing about how many bars wait
        if let Some(lag) = lag {
            self.gauges.lag.store(lag, Ordering::Relaxed);
        }
        self.commit().await?;
        if let Some(seq) = panicked {
            return Err(End::Panicked(seq));
        }
        let series = self.intake.engine.len() as u64;
        self.gauges.series.store(series, Ordering::Relaxed);
        if self.taken >= self.silent_until {
            self.gauges.recovered.store(true, Ordering::Relaxed);
        }
        Ok(problem)
    }

    /// Forgets how much of a message is published that the stream, which begins at `first`, does
    /// not hold any more: it must not be taken for a part of the next one.
    pub(super) fn forget_part(&mut self, first: u64) {
        let half_done = self.skip > 0 || self.left_behind > 0;
        if half_done && first > self.silent_until + 1 {
            (self.skip, self.left_behind, self.stored_since) = (0, 0, 0);
        }
    }

    /// Works off one message. After a panic what is in the engine is worth nothing, while what is
    /// outgoing is of the messages before.
    fn take(&mut self, delivery: &Delivery) -> Result<(), Panicked> {
        let seq = delivery.seq;
        if let Some(loss) = self.account.read(seq, delivery.pending) {
            self.common.lost(self.unit, loss);
        }
        if seq <= self.taken {
            return Ok(());
        }
        let silent = seq <= self.silent_until;
        let subject = Layout::original(&delivery.message.subject);
        let arrival = Arrival {
            subject,
            payload: &delivery.message.payload,
            headers: delivery.message.headers.as_ref(),
            input_seq: Some(seq),
            now: Timestamp::from_nanos(delivery.stored_at),
        };
        let pattern = self.common.streams.layout.pattern(subject);
        let duty = if silent { SILENT } else { SPEAKING };
        if self.poison.contains(&seq) {
            self.intake.refuse_as_poison(arrival, duty);
        } else if let Err(panicked) = self.intake.attempt(arrival, pattern, duty) {
            self.intake.outbox.clear();
            return Err(panicked);
        }
        self.taken = seq;
        self.mark_unsaved();
        self.newest = u64::try_from(delivery.stored_at).unwrap_or(0);
        // what is read again was processed before
        let last = &self.gauges.last_processed;
        last.fetch_max(self.newest, Ordering::Relaxed);
        if silent {
            self.intake.outbox.clear();
            return Ok(());
        }
        let before = self.outgoing.len();
        let skip = std::mem::take(&mut self.skip);
        let (forming, lasting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.intake.outbox)
            .into_iter()
            .partition(|one| one.forming);
        let behind = lasting.len().saturating_sub(skip).min(self.left_behind);
        self.left_behind -= behind;
        let mut skip = skip + behind;
        for one in lasting.into_iter().skip(skip) {
            if self.already.holds(&one.headers, &one.payload) {
                skip += 1;
                self.stored_since += 1;
            } else {
                self.outgoing.push(one);
            }
        }
        if self.outgoing.len() > before {
            self.ends.push((seq, self.outgoing.len(), skip));
        }
        self.forming.extend(forming);
        Ok(())
    }
}
