//! The heartbeat that every agent publishes for whoever watches a fleet of them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::durable::DurableStatus;
use super::query::{AgentState, StatusReport, rfc3339_or_null};
use crate::market::Timestamp;
use crate::wire::token;

/// The interval between two heartbeats.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// The subject of the heartbeats of `agent`.
#[must_use]
pub fn subject(agent: &str) -> String {
    format!("agents.technical.heartbeat.{}", token(agent))
}

/// The payload: what changes from beat to beat, and enough to find the process.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "Heartbeat")]
pub struct Heartbeat<'a> {
    /// The name of the process.
    pub agent: &'a str,
    /// Unique to this run of it.
    pub instance: &'a str,
    /// The group whose members share the symbols.
    pub group: &'a str,
    /// The version of the program.
    pub version: &'a str,
    /// The machine it runs on.
    pub host: &'a str,
    /// Its process id there.
    pub pid: u32,
    /// Its state in the life cycle.
    pub state: AgentState,
    /// Seconds since it started.
    pub uptime_seconds: f64,
    /// Partitions it owns.
    pub owned_partitions: u64,
    /// Series it keeps.
    pub series: u64,
    /// The time at which it last finished a bar.
    #[serde(serialize_with = "rfc3339_or_null")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_processed: Option<Timestamp>,
    /// Bars waiting to be read.
    pub lag_bars: u64,
    /// The state of durable delivery; absent in core delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable: Option<&'a DurableStatus>,
}

impl<'a> From<&'a StatusReport> for Heartbeat<'a> {
    fn from(status: &'a StatusReport) -> Self {
        Self {
            agent: &status.agent,
            instance: &status.instance,
            group: &status.group,
            version: &status.version,
            host: &status.host,
            pid: status.pid,
            state: status.state,
            uptime_seconds: status.uptime_seconds,
            owned_partitions: status.owned_partitions,
            series: status.series,
            last_processed: status.last_processed,
            lag_bars: status.lag_bars,
            durable: status.durable.as_ref(),
        }
    }
}

impl Heartbeat<'_> {
    /// Serializes the heartbeat as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always become JSON")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ops::durable::tests::{BUSY, busy};

    /// A report for tests that need one.
    pub(crate) fn status(agent: &str) -> StatusReport {
        StatusReport {
            agent: agent.to_owned(),
            instance: "i1".to_owned(),
            group: "g".to_owned(),
            version: "1.2.3".to_owned(),
            git: "abc".to_owned(),
            delivery: "core".to_owned(),
            state: AgentState::Active,
            host: "h".to_owned(),
            pid: 7,
            started_at: Timestamp::from_nanos(1_700_000_000_000_000_000),
            uptime_seconds: 1.5,
            config_fingerprint: "f".to_owned(),
            members: Vec::new(),
            owned_partitions: 3,
            series: 4,
            bars_received: 5,
            signals_published: 6,
            last_processed: Some(Timestamp::from_nanos(1_700_000_001_000_000_000)),
            lag_bars: 0,
            resident_bytes: Some(1 << 20),
            durable: None,
            partitions: None,
        }
    }

    #[test]
    fn the_payload_is_flat_json_with_the_time_in_rfc_3339() {
        let status = status("a");
        let text = String::from_utf8(Heartbeat::from(&status).to_json()).unwrap();
        assert_eq!(
            text,
            r#"{"agent":"a","instance":"i1","group":"g","version":"1.2.3","host":"h","pid":7,"state":"active","uptime_seconds":1.5,"owned_partitions":3,"series":4,"last_processed":"2023-11-14T22:13:21Z","lag_bars":0}"#
        );
    }

    #[test]
    fn a_payload_fits_its_schema_and_a_foreign_one_does_not() {
        let schema = serde_json::to_value(schemars::schema_for!(Heartbeat<'_>)).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let mut idle = status("a");
        idle.last_processed = None;
        let json: serde_json::Value =
            serde_json::from_slice(&Heartbeat::from(&idle).to_json()).unwrap();
        assert!(schema.is_valid(&json));
        assert!(!schema.is_valid(&serde_json::json!({"agent": "a"})));
        let mut durable = status("a");
        durable.durable = DurableStatus::of(&busy());
        let text = String::from_utf8(Heartbeat::from(&durable).to_json()).unwrap();
        assert!(
            text.ends_with(&format!(r#""lag_bars":0,"durable":{BUSY}}}"#)),
            "{text}"
        );
        assert!(schema.is_valid(&serde_json::from_str(&text).unwrap()));
    }

    #[test]
    fn the_agent_is_one_token_of_the_subject() {
        assert_eq!(subject("desk.1-2"), "agents.technical.heartbeat.desk%2E1-2");
    }
}
