//! Durable delivery over `JetStream`: nothing lost, nothing twice.
//!
//! Bars are stored in a stream whose subjects are divided into partitions; the members of a group
//! divide the partitions among themselves by leases ([`crate::group::Leases`]). Each partition is a
//! task that reads its bars in order and commits what comes of them together with how far it has
//! read (`commit`). Whoever takes a partition over starts from its checkpoint and its marker.
//!
//! This module is the coordinator: it keeps the lease, starts and stops the tasks, and starts one
//! again whose commit was refused or that failed. Nothing that happens to it can make a signal
//! appear twice or not at all, because only the commit decides about that.

mod already;
mod answers;
mod changes;
mod checkpoint;
mod circuit;
mod commit;
mod feed;
mod layout;
mod leasing;
mod limits;
mod loss;
mod losses;
mod markers;
mod partition;
mod prepare;
mod recompute;
mod records;
mod reloads;
mod saves;
mod streams;
mod tasks;
mod trusted;
mod unowned;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, Subscriber, jetstream};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::drain::{DrainError, drain_and_close};
use super::guard::Guard;
use super::intake::{Intake, Refused};
use super::jetstream::jetstream as api_of;
use super::link::Link;
use super::permissions::Denial;
use super::sabotage::{self, sabotage};
use super::setup::Setup;
use crate::clock;
use crate::config::{Config, JetStreamApi};
use crate::group::{Leases, MemberId, Roster, Table};
use crate::market::Timestamp;
use crate::ops::health::{Component, Progress};
use crate::ops::metrics::Metrics;

use changes::Changes;
#[cfg(fuzzing)]
pub use checkpoint::fuzz as checkpoint_fuzz;
use circuit::Circuit;
use commit::Committer;
pub use layout::partition as partition_of;
pub(super) use layout::{Layout, misplaced};
use limits::StreamLimit;
use loss::Standing;
use losses::Losses;
use partition::{Command, Exit, Gauges};
use prepare::{ask_anew, beside, prepared};
pub use recompute::{Committed, Input, Output, Partitions, Place, Recomputation};
use records::{ReadError, Records};
use reloads::Reloads;
use saves::Saves;
pub use streams::SetupError;
use streams::Streams;
use unowned::Unowned;

const TICK: Duration = Duration::from_millis(50);
/// The table is read this often even if nobody seems to have written to it.
const READ_EVERY: Duration = Duration::from_millis(500);
/// Checkpoints written at a time.
const UPLOADS: usize = 2;
/// A partition that does nothing for this long, while connected, is started again.
const STALL: Duration = Duration::from_secs(15);
/// What a drain keeps back for the last flush.
const LAST_FLUSH: Duration = Duration::from_secs(1);
/// Time between two looks at how the other members deliver.
const COMPARE: Duration = Duration::from_millis(250);
/// The time it keeps back for giving up leases, and for the last flush.
const SPARE: Duration = Duration::from_secs(3);
/// For the connection to be closed in order.
const CLOSE: Duration = Duration::from_secs(3);
/// What the server has refused us to hear is asked for again this often.
const ASK_ANEW: Duration = Duration::from_secs(10);

/// Why durable delivery could not end well.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// Not everything could be finished in time.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

/// What the partitions share.
struct Common {
    config: Arc<Config>,
    client: Client,
    js: jetstream::Context,
    link: Arc<Link>,
    metrics: Arc<Metrics>,
    instance: String,
    streams: Streams,
    /// The fingerprint of everything that decides about outputs.
    outputs: String,
    guard: Arc<Guard>,
    refused: Refused,
    committer: Committer,
    /// The newest genuine marker that was seen of each partition.
    marked: Mutex<HashMap<u32, u64>>,
    stream_limit: StreamLimit,
    circuit: Arc<Circuit>,
    uploads: Semaphore,
    /// Whether something has failed that a stream that is gone would explain.
    doubt: AtomicBool,
    /// Whether it was told that the stream of bars is another than that of the last commits.
    told_anew: AtomicBool,
    saves: Saves,
    losses: Losses,
    started: Instant,
    /// By when a drain must be over, once there is one.
    stop: tokio::sync::watch::Receiver<Option<tokio::time::Instant>>,
}

