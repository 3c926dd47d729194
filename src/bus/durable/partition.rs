//! One owned partition: reads its bars, computes, commits.
//!
//! The state is a function of the bars in the stream's order, and the time a bar came is the time
//! it was stored. So state is rebuilt by reading bars again: those up to the marker silently, as
//! what comes of them is stored already.
//!
//! More is read only when the last batch is stored: batches form by themselves under load, and an
//! idle partition commits a single bar at once.

mod committing;
mod ledger;
mod marking;
mod reading;
mod saving;
mod stalling;

pub(super) use ledger::Outputs;
pub(super) use reading::SPEAKING;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::Subject;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::already::{Already, Span};
use super::commit::{self, Marker, Stored};
use super::feed::{Delivery, Feed};
use super::losses::{Account, Watcher};
use super::streams::{Unit, marker_subject};
use super::{Common, answers, markers};
use crate::bus::intake::{Intake, Outgoing};
use crate::bus::sabotage::sabotage;
use crate::market::Timestamp;
use crate::ops::query::Query;
use crate::wire::headers::message_id;
use ledger::{Ledger, Point, Recovered};
use saving::{restore, saved};
use stalling::Watch;

/// Poisonous messages remembered for each partition, the newest.
const MAX_POISON: usize = 1_000;
const TICK: Duration = Duration::from_millis(250);
/// Why something was not answered.
const LOST: &str = "the connection was lost meanwhile";
/// Writing checkpoints takes at most this share of the time.
const SAVING_SHARE: u32 = 10;

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
    /// Forged markers have replaced the genuine one.
    Hidden,
    /// The engine panicked on this message. What was before it is committed.
    Panicked(u64),
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
    /// What came of its bars cannot be stored.
    pub blocked: AtomicBool,
}

impl Gauges {
    /// Notes progress at `now`, in milliseconds since the process began.
    pub fn beat(&self, now: u64) {
        self.beat.store(now, Ordering::Relaxed);
    }
}

pub(super) struct Partition {
    pub(super) common: Arc<Common>,
    pub(super) intake: Intake,
    orders: mpsc::Receiver<Order>,
    stopping: bool,
    unit: u32,
    place: Unit,
    subject: Subject,
    gauges: Arc<Gauges>,
    marker: Option<Stored>,
    /// The revision that the next marker has to replace: that of `marker`, or of a forged one.
    top: u64,
    /// Which outputs are stored.
    ledger: Ledger,
    /// Outputs that are stored already, where no count tells.
    already: Option<Already>,
    marked: Instant,
    /// When the last message applied was stored, in nanoseconds since 1970; 0 before the first.
    newest: u64,
    /// Tracks the bars that must still be read, and finds those that are gone.
    account: Arc<Account>,
    /// Messages that are refused unread because they made the engine panic.
    poison: BTreeSet<u64>,
    outgoing: Vec<Outgoing>,
    /// About bars that are still forming: sent and not stored.
    forming: Vec<Outgoing>,
    unsaved: bool,
    saving: Option<JoinHandle<Result<(), String>>>,
    saved: Instant,
    save_pause: Duration,
    save_asked: bool,
    /// Whether the checkpoint before the end was begun.
    saved_last: bool,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// Works on a partition until told to stop or something is wrong. The messages `poison` are
/// refused without another try.
pub(super) async fn run(
    common: Arc<Common>,
    unit: u32,
    gauges: Arc<Gauges>,
    orders: mpsc::Receiver<Order>,
    poison: BTreeSet<u64>,
) -> End {
    let began = Instant::now();
    let mut orders = orders;
    let loading = Partition::load(common, unit, gauges);
    let loaded = tokio::select! {
        loaded = loading => loaded,
        // nothing was taken in yet, so there is nothing to finish
        () = stop_while_loading(&mut orders) => return End::Stopped,
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(reason) => return End::Failed(reason),
    };
    let mut partition = loaded(orders);
    partition.poison.extend(poison);
    while partition.poison.len() > MAX_POISON {
        partition.poison.pop_first();
    }
    tracing::debug!(
        unit,
        series = partition.intake.engine.len(),
        from = partition.ledger.last_applied(),
        replay_until = partition.ledger.replay_until(),
        took_ms = began.elapsed().as_millis(),
        "partition loaded"
    );
    partition.serve().await
}

/// Returns when a partition that is being loaded is told to stop. Everything else is answered: its
/// series are not known yet.
async fn stop_while_loading(orders: &mut mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Stop => return,
            Order::Save(reply) => {
                // the asker may have gone
                let _ = reply.send(Err("the partition is still being loaded".to_owned()));
            }
            Order::Ask(query) => answers::not_loaded(query),
        }
    }
}

