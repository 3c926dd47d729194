//! What is known of the connection, at any moment, without asking the server.
//!
//! A [`Link`] belongs to one connection and is fed by the client's events. Three things about
//! async-nats 0.51 shape it:
//!
//! - Events go through a channel of 128 and are dropped when it is full, which a burst of
//!   slow-consumer events does. So the number of those is a lower bound, the number of
//!   reconnects is read from the client's statistics, "connected" is compared with the client's
//!   own state on every event, and "closed" is noticed by the event callback being dropped.
//! - A server in lame-duck mode is announced and nothing more is done. The link moves to
//!   another server where the client knows one. Where it knows none it stays: a lame server
//!   serves those connected to the end, and refuses newcomers.
//! - `server_info()` is that of the last connect.
//!
//! The link holds the client, so a connection ends by [`super::drain_and_close`] only, never by
//! being forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ClientError, Event, ReconnectToServer, Server};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::jitter;
use super::dial::Dialler;
use super::permissions::{Denial, Operation};
use crate::config::NatsConfig;

/// Denials remembered at most.
const MAX_DENIALS: usize = 32;
/// One that does not come again within this may have been lifted; a subscription is asked for once.
const DENIAL_HOLDS: Duration = Duration::from_secs(30);
/// An error that comes this long before the connection is lost is taken for its reason.
const FAREWELL: Duration = Duration::from_secs(2);
/// One line of a kind per this.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How long a burst of drops is counted before it is logged.
const BURST_COUNT: Duration = Duration::from_secs(1);
/// A server in lame-duck mode leaves its clients at least 10 s by default.
const MOVE_WITHIN: Duration = Duration::from_secs(2);

/// The part of the state that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkState {
    /// Whether a server is there.
    pub connected: bool,
    /// Whether the connection has ended for good.
    pub closed: bool,
    /// Whether the server has announced that it is going down.
    pub lame_duck: bool,
}

/// Something that went wrong.
#[derive(Debug)]
struct Failure {
    text: String,
    at: Instant,
}

/// The state that a caller of [`Link::changed`] has seen.
#[derive(Debug)]
pub struct Seen {
    state: watch::Receiver<LinkState>,
    error: watch::Receiver<Option<Failure>>,
}

/// The server of the last connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// Its name, or its id where it has none.
    pub name: String,
    /// Its version, such as `2.12.1`.
    pub version: String,
    /// `host:port` as it was dialled: a server says of itself what it listens on, which is mostly
    /// `0.0.0.0`.
    pub address: String,
    /// The largest message it takes, in bytes.
    pub max_payload: usize,
    /// Whether it offers `JetStream`.
    pub jetstream: bool,
}

/// The observed state of one connection.
#[derive(Debug)]
pub struct Link {
    state: watch::Sender<LinkState>,
    client: OnceLock<Client>,
    dialler: Dialler,
    slow_consumer_events: AtomicU64,
    burst: AtomicBool,
    last_error: watch::Sender<Option<Failure>>,
    denials: Mutex<BTreeMap<Denial, Instant>>,
    told_denials: Mutex<BTreeSet<String>>,
    outage_line: Throttle,
    refusal_line: Throttle,
    server_error_line: Throttle,
    loss_logged: AtomicBool,
    server_error: watch::Sender<Option<String>>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(LinkState::default()),
            client: OnceLock::new(),
            dialler: Dialler::default(),
            slow_consumer_events: AtomicU64::new(0),
            burst: AtomicBool::new(false),
            last_error: watch::Sender::new(None),
            denials: Mutex::new(BTreeMap::new()),
            told_denials: Mutex::new(BTreeSet::new()),
            outage_line: Throttle::default(),
            refusal_line: Throttle::default(),
            server_error_line: Throttle::default(),
            loss_logged: AtomicBool::new(false),
            server_error: watch::Sender::new(None),
        }
    }
}

