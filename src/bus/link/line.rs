//! Lines of the log that must not flood it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One line of a kind per this.
pub(super) const LOG_EVERY: Duration = Duration::from_secs(10);

/// Lets one line through per [`LOG_EVERY`].
#[derive(Debug, Default)]
pub(super) struct LineThrottle(Mutex<Option<Instant>>);

impl LineThrottle {
    /// Returns whether a line is due, and counts it as written.
    pub fn due(&self) -> bool {
        let mut last = lock(&self.0);
        let due = last.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    /// Lets the next line through.
    pub fn reset(&self) {
        *lock(&self.0) = None;
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each value is replaced whole: a panic elsewhere cannot have left half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
