//! Faults that are built in on purpose, to see that the judge of durable delivery finds them.
//!
//! Only debug builds have them, and only where the environment asks for one. What they take away
//! is what the promise rests on: without it the same schedule must lose or double signals, or
//! else the tests that find none prove nothing.

use std::sync::OnceLock;

/// Asks for a fault; no setting of the agent, and unknown to its configuration.
const VARIABLE: &str = "TA_SABOTAGE";

/// What is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sabotage {
    /// A commit does not depend on the marker that it replaces, and takes its time.
    pub fence: bool,
    /// A start does not look at the marker, only at the checkpoint.
    pub marker: bool,
}

impl Sabotage {
    const fn none() -> Self {
        Self {
            fence: false,
            marker: false,
        }
    }

    /// Named in the environment: `no-fence`, `no-marker`, or `message-id-only`, which is both.
    fn named(name: &str) -> Self {
        Self {
            fence: matches!(name, "no-fence" | "message-id-only"),
            marker: matches!(name, "no-marker" | "message-id-only"),
        }
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
            tracing::warn!(
                name,
                "sabotaged on purpose: signals will be lost or come twice"
            );
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
            let Sabotage { fence, marker } = Sabotage::named(name);
            (fence, marker)
        };
        assert_eq!(taken(""), (false, false));
        assert_eq!(taken("no-fence"), (true, false));
        assert_eq!(taken("no-marker"), (false, true));
        assert_eq!(taken("message-id-only"), (true, true));
        assert_eq!(Sabotage::named("yes"), Sabotage::none());
    }
}
