//! The life of the agent as types: [`Application`] is configured, [`Application::run`] takes it
//! through connect, serve and drain to its exit.
//!
//! Two threads. The main one hears signals, answers HTTP and keeps the deadline. The other
//! carries the connection and the worker, on a runtime of its own without cross-thread
//! wake-ups; whatever becomes of it, the main thread notices.

mod reload;
mod signals;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::bus::core::{self, CoreError};
use crate::bus::durable::{self, DurableError, SetupError};
use crate::bus::{ConnectError, Deliveries, Link, ServiceApi, Setup, Sizing, connect};
use crate::config::{Config, Delivery, Environment};
use crate::engine::{Alert, Engine};
use crate::error::{Error, Exit};
use crate::group::Way;
use crate::ops::cgroup::{memory_limit, shortage};
use crate::ops::health::{Component, Health};
use crate::ops::heartbeat::{self, Heartbeat};
use crate::ops::http::{self, Admin, Checkpoint, OpsState};
use crate::ops::logs::{self, LogControl};
use crate::ops::metrics::{Build, Metrics};
use crate::ops::notify::Notifier;
use crate::ops::query::Queries;
use crate::ops::watchdog;
use crate::version::{GIT, RUSTC, VERSION};
use crate::wire::{Ignored, Reason};

use reload::Reload;
pub use signals::ignore_early;
use signals::{Signals, Wish};

const REASONS: [&str; Reason::ALL.len()] = {
    let mut names = [""; Reason::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Reason::ALL[at].name();
        at += 1;
    }
    names
};

const IGNORED: [&str; Ignored::ALL.len()] = {
    let mut names = [""; Ignored::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Ignored::ALL[at].name();
        at += 1;
    }
    names
};

const ALERTS: [&str; Alert::ALL.len()] = {
    let mut names = [""; Alert::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Alert::ALL[at].name();
        at += 1;
    }
    names
};

/// What the worker's thread gets beyond the deadline to say how it went.
const GRACE: Duration = Duration::from_millis(250);

/// The main thread has this long to end a process that is stuck in its own way.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Signals closer together than this are one, sent to the process and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(20);

/// A configured agent.
pub struct Application {
    config: Arc<Config>,
    host: String,
    metrics: Arc<Metrics>,
    health: Health,
    link: Arc<Link>,
}

/// How the worker's thread ended.
enum Ended {
    Stopped,
    Unreachable(ConnectError),
    Worker(CoreError),
    Durable(DurableError),
    Broken(anyhow::Error),
}

/// The metrics of a process, all at 0.
#[must_use]
pub fn metrics() -> Arc<Metrics> {
    let build = Build {
        version: VERSION,
        git: GIT,
        rustc: RUSTC,
    };
    Arc::new(Metrics::new(&REASONS, &ALERTS, &IGNORED, build))
}

impl Application {
    /// From what `config` says.
    #[must_use]
    pub fn new(config: Config, environment: &dyn Environment) -> Self {
        Self {
            config: Arc::new(config),
            host: environment.host(),
            metrics: metrics(),
            health: Health::new(),
            link: Link::new(),
        }
    }

    /// Runs until told to stop, then drains. Logging is at work, and `logs` changes its level.
    ///
    /// # Errors
    /// Whatever keeps it from running or from draining in order.
    pub fn run(self, logs: &LogControl) -> Result<Exit, Error> {
        self.introduce();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        runtime.block_on(self.live(logs))
    }

    /// What runs here, in which version, with which configuration.
    fn introduce(&self) {
        let config = &self.config;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let each = Engine::bytes_per_series(&config.analysis);
        let short = memory_limit().and_then(|limit| shortage(limit, config.max_series, each));
        if let Some(warning) = short {
            tracing::warn!("{warning}");
        }
        tracing::info!(
            version = VERSION,
            git = GIT,
            group = config.group,
            delivery = ?config.delivery,
            fingerprint = format!("{:016x}", config.analysis.fingerprint()),
            configuration = config.summary(),
            "technical-analysis-agent starts"
        );
    }

