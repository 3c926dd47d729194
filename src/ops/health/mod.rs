//! Health, readiness and liveness, derived from the parts.
//!
//! A part holds a [`Component`] and says what it is; a loop holds a [`Progress`] and beats.
//! Readiness is never set: it follows from the required components, the end of the start-up
//! and the drain. Liveness is progress: a loop that has not beaten within its limit makes
//! it fail, and is named. A part that ends takes its component down with it.

mod report;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

pub use report::{ComponentReport, HealthReport, LoopReport};

/// The condition of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It works.
    Up,
    /// It works, but not as it should.
    Degraded,
    /// It does not work.
    Down,
}

/// The health of the whole process. A cheap handle: clones share everything.
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    origin: Instant,
    parts: Mutex<Parts>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct Parts {
    started: bool,
    draining: bool,
    components: Vec<Part>,
    loops: Vec<Arc<Loop>>,
}

struct Part {
    name: &'static str,
    required: bool,
    condition: Condition,
    detail: String,
    since: Instant,
    /// The handle that may report for it: a component registered again under the same name replaces
    /// the earlier one, whose late `drop` must not take it down.
    handle: u64,
}

struct Loop {
    name: String,
    limit: Duration,
    busy: AtomicBool,
    /// Nanoseconds after the origin.
    beat: AtomicU64,
}

impl Parts {
    /// The reasons why the process is not ready; empty when it is.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.started {
            missing.push("start-up has not finished".to_owned());
        }
        if self.draining {
            missing.push("draining".to_owned());
        }
        let down = |part: &&Part| part.required && part.condition == Condition::Down;
        for part in self.components.iter().filter(down) {
            missing.push(format!("{}: {}", part.name, part.detail));
        }
        missing
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// No parts yet, start-up not finished, so not ready.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            origin: Instant::now(),
            parts: Mutex::default(),
            ready: watch::Sender::new(false),
        }))
    }

    /// A component, down until its part says otherwise. Dropping the handle takes it down.
    /// One of the same name that is already there is replaced.
    #[must_use = "a dropped component is down"]
    pub fn component(&self, name: &'static str, required_for_ready: bool) -> Component {
        let handle = self.change(|parts| {
            let at = parts.components.iter().position(|part| part.name == name);
            let handle = at.map_or(0, |at| parts.components[at].handle + 1);
            let part = Part {
                name,
                required: required_for_ready,
                condition: Condition::Down,
                detail: "not started".to_owned(),
                since: Instant::now(),
                handle,
            };
            match at {
                Some(at) => parts.components[at] = part,
                None => parts.components.push(part),
            }
            handle
        });
        Component {
            health: self.clone(),
            name,
            handle,
        }
    }

    /// A loop that has to beat at least once per `limit`, waiting or not. One of the same
    /// name that is already there is replaced.
    ///
    /// A loop that ends in order drops its handle and is forgotten. One that panics is not:
    /// it no longer beats, so it fails liveness once its limit has passed, unless it was
    /// started again by then.
    #[must_use = "a dropped loop is not watched"]
    pub fn progress(&self, name: impl Into<String>, limit: Duration) -> Progress {
        let watched = Arc::new(Loop {
            name: name.into(),
            limit,
            busy: AtomicBool::new(false),
            beat: AtomicU64::new(self.0.now()),
        });
        let mut parts = self.0.parts();
        parts.loops.retain(|other| other.name != watched.name);
        parts.loops.push(Arc::clone(&watched));
        drop(parts);
        Progress {
            health: self.clone(),
            watched,
        }
    }

    /// Start-up has finished.
    pub fn started(&self) {
        self.change(|parts| parts.started = true);
    }

    /// The drain has begun: never ready again.
    pub fn draining(&self) {
        self.change(|parts| parts.draining = true);
    }

    /// Returns true if [`Self::started`] was called.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.0.parts().started
    }

    /// Returns true if [`Self::draining`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.parts().draining
    }

    /// Returns true if every required component is up (or degraded), start-up has finished and no
    /// drain has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// The reasons why the process is not ready; empty when it is.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.0.parts().missing()
    }

    /// The loops that have not beaten within their limit; none while the process is live.
    #[must_use]
    pub fn stalled(&self) -> Vec<String> {
        let now = self.0.now();
        let parts = self.0.parts();
        let stalled = parts.loops.iter().filter(|watched| watched.stalled(now));
        stalled.map(|watched| watched.complaint(now)).collect()
    }

    /// The loops that have not beaten for `limit`, nor within their own limit.
    #[must_use]
    pub fn silent(&self, limit: Duration) -> Vec<String> {
        let now = self.0.now();
        let parts = self.0.parts();
        let silent = |watched: &&Arc<Loop>| watched.stalled(now) && watched.silent(now) > limit;
        let found = parts.loops.iter().filter(silent);
        found.map(|watched| watched.complaint(now)).collect()
    }

    /// Waits until the process is ready.
    pub async fn wait_ready(&self) {
        // the sender lives in `self`, so the wait cannot fail
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Follows readiness.
    #[must_use]
    pub fn watch_ready(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// Everything, for people and machines.
    #[must_use]
    pub fn report(&self) -> HealthReport {
        let now = self.0.now();
        let parts = self.0.parts();
        let missing = parts.missing();
        let loops: Vec<LoopReport> = parts.loops.iter().map(|w| w.report(now)).collect();
        let live = !loops.iter().any(|watched| watched.stalled);
        let broken = |part: &Part| part.required && part.condition == Condition::Down;
        let condition = if !live || parts.components.iter().any(broken) {
            Condition::Down
        } else if parts
            .components
            .iter()
            .any(|p| p.condition != Condition::Up)
        {
            Condition::Degraded
        } else {
            Condition::Up
        };
        HealthReport {
            condition,
            live,
            ready: missing.is_empty(),
            started: parts.started,
            draining: parts.draining,
            missing,
            components: parts.components.iter().map(Part::report).collect(),
            loops,
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Parts) -> T) -> T {
        let mut parts = self.0.parts();
        let changed = change(&mut parts);
        let ready = parts.missing().is_empty();
        // still under the lock: of two changes the later one must have the last word
        self.0.ready.send_if_modified(|was| {
            let modified = *was != ready;
            *was = ready;
            modified
        });
        changed
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.report(), f)
    }
}

