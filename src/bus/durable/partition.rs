//! One owned partition: reads its bars, computes, commits.
//!
//! The state is a function of the bars in the stream's order, and the time a bar came is the time
//! it was stored. So state is rebuilt by reading bars again: those up to the marker for the state
//! alone, as their outputs are stored already.
//!
//! More is read only when the last batch is stored: batches form by themselves under load, and an
//! idle partition commits a single bar at once.
//!
//! ```text
//!             stop                       stop                     stop
//!  Loading ─────────► (end)   Opening ─────────► Stopping ◄───────── Reading
//!     └────────────────────────► │ ──────────────────────────────────► │
//!                                └ ◄── the consumer failed, or is gone ─┘
//! ```
//!
//! The task follows its [`State`]; others see its [`Phase`]. It hears commands wherever it waits:
//! outputs that cannot be stored make it [`Phase::Blocked`] and not deaf.

mod answers;
mod attempt;
mod checkpointer;
mod committer;
mod loading;
mod marking;
mod reader;
mod stalling;
mod time_marks;

pub(super) use reader::SPEAKING;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Subject;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Common;
use super::already::Already;
use super::checkpoint::Snapshot;
use super::gauges::{Gauges, Phase};
use super::ledger::{Ledger, LedgerError};
use super::losses::{Account, Watcher};
use super::marker::{Position, Stored};
use super::streams::{Unit, marker_subject};
use crate::bus::intake::{Intake, Outgoing};
use crate::bus::link::LinkState;
use crate::ops::query::Query;
use checkpointer::Checkpointer;
use loading::Loaded;
use reader::Reader;
use time_marks::TimeMarks;

/// Poisonous messages remembered for each partition, the newest.
const MAX_POISON: usize = 1_000;
const TICK: Duration = Duration::from_millis(250);
/// The reason of a missing answer.
const LOST: &str = "the connection was lost meanwhile";

/// A command of the coordinator.
pub(super) enum Command {
    /// Checkpoint, finish, end.
    Stop,
    /// Checkpoint now, and answer when it is written.
    Save(oneshot::Sender<Result<(), String>>),
    /// Answer about the series.
    Ask(Query),
}

/// The end of the work on a partition.
#[derive(Debug)]
pub(super) enum Exit {
    /// It was told to stop.
    Stopped,
    /// Another has committed since: the state in memory is worthless.
    Fenced,
    /// Forged markers have replaced the genuine one.
    Hidden,
    /// The engine panicked on this message. Everything before it is committed.
    Panicked(u64),
    /// It cannot go on from here.
    Failed(String),
}

impl From<LedgerError> for Exit {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The work of the task after loading.
enum State {
    /// A consumer has to be created.
    Opening,
    /// Bars come from a consumer.
    Reading(Reader),
    /// The last checkpoint is written, and bars are read until it is.
    Stopping(Option<Reader>),
}

/// The marker that the next commit has to replace.
struct Fence {
    subject: Subject,
    /// The last marker that was written or found.
    marker: Option<Stored>,
    /// The revision to be replaced: that of `marker`, or of a forged one.
    top: u64,
    /// The time at which a marker was last written.
    written: Instant,
}

/// A partition whose state is loaded.
pub(super) struct Partition {
    pub(super) common: Arc<Common>,
    pub(super) intake: Intake,
    unit: u32,
    place: Unit,
    commands: mpsc::Receiver<Command>,
    stopping: bool,
    gauges: Arc<Gauges>,
    link: watch::Receiver<LinkState>,
    ticks: Interval,
    /// The account of stored outputs.
    ledger: Ledger,
    /// Outputs that are stored already, where no count tells.
    already: Option<Already>,
    fence: Fence,
    checkpointer: Checkpointer,
    /// Tracks the bars that must still be read, and finds those that are gone.
    account: Arc<Account>,
    /// Messages that are refused unread because they made the engine panic.
    poison: BTreeSet<u64>,
    outgoing: Vec<Outgoing>,
    /// About bars that are still forming: sent and not stored.
    forming: Vec<Outgoing>,
    /// Closes derived bars while the market is silent.
    time_marks: TimeMarks,
}

/// Works on a partition until commanded to stop or something is wrong. The messages `poison` are
/// refused without another try.
pub(super) async fn run(
    common: Arc<Common>,
    unit: u32,
    gauges: Arc<Gauges>,
    mut commands: mpsc::Receiver<Command>,
    poison: BTreeSet<u64>,
) -> Exit {
    let began = Instant::now();
    let subject = marker_subject(&common.streams.signals, &common.config.group, unit);
    let loaded = tokio::select! {
        loaded = loading::load(&common, unit, &subject, &gauges) => loaded,
        // no bar was read yet, so there is nothing to finish
        () = stop_while_loading(&mut commands) => return Exit::Stopped,
    };
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(reason) => return Exit::Failed(reason),
    };
    loaded.poison.extend(poison);
    while loaded.poison.len() > MAX_POISON {
        loaded.poison.pop_first();
    }
    tracing::debug!(
        unit,
        series = loaded.intake.engine().len(),
        from = loaded.ledger.last_applied(),
        replay_until = loaded.ledger.replay_until(),
        took_ms = began.elapsed().as_millis(),
        "partition loaded"
    );
    let partition = Partition::new(common, unit, gauges, commands, subject.into(), loaded);
    partition.drive().await
}

