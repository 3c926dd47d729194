//! Reading a partition's bars and working them off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::super::commit;
use super::super::feed::{Delivery, Feed};
use super::super::layout::Layout;
use super::super::limits;
use super::{End, LOST, Partition};
use crate::bus::backoff::backoff;
use crate::bus::intake::{Arrival, Duty, Outgoing};
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
        let start = self.ledger.last_applied() + 1;
        let opening = async {
            let opening = Feed::open(&common.js, &place, start);
            let opened = common.link.unless_lost(opening).await;
            opened.unwrap_or_else(|| Err(LOST.to_owned()))
        };
        let opened = self.until_stopped(opening).await?;
        if let Some(Ok(feed)) = &opened {
            let (applied, replay_until) = (self.ledger.last_applied(), self.ledger.replay_until());
            if feed.pending == 0 || applied >= replay_until {
                self.gauges.recovered.store(true, Ordering::Relaxed);
            }
            self.gauges.lag.store(feed.pending, Ordering::Relaxed);
            let done = applied.max(replay_until);
            self.account
                .opened(&self.common, self.unit, applied, done, feed)
                .await;
            self.ledger.begins_at(feed.state.first);
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
        let mut end = None;
        let mut bytes = 0;
        for _ in 0..BATCH {
            match next.take() {
                Some(Ok(delivery)) => {
                    lag = Some(delivery.pending);
                    bytes += delivery.message.payload.len();
                    end = self.take(&delivery).err();
                    if end.is_some() {
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
                end = self.take(&delivery).err();
            }
            Some(Err(told)) => problem = Some(told),
            None => {}
        }
        // a feed that failed says nothing about how many bars wait
        if let Some(lag) = lag {
            self.gauges.lag.store(lag, Ordering::Relaxed);
        }
        self.commit().await?;
        if let Some(end) = end {
            return Err(end);
        }
        let series = self.intake.engine.len() as u64;
        self.gauges.series.store(series, Ordering::Relaxed);
        if self.ledger.last_applied() >= self.ledger.replay_until() {
            self.gauges.recovered.store(true, Ordering::Relaxed);
        }
        Ok(problem)
    }

    /// Works off one message. After an error the state in the engine is worthless, while everything
    /// outgoing is of the messages before.
    fn take(&mut self, delivery: &Delivery) -> Result<(), End> {
        let seq = delivery.seq;
        if let Some(loss) = self.account.read(seq, delivery.pending) {
            self.common.lost(self.unit, loss);
        }
        if seq <= self.ledger.last_applied() {
            return Ok(());
        }
        let silent = self.ledger.replays(seq);
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
        } else if self.intake.attempt(arrival, pattern, duty).is_err() {
            self.intake.outbox.clear();
            return Err(End::Panicked(seq));
        }
        self.mark_unsaved();
        self.newest = u64::try_from(delivery.stored_at).unwrap_or(0);
        // what is read again was processed before
        let last = &self.gauges.last_processed;
        last.fetch_max(self.newest, Ordering::Relaxed);
        let outbox = &mut self.intake.outbox;
        let (forming, mut lasting) = if silent {
            outbox.clear();
            (Vec::new(), Vec::new())
        } else {
            let outbox = std::mem::take(outbox);
            outbox.into_iter().partition::<Vec<_>, _>(|one| one.forming)
        };
        if !self.ledger.recognises(seq) {
            self.already = None;
        } else if !silent {
            // as it was stored
            let most = limits::largest(&self.common);
            lasting.iter_mut().for_each(|one| one.cut(most));
        }
        let already = &mut self.already;
        let is_stored = |one: &Outgoing| {
            already
                .as_mut()
                .is_some_and(|already| already.holds(&one.headers, &one.payload))
        };
        let fresh = self
            .ledger
            .applied(seq, lasting, Outgoing::size, is_stored)
            .map_err(|error| End::Failed(error.to_string()))?;
        self.outgoing.extend(fresh);
        self.forming.extend(forming);
        Ok(())
    }
}
