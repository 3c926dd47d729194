//! The delivery of each member of the group: announces this member's and receives the others'.
//!
//! Members of both kinds of delivery share one subject of plain NATS. So a member in core delivery
//! finds durable members, and members of different JetStreams find each other. [`Census`] decides
//! who must wait. If the group has a secret, announcements are sealed with it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap, Subject, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::drain::round_trip;
use super::guard::Guard;
use super::link::Link;
use crate::config::{Config, Delivery};
use crate::group::{Announcement, Census, Home, MemberId, Place, Purpose, Way};
use crate::wire::token;

/// Between two announcements.
const EVERY: Duration = Duration::from_secs(1);
/// The time that others get to answer a newcomer, besides three round trips.
const SETTLE: Duration = Duration::from_millis(100);
/// For the server to answer, before a newcomer goes on without having heard others.
const ANSWER: Duration = Duration::from_secs(2);
const VERSION: u32 = 1;
const SAID: Place<'static> = Place {
    purpose: Purpose::Delivery,
    names: &[],
};

/// This member's announcements, and those it has heard.
pub struct Deliveries {
    client: Client,
    link: Arc<Link>,
    subject: Subject,
    started: Instant,
    guard: OnceLock<Guard>,
    state: Mutex<State>,
    /// Something is to be announced at once.
    changed: Notify,
}

struct State {
    me: Announcement,
    at_work: Option<Instant>,
    census: Census,
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl Deliveries {
    /// For the member `id`; nothing is said or heard before [`super::Setup::announce`].
    #[must_use]
    pub fn new(client: &Client, link: &Arc<Link>, config: &Config, id: &str) -> Arc<Self> {
        let me = Announcement {
            version: VERSION,
            id: MemberId::new(id),
            agent: config.agent_name.clone(),
            way: match config.delivery {
                Delivery::Durable => Way::Durable(home(client, config, None)),
                Delivery::Core | Delivery::Auto => Way::Core,
            },
            at_work_ms: None,
            hello: false,
            gone: false,
        };
        let subject = format!("agents.technical.group.{}.delivery", token(&config.group));
        Arc::new(Self {
            client: client.clone(),
            link: Arc::clone(link),
            subject: subject.into(),
            started: Instant::now(),
            guard: OnceLock::new(),
            state: Mutex::new(State {
                me,
                at_work: None,
                census: Census::default(),
            }),
            changed: Notify::new(),
        })
    }

    /// Announces this member and listens from now on; returns when the others have had time to answer.
    ///
    /// A user that may not listen works without: what others do is then not known.
    pub(super) async fn start(self: &Arc<Self>, guard: impl FnOnce() -> Guard) {
        let _ = self.guard.get_or_init(guard);
        let heard = match self.client.subscribe(self.subject.clone()).await {
            Ok(heard) => heard,
            Err(error) => {
                tracing::debug!(%error, "cannot subscribe to the deliveries of other members");
                return;
            }
        };
        let hello = Announcement {
            hello: true,
            ..self.state().announcement()
        };
        self.send(&hello).await;
        tokio::spawn(Arc::clone(self).run(heard));
        let asked = Instant::now();
        let deadline = tokio::time::Instant::now() + ANSWER;
        // the subscription and the first announcement are at the server then
        let _ = round_trip(&self.client, &self.link, deadline).await;
        sleep(SETTLE + 3 * asked.elapsed().min(ANSWER)).await;
    }

    /// This member is to deliver so, and does not work yet.
    pub fn propose(&self, way: Way) {
        let mut state = self.state();
        let changed = state.me.way != way || state.at_work.is_some();
        state.me.way = way;
        state.at_work = None;
        drop(state);
        if changed {
            self.changed.notify_one();
        }
    }

    /// This member works, in this way.
    pub fn at_work(&self, way: Way) {
        let mut state = self.state();
        state.me.way = way;
        state.at_work.get_or_insert_with(Instant::now);
        drop(state);
        self.changed.notify_one();
    }

    /// The reason why this member must not work in the way that it announces, and what to do about
    /// it.
    #[must_use]
    pub fn objection(&self) -> Option<String> {
        let now = self.started.elapsed();
        let mut state = self.state();
        let me = state.announcement();
        state.census.objection(now, &me)
    }

    /// [`Self::objection`] for this delivery, for a member that does not work yet.
    #[must_use]
    pub fn objection_to(&self, way: &Way) -> Option<String> {
        let now = self.started.elapsed();
        let mut state = self.state();
        let me = Announcement {
            way: way.clone(),
            at_work_ms: None,
            ..state.me.clone()
        };
        state.census.objection(now, &me)
    }

    /// Says farewell, so that nobody waits for this member to fall silent.
    pub async fn leave(&self) {
        let farewell = {
            let mut state = self.state();
            state.me.gone = true;
            state.announcement()
        };
        self.send(&farewell).await;
    }

    async fn run(self: Arc<Self>, mut heard: Subscriber) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut link = self.link.watch();
        loop {
            let hello = tokio::select! {
                message = heard.next() => match message {
                    Some(message) => {
                        self.on_message(&message);
                        continue;
                    }
                    None => return,
                },
                _ = ticks.tick() => false,
                () = self.changed.notified() => false,
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    true
                }
            };
            let said = Announcement {
                hello,
                ..self.state().announcement()
            };
            self.send(&said).await;
        }
    }

    fn on_message(&self, message: &async_nats::Message) {
        let guard = self.guard.get();
        if guard.is_some_and(|g| !g.admits(SAID, message.headers.as_ref(), &message.payload)) {
            return;
        }
        let said: Announcement = match serde_json::from_slice(&message.payload) {
            Ok(said) => said,
            Err(error) => {
                tracing::debug!(%error, "the announcement of a member cannot be read");
                return;
            }
        };
        let mut state = self.state();
        if said.id == state.me.id {
            return;
        }
        if said.hello && !said.gone {
            self.changed.notify_one();
        }
        state.census.record(self.started.elapsed(), said);
    }

    async fn send(&self, said: &Announcement) {
        let payload = match serde_json::to_vec(said) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(%error, "the delivery of this member cannot be announced");
                return;
            }
        };
        let mut headers = HeaderMap::new();
        if let Some(guard) = self.guard.get() {
            guard.seal(&mut headers, SAID, &payload);
        }
        let subject = self.subject.clone();
        let sent = self
            .client
            .publish_with_headers(subject, headers, payload.into());
        // while the connection is down there is nobody to tell
        if let Ok(Err(error)) = timeout(EVERY, sent).await {
            tracing::debug!(%error, "the delivery of this member cannot be announced");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // each value is replaced whole
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn announcement(&self) -> Announcement {
        let ms = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Announcement {
            at_work_ms: self.at_work.map(ms),
            ..self.me.clone()
        }
    }
}

/// The place of this configuration's table in durable delivery, and of its bars.
#[must_use]
pub fn home(client: &Client, config: &Config, table: Option<String>) -> Home {
    let durable = &config.durable;
    let mut subjects: Vec<String> = config.subjects.iter().map(ToString::to_string).collect();
    subjects.sort();
    let domain = config.nats.jetstream.domain().map(str::to_owned);
    Home {
        table,
        signals_stream: durable.signals_stream.clone(),
        bars_stream: durable.bars_stream.clone(),
        input_stream: durable.input_stream.clone(),
        subjects,
        domain: domain.or_else(|| client.server_info().domain),
    }
}
