//! The failpoints of a build that has them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets a failpoint; no setting of the agent, and unknown to its configuration.
const VARIABLE: &str = "TA_FAILPOINT";

/// A fault of this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Failpoint {
    /// A commit does not depend on the marker that it replaces, and takes its time.
    no_fence: bool,
    /// A start does not look at the marker, only at the checkpoint.
    no_marker: bool,
    /// Time marks in the input are passed over.
    no_time_marks: bool,
    /// Corrections are not carried up to derived bars.
    no_upward_corrections: bool,
    /// A bar that closes at this price makes the engine panic, when it has taken it in.
    panic: Option<Panic>,
    /// A bar that closes at this price makes the thread that took it in stand still for ever.
    standstill: Option<f64>,
    /// After a bar that closes at this price the worker itself panics.
    panic_worker: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Panic {
    close: f64,
    /// Only the first one in a process.
    once: bool,
}

impl Failpoint {
    /// Reads `no-fence`, `no-marker`, or `message-id-only`, which is both; `no-time-marks`;
    /// `no-upward-corrections`; `panic=PRICE`, `panic-once=PRICE`, `standstill=PRICE`,
    /// `panic-worker=PRICE`. Anything else sets none.
    fn named(name: &str) -> Self {
        let mut failpoint = Self {
            no_fence: matches!(name, "no-fence" | "message-id-only"),
            no_marker: matches!(name, "no-marker" | "message-id-only"),
            no_time_marks: name == "no-time-marks",
            no_upward_corrections: name == "no-upward-corrections",
            ..Self::default()
        };
        if let Some((name, price)) = name.split_once('=')
            && let Ok(close) = price.parse()
        {
            match name {
                "panic" => failpoint.panic = Some(Panic { close, once: false }),
                "panic-once" => failpoint.panic = Some(Panic { close, once: true }),
                "standstill" => failpoint.standstill = Some(close),
                "panic-worker" => failpoint.panic_worker = Some(close),
                _ => {}
            }
        }
        failpoint
    }
}

/// True if the bar after which the worker panics has come.
static WORKER_PANICS: AtomicBool = AtomicBool::new(false);

/// The failpoint of this process; logs it when it is first asked for.
fn failpoint() -> Failpoint {
    static FAILPOINT: OnceLock<Failpoint> = OnceLock::new();
    *FAILPOINT.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let failpoint = Failpoint::named(&name);
        if failpoint != Failpoint::default() {
            tracing::warn!(name, "a failpoint is set");
        }
        failpoint
    })
}

/// Logs the failpoint, if there is one, before it has an effect.
pub(crate) fn announce() {
    failpoint();
}

/// True if commits are not to be fenced.
pub(crate) fn skips_fence() -> bool {
    failpoint().no_fence
}

/// True if markers are not to be looked at.
pub(crate) fn skips_marker() -> bool {
    failpoint().no_marker
}

/// True if time marks in the input are to be passed over.
pub(crate) fn ignores_time_marks() -> bool {
    failpoint().no_time_marks
}

/// True if corrections are not to be carried up to derived bars.
pub(crate) fn keeps_corrections_down() -> bool {
    failpoint().no_upward_corrections
}

/// Called when the engine has taken in a bar that closes at `close`.
#[allow(clippy::float_cmp)] // a price chosen for it
pub(crate) fn after_bar(close: f64) {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let failpoint = failpoint();
    if failpoint.panic_worker == Some(close) {
        WORKER_PANICS.store(true, Ordering::Relaxed);
    }
    if failpoint.standstill == Some(close) {
        loop {
            std::thread::park();
        }
    }
    if let Some(panic) = failpoint.panic
        && panic.close == close
    {
        let before = PANICKED.swap(true, Ordering::Relaxed);
        assert!(
            before && panic.once,
            "failpoint: the engine panics on this bar"
        );
    }
}

/// Called by the loop of the worker, where nothing catches a panic.
pub(crate) fn in_worker() {
    if failpoint().panic_worker.is_some() {
        let panics = WORKER_PANICS.load(Ordering::Relaxed);
        assert!(!panics, "failpoint: the worker panics");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_set() {
        let taken_away = |name| {
            let set = Failpoint::named(name);
            (set.no_fence, set.no_marker)
        };
        assert_eq!(taken_away(""), (false, false));
        assert_eq!(taken_away("no-fence"), (true, false));
        assert_eq!(taken_away("no-marker"), (false, true));
        assert_eq!(taken_away("message-id-only"), (true, true));
        assert_eq!(Failpoint::named("yes"), Failpoint::default());
        assert!(Failpoint::named("no-time-marks").no_time_marks);
        assert!(Failpoint::named("no-upward-corrections").no_upward_corrections);
        let panic = |once| Some(Panic { close: 6.5, once });
        assert_eq!(Failpoint::named("panic=6.5").panic, panic(false));
        assert_eq!(Failpoint::named("panic-once=6.5").panic, panic(true));
        assert_eq!(Failpoint::named("panic=yes"), Failpoint::default());
        assert_eq!(Failpoint::named("standstill=6.5").standstill, Some(6.5));
        assert_eq!(Failpoint::named("panic-worker=6.5").panic_worker, Some(6.5));
    }
}
