//! The metrics of the contract.

use crate::common::{DAY_ONE, NatsServer, collect_signals, flat, send, until};
use crate::{client, ready_agent};

/// Metrics that exist from the start, also those of durable delivery; of those with a label, some
/// value of it.
const METRICS: &[&str] = &[
    "technical_commit_messages_count",
    "technical_commit_seconds_count",
    "technical_commits_refused_total{reason=\"fenced\"}",
    "technical_messages_received_total",
    "technical_messages_ignored_total{kind=\"heartbeat\"}",
    "technical_messages_ignored_total{kind=\"order_book\"}",
    "technical_bars_received_total",
    "technical_bars_owned_total",
    "technical_bars_rejected_total{reason=\"late\"}",
    "technical_bars_rejected_total{reason=\"poison\"}",
    "technical_bars_duplicate_total",
    "technical_bars_adjusted_total",
    "technical_bars_corrected_total",
    "technical_bars_inserted_total",
    "technical_signals_revised_total",
    "technical_bar_gaps_total",
    "technical_signals_published_total",
    "technical_alerts_total{alert=\"golden_cross\"}",
    "technical_publish_errors_total",
    "technical_dead_letters_total",
    "technical_checkpoints_total",
    "technical_partition_moves_total{direction=\"acquired\"}",
    "technical_partition_moves_total{direction=\"released\"}",
    "technical_panics_total",
    "technical_nats_reconnects_total",
    "technical_slow_consumer_total",
    "technical_messages_dropped_total",
    "technical_bars_lost_total",
    "technical_last_bar_timestamp_seconds",
    "technical_log_errors_total",
    "technical_series",
    "technical_open_buckets",
    "technical_derived_bars_total{kind=\"derived\"}",
    "technical_derived_bars_total{kind=\"marked\"}",
    "technical_derived_bars_total{kind=\"revised\"}",
    "technical_trades_total{kind=\"taken\"}",
    "technical_trades_total{kind=\"reopened\"}",
    "technical_trades_total{kind=\"unseen\"}",
    "technical_trades_total{kind=\"own\"}",
    "technical_marks_total{kind=\"written\"}",
    "technical_marks_total{kind=\"failed\"}",
    "technical_marks_total{kind=\"taken\"}",
    "technical_marks_total{kind=\"refused\"}",
    "technical_derived_bars_total{kind=\"own\"}",
    "technical_derived_bars_total{kind=\"straddling\"}",
    "technical_derived_bars_total{kind=\"no_room\"}",
    "technical_partitions_owned",
    "technical_consumer_lag_bars",
    "technical_unowned_lag_bars",
    "technical_unowned_partitions",
    "technical_inflight_bars",
    "technical_nats_connected",
    "technical_checkpoint_age_seconds",
    "technical_circuit_open",
    "technical_ready",
    "technical_signal_latency_seconds_count",
    "technical_bar_age_seconds_count",
    "technical_engine_seconds_count",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
    "technical_bars_rejected_total{reason=\"too_many_series\"}",
    "technical_bars_rejected_total{reason=\"too_many_elements\"}",
    "technical_bars_rejected_total{reason=\"trade\"}",
    "technical_bars_rejected_total{reason=\"misaligned\"}",
    "technical_bars_rejected_total{reason=\"unknown_shape\"}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_of_the_contract_is_there_and_counts() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    let before = agent.metrics();
    for name in METRICS {
        assert!(before.get(name).is_some(), "{name}");
    }
    let text = agent.get("/metrics").body;
    let build = text
        .lines()
        .find(|line| line.starts_with("technical_build_info{"))
        .unwrap();
    for label in ["version=\"", "git=\"", "rustc=\"rustc "] {
        assert!(build.contains(label), "{build}");
    }
    assert_eq!(before.get("technical_ready"), Some(1.0));
    assert_eq!(before.get("technical_partitions_owned"), Some(256.0));
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    for minute in 0..10 {
        send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(10).await;
    // a signal is counted once it is with the operating system, after it may have arrived here
    until("all to be counted", || {
        let after = agent.metrics();
        let all = [
            "technical_messages_received_total",
            "technical_bars_received_total",
            "technical_bars_owned_total",
            "technical_signals_published_total",
            "technical_signal_latency_seconds_count",
            "technical_bar_age_seconds_count",
            "technical_engine_seconds_count",
        ]
        .iter()
        .all(|name| after.get(name) == Some(10.0));
        (all && after.get("technical_series") == Some(1.0)).then_some(())
    });
    let after = agent.metrics();
    #[allow(clippy::cast_precision_loss)] // a time
    let opened = (DAY_ONE + 9 * 60) as f64;
    assert_eq!(
        after.get("technical_last_bar_timestamp_seconds"),
        Some(opened)
    );
    assert!(after.get("process_resident_memory_bytes") > Some(1e6));
    assert!(after.get("process_cpu_seconds_total") > Some(0.0));
    assert!(!text.contains("symbol="), "a label per symbol");
}
