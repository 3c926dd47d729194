//! The pace at which time marks are sent.

use std::time::{Duration, Instant};

use crate::market::Timestamp;

/// Interval of checks of the open buckets, and the shortest time between two marks.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest time until the same mark is sent again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The pace of one sender. A mark that does not return is sent again after ever longer pauses.
#[derive(Debug)]
pub(super) struct MarkPace {
    /// The last mark that was sent, until it returns.
    sent: Option<Timestamp>,
    pause: Duration,
    next: Instant,
}

impl MarkPace {
    pub fn new() -> Self {
        Self {
            sent: None,
            pause: PAUSE,
            next: Instant::now(),
        }
    }

    /// True if it is time to look for bars that are due.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Notes that no bar was due.
    pub fn rest(&mut self) {
        self.sent = None;
        self.next = Instant::now() + PAUSE;
    }

    /// Notes that the mark `at` is sent.
    pub fn send(&mut self, at: Timestamp) {
        self.pause = if self.sent == Some(at) {
            (self.pause * 2).min(PAUSE_MAX)
        } else {
            PAUSE
        };
        self.sent = Some(at);
        self.next = Instant::now() + self.pause;
    }

    /// Notes that the mark `at` was applied. If it is the last one sent, the next one may be due at
    /// once, as one mark closes a limited number of bars.
    pub fn on_taken(&mut self, at: Timestamp) {
        if self.sent == Some(at) {
            self.sent = None;
            self.next = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_mark_is_sent_again_after_ever_longer_pauses_until_it_is_taken() {
        let at = Timestamp::from_nanos(1);
        let mut pace = MarkPace::new();
        assert!(pace.is_due());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pace.send(at);
            assert!(!pace.is_due());
            pauses.push(pace.pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        pace.on_taken(Timestamp::from_nanos(2));
        assert!(!pace.is_due());
        pace.on_taken(at);
        assert!(pace.is_due());
        pace.send(at);
        assert_eq!(pace.pause, PAUSE);
        pace.rest();
        assert!(!pace.is_due());
    }
}