impl Common {
    /// True if a partition that stops should not wait for its checkpoint any longer: nobody is there
    /// to take it, or the time is needed to give up leases. The next owner computes a little more.
    fn cannot_wait(&self) -> bool {
        let late = |at: tokio::time::Instant| tokio::time::Instant::now() + SPARE >= at;
        !self.link.is_connected() || self.stop.borrow().is_some_and(late)
    }

    /// Something has failed that a stream that is gone would explain.
    fn doubt(&self) {
        self.doubt.store(true, Ordering::Relaxed);
    }

    /// What was committed or saved is about a stream of bars that is not there any more.
    fn made_anew(&self, stream: &str) {
        if !self.told_anew.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                stream,
                "the stream of bars was made anew since the last commit; it is read from its \
                 beginning, and state begins anew with it"
            );
        }
    }

    /// A genuine marker of the partition was seen or written, at this revision.
    fn saw_marker(&self, unit: u32, revision: u64) {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = marked.entry(unit).or_default();
        *newest = revision.max(*newest);
    }

    /// True if a marker at `revision`, which replaced the one at `replaced`, is a copy of one that
    /// is older than what was seen.
    fn is_replayed(&self, unit: u32, revision: u64, replaced: Option<u64>) -> bool {
        let marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = marked.get(&unit).copied().unwrap_or(0);
        revision > newest && replaced.is_some_and(|replaced| replaced < newest)
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The name of a partition's checkpoint.
fn saved_name(group: &str, unit: u32) -> String {
    format!("{}.{unit}", layout::key(group))
}

fn clock_of(nanos: u64) -> Option<Timestamp> {
    let nanos = i64::try_from(nanos).ok()?;
    (nanos > 0).then(|| Timestamp::from_nanos(nanos))
}

/// A partition at work.
struct Running {
    commands: mpsc::Sender<Command>,
    gauges: Arc<Gauges>,
    task: AbortHandle,
    run: u64,
    stopping: bool,
}

/// The gauges of a partition that outlive its task, for its next one.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    lag: u64,
    last_processed: u64,
}

/// What has come of something that was begun.
enum Done {
    Read(Result<Table, ReadError>),
    Announced(Result<(), String>),
    Acquired(u32, Result<Option<u64>, String>),
    Released(u32, Result<Option<u64>, String>),
    Removed(MemberId, Result<bool, String>),
    Counted(Vec<(u32, Result<u64, String>)>),
    Looked(Result<Option<String>, SetupError>),
}

/// Something that has failed again and again.
struct Trouble {
    since: Instant,
    reason: String,
    told: bool,
}

impl Trouble {
    /// The same trouble as `before`, if there was one, or the beginning of it.
    fn again(before: Option<Self>, reason: String) -> Self {
        let (since, told) = before.map_or((Instant::now(), false), |before| {
            (before.since, before.told)
        });
        Self {
            since,
            reason,
            told,
        }
    }
}

/// How often in a row a partition has failed, and why.
#[derive(Default)]
struct Failure {
    times: usize,
    reason: String,
}

