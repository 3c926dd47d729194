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
mod members;
mod resume;

use std::collections::VecDeque;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_nats::{Message, SubscribeError, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::task::unconstrained;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::drain::{DrainError, drain_and_close, round_trip};
use super::intake::{Arrival, Intake};
use super::link::Link;
use super::setup::Setup;
use crate::clock;
use crate::group::{Action, Direct, Handover, MemberId, Phase, Presence, SlotSet, Timing};
use crate::ops::health::{Component, Progress};
use crate::ops::metrics::{ACQUIRED, RELEASED};
use crate::wire::SubjectPattern;

pub(in crate::bus) use resume::Resume;

use members::{GroupSubjects, Members};

/// Messages worked off before anything else gets its turn.
const BATCH: usize = 256;
/// How often time is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Messages that may wait while state is copied.
const BACKLOG: usize = 262_144;
/// No progress for this long, while connected, is a stall.
const STALL: Duration = Duration::from_secs(15);
/// How long others get to answer a newcomer, besides three times the way there and back.
const SETTLE: Duration = Duration::from_millis(40);
/// What a drain keeps back for the last flush.
const LAST_FLUSH: Duration = Duration::from_secs(1);

/// Why the worker could not begin or end well.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The server does not take a subscription.
    #[error("cannot subscribe: {0}")]
    Subscribe(#[from] SubscribeError),
    /// The connection was lost while beginning.
    #[error("cannot begin: {0}")]
    Begin(DrainError),
    /// Not everything could be finished.
    #[error(transparent)]
    Drain(#[from] DrainError),
}

/// Market data, from all subscriptions.
struct Feeds(Vec<(SubjectPattern, Subscriber)>);

impl Feeds {
    /// Takes what has arrived, at most `limit` messages, without waiting.
    async fn gather(&mut self, into: &mut VecDeque<(usize, Message)>, limit: usize) {
        let mut room = limit;
        for (at, (_, feed)) in self.0.iter_mut().enumerate() {
            // not subject to the scheduler's budget: "nothing there" must mean just that
            unconstrained(std::future::poll_fn(|context| {
                while room > 0
                    && let Poll::Ready(Some(message)) = feed.poll_next_unpin(context)
                {
                    into.push_back((at, message));
                    room -= 1;
                }
                Poll::Ready(())
            }))
            .await;
        }
    }

    /// Waits for a message.
    async fn next(&mut self) -> Option<(usize, Message)> {
        std::future::poll_fn(|context| {
            let mut open = false;
            for (at, (_, feed)) in self.0.iter_mut().enumerate() {
                match feed.poll_next_unpin(context) {
                    Poll::Ready(Some(message)) => return Poll::Ready(Some((at, message))),
                    Poll::Pending => open = true,
                    Poll::Ready(None) => {}
                }
            }
            if open {
                Poll::Pending
            } else {
                Poll::Ready(None)
            }
        })
        .await
    }
}

struct Worker {
    setup: Setup,
    started: Instant,
    intake: Intake,
    members: Members,
    feeds: Feeds,
    presences: Subscriber,
    direct: Subscriber,
    /// Messages received and not yet worked off.
    pending: VecDeque<(usize, Message)>,
    /// Messages that wait for the member to become active.
    backlog: VecDeque<(usize, Message)>,
    active: bool,
    ticked: Instant,
    swept: Instant,
    slow_consumer_events: u64,
    membership: Component,
    intake_health: Component,
    progress: Progress,
    started_at: crate::market::Timestamp,
    bars_slow_since: Option<Instant>,
}

/// Works until told to stop, then drains: hands over what it holds, finishes every bar it has
/// received, confirms what it published and closes the connection.
///
/// # Errors
/// When it cannot begin, or the drain is not clean by the deadline.
pub async fn run(setup: Setup) -> Result<(), CoreError> {
    let mut worker = Worker::begin(setup).await?;
    let deadline = worker.serve().await;
    worker.drain(deadline).await?;
    Ok(())
}

impl Worker {
    async fn begin(setup: Setup) -> Result<Self, CoreError> {
        let Setup {
            config,
            client,
            link,
            health,
            ..
        } = &setup;
        let intake_health = health.component("intake", true);
        let membership = health.component("membership", true);
        let mut feeds = Vec::new();
        for pattern in &config.subjects {
            let feed = client.subscribe(pattern.as_str().to_owned()).await?;
            feeds.push((pattern.clone(), feed));
        }
        let me = MemberId::new(setup.instance.clone());
        let subjects = GroupSubjects::new(&config.group);
        let presences = client.subscribe(subjects.presence.clone()).await?;
        let direct = client.subscribe(subjects.direct(&me)).await?;
        let asked = Instant::now();
        round_trip(
            client,
            link,
            tokio::time::Instant::now() + Duration::from_secs(10),
        )
        .await
        .map_err(CoreError::Begin)?;
        let round_trip_time = asked.elapsed();
        tracing::info!(
            subjects = ?config.subjects.iter().map(SubjectPattern::as_str).collect::<Vec<_>>(),
            round_trip_us = round_trip_time.as_micros(), "subscribed to market data"
        );
        intake_health.up("subscribed");
        membership.down("looking for the other members of the group");

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
        Ok(Self {
            intake: Intake::new(config, setup.metrics.clone()),
            members: Members::new(handover, subjects, me, client.clone()),
            feeds: Feeds(feeds),
            presences,
            direct,
            pending: VecDeque::new(),
            backlog: VecDeque::new(),
            active: false,
            started: now,
            ticked: now,
            swept: now,
            slow_consumer_events: 0,
            membership,
            intake_health,
            progress: health.progress("worker", STALL),
            started_at: clock::now(),
            bars_slow_since: None,
            setup,
        })
    }

    /// Until the time to drain has come and everything held is another's or nobody is there.
    async fn serve(&mut self) -> tokio::time::Instant {
        let mut ticker = interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = self.setup.link.watch();
        let mut stop = self.setup.stop.clone();
        let mut deadline = None;
        loop {
            self.turn().await;
            if let Some(at) = deadline {
                let released = self.members.handover.is_released();
                if released || tokio::time::Instant::now() + LAST_FLUSH >= at {
                    return at;
                }
            }
            if self.members.is_copying() || !self.pending.is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                Some(message) = self.feeds.next() => self.pending.push_back(message),
                Some(message) = self.presences.next() => self.on_presence(&message),
                Some(message) = self.direct.next() => self.on_direct(vec![message]).await,
                Some(query) = self.setup.queries.recv() => self.answer(query),
                _ = ticker.tick() => {}
                changed = link.changed() => {
                    if changed.is_err() {
                        sleep(TICK).await;
                    }
                }
                Ok(()) = stop.changed(), if deadline.is_none() => {
                    deadline = *stop.borrow_and_update();
                    if deadline.is_some() {
                        self.leave();
                    }
                }
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
        while let Some(Some(message)) = self.presences.next().now_or_never() {
            self.on_presence(&message);
        }
        let mut direct = Vec::new();
        while let Some(Some(message)) = unconstrained(self.direct.next()).now_or_never() {
            direct.push(message);
        }
        if direct.is_empty() {
            self.feeds.gather(&mut self.pending, BATCH).await;
            self.work_off(BATCH).await;
        } else {
            self.on_direct(direct).await;
        }
        self.tick();
        self.perform().await;
        self.members.copy_on(&self.intake).await;
        while let Ok(query) = self.setup.queries.try_recv() {
            self.answer(query);
        }
    }

    /// Works off at most `limit` of the messages that wait, and publishes what comes of them.
    async fn work_off(&mut self, limit: usize) {
        if self.ticked.elapsed() >= TICK {
            self.tick();
            self.perform().await;
        }
        if !self.active {
            self.backlog.append(&mut self.pending);
            if self.backlog.len() > BACKLOG {
                let excess = self.backlog.len() - BACKLOG;
                tracing::warn!(
                    excess,
                    "too many bars came while state was copied; the oldest are lost"
                );
                self.backlog.drain(..excess);
            }
            return;
        }
        let duty = self.members.duty();
        let now = clock::now();
        let batch = self.pending.len().min(limit);
        for (at, message) in self.pending.drain(..batch) {
            self.intake
                .take(Arrival::plain(&message, now), &self.feeds.0[at].0, duty);
        }
        if batch > 0 {
            self.progress.busy();
            Members::limit_kept(&mut self.intake);
            self.publish().await;
            self.intake.flush();
            self.setup
                .metrics
                .inflight_bars
                .set(self.pending.len().try_into().unwrap_or(i64::MAX));
        }
        if self.pending.is_empty() {
            self.intake.resume = None;
        }
    }

    /// Sends the outbox, and returns once it is with the operating system.
    async fn publish(&mut self) {
        if self.intake.outbox.is_empty() {
            return;
        }
        let mut received = Vec::with_capacity(self.intake.outbox.len());
        for outgoing in std::mem::take(&mut self.intake.outbox) {
            let letter = outgoing.received.is_none();
            let publish = self.setup.client.publish_with_headers(
                outgoing.subject,
                outgoing.headers,
                outgoing.payload,
            );
            match patiently(&self.setup.link, &self.progress, publish).await {
                Ok(()) if letter => self.setup.metrics.dead_letters.inc(),
                Ok(()) => received.extend(outgoing.received),
                Err(error) => {
                    self.setup.metrics.publish_errors.inc();
                    tracing::warn!(%error, "signal cannot be published");
                }
            }
        }
        let flush = self.setup.client.flush();
        if let Err(error) = patiently(&self.setup.link, &self.progress, flush).await {
            self.setup.metrics.publish_errors.inc();
            tracing::warn!(%error, "signals cannot be flushed");
        }
        for at in received {
            self.intake.published(at.elapsed());
        }
    }

    fn tick(&mut self) {
        if self.ticked.elapsed() < TICK {
            return;
        }
        self.ticked = Instant::now();
        let now = self.started.elapsed();
        let link = self.setup.link.clone();
        self.members.handover.on_link(now, link.is_connected());
        self.members.handover.tick(now);
        self.progress.idle();
        self.intake.flush();
        self.tell();
        self.watch_slowness(link.slow_consumer_events());
        self.forget_idle();
    }

    /// Metrics and health, as they stand.
    fn tell(&mut self) {
        let metrics = &self.setup.metrics;
        let held = self.members.handover.holds().len();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.series.set(gauge(self.intake.engine.len()));
        metrics.partitions_owned.set(gauge(held));
        metrics
            .inflight_bars
            .set(gauge(self.pending.len() + self.backlog.len()));
        let members = self.members.handover.members().len();
        match self.members.handover.phase() {
            Phase::Active => match self.members.handover.differing_member() {
                None => self.membership.up(format!("{members} members, {held} of 256 slots held")),
                Some(other) => self.membership.degraded(format!(
                    "{other} computes with another configuration: signals of the group are not uniform"
                )),
            },
            Phase::Starting => self.membership.down("looking for the other members of the group"),
            Phase::Syncing => self.membership.down("copying state from the other members"),
            Phase::Leaving | Phase::Gone => self.membership.down("leaving the group"),
        }
    }

    fn watch_slowness(&mut self, events: u64) {
        let fresh = events.saturating_sub(self.slow_consumer_events);
        if fresh > 0 {
            self.slow_consumer_events = events;
            self.setup.metrics.slow_consumer.inc_by(fresh);
            self.bars_slow_since = Some(Instant::now());
            self.intake_health.degraded("bars were dropped: this process is slower than its market data; add replicas or subjects");
        } else if self
            .bars_slow_since
            .is_some_and(|at| at.elapsed() > Duration::from_secs(60))
        {
            self.bars_slow_since = None;
            self.intake_health.up("subscribed");
        }
    }

    fn forget_idle(&mut self) {
        let Some(idle) = self.setup.config.series_idle else {
            return;
        };
        if self.swept.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.swept = Instant::now();
        let idle = i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX);
        let since = clock::now().nanos().saturating_sub(idle);
        let forgotten = self
            .intake
            .forget_idle(crate::market::Timestamp::from_nanos(since));
        if forgotten > 0 {
            tracing::info!(forgotten, "silent series were forgotten");
        }
    }

    fn on_presence(&mut self, message: &Message) {
        match serde_json::from_slice::<Presence>(&message.payload) {
            Ok(presence) => {
                let now = self.started.elapsed();
                self.members.handover.on_presence(now, &presence);
            }
            Err(error) => tracing::debug!(%error, "presence cannot be read"),
        }
    }

    /// Heeds what was said to this member, once every bar that came before it is worked off.
    async fn on_direct(&mut self, messages: Vec<Message>) {
        self.feeds.gather(&mut self.pending, usize::MAX).await;
        while self.active && !self.pending.is_empty() {
            self.work_off(BATCH).await;
        }
        for message in messages {
            match postcard::from_bytes::<Direct>(&message.payload) {
                Ok(said) => self.heed(said),
                Err(error) => tracing::warn!(%error, "message of a member cannot be read"),
            }
            self.perform().await;
            self.publish().await;
        }
    }

    fn heed(&mut self, said: Direct) {
        let now = self.started.elapsed();
        let handover = &mut self.members.handover;
        match said {
            Direct::Offer { from, slots } => handover.on_offer(now, &from, slots),
            Direct::Accept { from, slots } => handover.on_accept(now, &from, slots),
            Direct::Grant {
                from,
                seq,
                slots,
                positions,
            } => {
                let mine = handover.on_grant(now, &from, seq, slots);
                self.moved(ACQUIRED, mine);
                self.members
                    .inherit(&mut self.intake, slots, mine, &positions);
            }
            Direct::SyncRequest { from, slots } => self.members.copy_to(&self.intake, from, slots),
            Direct::State { from, series } => {
                handover.on_progress(now, &from);
                if handover.phase() == Phase::Syncing {
                    self.members.restore(&mut self.intake, &series);
                }
            }
            Direct::Synced { from, slots } => handover.on_synced(now, &from, slots),
        }
    }

    /// Does what the protocol asks for.
    async fn perform(&mut self) {
        loop {
            let actions = self.members.handover.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action).await;
            }
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Announce { hello } => {
                let presence = self.members.handover.presence(hello);
                self.members.announce(&presence).await;
            }
            Action::RequestSync { from, slots } => self.members.request_sync(&from, slots).await,
            Action::Offer { to, slots } => self.members.offer(&to, slots).await,
            Action::Accept { to, slots } => self.members.accept(&to, slots).await,
            Action::Release { to, slots, seq } => {
                self.publish().await;
                self.moved(RELEASED, slots);
                self.members.grant(&self.intake, &to, slots, seq).await;
            }
            Action::Take { slots } => {
                self.moved(ACQUIRED, slots);
                self.members.forget(&mut self.intake, slots);
            }
            Action::Drop { slots } => {
                self.moved(RELEASED, slots);
                self.members.forget(&mut self.intake, slots);
            }
            Action::Forget { slots } => self.members.forget(&mut self.intake, slots),
            Action::Activate { cold } => self.activate(cold),
            Action::Restart => {
                tracing::warn!("was cut off from the group for too long; joining it anew");
                self.active = false;
                self.members.restart(&mut self.intake);
            }
        }
    }

    fn activate(&mut self, cold: bool) {
        if cold {
            tracing::warn!("no state could be copied from the other members; series start anew");
        }
        let members = self.members.handover.members().len();
        tracing::info!(
            members,
            series = self.intake.engine.len(),
            waiting = self.backlog.len(),
            "joined the group"
        );
        self.active = true;
        self.setup.health.started();
        self.backlog.append(&mut self.pending);
        self.pending = std::mem::take(&mut self.backlog);
        let Some(mut resume) = self.members.take_copied() else {
            return;
        };
        for (at, message) in &self.pending {
            self.intake
                .each_bar(message, &self.feeds.0[*at].0, |event| resume.scan(event));
        }
        resume.rewind();
        self.intake.resume = Some(resume);
    }

    fn moved(&self, direction: &str, slots: SlotSet) {
        if !slots.is_empty() {
            let moves = &self.setup.metrics.partition_moves;
            moves
                .with_label_values(&[direction])
                .inc_by(slots.len() as u64);
            tracing::info!(direction, slots = slots.len(), "slots moved");
        }
    }

    /// Finishes what was received, and ends the connection when all of it is confirmed.
    async fn drain(mut self, deadline: tokio::time::Instant) -> Result<(), DrainError> {
        let (client, link) = (self.setup.client.clone(), self.setup.link.clone());
        let finish = async {
            for (_, feed) in &mut self.feeds.0 {
                // fails only when the connection is gone, which the round trip tells
                let _ = feed.unsubscribe().await;
            }
            round_trip(&client, &link, deadline).await?;
            self.feeds.gather(&mut self.pending, usize::MAX).await;
            self.active = true;
            self.backlog.append(&mut self.pending);
            self.pending = std::mem::take(&mut self.backlog);
            while !self.pending.is_empty() {
                self.work_off(BATCH).await;
                self.progress.beat();
            }
            let farewell = self.members.handover.farewell();
            self.members.announce(&farewell).await;
            Ok(())
        };
        let finished = timeout(
            deadline.saturating_duration_since(tokio::time::Instant::now()),
            finish,
        )
        .await;
        let left = self.pending.len() + self.backlog.len();
        let outcome = match finished {
            Ok(Ok(())) => drain_and_close(&client, &link, deadline).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(DrainError::Unconfirmed(
                "the time allowed for the drain has passed".into(),
            )),
        };
        if left > 0 {
            tracing::error!(messages = left, "messages received were not worked off");
        }
        outcome
    }
}

/// Waits for the client as long as it takes. While the connection is down that may be long,
/// and is no stall.
async fn patiently<F: Future>(link: &Link, progress: &Progress, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match timeout(Duration::from_secs(1), future.as_mut()).await {
            Ok(output) => return output,
            Err(_) if link.is_connected() => {}
            Err(_) => progress.beat(),
        }
    }
}
