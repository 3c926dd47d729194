//! The pause between two attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The wait before attempt `attempt` (from 1): 0.1 s doubled per attempt up to 5 s, of which a
/// random half to whole is waited, so that a fleet that lost one server does not come back as one.
pub(super) fn backoff(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(10);
    let ceiling = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    ceiling / 2 + jitter(ceiling / 2)
}

/// A random share of `span`.
pub(super) fn jitter(span: Duration) -> Duration {
    let random = u32::try_from(random() >> 32).unwrap_or(u32::MAX);
    span.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// A random number below `count`; 0 where that is 0.
pub(super) fn random_below(count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
    usize::try_from(random() % count).unwrap_or(0)
}

/// A fresh `RandomState` is seeded by the operating system: no generator to carry around.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waits_between_half_and_all_of_the_ceiling(attempt in 1usize..1_000_000) {
            let exact = 0.1 * 2f64.powi(i32::try_from(attempt.min(30) - 1).unwrap());
            let ceiling = Duration::from_secs_f64(exact.min(5.0));
            let wait = backoff(attempt);
            prop_assert!(wait >= ceiling / 2 && wait <= ceiling, "{attempt}: {wait:?}");
        }
    }

    #[test]
    fn two_processes_do_not_wait_alike() {
        let waits: std::collections::HashSet<_> = (0..32).map(|_| backoff(20)).collect();
        assert!(waits.len() > 16);
    }
}
