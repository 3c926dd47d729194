//! The account of derived bars of one intake: metrics, and what people should know.

use std::sync::Arc;

use prometheus::IntCounterVec;

use crate::engine::{DerivedTotals, Engine, TradeTotals};
use crate::ops::metrics::Metrics;

/// Adds what one engine counts to the metrics of the process.
pub(super) struct DerivedAccount {
    metrics: Arc<Metrics>,
    /// This intake's share of the gauge of open buckets.
    open_buckets: i64,
}

impl DerivedAccount {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            open_buckets: 0,
        }
    }

    /// Shows what `engine` has counted since the last time, and logs what people should know.
    pub fn flush(&mut self, engine: &mut Engine) {
        if !engine.derives() {
            return;
        }
        self.show(engine.open_buckets());
        let DerivedTotals {
            derived,
            revised,
            own,
            straddling,
            no_room,
            marked,
        } = engine.take_derived_totals();
        for (kind, count) in [
            ("derived", derived),
            ("revised", revised),
            ("own", own),
            ("straddling", straddling),
            ("no_room", no_room),
            ("marked", marked),
        ] {
            add(&self.metrics.derived_bars, kind, count);
        }
        let TradeTotals {
            taken,
            reopened,
            unseen,
            own,
        } = engine.take_trade_totals();
        for (kind, count) in [
            ("taken", taken),
            ("reopened", reopened),
            ("unseen", unseen),
            ("own", own),
        ] {
            add(&self.metrics.trades, kind, count);
        }
        for note in engine.take_derived_notes() {
            tracing::warn!(timeframe = %note.timeframe, "{note}");
        }
    }

    fn show(&mut self, open_buckets: usize) {
        let now = i64::try_from(open_buckets).unwrap_or(i64::MAX);
        self.metrics.open_buckets.add(now - self.open_buckets);
        self.open_buckets = now;
    }
}

impl Drop for DerivedAccount {
    fn drop(&mut self) {
        self.show(0);
    }
}

fn add(counters: &IntCounterVec, kind: &str, count: u64) {
    if count > 0 {
        counters.with_label_values(&[kind]).inc_by(count);
    }
}
