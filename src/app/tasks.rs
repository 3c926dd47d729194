//! Tasks beside the worker: they observe the connection, send heartbeats, notify the supervisor, and
//! answer signals and the operations endpoint.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::reload::Reload;
use crate::bus::Link;
use crate::config::Config;
use crate::market::SeriesKey;
use crate::ops::health::{Component, Health};
use crate::ops::heartbeat::{self, Heartbeat};
use crate::ops::http::{Admin, Checkpoint, SeriesReset};
use crate::ops::logs::LogControl;
use crate::ops::metrics::Metrics;
use crate::ops::notify::Notifier;
use crate::ops::query::Queries;
use crate::tools::feed::reset;

/// Keeps metrics and health true to the connection.
pub(super) async fn observe(link: Arc<Link>, metrics: Arc<Metrics>, component: Component) {
    let mut reconnects = 0;
    loop {
        let mut seen = link.seen();
        let state = link.state();
        metrics.nats_connected.set(i64::from(state.connected));
        let now = link.reconnects();
        metrics
            .nats_reconnects
            .inc_by(now.saturating_sub(reconnects));
        reconnects = now;
        let server = link
            .server()
            .map(|server| server.address)
            .unwrap_or_default();
        if state.closed {
            component.down("closed");
        } else if !state.connected {
            let waiting = if link.server().is_none() {
                "connecting"
            } else {
                "not connected"
            };
            component.down(link.last_error().unwrap_or_else(|| waiting.to_owned()));
        } else if state.lame_duck {
            component.degraded(format!("connected to {server}, which is going down"));
        } else {
            component.up(format!("connected to {server}"));
        }
        link.changed(&mut seen).await;
    }
}

/// Publishes the heartbeat.
pub(super) async fn beat(client: async_nats::Client, agent: String, queries: Queries) {
    let subject = heartbeat::subject(&agent);
    let mut ticks = interval(heartbeat::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(status) = queries.status().await else {
            continue;
        };
        let payload = Heartbeat::from(&status).to_json();
        let publish = client.publish(subject.clone(), payload.into());
        // while the connection is down there is nobody to tell
        if let Ok(Err(error)) = timeout(heartbeat::INTERVAL, publish).await {
            tracing::debug!(%error, "heartbeat cannot be published");
        }
    }
}

/// Notifies the supervisor of this process that it is ready, alive or stopping.
pub(super) async fn supervise(
    notifier: Notifier,
    health: Health,
    mut stop: watch::Receiver<Option<Instant>>,
) {
    let announce = async {
        let deadline = tokio::select! {
            // the stop has the last word, also when both have happened
            biased;
            stop = stop.wait_for(Option::is_some) => stop.ok().and_then(|deadline| *deadline),
            () = notifier.readiness(&health) => None,
        };
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        notifier.stopping(left.unwrap_or_default());
    };
    tokio::join!(announce, notifier.watchdog(&health));
}

/// Reads the configuration again whenever that is asked for; what is asked meanwhile is one wish.
pub(super) async fn reload_when(asked: Arc<Notify>, mut reload: Reload) {
    loop {
        asked.notified().await;
        let run = tokio::task::spawn_blocking(move || {
            reload.run();
            reload
        });
        match run.await {
            Ok(back) => reload = back,
            // the log has its panic
            Err(_) => return,
        }
    }
}

/// Logs the status whenever that is asked for.
pub(super) async fn log_status_when(asked: Arc<Notify>, health: Health, queries: Queries) {
    loop {
        asked.notified().await;
        let missing = health.missing().join("; ");
        match queries.status().await {
            Ok(status) => tracing::info!(
                state = ?status.state,
                ready = missing.is_empty(),
                missing,
                delivery = status.delivery,
                members = status.members.len(),
                owned_partitions = status.owned_partitions,
                series = status.series,
                bars_received = status.bars_received,
                signals_published = status.signals_published,
                lag_bars = status.lag_bars,
                last_processed = status.last_processed.map(|at| at.to_string()),
                resident_bytes = status.resident_bytes,
                uptime_seconds = status.uptime_seconds,
                "status"
            ),
            Err(error) => tracing::info!(ready = missing.is_empty(), missing, %error, "status"),
        }
    }
}

/// The admin routes at work.
pub(super) struct Controls {
    pub(super) logs: LogControl,
    pub(super) stop: Arc<Notify>,
    pub(super) queries: Queries,
    pub(super) config: Arc<Config>,
    pub(super) link: Arc<Link>,
}

impl Admin for Controls {
    fn set_log_level(&self, filter: &str) -> Result<(), String> {
        self.logs.set(filter).map_err(|error| error.to_string())?;
        tracing::info!(filter, "log level changed");
        Ok(())
    }

    fn drain(&self) {
        self.stop.notify_one();
    }

    fn checkpoint(&self) -> BoxFuture<'static, Checkpoint> {
        let queries = self.queries.clone();
        Box::pin(async move {
            let outcome = queries.checkpoint().await;
            outcome.unwrap_or_else(|error| Checkpoint::Failed(error.to_string()))
        })
    }

    fn reset(&self, series: SeriesKey) -> BoxFuture<'static, SeriesReset> {
        let (config, link) = (Arc::clone(&self.config), Arc::clone(&self.link));
        Box::pin(async move {
            let Some(client) = link.client().filter(|_| link.is_connected()) else {
                return SeriesReset::Failed("not connected to NATS".to_owned());
            };
            match reset(&client, &link, &config, &series, None).await {
                Ok(report) => report.answer(),
                Err(error) => SeriesReset::Failed(format!("{error:#}")),
            }
        })
    }
}