impl Shared {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Part {
    fn report(&self) -> ComponentReport {
        ComponentReport {
            name: self.name,
            condition: self.condition,
            required: self.required,
            detail: self.detail.clone(),
            since_seconds: self.since.elapsed().as_secs_f64(),
        }
    }
}

impl Loop {
    fn silent(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.beat.load(Ordering::Relaxed)))
    }

    fn stalled(&self, now: u64) -> bool {
        self.silent(now) > self.limit
    }

    fn complaint(&self, now: u64) -> String {
        let doing = if self.busy.load(Ordering::Relaxed) {
            "busy"
        } else {
            "waiting"
        };
        format!(
            "{}: no progress for {:.1} s ({doing}); its limit is {:.1} s",
            self.name,
            self.silent(now).as_secs_f64(),
            self.limit.as_secs_f64()
        )
    }

    fn report(&self, now: u64) -> LoopReport {
        LoopReport {
            name: self.name.clone(),
            stalled: self.stalled(now),
            busy: self.busy.load(Ordering::Relaxed),
            silent_seconds: self.silent(now).as_secs_f64(),
            limit_seconds: self.limit.as_secs_f64(),
        }
    }
}

/// The voice of one part. The last thing said holds.
#[derive(Debug)]
pub struct Component {
    health: Health,
    name: &'static str,
    handle: u64,
}

impl Component {
    /// The part works.
    pub fn up(&self, detail: impl Into<String>) {
        self.set(Condition::Up, detail.into());
    }

    /// The part works, but not as it should.
    pub fn degraded(&self, detail: impl Into<String>) {
        self.set(Condition::Degraded, detail.into());
    }

    /// The part does not work.
    pub fn down(&self, detail: impl Into<String>) {
        self.set(Condition::Down, detail.into());
    }

    fn set(&self, condition: Condition, detail: String) {
        self.health.change(|parts| {
            let own = |part: &&mut Part| part.name == self.name && part.handle == self.handle;
            if let Some(part) = parts.components.iter_mut().find(own) {
                if part.condition != condition {
                    part.condition = condition;
                    part.since = Instant::now();
                }
                part.detail = detail;
            }
        });
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.set(Condition::Down, "ended".to_owned());
    }
}

/// The pulse of one loop.
#[derive(Debug)]
pub struct Progress {
    health: Health,
    watched: Arc<Loop>,
}

impl Progress {
    /// The loop got somewhere: one clock reading and one store.
    pub fn beat(&self) {
        let now = self.health.0.now();
        self.watched.beat.store(now, Ordering::Relaxed);
    }

    /// The loop begins to work; a beat.
    pub fn busy(&self) {
        self.watched.busy.store(true, Ordering::Relaxed);
        self.beat();
    }

    /// The loop begins to wait; a beat. It still has to beat within its limit, on a tick of
    /// its own: a wait that never ends is what a stall looks like.
    pub fn idle(&self) {
        self.watched.busy.store(false, Ordering::Relaxed);
        self.beat();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let mut parts = self.health.0.parts();
            parts.loops.retain(|w| !Arc::ptr_eq(w, &self.watched));
        }
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests;
