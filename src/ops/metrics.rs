//! The metrics of the process, in a registry of their own.
//!
//! Promises: every series of the contract exists from the start, at 0, so that a rate over
//! it is right from the first scrape; there is no label per symbol. What is touched per bar
//! goes through [`LocalMetrics`], which one thread owns and flushes once per batch.
//!
//! Must not know: what a reason or an alert means; their names are handed in.

mod commits;
mod process;

use std::sync::atomic::{AtomicI64, Ordering};

use prometheus::core::Collector;
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::cgroup::memory_limit;
pub use commits::{Commit, Commits, Refusal};
use process::ProcessMetrics;

const PREFIX: &str = "technical_";

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// A partition (or a share of the symbols) came to this process.
pub const ACQUIRED: &str = "acquired";
/// A partition (or a share of the symbols) left this process.
pub const RELEASED: &str = "released";

/// The kinds of derived bars that are counted.
const DERIVED: [&str; 6] = [
    "derived",
    "marked",
    "revised",
    "own",
    "straddling",
    "no_room",
];

/// The outcomes of time marks.
const MARKS: [&str; 4] = ["written", "failed", "taken", "refused"];
/// The uses of trades.
const TRADES: [&str; 4] = ["taken", "reopened", "unseen", "own"];

/// Buckets in seconds, per decade 1, 2.5 and 5.
const SIGNAL_LATENCY: &[f64] = &[
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];
/// From a bar published as it closes to one a day old.
const BAR_AGE: &[f64] = &[
    1e-3, 1e-2, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0,
];
/// From 100 ns, in seconds.
const ENGINE: &[f64] = &[
    1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 1e-3, 1e-2,
];

/// The build of the binary.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// The version of the crate.
    pub version: &'a str,
    /// The commit, `unknown` outside a repository.
    pub git: &'a str,
    /// The compiler.
    pub rustc: &'a str,
}

/// Every metric, named as in the registry without the prefix and without `_total`.
#[derive(Debug)]
#[allow(missing_docs)] // each one's help text says what it is, and in which unit
pub struct Metrics {
    registry: Registry,
    process: ProcessMetrics,
    alert_names: &'static [&'static str],
    reason_names: &'static [&'static str],
    ignored_names: &'static [&'static str],

    pub messages_received: IntCounter,
    pub messages_ignored: IntCounterVec,
    pub bars_received: IntCounter,
    pub bars_owned: IntCounter,
    pub bars_rejected: IntCounterVec,
    pub bars_duplicate: IntCounter,
    pub bars_adjusted: IntCounter,
    pub bars_corrected: IntCounter,
    pub bars_inserted: IntCounter,
    pub signals_revised: IntCounter,
    pub bar_gaps: IntCounter,
    /// Derived bars by kind: one of `DERIVED`.
    pub derived_bars: IntCounterVec,
    /// Time marks by outcome: one of `MARKS`.
    pub marks: IntCounterVec,
    /// Trades that bars are built from, by kind: one of `TRADES`.
    pub trades: IntCounterVec,
    /// Series that were reset.
    pub series_resets: IntCounter,
    /// Series that were rebuilt with a history.
    pub series_rebuilt: IntCounter,
    pub signals_published: IntCounter,
    pub alerts: IntCounterVec,
    pub publish_errors: IntCounter,
    pub dead_letters: IntCounter,
    pub checkpoints: IntCounter,
    pub partition_moves: IntCounterVec,
    pub panics: IntCounter,
    pub stalls: IntCounter,
    /// Required streams that were removed and recreated during work.
    pub streams_lost: IntCounter,
    /// Checkpoints that could not be written.
    pub checkpoints_failed: IntCounter,
    /// Acknowledged bars that their stream dropped before they were read.
    pub bars_lost: IntCounter,
    pub nats_reconnects: IntCounter,
    pub slow_consumer: IntCounter,
    /// Messages and records of the group that no member signed.
    pub group_forgeries: IntCounter,
    pub messages_dropped: IntCounter,

    /// The newest [`Self::note_bar`], in seconds.
    newest_bar: AtomicI64,
    last_bar_timestamp_seconds: IntGauge,
    pub series: IntGauge,
    pub open_buckets: IntGauge,
    pub partitions_owned: IntGauge,
    pub consumer_lag_bars: IntGauge,
    pub unowned_lag_bars: IntGauge,
    pub unowned_partitions: IntGauge,
    pub inflight_bars: IntGauge,
    pub nats_connected: IntGauge,
    pub checkpoint_age_seconds: Gauge,
    pub circuit_open: IntGauge,
    pub ready: IntGauge,
    pub memory_limit_bytes: IntGauge,
    pub log_errors: IntCounter,

    pub signal_latency_seconds: Histogram,
    pub bar_age_seconds: Histogram,
    pub engine_seconds: Histogram,

    pub commits: Commits,
}

