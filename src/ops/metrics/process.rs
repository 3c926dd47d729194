//! The metrics of the process itself: CPU, memory, files, start.

use std::sync::{Mutex, PoisonError};

use prometheus::{Counter, Gauge, IntGauge, Registry};

use super::{registered, saturating};
use crate::ops::process::{ProcessUsage, boot_time, open_fds};

/// The usual metrics of a process. They carry no prefix, so that dashboards find them.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    /// Held while refreshing: two scrapes at once must not both add the same CPU time.
    refreshing: Mutex<()>,
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
}

impl ProcessMetrics {
    pub fn new(r: &Registry) -> Self {
        let start_time: Gauge = registered(
            r,
            Gauge::new(
                "process_start_time_seconds",
                "Start of the process, in seconds since the epoch.",
            ),
        );
        if let (Some(usage), Some(boot)) = (ProcessUsage::read(), boot_time()) {
            #[allow(clippy::cast_precision_loss)] // exact for millions of years
            start_time.set(boot as f64 + usage.started_after_boot_seconds);
        }
        let gauge = |name, help| registered(r, IntGauge::new(name, help));
        Self {
            refreshing: Mutex::new(()),
            cpu_seconds: registered(
                r,
                Counter::new(
                    "process_cpu_seconds_total",
                    "User and system CPU time, in seconds.",
                ),
            ),
            resident_bytes: gauge(
                "process_resident_memory_bytes",
                "Resident memory, in bytes.",
            ),
            virtual_bytes: gauge("process_virtual_memory_bytes", "Virtual memory, in bytes."),
            open_fds: gauge("process_open_fds", "Open file descriptors."),
        }
    }

    pub fn refresh(&self) {
        let _refreshing = self
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(usage) = ProcessUsage::read() {
            let more = usage.cpu_seconds - self.cpu_seconds.get();
            self.cpu_seconds.inc_by(more.max(0.0));
            self.resident_bytes.set(saturating(usage.resident_bytes));
            self.virtual_bytes.set(saturating(usage.virtual_bytes));
        }
        if let Some(fds) = open_fds() {
            self.open_fds.set(saturating(fds));
        }
    }
}
