//! A request to the server that is made from time to time, one after the other.

use std::time::{Duration, Instant};

/// A request that has failed again and again.
pub(super) struct Trouble {
    pub since: Instant,
    pub reason: String,
    pub warned: bool,
}

impl Trouble {
    /// The same trouble as `before`, if there was one, or the beginning of it.
    fn again(before: Option<Self>, reason: String) -> Self {
        let (since, warned) = before.map_or((Instant::now(), false), |before| {
            (before.since, before.warned)
        });
        Self {
            since,
            reason,
            warned,
        }
    }
}

/// A request of which one is under way at a time.
#[derive(Default)]
pub(super) struct Request {
    under_way: bool,
    /// The time at which it was last made; `None` if it is due.
    made_at: Option<Instant>,
    trouble: Option<Trouble>,
}

impl Request {
    pub fn is_due(&self, every: Duration) -> bool {
        !self.under_way && self.made_at.is_none_or(|at| at.elapsed() >= every)
    }

    /// Makes it due at once.
    pub fn hurry(&mut self) {
        self.made_at = None;
    }

    /// Makes it due as if it had last been made `since` ago.
    pub fn repeat(&mut self, since: Duration) {
        self.made_at = Instant::now().checked_sub(since).or(self.made_at);
    }

    /// The failure of the last one, and of those before it.
    pub fn trouble(&mut self) -> Option<&mut Trouble> {
        self.trouble.as_mut()
    }

    pub fn begin(&mut self) {
        self.under_way = true;
        self.made_at = Some(Instant::now());
    }

    pub fn succeeded(&mut self) {
        self.under_way = false;
        self.trouble = None;
    }

    pub fn failed(&mut self, reason: String) {
        self.under_way = false;
        self.trouble = Some(Trouble::again(self.trouble.take(), reason));
    }
}
