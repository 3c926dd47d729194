//! Spreading work evenly over time.

use std::time::{Duration, Instant};

/// A schedule at a steady rate. It owns no clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    start: Instant,
    rate: f64,
}

impl Pace {
    /// `rate` things per second from `start` on; 0 is as fast as possible.
    pub const fn new(rate: f64, start: Instant) -> Self {
        Self { start, rate }
    }

    /// The wait before thing number `at` (from 0); `None` when it is due.
    pub fn wait(&self, at: u64, now: Instant) -> Option<Duration> {
        if self.rate <= 0.0 {
            return None;
        }
        // exact up to 2⁵³ things
        #[allow(clippy::cast_precision_loss)]
        let due = Duration::try_from_secs_f64(at as f64 / self.rate).ok()?;
        let wait = due.checked_sub(now.saturating_duration_since(self.start))?;
        // the timer ticks in milliseconds: below that, things go in small groups
        (wait >= Duration::from_millis(1)).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_due_at_a_steady_rate_and_catch_up_when_late() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let pace = Pace::new(100.0, start);
        assert_eq!(pace.wait(0, start), None);
        assert_eq!(pace.wait(1, start), Some(Duration::from_millis(10)));
        assert_eq!(pace.wait(50, at(400)), Some(Duration::from_millis(100)));
        assert_eq!(pace.wait(50, at(700)), None);
        let fast = Pace::new(100_000.0, start);
        assert_eq!(fast.wait(50, start), None);
        assert_eq!(fast.wait(100, start), Some(Duration::from_millis(1)));
        assert_eq!(Pace::new(0.0, start).wait(1_000_000, start), None);
    }
}
