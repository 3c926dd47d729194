//! Core delivery: plain NATS, lowest latency, at most once.
//!
//! Every member of the group receives every bar and keeps every series; it publishes for the
//! slots it holds ([`crate::group`]). One task does it all, on the runtime that carries the
//! connection: receive, decode, compute, encode, publish. So a process that cannot keep up
//! reads more slowly, and the server notices.
//!
//! Order is what exactness rests on: what was said to this member is heeded only after every
//! bar that came before it is worked off.

mod answers;
mod copies;
mod copy;
mod drain;
mod inheritance;
mod marks;
mod members;
mod messenger;
mod protocol;
mod publishing;
mod queue;
mod resume;
mod resume_trades;
mod roll_call;
mod subscriptions;
mod upkeep;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::drain::{DrainError, round_trip};
use super::guard::Guard;
use super::intake::{Arrival, Intake};
use super::link::Link;
use super::setup::Setup;
use crate::clock;
use crate::failpoints;
use crate::group::{Handover, MemberId, Timing, Way};
use crate::market::Timestamp;
use crate::ops::health::{Component, Progress};
use crate::ops::logs::Throttle;
use crate::pipeline::TakeAll;
use crate::wire::SubjectPattern;

use marks::Marks;
use members::Members;
use messenger::GroupSubjects;
use queue::Queue;
use resume::Resume;
use roll_call::RollCall;
use subscriptions::Subscriptions;