impl Link {
    /// A link that is not connected yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> LinkState {
        *self.state.borrow()
    }

    /// The state now and each change of it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    /// Whether a server is there.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().connected
    }

    /// How often the connection was lost and made again.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.client.get().map_or(0, |client| {
            let connects = client.statistics().connects.load(Ordering::Relaxed);
            connects.saturating_sub(1)
        })
    }

    /// How many times a message was dropped because its subscription's channel was full; a lower
    /// bound (see the module).
    #[must_use]
    pub fn slow_consumer_events(&self) -> u64 {
        self.slow_consumer_events.load(Ordering::Relaxed)
    }

    /// The last thing that went wrong; none since it went right again.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        let last = self.last_error.borrow();
        last.as_ref().map(|failure| failure.text.clone())
    }

    /// Returns when the connection's state or its last error has changed, in a way that the caller
    /// has not seen yet.
    pub async fn changed(&self, seen: &mut Seen) {
        // both senders are ours, so neither channel can close while we wait
        tokio::select! {
            _ = seen.state.changed() => {}
            _ = seen.error.changed() => {}
        }
    }

    /// A place from which [`Link::changed`] counts: everything up to now is seen.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let (mut state, mut error) = (self.state.subscribe(), self.last_error.subscribe());
        state.mark_unchanged();
        error.mark_unchanged();
        Seen { state, error }
    }

    /// Uses the credentials of `config` from the next handshake on.
    pub fn renew_credentials(&self, config: &NatsConfig) {
        self.dialler.replace(config);
    }

    /// The server of the last connect; none before the first.
    #[must_use]
    pub fn server(&self) -> Option<ServerView> {
        let info = self.client.get()?.server_info();
        let name = if info.server_name.is_empty() {
            info.server_id
        } else {
            info.server_name
        };
        Some(ServerView {
            name,
            version: info.version,
            address: self
                .dialler
                .dialled()
                .unwrap_or_else(|| format!("{}:{}", info.host, info.port)),
            max_payload: info.max_payload,
            jetstream: info.jetstream,
        })
    }

    /// Returns when the connection has ended for good.
    pub async fn wait_closed(&self) {
        self.wait_for(|state| state.closed).await;
    }

    /// Returns when `condition` holds.
    pub async fn wait_for(&self, condition: impl FnMut(&LinkState) -> bool) {
        // The sender is ours, so the channel cannot close while we wait.
        let _ = self.watch().wait_for(condition).await;
    }

    /// What comes of `asking`, or nothing when the connection is lost or made meanwhile: the answer
    /// may then never come.
    pub(super) async fn unless_lost<F: Future>(&self, asking: F) -> Option<F::Output> {
        let mut changes = self.watch();
        changes.mark_unchanged();
        tokio::select! {
            answer = asking => Some(answer),
            _ = changes.changed() => None,
        }
    }

    /// Returns when the server has refused something that involves `subject`.
    pub(super) async fn refused(&self, subject: &str) {
        let mut errors = self.server_error.subscribe();
        let _ = errors
            .wait_for(|error| error.as_ref().is_some_and(|text| text.contains(subject)))
            .await;
    }

    /// Returns when the server has denied something that is `grave`.
    pub async fn denied(&self, grave: impl Fn(&Denial) -> bool) {
        let mut errors = self.server_error.subscribe();
        while !self.denials().iter().any(&grave) {
            if errors.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes the client of the connection that was just made.
    pub(super) fn attach(&self, client: &Client) {
        let _ = self.client.set(client.clone());
        self.outage_line.reset();
        self.let_in();
        self.state
            .send_if_modified(|state| !std::mem::replace(&mut state.connected, true));
    }

    pub(super) fn is_attached(&self) -> bool {
        self.client.get().is_some()
    }

    pub(super) fn dialler(&self) -> &Dialler {
        &self.dialler
    }

    /// The server to dial next.
    pub(super) fn next(&self, pool: &[Server]) -> Option<ReconnectToServer> {
        if self.is_attached()
            && !self.is_connected()
            && let Some(reason) = self.dialler.failure(pool)
        {
            self.failed(reason);
        }
        self.dialler.pick(pool, self.is_attached())
    }

    pub(super) fn failed(&self, text: String) {
        let at = Instant::now();
        self.last_error.send_replace(Some(Failure { text, at }));
    }

    /// A server has let us in: what went wrong before is over.
    fn let_in(&self) {
        self.dialler.accepted();
        self.last_error.send_replace(None);
    }

    /// Whether a line about a connection that fails is due, so that retries do not flood the log.
    pub(super) fn outage_line_due(&self) -> bool {
        self.outage_line.due()
    }

    pub(super) fn ended(&self) {
        self.state.send_modify(|state| {
            *state = LinkState {
                closed: true,
                ..LinkState::default()
            }
        });
    }

    pub(super) fn observe(self: &Arc<Self>, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected => self.disconnected(),
            Event::LameDuckMode => self.lame_duck(),
            Event::SlowConsumer(_) => self.slow_consumer(),
            Event::Closed => self.ended(),
            Event::Draining => tracing::debug!("draining the NATS connection"),
            Event::ServerError(error) => {
                let text = error.to_string();
                match Denial::parse(&text) {
                    // it comes for each message, and is told of once
                    Some(denial) => self.note_denial(denial),
                    None if self.server_error_line.due() => {
                        tracing::warn!(%error, "the NATS server reports an error");
                    }
                    None => {}
                }
                self.failed(text.clone());
                self.server_error.send_replace(Some(text));
            }
            Event::ClientError(error) => self.attempt_failed(&error),
        }
    }

    /// What the server does not let this connection do, as far as it is known to hold still.
    /// Forgotten at a reconnect, which asks for everything anew.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        let holds = |(denial, at): &(&Denial, &Instant)| {
            denial.operation == Operation::Subscribe || at.elapsed() < DENIAL_HOLDS
        };
        let denials = lock(&self.denials);
        let held = denials.iter().filter(holds);
        held.map(|(denial, _)| denial.clone()).collect()
    }

    /// Forgets what was denied, before it is tried again. An inbox stays denied until the next
    /// connection: the client subscribes to it once, so the server does not refuse it again, and
    /// no answer comes.
    pub(super) fn forget_denials(&self) {
        lock(&self.denials).retain(|denial, _| denial.is_deaf());
        self.server_error.send_replace(None);
    }

    /// Forgets that signals and what goes with them were denied: they have been stored since.
    pub(super) fn signals_are_stored(&self) {
        let holds = |denial: &Denial| {
            denial.operation == Operation::Subscribe || denial.subject.starts_with('$')
        };
        lock(&self.denials).retain(|denial, _| holds(denial));
    }

    fn note_denial(&self, denial: Denial) {
        let mut denials = lock(&self.denials);
        let known = denials.contains_key(&denial);
        if !known && denials.len() >= MAX_DENIALS {
            return;
        }
        let told = self.told_denials.lock();
        let mut told = told.unwrap_or_else(PoisonError::into_inner);
        // a fresh inbox is denied as the one before was
        if told.len() < MAX_DENIALS && told.insert(denial.to_string()) {
            tracing::error!(
                "the NATS user lacks a permission: {denial}; allow it in the authorization of the \
                 server (`technical-analysis-agent config --permissions` prints all it takes)"
            );
        }
        denials.insert(denial, Instant::now());
    }

    fn connected(&self) {
        lock(&self.denials).clear();
        self.let_in();
        self.state.send_replace(LinkState {
            connected: true,
            ..LinkState::default()
        });
        // A connection that comes and goes is told of as seldom as any other trouble.
        if self.loss_logged.swap(false, Ordering::AcqRel) {
            tracing::info!(reconnects = self.reconnects(), "connected to NATS again");
        }
    }

    fn disconnected(&self) {
        // an error of long ago is not the reason; one that the server gave with its farewell is
        let old = |last: &mut Option<Failure>| {
            let old = |failure: &Failure| failure.at.elapsed() >= FAREWELL;
            last.take_if(|failure| old(failure)).is_some()
        };
        self.last_error.send_if_modified(old);
        let was = self.state.send_replace(LinkState::default());
        if was.connected && self.outage_line.due() {
            self.loss_logged.store(true, Ordering::Release);
            tracing::warn!("the NATS connection is lost; trying again for ever");
        }
    }

    fn attempt_failed(&self, error: &ClientError) {
        let text = error.to_string();
        if text.contains("authorization") {
            if self.refusal_line.due() {
                tracing::error!("the NATS server refuses our credentials; trying again for ever");
            }
        } else if self.outage_line.due() {
            tracing::warn!(error = %text, "NATS is still out of reach; trying again for ever");
        }
        // the event has the kind of the error only; `next` may have found the cause already
        let kind = text.trim_start_matches("nats: ");
        let told = self.last_error();
        if !told.is_some_and(|told| told.contains(kind)) {
            self.failed(text);
        }
    }

    fn slow_consumer(self: &Arc<Self>) {
        self.slow_consumer_events.fetch_add(1, Ordering::Relaxed);
        self.compare_with_client();
        if self.burst.swap(true, Ordering::AcqRel) {
            return;
        }
        let link = Arc::clone(self);
        let before = self.slow_consumer_events().saturating_sub(1);
        tokio::spawn(async move { link.report_bursts(before).await });
    }

    async fn report_bursts(&self, mut reported: u64) {
        loop {
            tokio::time::sleep(BURST_COUNT).await;
            let total = self.slow_consumer_events();
            tracing::warn!(
                events = total - reported,
                total,
                "a NATS subscription is full and drops messages: this process is too slow for them"
            );
            reported = total;
            tokio::time::sleep(LOG_EVERY - BURST_COUNT).await;
            if self.slow_consumer_events() == reported {
                self.burst.store(false, Ordering::Release);
                // One may have come between the comparison and the store, and seen a burst.
                if self.slow_consumer_events() == reported
                    || self.burst.swap(true, Ordering::AcqRel)
                {
                    return;
                }
            }
        }
    }

    fn compare_with_client(&self) {
        if let Some(client) = self.client.get() {
            let connected = client.connection_state() == State::Connected;
            self.state.send_if_modified(|state| {
                !state.closed && std::mem::replace(&mut state.connected, connected) != connected
            });
        }
    }

    fn lame_duck(&self) {
        let mut first = false;
        self.state.send_if_modified(|state| {
            first = !std::mem::replace(&mut state.lame_duck, true);
            first
        });
        let (true, Some(client)) = (first, self.client.get().cloned()) else {
            return;
        };
        tokio::spawn(async move {
            let servers = client.server_pool().await.map_or(0, |pool| pool.len());
            if servers < 2 {
                tracing::warn!(
                    "the NATS server is going down and no other is known; staying to the end"
                );
                return;
            }
            let wait = jitter(MOVE_WITHIN);
            tracing::warn!(?wait, "the NATS server is going down; moving to another");
            tokio::time::sleep(wait).await;
            // A reconnect drops what is still in the write buffer.
            if client.flush().await.is_ok() {
                let _ = client.force_reconnect().await;
            }
        });
    }
}

/// Ends the link when the client drops its event callback, which is the last thing that it does.
pub(super) struct EndOfEvents(pub(super) Arc<Link>);

impl Drop for EndOfEvents {
    fn drop(&mut self) {
        // A first connection that failed drops its callback as well.
        if self.0.is_attached() {
            self.0.ended();
        }
    }
}

/// Lets one line through per [`LOG_EVERY`].
#[derive(Debug, Default)]
struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn due(&self) -> bool {
        let mut last = lock(&self.0);
        let due = last.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    fn reset(&self) {
        *lock(&self.0) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each value is replaced whole: a panic elsewhere cannot have left half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
