//! The life of the agent as types: [`Application`] is configured, [`Application::run`] takes it
//! through connect, serve and drain to its exit.
//!
//! Two threads. The main one hears signals, answers HTTP and keeps the deadline. The other
//! carries the connection and the worker, on a runtime of its own without cross-thread
//! wake-ups; whatever becomes of it, the main thread notices.

mod delivery;
mod reload;
mod signals;
mod tasks;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::bus::core::CoreError;
use crate::bus::durable::DurableError;
use crate::bus::{ConnectError, Deliveries, Link, Setup};
use crate::config::{Config, Environment};
use crate::engine::{Alert, Engine};
use crate::error::Error;
use crate::exit::Exit;
use crate::ops::cgroup::{memory_limit, shortage};
use crate::ops::health::Health;
use crate::ops::http::{self, OpsState};
use crate::ops::logs::{self, LogControl};
use crate::ops::metrics::{Build, Metrics};
use crate::ops::notify::Notifier;
use crate::ops::query::Queries;
use crate::ops::watchdog;
use crate::version::{GIT, RUSTC, VERSION};
use crate::wire::{Ignored, Reason};

use delivery::work;
use reload::Reload;
pub use signals::ignore_early;
use signals::{Signals, Wish};
use tasks::{Controls, log_status_when, reload_when, supervise};

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
                config: Arc::clone(&self.config),
                link: Arc::clone(&self.link),
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
                        receipts: Arc::default(),
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