struct Coordinator {
    common: Arc<Common>,
    host: String,
    started_at: Timestamp,
    me: MemberId,
    records: Records,
    leases: Leases,
    roster: Roster,
    table: Table,
    /// Whether the table was read.
    seen: bool,
    /// Whether this member was settled since the streams were found.
    joined: bool,
    running: HashMap<u32, Running>,
    /// Of partitions that wait to be started again.
    kept: HashMap<u32, Kept>,
    tasks: JoinSet<(u32, u64, Exit)>,
    /// Partitions that are to be started again, and when.
    again: BTreeMap<u32, Instant>,
    reloads: Reloads,
    failures: HashMap<u32, Failure>,
    /// How often a message of a partition has made the agent panic.
    panics: BTreeMap<(u32, u64), u32>,
    runs: u64,
    begun: JoinSet<Done>,
    reading: bool,
    read_at: Option<Instant>,
    /// What others have written and the table does not show yet, and when to look again for it.
    changes: Changes,
    read_again: Option<Instant>,
    announcing: bool,
    announced_at: Option<Instant>,
    /// The own record cannot be written.
    unannounced: Option<Trouble>,
    /// The table cannot be read.
    unread: Option<Trouble>,
    unowned: Unowned,
    /// When the record of a dead member was last to be removed.
    removed_at: Option<Instant>,
    standing: Standing,
    membership: Component,
    intake: Component,
    progress: Progress,
    health: crate::ops::health::Health,
}

/// For JetStream to answer one request.
const ANSWER: Duration = Duration::from_secs(5);

/// The `JetStream` of `api`, by way of `client`, every request bounded.
fn jetstream_of(client: &Client, api: &JetStreamApi) -> jetstream::Context {
    let mut jetstream = api_of(client, api);
    jetstream.set_timeout(ANSWER);
    jetstream
}

/// Whether the server can do what durable delivery takes; makes what is missing there.
///
/// # Errors
/// Why it cannot.
pub async fn offered(setup: &Setup) -> Result<(), SetupError> {
    let (client, link, config) = (&setup.client, &setup.link, &setup.config);
    let js = jetstream_of(client, &config.nats.jetstream);
    match streams::prepare(client, &js, link, config, &beside(setup)).await {
        Ok(_) => Ok(()),
        Err(error @ SetupError::TooOld(_)) => Err(streams::outdated(&js, config, error).await),
        Err(error) => Err(error),
    }
}

/// Works until told to stop, then gives up what it owns and closes the connection.
///
/// # Errors
/// When the drain is not clean by the deadline.
pub async fn run(mut setup: Setup) -> Result<(), DurableError> {
    let mut stop = setup.stop.clone();
    let started = Instant::now();
    let started_at = clock::now();
    // told of before anything comes of it
    sabotage();
    let guard = Arc::new(Guard::new(&setup));
    let mut before = Vec::new();
    let mut interrupted = None;
    loop {
        let streams = tokio::select! {
            streams = prepared(&setup, interrupted.take()) => streams,
            deadline = stopped(&mut stop) => {
                // nothing was received
                close(&setup, deadline).await;
                return Ok(());
            }
        };
        loss::tell(&before, &streams.rests, &setup.metrics);
        before.clone_from(&streams.rests);
        let mut coordinator = Coordinator::new(&setup, &guard, streams, started, started_at);
        tokio::select! {
            () = coordinator.common.survey() => {}
            // it only counts, and a stop does not wait for it
            _ = stopped(&mut stop) => {}
        }
        if let Some(deadline) = coordinator.serve(&mut setup).await {
            let drained = coordinator.end(deadline).await;
            drop(coordinator);
            setup.deliveries.leave().await;
            close(&setup, deadline).await;
            return Ok(drained?);
        }
        let reason = coordinator.lost().unwrap_or_default().to_owned();
        tracing::warn!(
            reason,
            "work is interrupted; making what is missing, and beginning anew from what is stored"
        );
        let component = setup.health.component("intake", true);
        component.down(reason);
        interrupted = Some(component);
    }
}