    async fn live(self, logs: &LogControl) -> Result<Exit, Error> {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let notifier = Notifier::new(|name| std::env::var(name).ok());
        let (stop, stopped) = watch::channel(None);
        let asked = Arc::new(Notify::new());
        let (queries, questions) = Queries::channel();
        let endpoint = self.serve_http(logs, &queries, &asked).await?;
        let (reload, status) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let reloader = Reload::new(&self.config, logs.clone(), Arc::clone(&self.link));
        let services = [
            tokio::spawn(reload_when(Arc::clone(&reload), reloader)),
            tokio::spawn(log_status_when(
                Arc::clone(&status),
                self.health.clone(),
                queries.clone(),
            )),
        ];

        let (end, mut ended) = oneshot::channel();
        let thread = self.start_worker(queries, questions, stopped, end)?;
        let watchdog = tokio::spawn(supervise(notifier, self.health.clone(), stop.subscribe()));

        let mut stuck = std::pin::pin!(self.watch()?);
        let mut deadline = None;
        let mut stopping_since = Instant::now();
        let outcome = loop {
            let over = async {
                match deadline {
                    Some(at) => sleep_until(at + GRACE).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                ended = &mut ended => break ended.unwrap_or_else(|_| {
                    Ended::Broken(anyhow::anyhow!("the worker ended without a word; the log has its panic"))
                }),
                (signal, wish) = signals.next() => {
                    match wish {
                        Wish::Stop => {}
                        Wish::Reload => {
                            reload.notify_one();
                            continue;
                        }
                        Wish::Status => {
                            status.notify_one();
                            continue;
                        }
                        Wish::Nothing => {
                            tracing::debug!(signal, "a signal that asks for nothing");
                            continue;
                        }
                    }
                    match deadline {
                        None => {}
                        // a signal to a process and to its group is one signal
                        Some(_) if stopping_since.elapsed() < ONE_SIGNAL => continue,
                        Some(_) => return Err(self.cut("a second signal came")),
                    }
                    stopping_since = Instant::now();
                    tracing::info!(signal, timeout_s = self.config.shutdown_timeout.as_secs_f64(), "stopping");
                    deadline = Some(self.begin_drain(&stop));
                }
                () = asked.notified(), if deadline.is_none() => {
                    tracing::info!("stopping, asked over HTTP");
                    deadline = Some(self.begin_drain(&stop));
                }
                () = over => {
                    return Err(self.cut("SHUTDOWN_TIMEOUT has passed"));
                }
                silent = &mut stuck => {
                    return Err(Error::Internal(anyhow::anyhow!(
                        "the watchdog ends the process (TECHNICAL_WATCHDOG_SECS): {silent}"
                    )));
                }
            }
        };
        // it has said its last word
        let _ = thread.join();
        watchdog.abort();
        for service in services {
            service.abort();
        }
        if let Some(endpoint) = endpoint {
            endpoint.abort();
        }
        match outcome {
            Ended::Stopped => {
                tracing::info!("stopped; everything received was finished");
                Ok(Exit::Done)
            }
            Ended::Unreachable(error) => Err(error.into()),
            Ended::Worker(CoreError::Drain(error)) => Err(Error::DrainCut(error.to_string())),
            Ended::Worker(error) => Err(Error::Internal(error.into())),
            Ended::Durable(DurableError::Drain(error)) => Err(Error::DrainCut(error.to_string())),
            Ended::Broken(error) => Err(Error::Internal(error)),
        }
    }

    /// Resolves when the watchdog has found the process stuck; never where there is none.
    fn watch(&self) -> Result<impl Future<Output = String> + use<>, Error> {
        let (found, stuck) = oneshot::channel();
        if let Some(limit) = self.config.watchdog {
            let report = move |silent: String| {
                let text = format!("no progress: {silent}");
                let _ = found.send(silent);
                // this thread ends the process where the main one hangs as well
                std::thread::sleep(LAST_WORDS);
                logs::complain(format_args!("the watchdog ends the process: {text}"));
                std::process::exit(Exit::Internal.code().into());
            };
            watchdog::watch(self.health.clone(), limit, report)
                .context("cannot start the watchdog's thread")?;
        }
        Ok(async move {
            match stuck.await {
                Ok(silent) => silent,
                Err(_) => pending().await,
            }
        })
    }

    /// What a drain leaves behind when it is cut.
    fn cut(&self, why: &str) -> Error {
        let left = self.metrics.inflight_bars.get();
        Error::DrainCut(format!(
            "{why}; {left} messages that were received are not finished"
        ))
    }

    fn begin_drain(&self, stop: &watch::Sender<Option<Instant>>) -> Instant {
        let deadline = Instant::now() + self.config.shutdown_timeout;
        self.health.draining();
        stop.send_replace(Some(deadline));
        deadline
    }

    async fn serve_http(
        &self,
        logs: &LogControl,
        queries: &Queries,
        asked: &Arc<Notify>,
    ) -> Result<Option<tokio::task::JoinHandle<()>>, Error> {
        let Some(addr) = self.config.http.addr else {
            return Ok(None);
        };
        let bound = http::bind(&addr.to_string())
            .await
            .map_err(|error| Error::Internal(error.into()))?;
        tracing::info!(address = %bound.address(), "operations endpoint listens");
        let token = self.config.http.admin_token.as_ref();
        let state = OpsState {
            metrics: Arc::clone(&self.metrics),
            health: self.health.clone(),
            queries: queries.clone(),
            admin: Arc::new(Controls {
                logs: logs.clone(),
                stop: Arc::clone(asked),
                queries: queries.clone(),
            }),
            admin_token: token.map(|token| Arc::from(token.reveal())),
        };
        Ok(Some(tokio::spawn(http::serve(bound, state, pending()))))
    }

    fn start_worker(
        &self,
        queries: Queries,
        questions: tokio::sync::mpsc::Receiver<crate::ops::query::Query>,
        stop: watch::Receiver<Option<Instant>>,
        end: oneshot::Sender<Ended>,
    ) -> Result<std::thread::JoinHandle<()>, Error> {
        let (config, host) = (Arc::clone(&self.config), self.host.clone());
        let (metrics, health) = (Arc::clone(&self.metrics), self.health.clone());
        let link = Arc::clone(&self.link);
        let thread = std::thread::Builder::new().name("worker".to_owned());
        let work = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let instance = nuid::next().to_string();
                    let setup = |client| Setup {
                        config: Arc::clone(&config),
                        deliveries: Deliveries::new(&client, &link, &config, &instance),
                        client,
                        link: Arc::clone(&link),
                        instance,
                        host,
                        metrics: Arc::clone(&metrics),
                        health: health.clone(),
                        queries: questions,
                        stop: stop.clone(),
                    };
                    work(
                        &config,
                        &link,
                        &metrics,
                        &health,
                        &queries,
                        stop.clone(),
                        setup,
                    )
                    .await
                }),
                Err(error) => {
                    Ended::Broken(anyhow::Error::new(error).context("cannot start the runtime"))
                }
            };
            // the main thread may have given up waiting
            let _ = end.send(ended);
        };
        Ok(thread
            .spawn(work)
            .context("cannot start the worker's thread")?)
    }
}

