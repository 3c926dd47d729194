//! The coordinator of durable delivery: keeps the lease, starts and stops the partitions' tasks, and
//! starts one again whose commit was refused or that failed.
//!
//! Nothing that happens to it can make a signal appear twice or not at all, because only the commit
//! decides about that.
//!
//! - [`membership`] deals with the table of members and leases, [`records`] reads and writes it,
//!   [`trusted`] judges it, and [`awaited_writes`] waits for it to show what others wrote.
//! - [`supervisor`] is the life of the partitions' tasks, with [`reloads`] for the pauses.
//! - [`stream_monitor`] notices streams that are gone, [`unowned`] partitions that nobody owns.
//! - [`report`] sets metrics and health, [`answers`] questions from outside.

mod answers;
mod awaited_writes;
mod membership;
mod records;
mod reloads;
mod report;
mod stream_monitor;
mod supervisor;
mod trusted;
mod unowned;

pub(super) use stream_monitor::report_lost_streams;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::partition::{Command, Exit, Gauges};
use super::prepare::ask_anew;
use super::streams::{SetupError, Streams};
use super::{Common, LAST_FLUSH};
use crate::bus::drain::DrainError;
use crate::bus::guard::Guard;
use crate::bus::permissions::Denial;
use crate::bus::setup::Setup;
use crate::failpoints;
use crate::group::{Leases, MemberId, Roster, Table};
use crate::market::Timestamp;
use crate::ops::health::{Component, Health, Progress};
use awaited_writes::AwaitedWrites;
use records::{ReadError, Records};
use reloads::Reloads;
use stream_monitor::StreamMonitor;
use unowned::Unowned;

const TICK: Duration = Duration::from_millis(50);
/// The table is read this often even if nobody seems to have written to it.
const READ_EVERY: Duration = Duration::from_millis(500);
/// A partition that does nothing for this long, while connected, is started again.
const STALL: Duration = Duration::from_secs(15);
/// Between two comparisons of how the other members deliver.
const COMPARE: Duration = Duration::from_millis(250);
/// The server is asked again this often for subscriptions that it has refused.
const ASK_ANEW: Duration = Duration::from_secs(10);

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

/// The result of a request that runs in the background.
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

/// Consecutive failures of a partition, with the last reason.
#[derive(Default)]
struct Failure {
    times: usize,
    reason: String,
}

pub(super) struct Coordinator {
    pub(super) common: Arc<Common>,
    host: String,
    started_at: Timestamp,
    me: MemberId,
    records: Records,
    leases: Leases,
    roster: Roster,
    table: Table,
    /// True once the table was read with this member in it.
    seen: bool,
    /// True once this member has had its full share of partitions at work.
    joined: bool,
    running: HashMap<u32, Running>,
    /// Gauges of partitions that wait for a restart.
    kept: HashMap<u32, Kept>,
    tasks: JoinSet<(u32, u64, Exit)>,
    /// Partitions that are to be started again, and when.
    again: BTreeMap<u32, Instant>,
    reloads: Reloads,
    failures: HashMap<u32, Failure>,
    /// Panics, counted by partition and message.
    panics: BTreeMap<(u32, u64), u32>,
    runs: u64,
    begun: JoinSet<Done>,
    reading: bool,
    read_at: Option<Instant>,
    /// Writes of other members that the table does not show yet.
    awaited_writes: AwaitedWrites,
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
    stream_monitor: StreamMonitor,
    membership: Component,
    intake: Component,
    progress: Progress,
    health: Health,
}

impl Coordinator {
    pub(super) fn new(
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
            common: Arc::new(Common::new(setup, guard, streams, started)),
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
            awaited_writes: AwaitedWrites::default(),
            read_again: None,
            announcing: false,
            announced_at: None,
            unannounced: None,
            unread: None,
            unowned: Unowned::default(),
            removed_at: None,
            stream_monitor: StreamMonitor::default(),
            membership,
            intake,
            progress: setup.health.progress("worker", STALL),
            health: setup.health.clone(),
        }
    }

    /// Until told to stop and everything is given up, or the deadline is near; nothing when the
    /// streams are gone.
    pub(super) async fn serve(&mut self, setup: &mut Setup) -> Option<tokio::time::Instant> {
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
            failpoints::in_worker();
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
                    if change.is_some_and(|change| self.awaited_writes.note(now, change, &self.table)) {
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
    pub(super) async fn end(&mut self, deadline: tokio::time::Instant) -> Result<(), DrainError> {
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