impl Metrics {
    /// All metrics at 0. `reasons`, `alerts` and `ignored` are the label values of
    /// `bars_rejected_total`, `alerts_total` and `messages_ignored_total`.
    #[must_use]
    #[rustfmt::skip] // one metric per line reads as the table it is
    pub fn new(
        reasons: &'static [&'static str],
        alerts: &'static [&'static str],
        ignored: &'static [&'static str],
        build: Build<'_>,
    ) -> Self {
        let registry = Registry::new();
        let r = &registry;
        let build_info = labelled_gauge(r, "build_info", "What the binary was built from; always 1.", &["version", "git", "rustc"]);
        build_info.with_label_values(&[build.version, build.git, build.rustc]).set(1);
        Self {
            messages_received: counter(r, "messages_received_total", "NATS messages received with market data."),
            messages_ignored: labelled_counter(r, "messages_ignored_total", "Messages of vendors, or elements of them, that are understood and need nothing to be done, by kind.", "kind", ignored),
            bars_received: counter(r, "bars_received_total", "Valid bars taken into the engine, owned or not."),
            bars_owned: counter(r, "bars_owned_total", "Bars taken into the engine whose signals this process publishes."),
            bars_rejected: labelled_counter(r, "bars_rejected_total", "Input refused, by reason.", "reason", reasons),
            bars_duplicate: counter(r, "bars_duplicate_total", "Bars ignored because the same bar was there already."),
            bars_adjusted: counter(r, "bars_adjusted_total", "Bars whose high or low was widened to an open or close just outside of them."),
            bars_corrected: counter(r, "bars_corrected_total", "Bars that replaced one of the newest bars of their series with other values."),
            bars_inserted: counter(r, "bars_inserted_total", "Late bars that were inserted among the newest bars of their series."),
            signals_revised: counter(r, "signals_revised_total", "Signals of later bars that changed because a bar before them was corrected or inserted."),
            series_resets: counter(r, "series_resets_total", "Series that restarted because of a reset, as counted by the member that publishes their signals."),
            series_rebuilt: counter(r, "series_rebuilt_total", "Series that were rebuilt with a history, as counted by the member that publishes their signals."),
            bar_gaps: counter(r, "bar_gaps_total", "Gaps of more than one timeframe between two bars of a series."),
            derived_bars: labelled_counter(r, "derived_bars_total", "Bars derived from smaller ones or built from trades: closed (derived), closed by a time mark (marked, also counted as derived), changed by a correction (revised). Also timeframes of a symbol that the source sends itself (own), bars that reach across the end of a derived one (straddling), and derived bars without room for their series (no_room).", "kind", &DERIVED),
            marks: labelled_counter(r, "marks_total", "Time marks, which close derived bars while the market is silent: written by this process (written), not stored (failed), applied (taken), refused as unreadable or as ahead of their arrival (refused).", "kind", &MARKS),
            trades: labelled_counter(r, "trades_total", "Trades: in an open bar (taken), in a closed bar that changed with them (reopened), in a bar that was not seen from its open (unseen), of symbols whose source sends the bars itself (own). Those that come too late are refused.", "kind", &TRADES),
            signals_published: counter(r, "signals_published_total", "Signals published."),
            alerts: labelled_counter(r, "alerts_total", "Alerts raised, by alert.", "alert", alerts),
            publish_errors: counter(r, "publish_errors_total", "Publishes that failed."),
            dead_letters: counter(r, "dead_letters_total", "Dead letters written."),
            checkpoints: counter(r, "checkpoints_total", "Checkpoints written."),
            partition_moves: labelled_counter(r, "partition_moves_total", "Partitions that came (acquired) or left (released).", "direction", &[ACQUIRED, RELEASED]),
            panics: counter(r, "panics_total", "Panics caught."),
            stalls: counter(r, "stalls_total", "Times that a partition stood still and was begun again."),
            streams_lost: counter(r, "streams_lost_total", "Required streams that were removed and recreated during work."),
            checkpoints_failed: counter(r, "checkpoints_failed_total", "Checkpoints that could not be written."),
            bars_lost: counter(r, "bars_lost_total", "Stored bars that their stream dropped before they were read."),
            nats_reconnects: counter(r, "nats_reconnects_total", "Connections to NATS made again after a loss."),
            slow_consumer: counter(r, "slow_consumer_total", "Times that messages were dropped because the subscription was full."),
            group_forgeries: counter(r, "group_forgeries_total", "Messages and records of the group that were ignored as forged, altered or replayed."),
            messages_dropped: counter(r, "messages_dropped_total", "Messages with market data that were received and dropped, because they came faster than they were worked off (core)."),

            newest_bar: AtomicI64::new(0),
            last_bar_timestamp_seconds: gauge(r, "last_bar_timestamp_seconds", "Open time of the newest bar taken into the engine, in Unix seconds; 0 before the first."),
            series: gauge(r, "series", "Series kept."),
            open_buckets: gauge(r, "open_buckets", "Bars that are being derived, or built from trades."),
            partitions_owned: gauge(r, "partitions_owned", "Partitions this process owns."),
            consumer_lag_bars: gauge(r, "consumer_lag_bars", "Bars waiting to be read, with this process' share of those in partitions that no member owns."),
            unowned_lag_bars: gauge(r, "unowned_lag_bars", "Bars waiting in partitions that no member owns: this process' share of them, as last known."),
            unowned_partitions: gauge(r, "unowned_partitions", "Partitions that no member of the group has owned for longer than two leases, as this process sees it."),
            inflight_bars: gauge(r, "inflight_bars", "Bars read whose signals are not yet acknowledged or flushed."),
            nats_connected: gauge(r, "nats_connected", "1 while connected to NATS."),
            checkpoint_age_seconds: registered(r, Gauge::new(name("checkpoint_age_seconds"), "Seconds since the oldest change of state that is in no checkpoint; 0 when all is.")),
            circuit_open: gauge(r, "circuit_open", "1 while intake is stopped because publishing fails."),
            ready: gauge(r, "ready", "1 while the process is ready."),
            memory_limit_bytes: gauge(r, "memory_limit_bytes", "Memory that the control group grants, in bytes; 0 without a limit."),
            log_errors: counter(r, "log_errors_total", "Log lines that could not be written to an output."),

            signal_latency_seconds: histogram(r, "signal_latency_seconds", "Seconds from the receipt of a bar to its signal acknowledged or flushed.", SIGNAL_LATENCY),
            bar_age_seconds: histogram(r, "bar_age_seconds", "Seconds from the close of a bar to the publication of its signal.", BAR_AGE),
            engine_seconds: histogram(r, "engine_seconds", "Seconds the engine spends on a bar.", ENGINE),

            commits: Commits::new(r),
            process: ProcessMetrics::new(r),
            alert_names: alerts,
            reason_names: reasons,
            ignored_names: ignored,
            registry,
        }
    }

    /// A bar that opened at `seconds` (Unix time) was taken into the engine.
    pub fn note_bar(&self, seconds: i64) {
        self.newest_bar.fetch_max(seconds, Ordering::Relaxed);
    }

    /// The metrics that a bar touches, for one thread to own.
    #[must_use]
    pub fn local(&self) -> LocalMetrics {
        LocalMetrics {
            messages_received: self.messages_received.local(),
            messages_ignored: self
                .ignored_names
                .iter()
                .map(|kind| self.messages_ignored.with_label_values(&[kind]).local())
                .collect(),
            bars_received: self.bars_received.local(),
            bars_owned: self.bars_owned.local(),
            bars_rejected: self
                .reason_names
                .iter()
                .map(|reason| self.bars_rejected.with_label_values(&[reason]).local())
                .collect(),
            bars_duplicate: self.bars_duplicate.local(),
            bars_adjusted: self.bars_adjusted.local(),
            bars_corrected: self.bars_corrected.local(),
            bars_inserted: self.bars_inserted.local(),
            signals_revised: self.signals_revised.local(),
            bar_gaps: self.bar_gaps.local(),
            series_resets: self.series_resets.local(),
            marks_taken: self.marks.with_label_values(&["taken"]).local(),
            marks_refused: self.marks.with_label_values(&["refused"]).local(),
            series_rebuilt: self.series_rebuilt.local(),
            signals_published: self.signals_published.local(),
            alerts: self
                .alert_names
                .iter()
                .map(|alert| self.alerts.with_label_values(&[alert]).local())
                .collect(),
            signal_latency_seconds: self.signal_latency_seconds.local(),
            bar_age_seconds: self.bar_age_seconds.local(),
            engine_seconds: self.engine_seconds.local(),
        }
    }

    /// Everything in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.refresh();
        self.last_bar_timestamp_seconds
            .set(self.newest_bar.load(Ordering::Relaxed));
        // it can be changed while the process runs
        self.memory_limit_bytes
            .set(memory_limit().map_or(0, saturating));
        let mut text = String::with_capacity(16 * 1024);
        // the encoder fails only on a family without metrics or name, and there is none
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be encoded");
        }
        text
    }
}