/// What the worker's thread does: connect, answer, work.
async fn work(
    config: &Config,
    link: &Arc<Link>,
    metrics: &Arc<Metrics>,
    health: &Health,
    queries: &Queries,
    mut stop: watch::Receiver<Option<Instant>>,
    setup: impl FnOnce(async_nats::Client) -> Setup,
) -> Ended {
    let component = health.component("nats", true);
    let observer = tokio::spawn(observe(Arc::clone(link), Arc::clone(metrics), component));
    let connecting = connect(&config.nats, &config.agent_name, link, Sizing::default());
    let client = tokio::select! {
        connected = connecting => match connected {
            Ok(client) => client,
            Err(error) => {
                observer.abort();
                return Ended::Unreachable(error);
            }
        },
        // nothing was received, so there is nothing to finish
        _ = stop.wait_for(Option::is_some) => {
            observer.abort();
            return Ended::Stopped;
        }
    };
    let service = ServiceApi::start(
        &client,
        &config.agent_name,
        &config.group,
        queries.clone(),
        Arc::clone(metrics),
    )
    .await;
    let service = match service {
        Ok(service) => Some(service),
        Err(error) => {
            tracing::warn!(%error, "the service API cannot be offered");
            None
        }
    };
    let beating = tokio::spawn(beat(
        client.clone(),
        config.agent_name.clone(),
        queries.clone(),
    ));
    let mut working = std::pin::pin!(deliver(setup(client)));
    let outcome = tokio::select! {
        outcome = &mut working => outcome,
        _ = stop.wait_for(Option::is_some) => {
            beating.abort();
            if let Some(service) = service {
                // questions end first, so that no answer is cut
                tokio::select! {
                    outcome = &mut working => outcome,
                    () = service.stop() => working.await,
                }
            } else {
                working.await
            }
        }
    };
    observer.abort();
    outcome
}