/// Returns when a partition that is being loaded is commanded to stop. Everything else is answered:
/// its series are not known yet.
async fn stop_while_loading(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Stop => return,
            Command::Save(reply) => {
                // the asker may have gone
                let _ = reply.send(Err("the partition is still being loaded".to_owned()));
            }
            Command::Ask(query) => answers::not_loaded(query),
        }
    }
}

impl Partition {
    fn new(
        common: Arc<Common>,
        unit: u32,
        gauges: Arc<Gauges>,
        commands: mpsc::Receiver<Command>,
        subject: Subject,
        loaded: Loaded,
    ) -> Self {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = common.link.watch();
        link.mark_unchanged();
        gauges.enter(Phase::Replaying);
        Self {
            unit,
            place: loaded.place,
            commands,
            stopping: false,
            link,
            ticks,
            ledger: loaded.ledger,
            already: loaded.already,
            fence: Fence {
                subject,
                marker: loaded.marker,
                top: loaded.top,
                written: Instant::now(),
            },
            checkpointer: Checkpointer::new(&common, unit, &gauges),
            account: Account::of(&common, unit),
            poison: loaded.poison,
            outgoing: Vec::new(),
            forming: Vec::new(),
            time_marks: TimeMarks::new(&common, unit),
            intake: loaded.intake,
            gauges,
            common,
        }
    }

    async fn drive(mut self) -> Exit {
        let _watcher = Watcher::start(
            Arc::clone(&self.common),
            self.unit,
            Arc::clone(&self.gauges),
            Arc::clone(&self.account),
        );
        let mut state = State::Opening;
        loop {
            self.beat();
            let next = match state {
                State::Opening if self.stopping => Ok(self.begin_to_stop(None)),
                State::Reading(reader) if self.stopping => Ok(self.begin_to_stop(Some(reader))),
                State::Opening => self.open().await,
                State::Reading(reader) => self.read(reader).await,
                State::Stopping(reader) => self.finish(reader).await,
            };
            state = match next {
                Ok(next) => next,
                Err(exit) => return exit,
            };
        }
    }

    fn begin_to_stop(&self, reader: Option<Reader>) -> State {
        self.gauges.enter(Phase::Stopping);
        State::Stopping(reader)
    }

    async fn read(&mut self, reader: Reader) -> Result<State, Exit> {
        let mut reader = Some(reader);
        self.turn(&mut reader).await?;
        Ok(reader.map_or(State::Opening, State::Reading))
    }

    /// Waits for the last checkpoint, if there is time, and leaves the position to the next owner.
    async fn finish(&mut self, mut reader: Option<Reader>) -> Result<State, Exit> {
        if self.checkpointer.begins_last() {
            self.save();
        }
        let cannot_wait = self.common.cannot_wait();
        if self.checkpointer.is_writing() && !cannot_wait {
            self.turn(&mut reader).await?;
            return Ok(State::Stopping(reader));
        }
        if !self.checkpointer.is_writing() {
            // bars that gave nothing to publish are read as well, and the next owner relies on it
            if !cannot_wait && let Some(marker) = self.advanced() {
                self.store(marker, &Arc::default()).await?;
            }
            self.intake.flush();
        }
        // the next owner does not wait for a courtesy
        tokio::spawn(async move {
            if let Some(reader) = reader {
                reader.close().await;
            }
        });
        Err(Exit::Stopped)
    }