impl Coordinator {
    fn new(
        setup: &Setup,
        guard: &Arc<Guard>,
        streams: Streams,
        started: Instant,
        started_at: Timestamp,
    ) -> Self {
        let config = &setup.config;
        let me = MemberId::new(setup.instance.clone());
        let units = u32::try_from(streams.units.len()).unwrap_or(u32::MAX);
        let records = Records::new(
            setup.client.clone(),
            &streams.leases,
            config,
            me.clone(),
            Arc::clone(guard),
            units,
        );
        let intake = setup.health.component("intake", true);
        intake.up(format!(
            "{units} partitions of {}",
            config.durable.bars_stream
        ));
        let membership = setup.health.component("membership", true);
        membership.down("reading the table of members");
        Self {
            leases: Leases::new(me.clone(), units, config.durable.lease),
            roster: Roster::new(config.durable.lease, config.durable.replicas),
            common: Arc::new(Common {
                config: Arc::clone(config),
                client: setup.client.clone(),
                js: jetstream_of(&setup.client, &config.nats.jetstream),
                link: Arc::clone(&setup.link),
                metrics: Arc::clone(&setup.metrics),
                instance: setup.instance.clone(),
                stream_limit: StreamLimit::new(streams.largest),
                streams,
                outputs: format!("{:016x}", config.outputs_fingerprint()),
                guard: Arc::clone(guard),
                refused: Intake::refused(),
                committer: Committer::start(
                    setup.client.clone(),
                    Arc::clone(&setup.link),
                    Arc::clone(guard),
                    config.durable.signals_stream.clone(),
                    Arc::clone(&setup.metrics),
                ),
                marked: Mutex::default(),
                circuit: Arc::default(),
                uploads: Semaphore::new(UPLOADS),
                doubt: AtomicBool::new(false),
                told_anew: AtomicBool::new(false),
                saves: Saves::new(&setup.health),
                losses: Losses::new(&setup.health),
                started,
                stop: setup.stop.clone(),
            }),
            host: setup.host.clone(),
            started_at,
            me,
            records,
            table: Table::default(),
            seen: false,
            joined: false,
            running: HashMap::new(),
            kept: HashMap::new(),
            tasks: JoinSet::new(),
            again: BTreeMap::new(),
            reloads: Reloads::default(),
            failures: HashMap::new(),
            panics: BTreeMap::new(),
            runs: 0,
            begun: JoinSet::new(),
            reading: false,
            read_at: None,
            changes: Changes::default(),
            read_again: None,
            announcing: false,
            announced_at: None,
            unannounced: None,
            unread: None,
            unowned: Unowned::default(),
            removed_at: None,
            standing: Standing::default(),
            membership,
            intake,
            progress: setup.health.progress("worker", STALL),
            health: setup.health.clone(),
        }
    }

