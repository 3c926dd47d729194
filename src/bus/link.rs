//! The state of the connection, at any moment, without a request to the server.
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

mod denials;
mod drops;
mod last_error;
mod line;
mod server;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ClientError, Event, ReconnectToServer, Server};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::jitter;
use super::dial::Dialler;
use super::permissions::Denial;
use crate::config::NatsConfig;
use denials::Denials;
use drops::Drops;
use last_error::{Failure, LastError};
use line::LineThrottle;
pub use server::ServerView;

/// A server in lame-duck mode leaves its clients at least 10 s by default.
const MOVE_WITHIN: Duration = Duration::from_secs(2);

/// The part of the state that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkState {
    /// True if a server is connected.
    pub connected: bool,
    /// True if the connection has ended for good.
    pub closed: bool,
    /// True if the server has announced that it is going down.
    pub lame_duck: bool,
}

/// The state that a caller of [`Link::changed`] has seen.
#[derive(Debug)]
pub struct Seen {
    state: watch::Receiver<LinkState>,
    error: watch::Receiver<Option<Failure>>,
}

/// The observed state of one connection.
#[derive(Debug)]
pub struct Link {
    state: watch::Sender<LinkState>,
    client: OnceLock<Client>,
    dialler: Dialler,
    drops: Arc<Drops>,
    last_error: LastError,
    denials: Denials,
    outage_line: LineThrottle,
    refusal_line: LineThrottle,
    server_error_line: LineThrottle,
    loss_logged: AtomicBool,
    server_error: watch::Sender<Option<String>>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(LinkState::default()),
            client: OnceLock::new(),
            dialler: Dialler::default(),
            drops: Arc::default(),
            last_error: LastError::default(),
            denials: Denials::default(),
            outage_line: LineThrottle::default(),
            refusal_line: LineThrottle::default(),
            server_error_line: LineThrottle::default(),
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

    /// Returns true if a server is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().connected
    }

    /// The connection's client; none before the first connect.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.client.get().cloned()
    }

    /// Reconnects since the start.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.client.get().map_or(0, |client| {
            let connects = client.statistics().connects.load(Ordering::Relaxed);
            connects.saturating_sub(1)
        })
    }

    /// The number of times that a message was dropped because its subscription's channel was full;
    /// a lower bound (see the module).
    #[must_use]
    pub fn slow_consumer_events(&self) -> u64 {
        self.drops.total()
    }

    /// The last thing that went wrong; none since it went right again.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.text()
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
        Some(ServerView::new(info, self.dialler.dialled()))
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

    /// The output of `asking`; `None` when the connection is lost or made meanwhile: the answer
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
        self.last_error.set(text);
    }

    /// A server has let us in: what went wrong before is over.
    fn let_in(&self) {
        self.dialler.accepted();
        self.last_error.clear();
    }

    /// Returns true if a line about a failing connection is due, so that retries do not flood the
    /// log.
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
            Event::SlowConsumer(_) => {
                self.compare_with_client();
                self.drops.note();
            }
            Event::Closed => self.ended(),
            Event::Draining => tracing::debug!("draining the NATS connection"),
            Event::ServerError(error) => {
                let text = error.to_string();
                match Denial::parse(&text) {
                    // it comes for each message, and is told of once
                    Some(denial) => self.denials.note(denial),
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

    /// The denials of this connection, as far as they are known to hold still. Forgotten at a
    /// reconnect, which asks for everything again.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        self.denials.held()
    }

    /// Forgets what was denied, before it is tried again. An inbox stays denied until the next
    /// connection: the client subscribes to it once, so the server does not refuse it again, and
    /// no answer comes.
    pub(super) fn forget_denials(&self) {
        self.denials.forget();
        self.server_error.send_replace(None);
    }

    /// Forgets those of `which` that were denied before `at`, the time of the latest try.
    pub(super) fn forget_denials_before(&self, at: Instant, which: impl Fn(&Denial) -> bool) {
        self.denials.forget_before(at, which);
    }

    /// Forgets that signals and what goes with them were denied: they have been stored since.
    pub(super) fn signals_are_stored(&self) {
        self.denials.signals_are_stored();
    }

    fn connected(&self) {
        self.denials.clear();
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
        self.last_error.keep_farewell();
        let was = self.state.send_replace(LinkState::default());
        if was.connected && self.outage_line.due() {
            self.loss_logged.store(true, Ordering::Release);
            tracing::warn!("the NATS connection is lost; reconnecting until it succeeds");
        }
    }

    fn attempt_failed(&self, error: &ClientError) {
        let text = error.to_string();
        if text.contains("authorization") {
            if self.refusal_line.due() {
                tracing::error!(
                    "the NATS server refuses our credentials; reconnecting until it accepts them"
                );
            }
        } else if self.outage_line.due() {
            tracing::warn!(error = %text, "NATS is still unreachable; reconnecting until it succeeds");
        }
        // the event has the kind of the error only; `next` may have found the cause already
        let kind = text.trim_start_matches("nats: ");
        let known = self.last_error();
        if !known.is_some_and(|known| known.contains(kind)) {
            self.failed(text);
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
                    "the NATS server is going down and no other is known; staying connected until it stops"
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

#[cfg(test)]
mod tests;