/// The metrics that a bar touches, counted without atomics. What is counted shows after
/// [`Self::flush`], or when this is dropped.
#[derive(Debug)]
#[allow(missing_docs)] // as in [`Metrics`]
pub struct LocalMetrics {
    pub messages_received: LocalIntCounter,
    /// In the order of the kinds handed to [`Metrics::new`].
    pub messages_ignored: Vec<LocalIntCounter>,
    pub bars_received: LocalIntCounter,
    pub bars_owned: LocalIntCounter,
    /// In the order of the reasons handed to [`Metrics::new`].
    pub bars_rejected: Vec<LocalIntCounter>,
    pub bars_duplicate: LocalIntCounter,
    pub bars_adjusted: LocalIntCounter,
    pub bars_corrected: LocalIntCounter,
    pub bars_inserted: LocalIntCounter,
    pub signals_revised: LocalIntCounter,
    pub bar_gaps: LocalIntCounter,
    /// See [`Metrics::series_resets`].
    pub series_resets: LocalIntCounter,
    /// See [`Metrics::marks`].
    pub marks_taken: LocalIntCounter,
    /// See [`Metrics::marks`].
    pub marks_refused: LocalIntCounter,
    /// See [`Metrics::series_rebuilt`].
    pub series_rebuilt: LocalIntCounter,
    pub signals_published: LocalIntCounter,
    /// In the order of the alerts handed to [`Metrics::new`].
    pub alerts: Vec<LocalIntCounter>,
    pub signal_latency_seconds: LocalHistogram,
    pub bar_age_seconds: LocalHistogram,
    pub engine_seconds: LocalHistogram,
}

