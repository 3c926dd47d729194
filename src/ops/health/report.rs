//! The report of [`super::Health::report`], as plain data.

use serde::Serialize;

use super::Condition;

/// The health of the whole process at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct HealthReport {
    /// Down when a required component is or a loop has stalled; degraded when anything else
    /// is not up.
    #[serde(rename = "status")]
    pub condition: Condition,
    /// Every loop makes progress.
    pub live: bool,
    /// Every required component works, start-up has finished, no drain has begun.
    pub ready: bool,
    /// Start-up has finished.
    pub started: bool,
    /// The drain has begun.
    pub draining: bool,
    /// The reasons why the process is not ready.
    pub missing: Vec<String>,
    /// The parts.
    pub components: Vec<ComponentReport>,
    /// The watched loops.
    pub loops: Vec<LoopReport>,
}

/// One part at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentReport {
    /// Its name.
    pub name: &'static str,
    /// Its condition.
    #[serde(rename = "status")]
    pub condition: Condition,
    /// True if readiness needs it.
    pub required: bool,
    /// In its own words.
    pub detail: String,
    /// Seconds since its condition changed.
    pub since_seconds: f64,
}

/// One loop at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct LoopReport {
    /// Its name.
    pub name: String,
    /// True if its limit has passed without a beat.
    pub stalled: bool,
    /// Working, as against waiting for work.
    pub busy: bool,
    /// Seconds since its last beat.
    pub silent_seconds: f64,
    /// The longest silence allowed, in seconds.
    pub limit_seconds: f64,
}
