use super::*;
use std::collections::BTreeMap;

const REASONS: &[&str] = &["too_large", "late"];
const ALERTS: &[&str] = &["rsi_overbought", "volume_spike"];

fn metrics() -> Metrics {
    let build = Build {
        version: "1.2.3",
        git: "abc",
        rustc: "1.95.0",
    };
    Metrics::new(REASONS, ALERTS, &["heartbeat"], build)
}

/// Those that users may rely on, written out.
const CONTRACT: &[(&str, &str)] = &[
    ("technical_messages_received_total", "counter"),
    ("technical_messages_ignored_total", "counter"),
    ("technical_bars_received_total", "counter"),
    ("technical_bars_owned_total", "counter"),
    ("technical_bars_rejected_total", "counter"),
    ("technical_bars_duplicate_total", "counter"),
    ("technical_bars_adjusted_total", "counter"),
    ("technical_bars_corrected_total", "counter"),
    ("technical_bars_inserted_total", "counter"),
    ("technical_signals_revised_total", "counter"),
    ("technical_bar_gaps_total", "counter"),
    ("technical_series_resets_total", "counter"),
    ("technical_series_rebuilt_total", "counter"),
    ("technical_signals_published_total", "counter"),
    ("technical_alerts_total", "counter"),
    ("technical_publish_errors_total", "counter"),
    ("technical_dead_letters_total", "counter"),
    ("technical_checkpoints_total", "counter"),
    ("technical_partition_moves_total", "counter"),
    ("technical_panics_total", "counter"),
    ("technical_bars_lost_total", "counter"),
    ("technical_nats_reconnects_total", "counter"),
    ("technical_slow_consumer_total", "counter"),
    ("technical_group_forgeries_total", "counter"),
    ("technical_messages_dropped_total", "counter"),
    ("technical_last_bar_timestamp_seconds", "gauge"),
    ("technical_series", "gauge"),
    ("technical_partitions_owned", "gauge"),
    ("technical_consumer_lag_bars", "gauge"),
    ("technical_unowned_lag_bars", "gauge"),
    ("technical_unowned_partitions", "gauge"),
    ("technical_inflight_bars", "gauge"),
    ("technical_nats_connected", "gauge"),
    ("technical_checkpoint_age_seconds", "gauge"),
    ("technical_circuit_open", "gauge"),
    ("technical_ready", "gauge"),
    ("technical_build_info", "gauge"),
    ("technical_signal_latency_seconds", "histogram"),
    ("technical_bar_age_seconds", "histogram"),
    ("technical_engine_seconds", "histogram"),
    ("process_cpu_seconds_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_virtual_memory_bytes", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_start_time_seconds", "gauge"),
];

/// The metrics besides those.
const FURTHER: &[(&str, &str)] = &[
    ("technical_memory_limit_bytes", "gauge"),
    ("technical_derived_bars_total", "counter"),
    ("technical_marks_total", "counter"),
    ("technical_open_buckets", "gauge"),
    ("technical_trades_total", "counter"),
    ("technical_log_errors_total", "counter"),
    ("technical_commit_messages", "histogram"),
    ("technical_commit_seconds", "histogram"),
    ("technical_commits_refused_total", "counter"),
    ("technical_stalls_total", "counter"),
    ("technical_streams_lost_total", "counter"),
    ("technical_checkpoints_failed_total", "counter"),
];

#[test]
fn the_metrics_are_those_written_out_with_their_types() {
    let text = metrics().render();
    let exported: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let expected = CONTRACT.iter().chain(FURTHER).copied().collect();
    assert_eq!(exported, expected);
}

#[test]
fn every_series_is_there_at_zero_before_anything_happened() {
    let text = metrics().render();
    for line in [
        "technical_bars_rejected_total{reason=\"late\"} 0",
        "technical_bars_rejected_total{reason=\"too_large\"} 0",
        "technical_messages_ignored_total{kind=\"heartbeat\"} 0",
        "technical_derived_bars_total{kind=\"derived\"} 0",
        "technical_derived_bars_total{kind=\"no_room\"} 0",
        "technical_marks_total{kind=\"written\"} 0",
        "technical_trades_total{kind=\"taken\"} 0",
        "technical_alerts_total{alert=\"rsi_overbought\"} 0",
        "technical_alerts_total{alert=\"volume_spike\"} 0",
        "technical_partition_moves_total{direction=\"acquired\"} 0",
        "technical_partition_moves_total{direction=\"released\"} 0",
        "technical_commits_refused_total{reason=\"fenced\"} 0",
        "technical_commits_refused_total{reason=\"refused\"} 0",
        "technical_commits_refused_total{reason=\"failed\"} 0",
        "technical_commit_messages_count 0",
        "technical_messages_received_total 0",
        "technical_ready 0",
        "technical_signal_latency_seconds_count 0",
        "technical_build_info{git=\"abc\",rustc=\"1.95.0\",version=\"1.2.3\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_only_labels_are_bounded_ones() {
    let known = [
        "reason",
        "alert",
        "direction",
        "kind",
        "version",
        "git",
        "rustc",
        "le",
    ];
    for family in metrics().registry.gather() {
        for metric in family.get_metric() {
            for label in metric.get_label() {
                assert!(known.contains(&label.name()), "{}", label.name());
            }
        }
    }
}

#[test]
fn what_is_counted_locally_shows_after_a_flush_or_a_drop() {
    let metrics = metrics();
    let local = metrics.local();
    local.bars_received.inc();
    local.alerts[1].inc();
    local.engine_seconds.observe(2e-7);
    assert_eq!(metrics.bars_received.get(), 0);
    local.flush();
    assert_eq!(metrics.bars_received.get(), 1);
    let spikes = metrics.alerts.with_label_values(&["volume_spike"]);
    assert_eq!(spikes.get(), 1);
    assert_eq!(metrics.engine_seconds.get_sample_count(), 1);
    local.bars_received.inc();
    drop(local);
    assert_eq!(metrics.bars_received.get(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured_at_each_rendering() {
    let metrics = metrics();
    let text = metrics.render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1e6);
    assert!(value("process_open_fds ") >= 3.0);
    // after 2020, and not in the future
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let started = value("process_start_time_seconds ");
    assert!(started > 1_577_836_800.0 && started < now + 2.0);
}

#[test]
fn the_newest_bar_counts_in_whatever_order_bars_come() {
    let metrics = metrics();
    let shown = |metrics: &Metrics| {
        let text = metrics.render();
        let name = "technical_last_bar_timestamp_seconds ";
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(shown(&metrics), 0);
    for seconds in [1_700_000_060, 1_700_000_120, 1_700_000_000] {
        metrics.note_bar(seconds);
    }
    assert_eq!(shown(&metrics), 1_700_000_120);
}
