//! One owned partition: reads its bars, computes, commits.
//!
//! The state is a function of the bars in the stream's order, and the time a bar came is the time
//! it was stored. So state is rebuilt by reading bars again: those up to the marker silently, as
//! what comes of them is stored already.
//!
//! More is read only when the last batch is stored: batches form by themselves under load, and an
//! idle partition commits a single bar at once.

mod committing;
mod saving;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::Subject;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Common;
use super::commit::{self, Position, Stored};
use super::feed::{Delivery, Feed};
use super::layout::Layout;
use super::sabotage::sabotage;
use super::streams::{Unit, marker_subject};
use crate::bus::backoff::backoff;
use crate::bus::intake::{Arrival, Duty, Intake, Outgoing};
use crate::group::SlotSet;
use crate::market::Timestamp;
use crate::ops::query::Query;
use saving::{restore, saved};

/// Messages worked off before they are committed.
const BATCH: usize = 256;
const TICK: Duration = Duration::from_millis(250);
/// How often the lag is asked for while reading is stopped: the server makes a consumer to count.
const LAG_EVERY: Duration = Duration::from_secs(5);
/// Tries to read a checkpoint before it counts as damaged.
const READS: usize = 3;
/// Writing checkpoints takes at most this share of the time.
const SAVING_SHARE: u32 = 10;

const SILENT: Duty = Duty {
    holds: SlotSet::EMPTY,
    keeps: SlotSet::EMPTY,
    offered: SlotSet::EMPTY,
};
const SPEAKING: Duty = Duty {
    holds: SlotSet::ALL,
    keeps: SlotSet::EMPTY,
    offered: SlotSet::EMPTY,
};

/// What a partition is told.
pub(super) enum Order {
    /// Checkpoint, finish, end.
    Stop,
    /// Checkpoint now, and say when it is written.
    Save(oneshot::Sender<Result<(), String>>),
    /// Answer about the series.
    Ask(Query),
}

/// How work on a partition ended.
#[derive(Debug)]
pub(super) enum End {
    /// As ordered.
    Stopped,
    /// Another has committed since: what is in memory here is worth nothing.
    Fenced,
    /// It cannot go on from here.
    Failed(String),
}

/// What others see of a partition at work.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    pub series: AtomicU64,
    pub lag: AtomicU64,
    pub inflight: AtomicU64,
    /// Nanoseconds since 1970 at which the newest bar was stored; 0 before the first.
    pub last_processed: AtomicU64,
    /// Milliseconds since the process began; something was done, if only waiting in order.
    pub beat: AtomicU64,
    /// As `beat`: when what no checkpoint has, nor one that is being written, began; 0 when
    /// there is no such thing.
    pub unsaved: AtomicU64,
    /// As `beat`: when what the checkpoint that is being written adds began; 0 when none is.
    pub saving: AtomicU64,
    pub recovered: AtomicBool,
    pub failing: AtomicBool,
}