impl Partition {
    /// Reads marker and checkpoint. What it returns makes the partition that follows `orders`.
    async fn load(
        common: Arc<Common>,
        unit: u32,
        gauges: Arc<Gauges>,
    ) -> Result<impl FnOnce(mpsc::Receiver<Order>) -> Self, String> {
        let place = common.streams.units[unit as usize].clone();
        let subject = marker_subject(&common.streams.signals, &common.config.group, unit);
        let found = markers::read(&common, unit, &subject).await?;
        let forged = found.is_forged();
        let (found, top) = (found.marker, found.top);
        gauges.beat(common.uptime_ms());
        let config = &common.config;
        let mut intake = Intake::new(config, Arc::clone(&common.metrics))
            .partitioned(common.streams.layout.partitions)
            .sharing(&common.refused);
        let taken = restore(&common, unit, &place, &mut intake, &gauges).await?;
        let restored = intake.engine.len() as u64;
        gauges.series.store(restored, Ordering::Relaxed);
        let done = found.as_ref().map(|stored| &stored.marker);
        let done = done.filter(|_| !sabotage().marker);
        let done = done.filter(|marker| {
            let ours = marker.position.origin == place.origin;
            if !ours {
                common.made_anew(&place.stream);
            }
            ours
        });
        let ledger = recovered(&common, unit, taken, &gauges, done.zip(found.as_ref())).await?;
        let forged = forged.then(|| (&place, series_ids(&intake, &config.group)));
        let (ledger, already) = recognised(&common, ledger, forged).await?;
        let poison = done.map_or_else(BTreeSet::new, |marker| marker.poison.clone());
        let now = Instant::now();
        Ok(move |orders| Self {
            ledger,
            account: Account::of(&common, unit),
            poison,
            subject: subject.into(),
            marker: found,
            top,
            already,
            common,
            intake,
            orders,
            stopping: false,
            unit,
            place,
            gauges,
            marked: now,
            newest: 0,
            outgoing: Vec::new(),
            forming: Vec::new(),
            unsaved: false,
            saving: None,
            saved: now,
            save_pause: Duration::ZERO,
            save_asked: false,
            saved_last: false,
            waiting: Vec::new(),
        })
    }

    async fn serve(&mut self) -> End {
        let mut feed = None;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = self.common.link.watch();
        link.mark_unchanged();
        let mut watch = Watch::new(self.unit);
        let _watcher = Watcher::start(
            Arc::clone(&self.common),
            self.unit,
            Arc::clone(&self.gauges),
            Arc::clone(&self.account),
        );
        loop {
            self.beat();
            if self.stopping && self.saving.is_none() && self.unsaved && !self.saved_last {
                self.saved_last = true;
                self.save();
            }
            if self.stopping && self.saving.is_some() && self.common.cannot_wait() {
                tokio::spawn(close(feed));
                return End::Stopped;
            }
            if self.stopping && self.saving.is_none() {
                // what gave nothing to publish is read as well, and the next owner relies on it
                if !self.common.cannot_wait()
                    && let Some(marker) = self.advanced()
                    && let Err(end) = self.store(marker, &Arc::default()).await
                {
                    return end;
                }
                self.intake.flush();
                // the next owner does not wait for a courtesy
                tokio::spawn(close(feed));
                return End::Stopped;
            }
            if feed.is_none() && !self.stopping {
                feed = match self.open_again().await {
                    Ok(opened) => opened,
                    Err(end) => return end,
                };
                watch.heard();
                continue;
            }
            let mut reopen = None;
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => return End::Stopped,
                },
                (first, feed) = next(&mut feed) => match self.work_off(first, feed).await {
                    Ok(problem) => {
                        watch.heard();
                        reopen = problem;
                    }
                    Err(end) => return end,
                },
                standing = watch.answer() => {
                    let delivered = feed.as_ref().map_or(0, |feed| feed.delivered);
                    if let Some(last) = watch.drained(standing, delivered) {
                        self.on_drained(last);
                    }
                    reopen = watch.judge(standing, delivered);
                    if let Some(problem) = &reopen {
                        self.common.metrics.stalls.inc();
                        tracing::warn!(unit = self.unit, problem, "reading stands still; reading again");
                    }
                }
                Ok(()) = link.changed() => {
                    if link.borrow_and_update().connected {
                        // what was on its way is lost, and the consumer may be
                        reopen = Some("connected again".to_owned());
                    }
                }
                outcome = saved(&mut self.saving) => self.on_saved(outcome),
                _ = ticks.tick() => {
                    if let Some(feed) = &feed {
                        let (_, last) = self.common.range(self.unit);
                        let api = &self.common.config.nats.jetstream;
                        watch.look(&self.common.client, api, feed, last);
                    }
                    if let Err(end) = self.tick().await {
                        return end;
                    }
                }
            }
            if std::mem::take(&mut self.save_asked) {
                self.save();
            }
            if let Some(problem) = reopen {
                tracing::debug!(unit = self.unit, problem, "reading again");
                feed = None;
            }
        }
    }

    fn on_order(&mut self, order: Order) {
        match order {
            Order::Stop => self.stopping = true,
            Order::Save(reply) => {
                self.waiting.push(reply);
                self.save_asked = true;
            }
            Order::Ask(query) => self.answer(query),
        }
    }

    /// What comes of `work`. Orders are followed meanwhile, and if the partition is `failing`, it
    /// does not outlive the order to stop.
    async fn attending<T>(
        &mut self,
        work: impl Future<Output = T>,
        failing: bool,
    ) -> Result<T, End> {
        let mut work = std::pin::pin!(work);
        loop {
            if self.stopping && failing {
                return Err(End::Stopped);
            }
            tokio::select! {
                done = &mut work => return Ok(done),
                order = self.orders.recv() => match order {
                    Some(Order::Save(reply)) if failing => {
                        let told = "signals cannot be stored, and a checkpoint must not be ahead of them";
                        // whoever asked may have gone
                        let _ = reply.send(Err(told.to_owned()));
                    }
                    Some(order) => self.on_order(order),
                    None => return Err(End::Stopped),
                },
            }
        }
    }

    /// Awaits `work` and follows orders meanwhile; `None` when ordered to stop.
    async fn until_stopped<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, End> {
        let mut work = std::pin::pin!(work);
        while !self.stopping {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                order = self.orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => return Err(End::Stopped),
                },
                outcome = saved(&mut self.saving) => self.on_saved(outcome),
            }
            if std::mem::take(&mut self.save_asked) {
                self.save();
            }
        }
        Ok(None)
    }

    async fn tick(&mut self) -> Result<(), End> {
        self.intake.flush();
        if let Some(marker) = self.due_marker() {
            self.store(marker, &Arc::default()).await?;
            self.account.stored();
        }
        let pause = self.common.config.durable.checkpoint.max(self.save_pause);
        if self.unsaved && self.saved.elapsed() >= pause {
            self.save();
        }
        Ok(())
    }

    fn beat(&self) {
        self.gauges.beat(self.common.uptime_ms());
    }
}

