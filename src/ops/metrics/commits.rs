//! Metrics of the commits of durable delivery: size, duration, refusals.
//!
//! Each commit is counted once, whole, which costs three atomics per batch and nothing per bar.
//! Core delivery has no commits, and [`Commits::is_begun`] returns false there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, Registry};

use super::{histogram, labelled_counter};

/// Messages, up to what the server takes in one batch.
const MESSAGES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0,
];
/// In seconds, up to the time that an answer is waited for.
const SECONDS: &[f64] = &[
    5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// One batch that was stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Commit {
    /// Signals, dead letters and markers.
    pub messages: u64,
    /// From handing it to the client to the server's answer.
    pub took: Duration,
}

/// The reason why a batch was not stored, or is not known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another member has committed since.
    Fenced,
    /// The server says no.
    Refused,
    /// The server says nothing, or it was not reached.
    Failed,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::Fenced, Self::Refused, Self::Failed];

    /// The value of the label `reason`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// All commits of the process.
#[derive(Debug)]
pub struct Commits {
    begun: AtomicBool,
    messages: Histogram,
    seconds: Histogram,
    refused: IntCounterVec,
    last: Mutex<Option<Commit>>,
}

impl Commits {
    pub(super) fn new(r: &Registry) -> Self {
        Self {
            begun: AtomicBool::new(false),
            messages: histogram(
                r,
                "commit_messages",
                "Messages (signals, dead letters, markers) stored by one atomic commit.",
                MESSAGES,
            ),
            seconds: histogram(
                r,
                "commit_seconds",
                "Seconds from handing a commit to the NATS client to the server's answer that it is stored.",
                SECONDS,
            ),
            refused: labelled_counter(
                r,
                "commits_refused_total",
                "Commits that were not stored: fenced (another member has committed since), refused by the server, or failed (no answer; it may be stored).",
                "reason",
                &Refusal::ALL.map(Refusal::name),
            ),
            last: Mutex::new(None),
        }
    }

    /// There will be commits: delivery is durable.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Returns true if the process commits.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// A batch is stored.
    pub fn stored(&self, commit: Commit) {
        #[allow(clippy::cast_precision_loss)] // a batch has at most a thousand
        self.messages.observe(commit.messages as f64);
        self.seconds.observe(commit.took.as_secs_f64());
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit);
    }

    /// A batch is not stored, or not known to be.
    pub fn refused(&self, why: Refusal) {
        self.refused.with_label_values(&[why.name()]).inc();
    }

    /// Batches stored so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.messages.get_sample_count()
    }

    /// Messages in them.
    #[must_use]
    pub fn messages(&self) -> u64 {
        // a sum of counts, exact as a double far beyond what is ever stored
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let messages = self.messages.get_sample_sum() as u64;
        messages
    }

    /// Seconds they took.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds.get_sample_sum()
    }

    /// The last that was stored.
    #[must_use]
    pub fn last(&self) -> Option<Commit> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Batches not stored for this reason.
    #[must_use]
    pub fn refusals(&self, why: Refusal) -> u64 {
        self.refused.with_label_values(&[why.name()]).get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_refused_commits_add_up_and_the_last_is_known() {
        let registry = Registry::new();
        let commits = Commits::new(&registry);
        assert!(!commits.is_begun());
        assert_eq!((commits.count(), commits.last()), (0, None));
        commits.begin();
        assert!(commits.is_begun());
        let commit = |messages, ms| Commit {
            messages,
            took: Duration::from_millis(ms),
        };
        commits.stored(commit(2, 4));
        commits.stored(commit(1_000, 20));
        commits.refused(Refusal::Fenced);
        commits.refused(Refusal::Failed);
        commits.refused(Refusal::Failed);
        assert_eq!((commits.count(), commits.messages()), (2, 1_002));
        assert!((commits.seconds() - 0.024).abs() < 1e-12);
        assert_eq!(commits.last(), Some(commit(1_000, 20)));
        let refused = Refusal::ALL.map(|why| commits.refusals(why));
        assert_eq!(refused, [1, 0, 2]);
    }

    #[test]
    fn the_largest_batch_that_the_server_takes_has_a_bucket() {
        let registry = Registry::new();
        let commits = Commits::new(&registry);
        commits.stored(Commit {
            messages: 1_000,
            took: Duration::from_secs(5),
        });
        let mut text = String::new();
        prometheus::TextEncoder::new()
            .encode_utf8(&registry.gather(), &mut text)
            .unwrap();
        for line in [
            "technical_commit_messages_bucket{le=\"500\"} 0",
            "technical_commit_messages_bucket{le=\"1000\"} 1",
            "technical_commit_seconds_bucket{le=\"2.5\"} 0",
            "technical_commit_seconds_bucket{le=\"5\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
