//! Reads a partition's bars and works them off.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::stalling::{ConsumerInfo, Watch};
use super::{Exit, LOST, Partition, Phase, State};
use crate::bus::backoff::backoff;
use crate::bus::durable::feed::{Delivery, Feed};
use crate::bus::durable::{Common, commit, limits};
use crate::bus::intake::{Arrival, Duty, Outgoing};
use crate::bus::layout::Layout;
use crate::group::SlotSet;
use crate::market::Timestamp;
use crate::pipeline::TakeAll;

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

/// A consumer at work, and the watch over it.
pub(super) struct Reader {
    feed: Feed,
    watch: Watch,
}

/// Something that came while reading.
// one at a time, and not for long
#[allow(clippy::large_enum_variant)]
pub(super) enum Came {
    /// A message, or the reason why no more come.
    Bar(Result<Delivery, String>),
    /// The state of the consumer, which was asked for.
    Info(ConsumerInfo),
}

impl Reader {
    /// Asks the server for the state of the consumer if it is time to.
    pub fn probe(&mut self, common: &Common, unit: u32) {
        let (_, last) = common.range(unit);
        let api = &common.config.nats.jetstream;
        self.watch.probe(&common.client, api, &self.feed, last);
    }

    /// Tells the server that the consumer is not needed any more.
    pub async fn close(self) {
        self.feed.close().await;
    }
}

/// Waits for the next thing to come, and returns it with the reader; never returns while there is
/// none.
pub(super) async fn next(reader: &mut Option<Reader>) -> (Came, &mut Reader) {
    let Some(reader) = reader else {
        return std::future::pending().await;
    };
    let came = tokio::select! {
        bar = reader.feed.next() => Came::Bar(bar),
        info = reader.watch.answer() => Came::Info(info),
    };
    (came, reader)
}

impl Partition {
    /// Creates a consumer, with some patience.
    pub(super) async fn open(&mut self) -> Result<State, Exit> {
        let mut attempt = 0;
        loop {
            self.beat();
            let reason = match self.try_to_open().await? {
                Some(Ok(feed)) => {
                    let watch = Watch::new(self.unit);
                    return Ok(State::Reading(Reader { feed, watch }));
                }
                Some(Err(reason)) => reason,
                // commanded to stop
                None => return Ok(State::Opening),
            };
            // it may be the connection, which comes back by itself
            if attempt >= OPENS {
                return Err(Exit::Failed(reason));
            }
            self.common.suspect_streams();
            attempt += 1;
            let pause = sleep(backoff(attempt).min(Duration::from_millis(500)));
            if self.until_stopped(pause).await?.is_none() {
                return Ok(State::Opening);
            }
        }
    }

    /// One try to create a consumer; `None` when commanded to stop meanwhile.
    async fn try_to_open(&mut self) -> Result<Option<Result<Feed, String>>, Exit> {
        let (common, account) = (Arc::clone(&self.common), Arc::clone(&self.account));
        let place = self.place.clone();
        let (unit, applied) = (self.unit, self.ledger.last_applied());
        let replay_until = self.ledger.replay_until();
        let opening = async {
            let opening = Feed::open(&common.js, &place, applied + 1);
            let opened = common.link.unless_lost(opening).await;
            let feed = opened.unwrap_or_else(|| Err(LOST.to_owned()))?;
            let done = applied.max(replay_until);
            account.opened(&common, unit, applied, done, &feed).await;
            Ok(feed)
        };
        let opened = self.until_stopped(opening).await?;
        if let Some(Ok(feed)) = &opened {
            if feed.pending == 0 || applied >= replay_until {
                self.gauges.enter(Phase::Running);
            }
            self.gauges.lag.store(feed.pending, Ordering::Relaxed);
            self.ledger.begins_at(feed.state.first);
        }
        Ok(opened)
    }

    /// Deals with `came`, and returns a reason to read from another consumer, if there is one.
    pub(super) async fn on_came(
        &mut self,
        came: Came,
        reader: &mut Reader,
    ) -> Result<Option<String>, Exit> {
        let Reader { feed, watch } = reader;
        match came {
            Came::Bar(first) => {
                let problem = self.work_off(first, feed).await?;
                watch.heard();
                Ok(problem)
            }
            Came::Info(info) => {
                if let Some(time) = watch.take_time() {
                    self.time_marks.heard(time);
                }
                if let Some(last) = watch.drained(info, feed.delivered) {
                    self.on_drained(last);
                }
                let problem = watch.judge(info, feed.delivered);
                if let Some(problem) = &problem {
                    self.common.metrics.stalls.inc();
                    tracing::warn!(
                        unit = self.unit,
                        problem,
                        "reading has stalled; recreating the consumer"
                    );
                }
                Ok(problem)
            }
        }
    }

    /// Works off a message and those that are there already. Returns the fault of the feed, if it has
    /// one, when everything before it is committed.
    async fn work_off(
        &mut self,
        first: Result<Delivery, String>,
        feed: &mut Feed,
    ) -> Result<Option<String>, Exit> {
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
        let series = self.intake.engine().len() as u64;
        self.gauges.series.store(series, Ordering::Relaxed);
        let replayed = self.ledger.last_applied() >= self.ledger.replay_until();
        if replayed && self.gauges.phase() == Phase::Replaying {
            self.gauges.enter(Phase::Running);
        }
        Ok(problem)
    }

    /// Works off one message. After an error the state in the engine is worthless, while everything
    /// outgoing is of the messages before.
    fn take(&mut self, delivery: &Delivery) -> Result<(), Exit> {
        let seq = delivery.seq;
        if let Some(loss) = self.account.read(seq, delivery.pending) {
            self.common.lost(self.unit, loss);
        }
        if seq <= self.ledger.last_applied() {
            return Ok(());
        }
        let stored_at = Timestamp::from_nanos(delivery.stored_at);
        self.time_marks.read(&delivery.message.payload, stored_at);
        let silent = self.ledger.replays(seq);
        let subject = Layout::original(&delivery.message.subject);
        let arrival = Arrival {
            subject,
            payload: &delivery.message.payload,
            headers: delivery.message.headers.as_ref(),
            input_seq: Some(seq),
            arrived: stored_at,
        };
        let layout = &self.common.streams.layout;
        let parts = |subject| layout.parts(subject);
        let duty = if silent { SILENT } else { SPEAKING };
        if self.poison.contains(&seq) {
            self.intake.refuse_as_poison(arrival, duty);
        } else if self.intake.attempt(arrival, duty, parts, TakeAll).is_err() {
            self.intake.out.outbox.clear();
            return Err(Exit::Panicked(seq));
        }
        self.checkpointer.note_change();
        let stored_at = u64::try_from(delivery.stored_at).unwrap_or(0);
        // bars that are read again were processed before
        let last = &self.gauges.last_processed;
        last.fetch_max(stored_at, Ordering::Relaxed);
        let outbox = &mut self.intake.out.outbox;
        let (forming, mut lasting) = if silent {
            // their owner of then has counted them
            self.intake.out.tallies.take();
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
            .applied(seq, lasting, Outgoing::size, is_stored)?;
        self.outgoing.extend(fresh);
        self.forming.extend(forming);
        Ok(())
    }
}
