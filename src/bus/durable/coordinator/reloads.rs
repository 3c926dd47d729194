//! Pauses between loads of a partition.
//!
//! A load reads a checkpoint and computes bars again, and whatever made the last one vain may make
//! the next one vain as well. So a partition that is loaded again soon waits, longer each time.
//!
//! Must not know: why a partition is loaded, clocks.

use std::collections::HashMap;
use std::time::Duration;

use crate::bus::backoff::backoff;

/// A partition that was not loaded for this long is loaded at once.
const CALM: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Reloads {
    loads: HashMap<u32, Loads>,
}

#[derive(Debug)]
struct Loads {
    /// In a row, none of them calm.
    times: usize,
    last: Duration,
}

impl Reloads {
    /// The pause before `unit` may be loaded, asked at `now`.
    pub fn pause(&self, unit: u32, now: Duration) -> Duration {
        match self.loads.get(&unit) {
            Some(loads) if now.saturating_sub(loads.last) < CALM => backoff(loads.times),
            _ => Duration::ZERO,
        }
    }

    /// `unit` is loaded at `now`.
    pub fn note(&mut self, unit: u32, now: Duration) {
        self.loads
            .retain(|_, loads| now.saturating_sub(loads.last) < CALM);
        let loads = self.loads.entry(unit).or_insert(Loads {
            times: 0,
            last: now,
        });
        loads.times += 1;
        loads.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_is_loaded_again_and_again_waits_longer_and_longer() {
        let mut reloads = Reloads::default();
        let mut now = Duration::from_secs(100);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = reloads.pause(3, now);
            pauses.push(pause);
            now += pause;
            reloads.note(3, now);
        }
        assert_eq!(pauses[0], Duration::ZERO, "the first load");
        // each is between half and all of 0.1, 0.2, 0.4 … s, and of 5 s in the end
        for (n, pause) in pauses[1..].iter().enumerate() {
            let most = Duration::from_millis(100 << n).min(Duration::from_secs(5));
            assert!(*pause >= most / 2 && *pause <= most, "{n}: {pause:?}");
        }
        assert_eq!(reloads.pause(4, now), Duration::ZERO, "another partition");
        now += Duration::from_secs(10);
        assert_eq!(reloads.pause(3, now), Duration::ZERO, "calm since");
        reloads.note(4, now);
        assert_eq!(reloads.loads.len(), 1, "what is calm is not remembered");
    }
}
