//! The health of checkpoints, for all partitions of a process.
//!
//! Nothing is lost while they cannot be written: a restart computes more from the bars that are
//! retained. So it is logged once, counted, and does not make the agent unready.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ops::health::{Component, Health};

#[derive(Debug)]
pub(super) struct CheckpointHealth {
    /// Partitions whose last checkpoint could not be written.
    failing: Mutex<BTreeSet<u32>>,
    component: Component,
}

impl CheckpointHealth {
    pub fn new(health: &Health) -> Self {
        let component = health.component("checkpoints", false);
        component.up("");
        Self {
            failing: Mutex::default(),
            component,
        }
    }

    /// The checkpoint of `unit` could not be written.
    pub fn failed(&self, unit: u32, reason: &str) {
        let mut failing = self.lock();
        if failing.is_empty() {
            tracing::warn!(
                unit,
                reason,
                "checkpoint cannot be written; work goes on without it, trying again"
            );
        } else {
            tracing::debug!(unit, reason, "checkpoint cannot be written");
        }
        failing.insert(unit);
        let partitions = failing.len();
        self.component.degraded(format!(
            "checkpoints of {partitions} partitions cannot be written: {reason}"
        ));
    }

    /// It was written, or is another's to write.
    pub fn over(&self, unit: u32) {
        let mut failing = self.lock();
        if failing.remove(&unit) && failing.is_empty() {
            tracing::info!("every partition writes its checkpoints again");
            self.component.up("");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        // a set is valid whenever it is left
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_degraded_for_as_long_as_one_partition_fails() {
        let health = Health::new();
        let checkpoints = CheckpointHealth::new(&health);
        let detail = || health.report().components[0].detail.clone();
        checkpoints.failed(3, "full");
        checkpoints.failed(4, "full");
        assert_eq!(
            detail(),
            "checkpoints of 2 partitions cannot be written: full"
        );
        checkpoints.over(3);
        assert!(!detail().is_empty());
        checkpoints.over(4);
        assert_eq!(detail(), "");
    }
}