pub(super) struct Partition {
    pub(super) common: Arc<Common>,
    pub(super) intake: Intake,
    unit: u32,
    place: Unit,
    subject: Subject,
    gauges: Arc<Gauges>,
    marker: Option<Stored>,
    marked: Instant,
    /// The last message taken in.
    taken: u64,
    /// Messages up to this one are published already.
    silent_until: u64,
    /// As is this much of the one after.
    skip: usize,
    outgoing: Vec<Outgoing>,
    /// About bars that are still forming: sent and not stored.
    forming: Vec<Outgoing>,
    /// By message: its sequence, where its part of `outgoing` ends, and what was skipped of it.
    ends: Vec<(u64, usize, usize)>,
    unsaved: bool,
    saving: Option<JoinHandle<Result<(), String>>>,
    saved: Instant,
    save_pause: Duration,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// Works on a partition until told to stop or something is wrong.
pub(super) async fn run(
    common: Arc<Common>,
    unit: u32,
    gauges: Arc<Gauges>,
    mut orders: mpsc::Receiver<Order>,
) -> End {
    let began = Instant::now();
    let mut partition = match Partition::load(common, unit, gauges).await {
        Ok(partition) => partition,
        Err(reason) => return End::Failed(reason),
    };
    tracing::debug!(
        unit,
        series = partition.intake.engine.len(),
        from = partition.taken,
        silent_until = partition.silent_until,
        took_ms = began.elapsed().as_millis(),
        "partition loaded"
    );
    partition.serve(&mut orders).await
}

impl Partition {
    async fn load(common: Arc<Common>, unit: u32, gauges: Arc<Gauges>) -> Result<Self, String> {
        let place = common.streams.units[unit as usize].clone();
        let subject = marker_subject(&common.streams.signals, &common.config.group, unit);
        let found = commit::read(&common, &subject).await?;
        let config = &common.config;
        let mut intake = Intake::new(config, Arc::clone(&common.metrics))
            .sharing(&common.refused)
            .forgetting(config.series_idle);
        let taken = restore(&common, unit, &place, &mut intake).await?;
        let restored = intake.engine.len() as u64;
        gauges.series.store(restored, Ordering::Relaxed);
        let done = found.as_ref().map(|stored| &stored.marker.position);
        let done = done.filter(|_| !sabotage().marker);
        let done = done.filter(|position| {
            let ours = position.origin == place.origin;
            if !ours {
                tracing::warn!(
                    unit,
                    stream = place.stream,
                    "the stream of bars was made anew since the last commit; it is read from its \
                     beginning"
                );
            }
            ours
        });
        let (seq, part) = done.map_or((0, 0), |position| (position.seq, position.part));
        let now = Instant::now();
        Ok(Self {
            // bars after the marker that are in the checkpoint gave nothing to publish
            silent_until: seq.max(taken),
            skip: if taken > seq { 0 } else { part },
            subject: subject.into(),
            marker: found,
            common,
            intake,
            unit,
            place,
            gauges,
            marked: now,
            taken,
            outgoing: Vec::new(),
            forming: Vec::new(),
            ends: Vec::new(),
            unsaved: false,
            saving: None,
            saved: now,
            save_pause: Duration::ZERO,
            waiting: Vec::new(),
        })
    }