/// Works in the delivery that is configured, or that the server allows for.
async fn deliver(mut setup: Setup) -> Ended {
    let mut stop = setup.stop.clone();
    let begun = setup.deliveries.start(&setup);
    tokio::select! {
        () = begun => {}
        // nothing was received
        _ = stop.wait_for(Option::is_some) => return Ended::Stopped,
    }
    let mut waiting = None;
    loop {
        let without = match setup.config.delivery {
            Delivery::Durable => None,
            Delivery::Core => Some(None),
            Delivery::Auto => match unsupported(&setup).await {
                Some(without) => without.map(Some),
                // stopped before it was known; nothing was received
                None => return Ended::Stopped,
            },
        };
        let Some(without) = without else {
            tracing::info!("delivery is durable");
            return match durable::run(setup).await {
                Ok(()) => Ended::Stopped,
                Err(error) => Ended::Durable(error),
            };
        };
        setup.deliveries.propose(Way::Core);
        if let Some(objection) = setup.deliveries.objection() {
            let reason = match &without {
                Some(error) => format!("{error}; {objection}"),
                None => objection,
            };
            waiting
                .get_or_insert_with(|| Waiting::new(&setup.health))
                .for_reason(reason);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                _ = stop.wait_for(Option::is_some) => {
                    setup.deliveries.leave().await;
                    return Ended::Stopped;
                }
            }
        }
        if let Some(error) = without {
            tracing::warn!(
                %error,
                "delivery is core, not durable, until this process is restarted: bars published while no member listens, and \
                 those of a killed member until it is replaced (3 s), give no signal; set \
                 TECHNICAL_DELIVERY=core to accept that without this warning"
            );
        }
        tracing::info!("delivery is core");
        waiting = None;
        match core::run(setup).await {
            Ok(None) => return Ended::Stopped,
            // durable members came, and work now
            Ok(Some(again)) => setup = again,
            Err(error) => return Ended::Worker(error),
        }
    }
}

/// The condition of an agent whose core delivery waits for the durable members of its group.
struct Waiting {
    intake: Component,
    membership: Component,
    told: Option<String>,
}

impl Waiting {
    fn new(health: &Health) -> Self {
        Self {
            intake: health.component("intake", true),
            membership: health.component("membership", true),
            told: None,
        }
    }

    /// Says why, in health always and in the log once for each reason.
    fn for_reason(&mut self, reason: String) {
        self.intake.down(reason.clone());
        self.membership
            .down("waits for the durable members of the group to leave");
        if self.told.as_ref() != Some(&reason) {
            tracing::error!(reason, "core delivery cannot go on; trying again for ever");
            self.told = Some(reason);
        }
    }
}

/// Asks for `auto` why the server has nothing durable to offer: `Some(None)` where it has. `None`
/// when the time to stop came first.
///
/// Core is chosen only where the server or the account has no durable delivery to offer. Anything
/// else that stands in the way would have this member publish beside the durable members of its
/// group: it is left to durable delivery, which says what it is and waits.
async fn unsupported(setup: &Setup) -> Option<Option<SetupError>> {
    let intake = setup.health.component("intake", true);
    let mut stop = setup.stop.clone();
    loop {
        let offered = tokio::select! {
            offered = durable::offered(setup) => offered,
            _ = stop.wait_for(Option::is_some) => return None,
        };
        match offered {
            Err(error) if error.is_unsupported() => return Some(Some(error)),
            Err(error) if error.is_transient() => intake.down(error.to_string()),
            Ok(()) | Err(_) => return Some(None),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Keeps metrics and health true to the connection.
async fn observe(link: Arc<Link>, metrics: Arc<Metrics>, component: Component) {
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
async fn beat(client: async_nats::Client, agent: String, queries: Queries) {
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

/// Tells whoever started this process when it is ready, alive and stopping.
async fn supervise(notifier: Notifier, health: Health, mut stop: watch::Receiver<Option<Instant>>) {
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
async fn reload_when(asked: Arc<Notify>, mut reload: Reload) {
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
async fn log_status_when(asked: Arc<Notify>, health: Health, queries: Queries) {
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
struct Controls {
    logs: LogControl,
    stop: Arc<Notify>,
    queries: Queries,
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
}