impl LocalMetrics {
    /// Adds what was counted to the shared metrics. Once per batch.
    pub fn flush(&self) {
        for counter in [
            &self.messages_received,
            &self.bars_received,
            &self.bars_owned,
            &self.bars_duplicate,
            &self.bars_adjusted,
            &self.bars_corrected,
            &self.bars_inserted,
            &self.signals_revised,
            &self.bar_gaps,
            &self.series_resets,
            &self.marks_taken,
            &self.marks_refused,
            &self.series_rebuilt,
            &self.signals_published,
        ] {
            counter.flush();
        }
        self.messages_ignored
            .iter()
            .for_each(LocalIntCounter::flush);
        self.bars_rejected.iter().for_each(LocalIntCounter::flush);
        self.alerts.iter().for_each(LocalIntCounter::flush);
        self.signal_latency_seconds.flush();
        self.bar_age_seconds.flush();
        self.engine_seconds.flush();
    }
}

impl Drop for LocalMetrics {
    fn drop(&mut self) {
        self.flush();
    }
}

fn saturating(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn name(short: &str) -> String {
    format!("{PREFIX}{short}")
}

fn registered<M>(registry: &Registry, metric: prometheus::Result<M>) -> M
where
    M: Collector + Clone + 'static,
{
    let metric = metric.expect("metric names and labels are fixed and well formed");
    registry
        .register(Box::new(metric.clone()))
        .expect("metric names are distinct");
    metric
}

fn counter(r: &Registry, short: &str, help: &str) -> IntCounter {
    registered(r, IntCounter::new(name(short), help))
}

fn gauge(r: &Registry, short: &str, help: &str) -> IntGauge {
    registered(r, IntGauge::new(name(short), help))
}

fn labelled_gauge(r: &Registry, short: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(r, IntGaugeVec::new(Opts::new(name(short), help), labels))
}

fn labelled_counter(
    r: &Registry,
    short: &str,
    help: &str,
    label: &str,
    values: &[&str],
) -> IntCounterVec {
    let counter = registered(
        r,
        IntCounterVec::new(Opts::new(name(short), help), &[label]),
    );
    for value in values {
        let _ = counter.with_label_values(&[value]);
    }
    counter
}

fn histogram(r: &Registry, short: &str, help: &str, buckets: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(name(short), help).buckets(buckets.to_vec());
    registered(r, Histogram::with_opts(opts))
}

#[cfg(test)]
mod tests;
