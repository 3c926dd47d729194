//! The state of a partition, as others see it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The work of a partition's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus::durable) enum Phase {
    /// It reads its marker and its checkpoint.
    Loading,
    /// It reads bars whose outputs are stored, for the state alone.
    Replaying,
    /// It reads bars and stores their outputs.
    Running,
    /// It has outputs that cannot be stored, and reads no further.
    Blocked,
    /// It stores its position and its last checkpoint.
    Stopping,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Loading,
        Self::Replaying,
        Self::Running,
        Self::Blocked,
        Self::Stopping,
    ];

    /// Returns whether everything that was stored before has been computed again.
    pub const fn has_recovered(self) -> bool {
        matches!(self, Self::Running | Self::Blocked | Self::Stopping)
    }
}

/// Gauges of a partition at work, for the coordinator.
#[derive(Debug, Default)]
pub(in crate::bus::durable) struct Gauges {
    pub series: AtomicU64,
    pub lag: AtomicU64,
    pub inflight: AtomicU64,
    /// Nanoseconds since 1970 at which the newest bar was stored; 0 before the first.
    pub last_processed: AtomicU64,
    /// Uptime in milliseconds at which something was last done, if only waiting in order.
    pub beat: AtomicU64,
    /// Uptime in milliseconds of the oldest change that is in no checkpoint, nor in one that is
    /// being written; 0 if there is none.
    pub unsaved: AtomicU64,
    /// Uptime in milliseconds of the oldest change in the checkpoint that is being written; 0 if
    /// none is.
    pub saving: AtomicU64,
    phase: AtomicU8,
}

impl Gauges {
    /// Notes progress at an uptime of `now` milliseconds.
    pub fn beat(&self, now: u64) {
        self.beat.store(now, Ordering::Relaxed);
    }

    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_see_the_phase_that_was_entered() {
        let gauges = Gauges::default();
        assert_eq!(gauges.phase(), Phase::Loading);
        for phase in Phase::ALL {
            gauges.enter(phase);
            assert_eq!(gauges.phase(), phase);
        }
        let recovered: Vec<bool> = Phase::ALL.map(Phase::has_recovered).into();
        assert_eq!(recovered, [false, false, true, true, true]);
    }
}