    /// Until told to stop and everything is given up, or the deadline is near; nothing when the
    /// streams are gone.
    async fn serve(&mut self, setup: &mut Setup) -> Option<tokio::time::Instant> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.changes().await;
        let mut asked_anew = Instant::now();
        let mut compared = Instant::now();
        let mut stop = setup.stop.clone();
        let mut link = setup.link.watch();
        let mut deadline = *stop.borrow_and_update();
        if deadline.is_some() {
            self.leave();
        }
        self.announce();
        loop {
            sabotage::in_worker();
            if let Some(at) = deadline {
                let over = tokio::time::Instant::now() + LAST_FLUSH >= at;
                if over || (self.leases.is_idle() && self.running.is_empty()) {
                    return deadline;
                }
            }
            if compared.elapsed() > COMPARE && deadline.is_none() {
                compared = Instant::now();
                if let Some(reason) = setup.deliveries.objection() {
                    self.give_way(reason);
                }
            }
            if let Some(reason) = self.lost()
                && deadline.is_none()
            {
                self.intake.down(reason);
                return None;
            }
            tokio::select! {
                Some(done) = self.begun.join_next() => {
                    if let Ok(done) = done {
                        self.on_done(done);
                    }
                }
                Some(ended) = self.tasks.join_next_with_id() => self.on_ended(ended),
                Some(message) = next(&mut changes) => {
                    let (now, change) = (self.now(), self.records.change(&message));
                    if change.is_some_and(|change| self.changes.note(now, change, &self.table)) {
                        // one look for all that was written meanwhile
                        self.read_at = None;
                    }
                }
                () = until(self.read_again) => {
                    self.read_again = None;
                    self.read_at = None;
                }
                Some(query) = setup.queries.recv() => self.answer(query),
                changed = link.changed() => {
                    if changed.is_err() {
                        sleep(TICK).await;
                    }
                    // after an outage every record may have expired, and what was asked for before
                    // it is not answered
                    self.roster.interrupted();
                    // how long something has failed is counted while connected
                    self.unannounced = None;
                    self.unread = None;
                    self.reading = false;
                    self.announcing = false;
                    self.announced_at = None;
                    self.read_at = None;
                }
                Ok(()) = stop.changed(), if deadline.is_none() => {
                    deadline = *stop.borrow_and_update();
                    if deadline.is_some() {
                        self.leave();
                    }
                }
                _ = ticks.tick() => self.tick(),
            }
            if asked_anew.elapsed() > ASK_ANEW {
                asked_anew = Instant::now();
                ask_anew(&self.common.client, &self.common.link).await;
                if self
                    .common
                    .link
                    .denials()
                    .iter()
                    .any(Denial::is_about_changes)
                {
                    changes = self.changes().await;
                }
            }
            self.look();
            self.look_at_streams();
        }
    }

    async fn changes(&self) -> Option<Subscriber> {
        match self.records.changes().await {
            Ok(changes) => Some(changes),
            Err(error) => {
                tracing::debug!(%error, "changes of leases are only seen by reading");
                None
            }
        }
    }

    fn leave(&mut self) {
        tracing::info!("draining: giving up partitions");
        self.membership.down("leaving the group");
        self.leases.leave();
        self.announced_at = None;
        let steps = self.leases.observe(self.now(), &self.table);
        self.perform(steps);
    }

    fn now(&self) -> Duration {
        self.common.started.elapsed()
    }

    /// Ends what is still under way, and says farewell, so that nobody waits for the record to
    /// expire.
    ///
    /// # Errors
    /// Work on partitions was cut. Bars that were read and have no stored signal are read again by
    /// the next owner.
    async fn end(&mut self, deadline: tokio::time::Instant) -> Result<(), DrainError> {
        let cut = self.running.len();
        let unfinished = self.sum(|gauges| gauges.inflight.load(Ordering::Relaxed));
        self.tasks.abort_all();
        self.begun.abort_all();
        let farewell = self.records.announce(
            &self.me,
            true,
            self.common.config.analysis.fingerprint(),
            Duration::from_secs(1),
        );
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let _ = timeout(left.min(LAST_FLUSH), farewell).await;
        let held = self.leases.held().count();
        if held > 0 {
            tracing::warn!(
                partitions = held,
                "leases could not be given up in time; they expire, and others wait for that"
            );
        }
        if cut == 0 {
            return Ok(());
        }
        tracing::error!(
            partitions = cut,
            unfinished,
            "work on partitions was cut; the next owner reads their bars again"
        );
        Err(DrainError::Unconfirmed(format!(
            "work on {cut} partitions was cut, with {unfinished} signals and dead letters that may \
             not be stored"
        )))
    }
}

/// Closes the connection, in order if there is somebody to take leave of. Everything that is
/// promised was stored before, so how that goes decides about nothing.
async fn close(setup: &Setup, deadline: tokio::time::Instant) {
    let by = deadline.min(tokio::time::Instant::now() + CLOSE);
    if let Err(error) = drain_and_close(&setup.client, &setup.link, by).await {
        tracing::warn!(%error, "the connection was not closed in order");
    }
}

/// Returns when it is time to stop, with the time by which that must be done.
async fn stopped(
    stop: &mut tokio::sync::watch::Receiver<Option<tokio::time::Instant>>,
) -> tokio::time::Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(tokio::time::Instant::now),
        Err(_) => tokio::time::Instant::now(),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn next(changes: &mut Option<Subscriber>) -> Option<async_nats::Message> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