/// The ledger of an owner whose checkpoint goes up to `taken`, and who has found the marker `found`:
/// its content and its place.
async fn recovered(
    common: &Common,
    unit: u32,
    taken: u64,
    gauges: &Gauges,
    found: Option<(&Marker, &Stored)>,
) -> Result<Ledger, String> {
    let Some((marker, Stored { revision, .. })) = found else {
        return Ledger::recover(unit, taken, None).map_err(|error| error.to_string());
    };
    let behind = match marker.begun {
        Some(_) => {
            let beat = || gauges.beat(common.uptime_ms());
            commit::left_behind(common, *revision, beat).await?
        }
        None => Vec::new(),
    };
    let recovered = Recovered {
        at: Point {
            seq: marker.position.seq,
            part: marker.position.part,
        },
        earlier: marker.begun.unwrap_or(0),
        begins_batch: marker.begun.is_some(),
        behind: &behind,
        floor: marker.after.unwrap_or(*revision),
        newest: revision + behind.len() as u64,
        outputs: marker.outputs_seen_by(&common.outputs),
    };
    Ledger::recover(unit, taken, Some(&recovered)).map_err(|error| error.to_string())
}

/// The ledger together with the outputs that it must recognise by identity. Where the marker was
/// `forged`, these are all outputs since the checkpoint, which contains the series named.
async fn recognised(
    common: &Common,
    mut ledger: Ledger,
    forged: Option<(&Unit, HashSet<String>)>,
) -> Result<(Ledger, Option<Already>), String> {
    let taken = ledger.last_applied();
    let already = if let Some(search) = ledger.search() {
        let span = Span {
            after: search.floor,
            last: Some(search.last),
        };
        let divided = Some(search.after + 1);
        Already::find(common, span, search.after, divided, |_| false).await?
    } else if let Some((place, ours)) = forged
        && Feed::waiting(&common.js, place, taken + 1).await? > 0
    {
        let span = Span {
            after: 0,
            last: None,
        };
        Already::find(common, span, taken, None, |id| ours.contains(series_of(id))).await?
    } else {
        return Ok((ledger, None));
    };
    ledger.by_identity(already.newest(), already.floor());
    Ok((ledger, Some(already)))
}

/// The series in the checkpoint, as message ids name them.
fn series_ids(intake: &Intake, group: &str) -> HashSet<String> {
    let ids = intake.engine.iter().map(|(_, series)| {
        let opened = Timestamp::from_nanos(0);
        let id = message_id(group, series.key(), opened, 0);
        series_of(&id).to_owned()
    });
    ids.collect()
}

/// The part of a message id that names the series.
fn series_of(id: &str) -> &str {
    id.rsplitn(3, '.').nth(2).unwrap_or_default()
}

/// The next message, and the feed it came from; never comes while there is no feed.
async fn next(feed: &mut Option<Feed>) -> (Result<Delivery, String>, &mut Feed) {
    match feed {
        Some(feed) => (feed.next().await, feed),
        None => std::future::pending().await,
    }
}

async fn close(feed: Option<Feed>) {
    if let Some(feed) = feed {
        feed.close().await;
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.common.saves.over(self.unit);
        if self.stopping {
            self.common.losses.left(self.unit);
        }
    }
}
