//! The guard at the door of the group: seals what this member says, and drops what nobody of the
//! group has said.
//!
//! A dropped message is counted, logged once in a while, and degrades health for a minute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::header::{HeaderName, HeaderValue};

use crate::config::Config;
use crate::group::{Counters, Forgery, Keyring, Place, Purpose, Signed};
use crate::ops::health::{Component, Health};
use crate::ops::logs::Throttle;
use crate::ops::metrics::Metrics;

/// The header that carries a seal.
pub(in crate::bus) const SEAL: &str = "Ta-Seal";
static SEAL_NAME: HeaderName = HeaderName::from_static(SEAL);

/// The time that a forgery affects health.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The interval of log lines about each kind of forgery.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Signs and verifies for this run of the process.
pub(in crate::bus) struct Guard {
    keyring: Keyring,
    me: String,
    counter: AtomicU64,
    metrics: Arc<Metrics>,
    seen: Mutex<Seen>,
}

struct Seen {
    counters: Counters,
    throttle: Throttle<(Purpose, Forgery)>,
    latest: Option<(Instant, String)>,
    /// Only where there is something to verify with.
    component: Option<Component>,
}

impl Guard {
    /// The guard of the member that runs as `instance`.
    pub fn new(config: &Config, instance: &str, health: &Health, metrics: &Arc<Metrics>) -> Self {
        let secrets = config.group_secrets.iter().map(|secret| secret.reveal());
        let keyring = Keyring::new(&config.group, secrets);
        let component = keyring.verifies().then(|| {
            let component = health.component("group-secret", false);
            component.up(NOTHING_FORGED);
            component
        });
        Self {
            keyring,
            me: instance.to_owned(),
            counter: AtomicU64::new(0),
            metrics: Arc::clone(metrics),
            seen: Mutex::new(Seen {
                counters: Counters::default(),
                throttle: Throttle::new(LOG_EVERY),
                latest: None,
                component,
            }),
        }
    }

    /// Returns whether forged content can be told from genuine content.
    pub const fn verifies(&self) -> bool {
        self.keyring.verifies()
    }

    /// Adds the seal of `content` to `headers`, if this member signs. Each call counts up.
    pub fn seal(&self, headers: &mut HeaderMap, place: Place<'_>, content: &[u8]) {
        let counter = 1 + self.counter.fetch_add(1, Ordering::Relaxed);
        self.seal_at(headers, place, counter, content);
    }

    /// [`Self::seal`] with a counter that belongs to the place.
    pub fn seal_at(&self, headers: &mut HeaderMap, place: Place<'_>, counter: u64, content: &[u8]) {
        if let Some(seal) = self.keyring.seal(place, &self.me, counter, content) {
            headers.insert(SEAL_NAME.clone(), seal);
        }
    }

    /// True if a message for `place` was said by a member and is new. One that was not is counted
    /// and logged.
    pub fn admits(&self, place: Place<'_>, headers: Option<&HeaderMap>, content: &[u8]) -> bool {
        let judged = self.verify(place, headers, content).and_then(|signed| {
            signed.map_or(Ok(()), |signed| {
                self.seen().counters.advance(place.purpose, &signed)
            })
        });
        judged
            .map_err(|forgery| self.report(place.purpose, forgery))
            .is_ok()
    }

    /// Verifies without a look at the counter, and reports nothing.
    pub fn verify(
        &self,
        place: Place<'_>,
        headers: Option<&HeaderMap>,
        content: &[u8],
    ) -> Result<Option<Signed>, Forgery> {
        let seal = headers.and_then(|headers| headers.get(SEAL_NAME.clone()));
        self.keyring
            .verify(place, seal.map(HeaderValue::as_str), content)
    }

    /// Counts a forgery, and says so.
    pub fn report(&self, purpose: Purpose, forgery: Forgery) {
        self.metrics.group_forgeries.inc();
        let mut seen = self.seen();
        let now = Instant::now();
        seen.latest = Some((now, format!("a forged {}: {forgery}", purpose.name())));
        if let Some(count) = seen.throttle.allow((purpose, forgery), now) {
            log(purpose, forgery, count);
        }
    }

    /// Brings health up to date, and logs what was held back. To be called now and then.
    pub fn tell(&self) {
        let mut seen = self.seen();
        let now = Instant::now();
        for ((purpose, forgery), count) in seen.throttle.due(now) {
            log(purpose, forgery, count);
        }
        let over = |(at, _): &(Instant, String)| now.saturating_duration_since(*at) > REMEMBERED;
        if seen.latest.as_ref().is_some_and(over) {
            seen.latest = None;
        }
        let Some(component) = &seen.component else {
            return;
        };
        match &seen.latest {
            Some((_, what)) => component.degraded(format!(
                "{what}; either somebody forges messages of the group, or members differ in \
                 TECHNICAL_GROUP_SECRET"
            )),
            None => component.up(NOTHING_FORGED),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NOTHING_FORGED: &str = "messages and records of the group are verified";

fn log(purpose: Purpose, forgery: Forgery, count: u64) {
    tracing::warn!(
        what = purpose.name(),
        reason = %forgery,
        count,
        "a forged message or record of the group was ignored; if nobody forges any, members \
         differ in TECHNICAL_GROUP_SECRET"
    );
}
