//! The permissions that the server has denied to this connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::line::lock;
use crate::bus::permissions::{Denial, Operation};

/// Denials remembered at most.
const MAX_DENIALS: usize = 32;
/// A denial that does not come again within this may have been lifted; a subscription is asked for
/// once.
const DENIAL_HOLDS: Duration = Duration::from_secs(30);

/// Denials, and when each last came.
#[derive(Debug, Default)]
pub(super) struct Denials {
    held: Mutex<BTreeMap<Denial, Instant>>,
    /// Denials that the log has named.
    logged: Mutex<BTreeSet<String>>,
}

impl Denials {
    /// The denials that are known to hold still.
    pub fn held(&self) -> Vec<Denial> {
        let holds = |(denial, at): &(&Denial, &Instant)| {
            denial.operation == Operation::Subscribe || at.elapsed() < DENIAL_HOLDS
        };
        let denials = lock(&self.held);
        let held = denials.iter().filter(holds);
        held.map(|(denial, _)| denial.clone()).collect()
    }

    /// Forgets everything: the connection is another one.
    pub fn clear(&self) {
        lock(&self.held).clear();
    }

    /// Forgets everything that this connection can be denied again.
    pub fn forget(&self) {
        lock(&self.held).retain(|denial, _| denial.is_deaf());
    }

    /// Forgets those of `which` that have not come since `at`.
    pub fn forget_before(&self, at: Instant, which: impl Fn(&Denial) -> bool) {
        lock(&self.held).retain(|denial, came| *came >= at || !which(denial));
    }

    /// Forgets the denials of signals and what goes with them.
    pub fn signals_are_stored(&self) {
        let holds = |denial: &Denial| {
            denial.operation == Operation::Subscribe || denial.subject.starts_with('$')
        };
        lock(&self.held).retain(|denial, _| holds(denial));
    }

    /// Remembers a denial, and logs it the first time.
    pub fn note(&self, denial: Denial) {
        let mut held = lock(&self.held);
        let known = held.contains_key(&denial);
        if !known && held.len() >= MAX_DENIALS {
            return;
        }
        let mut logged = lock(&self.logged);
        // a fresh inbox is denied as the one before was
        if logged.len() < MAX_DENIALS && logged.insert(denial.to_string()) {
            tracing::error!(
                "the NATS user lacks a permission: {denial}; allow it in the authorization of the \
                 server (`technical-analysis-agent config --permissions` prints all that are needed)"
            );
        }
        held.insert(denial, Instant::now());
    }
}