/// Messages worked off before what they gave is published, when no more wait.
const BATCH: usize = 256;
/// [`BATCH`] where more messages wait: publishing makes room for more to arrive.
const LONG_BATCH: usize = 4_096;
/// A batch ends when it has taken so long, for there are messages that take longer than others.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// The interval of timed work.
const TICK: Duration = Duration::from_millis(50);
/// Bytes of messages that may wait.
const QUEUE_BYTES: usize = 128 << 20;
/// No progress for this long, while connected, is a stall.
const STALL: Duration = Duration::from_secs(15);
/// The time that others get to answer a newcomer, besides three round trips.
const SETTLE: Duration = Duration::from_millis(40);
/// The time that the server may take to answer before it is asked again.
const ANSWER: Duration = Duration::from_secs(2);
/// The interval of log lines about the same problem.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// The time of a drain that is reserved for the last flush.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// The reason why the worker could not begin or end well.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The server does not take a subscription.
    #[error("cannot subscribe: {0}")]
    Subscribe(#[from] SubscribeError),
    /// The connection ended while beginning.
    #[error("cannot begin: {0}")]
    Begin(DrainError),
    /// Not everything could be finished.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

struct Worker {
    setup: Setup,
    guard: Arc<Guard>,
    started: Instant,
    intake: Intake,
    /// Bars to be left out because copied state contains them.
    resume: Option<Resume>,
    members: Members,
    subscriptions: Subscriptions,
    presences: Subscriber,
    marks: Marks,
    direct: Subscriber,
    roll_call: RollCall,
    /// Messages received and not yet worked off. Until the member is active they are held back.
    pending: Queue,
    /// Messages dropped since that was last said.
    dropped: Throttle<()>,
    /// Publishes that failed since that was last said.
    failures: Throttle<()>,
    active: bool,
    ticked: Instant,
    slow_consumer_events: u64,
    membership: Component,
    intake_health: Component,
    progress: Progress,
    started_at: Timestamp,
    /// The time at which the client last dropped messages.
    dropped_at: Option<Instant>,
}

/// Works until told to stop, then drains: hands over what it holds, finishes every bar it has
/// received, confirms what it published and closes the connection.
///
/// Returns the setup instead, with the connection open, when durable members of the group work
/// beside it.
///
/// # Errors
/// If it cannot begin, or the drain is not clean by the deadline.
pub async fn run(setup: Setup) -> Result<Option<Setup>, CoreError> {
    setup.deliveries.at_work(Way::Core);
    let Some(mut worker) = Worker::begin(setup).await? else {
        return Ok(None);
    };
    match worker.serve().await {
        Some(deadline) => worker.drain(deadline).await?,
        None => return Ok(Some(worker.give_way().await)),
    }
    Ok(None)
}

impl Worker {
    /// Subscribes; nothing when the time to stop came first.
    async fn begin(setup: Setup) -> Result<Option<Self>, CoreError> {
        let Setup {
            config,
            client,
            link,
            health,
            ..
        } = &setup;
        let guard = Arc::new(setup.guard());
        let intake_health = health.component("intake", true);
        let membership = health.component("membership", true);
        let mut subscriptions = Vec::new();
        for pattern in &config.subjects {
            let feed = client.subscribe(pattern.as_str().to_owned()).await?;
            subscriptions.push((pattern.clone(), feed));
        }
        let me = MemberId::new(setup.instance.clone());
        let subjects = GroupSubjects::new(&config.group);
        let presences = client.subscribe(subjects.presence.clone()).await?;
        let marks = Marks::new(client.subscribe(subjects.marks.clone()).await?);
        let direct = client.subscribe(subjects.direct(&me)).await?;
        let mut stop = setup.stop.clone();
        let Some(round_trip_time) = subscribed(client, link, &mut stop).await? else {
            return Ok(None);
        };
        tracing::info!(
            subjects = ?config.subjects.iter().map(SubjectPattern::as_str).collect::<Vec<_>>(),
            round_trip_us = round_trip_time.as_secs_f64() * 1e6, "subscribed to market data"
        );
        intake_health.up("subscribed");
        membership.down("looking for the other members of the group");

        let roll_call = RollCall::new(client.clone(), subjects.serving.clone());
        let timing = Timing {
            settle: SETTLE + 3 * round_trip_time,
            ..Timing::default()
        };
        let handover = Handover::new(
            me.clone(),
            config.agent_name.clone(),
            config.analysis.fingerprint(),
            timing,
            Duration::ZERO,
        );
        let now = Instant::now();
        let mut intake = Intake::new(config, setup.metrics.clone());
        intake.out.max_message = client.max_payload();
        Ok(Some(Self {
            intake,
            resume: None,
            members: Members::new(handover, subjects, me, Arc::clone(&guard), client.clone()),
            subscriptions: Subscriptions(subscriptions),
            presences,
            marks,
            direct,
            roll_call,
            pending: Queue::new(QUEUE_BYTES),
            dropped: Throttle::new(LOG_EVERY),
            failures: Throttle::new(LOG_EVERY),
            active: false,
            started: now,
            ticked: now,
            slow_consumer_events: 0,
            membership,
            intake_health,
            progress: health.progress("worker", STALL),
            started_at: clock::now(),
            dropped_at: None,
            guard,
            setup,
        }))
    }

    /// Until the time to drain has come and everything held is another's or nobody is there. `None`
    /// when durable members of the group are at work.
    async fn serve(&mut self) -> Option<tokio::time::Instant> {
        let mut ticker = interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = self.setup.link.watch();
        let mut stop = self.setup.stop.clone();
        let mut deadline = None;
        let mut compared = Instant::now();
        loop {
            self.turn().await;
            // here, not only where it waits: an agent with more to do than it can never waits
            if deadline.is_none() {
                deadline = *stop.borrow_and_update();
                if deadline.is_some() {
                    self.leave();
                }
            }
            if let Some(at) = deadline {
                // without a connection there is nobody to hand over to
                let alone = !self.setup.link.is_connected();
                let released = alone || self.members.handover.is_released();
                if released || tokio::time::Instant::now() + LAST_FLUSH >= at {
                    return Some(at);
                }
            } else if compared.elapsed() >= TICK {
                compared = Instant::now();
                if self.setup.deliveries.objection().is_some() {
                    return None;
                }
            }
            if self.members.copies.is_copying() || (self.active && !self.pending.is_empty()) {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                Some(message) = self.subscriptions.next() => self.hold(message),
                Some(message) = self.presences.next() => self.on_presence(&message),
                Some(message) = self.marks.next() => self.on_mark(&message),
                Some(message) = self.direct.next() => self.on_direct(vec![message]).await,
                nobody = self.roll_call.answered() => self.called(nobody),
                Some(query) = self.setup.queries.recv() => self.answer(query),
                _ = ticker.tick() => {}
                changed = link.changed() => {
                    if changed.is_err() {
                        sleep(TICK).await;
                    }
                }
                Ok(()) = stop.changed(), if deadline.is_none() => {}
            }
        }
    }

    fn leave(&mut self) {
        tracing::info!("draining: handing over");
        self.membership.down("leaving the group");
        self.members.handover.leave(self.started.elapsed());
    }

    /// One turn: what has arrived, in the order that matters.
    async fn turn(&mut self) {
        failpoints::in_worker();
        self.drain_presences();
        let nobody = self.roll_call.is_nobody_there();
        self.called(nobody);
        let mut direct = Vec::new();
        while let Some(Some(message)) = unconstrained(self.direct.next()).now_or_never() {
            direct.push(message);
        }
        if direct.is_empty() {
            self.hear_marks();
            self.drain_ready().await;
            self.work_off().await;
            self.take_mark().await;
        } else {
            self.on_direct(direct).await;
        }
        self.tick();
        self.perform().await;
        self.say_mark().await;
        self.members.copy_on(&self.intake).await;
        while let Ok(query) = self.setup.queries.try_recv() {
            self.answer(query);
        }
    }

    /// Takes in all market data that has arrived.
    async fn drain_ready(&mut self) {
        let dropped = self.subscriptions.drain_ready(&mut self.pending).await;
        self.count_dropped(dropped);
    }

    fn hold(&mut self, (feed, message): (usize, Message)) {
        let lane = queue::lane(&self.subscriptions.0[feed].0, &message.subject);
        let now = (Instant::now(), clock::now());
        let dropped = self.pending.push(feed, lane, message, now);
        self.count_dropped(dropped);
    }

    /// Works off a batch of the messages that wait, and publishes what they gave.
    async fn work_off(&mut self) {
        if self.ticked.elapsed() >= TICK {
            self.tick();
            self.perform().await;
        }
        if !self.active {
            return;
        }
        let duty = self.members.duty();
        let began = Instant::now();
        let limit = if self.pending.len() > BATCH {
            LONG_BATCH
        } else {
            BATCH
        };
        let (mut batch, mut now) = (0, began);
        while batch < limit
            && now - began < BATCH_TIME
            && let Some(waiting) = self.pending.pop(now)
        {
            batch += 1;
            let pattern = &self.subscriptions.0[waiting.feed].0;
            let arrival = Arrival::plain(&waiting.message, waiting.arrived);
            let parts = |subject| pattern.parts(subject);
            // copied state contains nothing of what came after it
            let resume = self.resume.as_mut().filter(|_| waiting.held_back);
            match resume {
                Some(resume) => self.intake.take(arrival, duty, parts, resume),
                None => self.intake.take(arrival, duty, parts, TakeAll),
            }
            if batch % 16 == 0 || waiting.message.payload.len() > 1_024 {
                now = Instant::now();
            }
        }
        if batch > 0 {
            self.progress.busy();
            self.members.limit_kept(&mut self.intake);
            self.publish().await;
            self.intake.flush();
            self.setup
                .metrics
                .inflight_bars
                .set(self.pending.len().try_into().unwrap_or(i64::MAX));
        }
        if !self.pending.has_held_back() {
            self.resume = None;
        }
    }

    /// Waits for the client as long as it takes, and takes in what arrives meanwhile. While the
    /// connection is down that may be long, and is no stall.
    async fn wait_while_disconnected<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = future.as_mut() => return output,
                Some(message) = self.subscriptions.next() => self.hold(message),
                () = sleep(Duration::from_secs(1)) => {
                    if !self.setup.link.is_connected() {
                        self.progress.beat();
                    }
                }
            }
        }
    }
}

/// Returns the way there and back once the server has taken the subscriptions; nothing when the
/// time to stop came first. A server that went away meanwhile is waited for, as at any time.
async fn subscribed(
    client: &Client,
    link: &Link,
    stop: &mut watch::Receiver<Option<tokio::time::Instant>>,
) -> Result<Option<Duration>, CoreError> {
    loop {
        let asked = Instant::now();
        let deadline = tokio::time::Instant::now() + ANSWER;
        tokio::select! {
            answer = round_trip(client, link, deadline) => match answer {
                Ok(()) => return Ok(Some(asked.elapsed())),
                Err(error) if link.state().closed => return Err(CoreError::Begin(error)),
                Err(error) => tracing::warn!(%error, "subscribing takes long; asking again"),
            },
            _ = stop.wait_for(Option::is_some) => return Ok(None),
        }
    }
}