    async fn serve(&mut self, orders: &mut mpsc::Receiver<Order>) -> End {
        let mut feed = match self.open().await {
            Ok(feed) => feed,
            Err(reason) => return End::Failed(reason),
        };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = false;
        let mut link = self.common.link.watch();
        link.mark_unchanged();
        loop {
            self.beat();
            if stopping && self.saving.is_none() {
                self.intake.flush();
                // the next owner does not wait for a courtesy
                tokio::spawn(feed.close());
                return End::Stopped;
            }
            let mut reopen = None;
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Stop) => {
                        stopping = true;
                        if self.unsaved {
                            self.save();
                        }
                    }
                    Some(Order::Save(reply)) => {
                        self.waiting.push(reply);
                        self.save();
                    }
                    Some(Order::Ask(query)) => self.answer(query),
                    None => return End::Stopped,
                },
                first = feed.next() => match self.work_off(first, &mut feed).await {
                    Ok(problem) => reopen = problem,
                    Err(end) => return end,
                },
                Ok(()) = link.changed() => {
                    if link.borrow_and_update().connected {
                        // what was on its way is lost, and the consumer may be
                        reopen = Some("connected again".to_owned());
                    }
                }
                outcome = saved(&mut self.saving) => self.on_saved(outcome),
                _ = ticks.tick() => {
                    if let Err(end) = self.tick().await {
                        return end;
                    }
                }
            }
            if let Some(problem) = reopen {
                tracing::debug!(unit = self.unit, problem, "reading again");
                feed = match self.reopen().await {
                    Ok(feed) => feed,
                    Err(reason) => return End::Failed(reason),
                };
            }
        }
    }

    async fn open(&mut self) -> Result<Feed, String> {
        let opening = Feed::open(&self.common.js, &self.place, self.taken + 1);
        let opened = self.common.link.unless_lost(opening).await;
        let feed = opened.ok_or("the connection was lost meanwhile")??;
        if feed.pending == 0 || self.taken >= self.silent_until {
            self.gauges.recovered.store(true, Ordering::Relaxed);
        }
        self.gauges.lag.store(feed.pending, Ordering::Relaxed);
        Ok(feed)
    }

    async fn reopen(&mut self) -> Result<Feed, String> {
        let mut attempt = 0;
        loop {
            self.beat();
            match self.open().await {
                Ok(feed) => return Ok(feed),
                // it may be the connection, which comes back by itself
                Err(reason) if attempt >= 8 => return Err(reason),
                Err(_) => attempt += 1,
            }
            sleep(backoff(attempt).min(Duration::from_millis(500))).await;
        }
    }

    /// Works off a message and those that are there already. What is wrong with the feed, if
    /// anything, is told when everything before it is committed.
    async fn work_off(
        &mut self,
        first: Result<Delivery, String>,
        feed: &mut Feed,
    ) -> Result<Option<String>, End> {
        let mut next = Some(first);
        let mut problem = None;
        let mut lag = 0;
        for _ in 0..BATCH {
            match next.take() {
                Some(Ok(delivery)) => {
                    lag = delivery.pending;
                    self.take(&delivery);
                }
                Some(Err(told)) => {
                    problem = Some(told);
                    break;
                }
                None => break,
            }
            if self.outgoing.len() >= commit::BATCH {
                break;
            }
            next = feed.ready().await;
        }
        if let Some(Ok(delivery)) = &next {
            lag = delivery.pending;
            self.take(delivery);
        } else if let Some(Err(told)) = next {
            problem = Some(told);
        }
        self.gauges.lag.store(lag, Ordering::Relaxed);
        let (common, gauges) = (Arc::clone(&self.common), Arc::clone(&self.gauges));
        let piling_up = keep_lag(&common, self.unit, self.taken, &gauges);
        tokio::select! {
            biased;
            stored = self.commit() => stored?,
            never = piling_up => match never {},
        }
        let series = self.intake.engine.len() as u64;
        self.gauges.series.store(series, Ordering::Relaxed);
        if self.taken >= self.silent_until {
            self.gauges.recovered.store(true, Ordering::Relaxed);
        }
        Ok(problem)
    }

    fn take(&mut self, delivery: &Delivery) {
        let seq = delivery.seq;
        if seq <= self.taken {
            return;
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
        self.intake.take(arrival, pattern, duty);
        self.taken = seq;
        self.mark_unsaved();
        let at = u64::try_from(delivery.stored_at).unwrap_or(0);
        self.gauges.last_processed.store(at, Ordering::Relaxed);
        if silent {
            self.intake.outbox.clear();
            return;
        }
        let before = self.outgoing.len();
        let skip = std::mem::take(&mut self.skip);
        let (forming, lasting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.intake.outbox)
            .into_iter()
            .partition(|one| one.forming);
        self.outgoing.extend(lasting.into_iter().skip(skip));
        if self.outgoing.len() > before {
            self.ends.push((seq, self.outgoing.len(), skip));
        }
        self.forming.extend(forming);
    }

    async fn tick(&mut self) -> Result<(), End> {
        self.intake.flush();
        if let Some(idle) = self.common.config.series_idle {
            // by the time of the stream, so that no bar still to be read is forgotten for
            let last = self.gauges.last_processed.load(Ordering::Relaxed);
            let idle = i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX);
            let since = i64::try_from(last).unwrap_or(i64::MAX).saturating_sub(idle);
            self.intake.forget_idle(Timestamp::from_nanos(since));
        }
        // a marker must not age out of its stream while its partition is silent
        if self.marker.is_some()
            && self.marked.elapsed() > self.common.config.durable.signals_max_age / 4
        {
            let position = Position {
                origin: self.place.origin.clone(),
                seq: self.taken.max(self.silent_until),
                part: self.skip,
            };
            if self.taken >= self.silent_until {
                self.store(position, &Arc::default(), 0..0).await?;
            }
        }
        let pause = self.common.config.durable.checkpoint.max(self.save_pause);
        if self.unsaved && self.saved.elapsed() >= pause {
            self.save();
        }
        Ok(())
    }

    fn beat(&self) {
        let now = self.common.uptime_ms();
        self.gauges.beat.store(now, Ordering::Relaxed);
    }
}

/// Tells the lag of a partition that reads no further than `taken` for long, because its signals
/// cannot be stored: bars pile up then, and no delivery says so.
async fn keep_lag(common: &Common, unit: u32, taken: u64, gauges: &Gauges) -> Infallible {
    loop {
        sleep(LAG_EVERY).await;
        let place = &common.streams.units[unit as usize];
        let asked = Feed::waiting(&common.js, place, taken + 1);
        match common.link.unless_lost(asked).await {
            Some(Ok(waiting)) => gauges.lag.store(waiting, Ordering::Relaxed),
            Some(Err(error)) => tracing::debug!(unit, error, "lag is not known"),
            None => {}
        }
    }
}