    /// Waits for one thing to happen and deals with it. Takes a reader away that is of no use any
    /// more.
    async fn turn(&mut self, reader: &mut Option<Reader>) -> Result<(), Exit> {
        let mut problem = None;
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.on_command(command),
                None => return Err(Exit::Stopped),
            },
            (came, reader) = reader::next(reader) => problem = self.on_came(came, reader).await?,
            Ok(()) = self.link.changed() => {
                if self.link.borrow_and_update().connected {
                    // everything on its way is lost, and the consumer may be
                    problem = Some("connected again".to_owned());
                }
            }
            outcome = self.checkpointer.written() => self.checkpointer.on_written(outcome),
            _ = self.ticks.tick() => {
                if let Some(reader) = reader {
                    reader.probe(&self.common, self.unit);
                }
                self.tick().await?;
            }
        }
        if self.checkpointer.is_asked() {
            self.save();
        }
        if let Some(problem) = problem {
            tracing::debug!(unit = self.unit, problem, "reading again");
            *reader = None;
        }
        Ok(())
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Stop => self.stopping = true,
            Command::Save(reply) => self.checkpointer.ask(reply),
            Command::Ask(query) => self.answer(query),
        }
    }

    /// Awaits `work` and follows commands meanwhile. A `blocked` partition ends at once when it is
    /// commanded to stop.
    async fn while_serving_commands<T>(
        &mut self,
        work: impl Future<Output = T>,
        blocked: bool,
    ) -> Result<T, Exit> {
        let mut work = std::pin::pin!(work);
        loop {
            if self.stopping && blocked {
                return Err(Exit::Stopped);
            }
            tokio::select! {
                done = &mut work => return Ok(done),
                command = self.commands.recv() => match command {
                    Some(Command::Save(reply)) if blocked => {
                        let refused = "signals cannot be stored, and a checkpoint must not be ahead of them";
                        // the asker may have gone
                        let _ = reply.send(Err(refused.to_owned()));
                    }
                    Some(command) => self.on_command(command),
                    None => return Err(Exit::Stopped),
                },
            }
        }
    }

    /// Awaits `work` and follows commands meanwhile; `None` when commanded to stop.
    async fn until_stopped<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, Exit> {
        let mut work = std::pin::pin!(work);
        while !self.stopping {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return Err(Exit::Stopped),
                },
                outcome = self.checkpointer.written() => self.checkpointer.on_written(outcome),
            }
            if self.checkpointer.is_asked() {
                self.save();
            }
        }
        Ok(None)
    }

    async fn tick(&mut self) -> Result<(), Exit> {
        self.intake.flush();
        if let Some(marker) = self.due_marker() {
            self.store(marker, &Arc::default()).await?;
            self.account.stored();
        }
        if self.checkpointer.is_due() {
            self.save();
        }
        let is_read = self.gauges.lag.load(Ordering::Relaxed) == 0;
        if is_read && self.gauges.phase() == Phase::Running {
            self.time_marks
                .write(&self.common, self.intake.engine_mut())
                .await;
        }
        Ok(())
    }

    /// Begins to write a checkpoint, unless one is being written or the state is still behind the
    /// one that it would replace.
    fn save(&mut self) {
        if self.checkpointer.is_writing() {
            return;
        }
        if !self.ledger.may_save() {
            let refused = "the partition is still being recovered".to_owned();
            self.checkpointer.answer(&Err(refused));
            return;
        }
        let position = Position {
            origin: self.place.origin.clone(),
            seq: self.ledger.last_applied(),
            part: 0,
        };
        let snapshot = Snapshot::take(self.intake.engine(), position);
        self.checkpointer.begin(snapshot);
    }

    fn beat(&self) {
        self.gauges.beat(self.common.uptime_ms());
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        if self.stopping {
            self.common.losses.left(self.unit);
        }
    }
}
