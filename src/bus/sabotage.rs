//! Faults that are built in on purpose, to see what becomes of them. Only debug builds have them,
//! and only where the environment asks for one.
//!
//! Some take away what durable delivery's promise rests on: without it the same schedule must lose
//! or double signals, or else the tests that find none prove nothing. The others are bars that the
//! engine or the worker panics on, of which none is known.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks for a fault; no setting of the agent, and unknown to its configuration.
const VARIABLE: &str = "TA_SABOTAGE";

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sabotage {
    /// A commit does not depend on the marker that it replaces, and takes its time.
    pub fence: bool,
    /// A start does not look at the marker, only at the checkpoint.
    pub marker: bool,
    /// A bar that closes at this price makes the engine panic, when it has taken it in.
    doomed: Option<Doomed>,
    /// A bar that closes at this price makes the thread that took it in stand still for ever.
    standstill: Option<f64>,
    /// After a bar that closes at this price the worker itself panics.
    broken: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Doomed {
    close: f64,
    /// Only the first one in a process.
    once: bool,
}

impl Sabotage {
    const fn none() -> Self {
        Self {
            fence: false,
            marker: false,
            doomed: None,
            standstill: None,
            broken: None,
        }
    }

    /// Named in the environment: `no-fence`, `no-marker`, or `message-id-only`, which is both;
    /// `panic=PRICE`, `panic-once=PRICE`, `standstill=PRICE`, `panic-worker=PRICE`.
    fn named(name: &str) -> Self {
        let doomed = |text: &str, once| text.parse().ok().map(|close| Doomed { close, once });
        Self {
            fence: matches!(name, "no-fence" | "message-id-only"),
            marker: matches!(name, "no-marker" | "message-id-only"),
            doomed: match name.split_once('=') {
                Some(("panic", price)) => doomed(price, false),
                Some(("panic-once", price)) => doomed(price, true),
                _ => None,
            },
            standstill: match name.split_once('=') {
                Some(("standstill", price)) => price.parse().ok(),
                _ => None,
            },
            broken: match name.split_once('=') {
                Some(("panic-worker", price)) => price.parse().ok(),
                _ => None,
            },
        }
    }
}

/// True if the bar after which the worker panics has come.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// Called when the engine has taken in a bar that closes at `close`.
#[allow(clippy::float_cmp)] // a price chosen for it
pub(super) fn after_bar(close: f64) {
    static DONE: AtomicBool = AtomicBool::new(false);
    if sabotage().broken == Some(close) {
        BROKEN.store(true, Ordering::Relaxed);
    }
    if sabotage().standstill == Some(close) {
        loop {
            std::thread::park();
        }
    }
    if let Some(doomed) = sabotage().doomed
        && doomed.close == close
    {
        let before = DONE.swap(true, Ordering::Relaxed);
        assert!(before && doomed.once, "sabotaged on purpose: a bar of doom");
    }
}

/// Called by the loop of the worker, where nothing catches a panic.
pub(super) fn in_worker() {
    if sabotage().broken.is_some() {
        let broken = BROKEN.load(Ordering::Relaxed);
        assert!(!broken, "sabotaged on purpose: a broken worker");
    }
}

/// What is taken away in this process; nothing in a release build.
pub(super) fn sabotage() -> Sabotage {
    static SABOTAGE: OnceLock<Sabotage> = OnceLock::new();
    if !cfg!(debug_assertions) {
        return Sabotage::none();
    }
    *SABOTAGE.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let sabotage = Sabotage::named(&name);
        if sabotage != Sabotage::none() {
            tracing::warn!(name, "sabotaged on purpose");
        }
        sabotage
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_taken_away() {
        let taken = |name| {
            let Sabotage { fence, marker, .. } = Sabotage::named(name);
            (fence, marker)
        };
        assert_eq!(taken(""), (false, false));
        assert_eq!(taken("no-fence"), (true, false));
        assert_eq!(taken("no-marker"), (false, true));
        assert_eq!(taken("message-id-only"), (true, true));
        assert_eq!(Sabotage::named("yes"), Sabotage::none());
        let doomed = |once| Some(Doomed { close: 6.5, once });
        assert_eq!(Sabotage::named("panic=6.5").doomed, doomed(false));
        assert_eq!(Sabotage::named("panic-once=6.5").doomed, doomed(true));
        assert_eq!(Sabotage::named("panic=yes"), Sabotage::none());
        assert_eq!(Sabotage::named("standstill=6.5").standstill, Some(6.5));
        assert_eq!(Sabotage::named("panic-worker=6.5").broken, Some(6.5));
    }
}
