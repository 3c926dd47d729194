//! An agent at work, from its start to the end of its drain.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::Application;
use super::reload::Reload;
use super::signals::{Signals, Wish};
use super::tasks::{Controls, log_status_when, reload_when, supervise};
use super::worker::{Ended, Worker};
use crate::error::Error;
use crate::exit::Exit;
use crate::ops::http::{self, OpsState};
use crate::ops::logs::{self, LogControl};
use crate::ops::notify::Notifier;
use crate::ops::query::Queries;
use crate::ops::watchdog;

/// Time for the worker's thread beyond the deadline to report how it ended.
const GRACE: Duration = Duration::from_millis(250);

/// The main thread has this long to end a process that is stuck in its own way.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Signals closer together than this are one, sent to the process and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(20);

/// An agent that is at work.
pub(super) struct Running {
    app: Application,
    signals: Signals,
    requests: Requests,
    stop: watch::Sender<Option<Instant>>,
    worker: std::thread::JoinHandle<()>,
    ended: oneshot::Receiver<Ended>,
    /// Resolves when the watchdog has found the process stuck.
    stuck: BoxFuture<'static, String>,
    services: Vec<AbortHandle>,
}

/// An agent that finishes what it has received, or whose worker has ended.
pub(super) struct Draining {
    running: Running,
    began: Began,
}

/// The beginning of a drain.
enum Began {
    /// On request, at this time and with this deadline.
    Asked { at: Instant, deadline: Instant },
    /// The worker ended by itself.
    Over(Ended),
}

/// An agent whose worker has ended in time.
pub(super) struct Finished {
    running: Running,
    outcome: Ended,
}

/// Requests to the process, beside signals.
struct Requests {
    stop: Arc<Notify>,
    reload: Arc<Notify>,
    status: Arc<Notify>,
}

impl Application {
    /// Starts the operations endpoint, the worker and what watches them.
    pub(super) async fn start(self, logs: &LogControl) -> Result<Running, Error> {
        let signals = Signals::listen().context("cannot listen for signals")?;
        let notifier = Notifier::new(|name| std::env::var(name).ok());
        let (stop, stopped) = watch::channel(None);
        let requests = Requests {
            stop: Arc::default(),
            reload: Arc::default(),
            status: Arc::default(),
        };
        let (queries, questions) = Queries::channel();
        let endpoint = self.serve_http(logs, &queries, &requests.stop).await?;
        let mut services: Vec<AbortHandle> = endpoint.into_iter().collect();
        let reloader = Reload::new(&self.config, logs.clone(), Arc::clone(&self.link));
        let reloading = reload_when(Arc::clone(&requests.reload), reloader);
        services.push(tokio::spawn(reloading).abort_handle());
        let (status, health) = (Arc::clone(&requests.status), self.health.clone());
        let reporting = log_status_when(status, health, queries.clone());
        services.push(tokio::spawn(reporting).abort_handle());
        let worker = Worker {
            config: Arc::clone(&self.config),
            host: self.host.clone(),
            link: Arc::clone(&self.link),
            metrics: Arc::clone(&self.metrics),
            health: self.health.clone(),
            queries,
            questions,
            stop: stopped.clone(),
        };
        let (worker, ended) = worker.spawn()?;
        let supervising = supervise(notifier, self.health.clone(), stopped);
        services.push(tokio::spawn(supervising).abort_handle());
        Ok(Running {
            stuck: self.watch()?,
            app: self,
            signals,
            requests,
            stop,
            worker,
            ended,
            services,
        })
    }

    /// Resolves when the watchdog has found the process stuck; never where there is none.
    fn watch(&self) -> Result<BoxFuture<'static, String>, Error> {
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
        Ok(Box::pin(async move {
            match stuck.await {
                Ok(silent) => silent,
                Err(_) => pending().await,
            }
        }))
    }

    async fn serve_http(
        &self,
        logs: &LogControl,
        queries: &Queries,
        stop: &Arc<Notify>,
    ) -> Result<Option<AbortHandle>, Error> {
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
                stop: Arc::clone(stop),
                queries: queries.clone(),
                config: Arc::clone(&self.config),
                link: Arc::clone(&self.link),
            }),
            admin_token: token.map(|token| Arc::from(token.reveal())),
        };
        let serving = tokio::spawn(http::serve(bound, state, pending()));
        Ok(Some(serving.abort_handle()))
    }
}

impl Running {
    /// Works until it is asked to stop or the worker ends by itself.
    pub async fn serve(mut self) -> Result<Draining, Error> {
        loop {
            tokio::select! {
                ended = &mut self.ended => {
                    let began = Began::Over(end_of_worker(ended));
                    return Ok(Draining { running: self, began });
                }
                (signal, wish) = self.signals.next() => {
                    if self.requests.is_to_stop(signal, wish) {
                        let timeout_s = self.app.config.shutdown_timeout.as_secs_f64();
                        tracing::info!(signal, timeout_s, "stopping");
                        return Ok(self.begin_drain());
                    }
                }
                () = self.requests.stop.notified() => {
                    tracing::info!("stopping on request over HTTP");
                    return Ok(self.begin_drain());
                }
                silent = &mut self.stuck => return Err(found_stuck(&silent)),
            }
        }
    }

    fn begin_drain(self) -> Draining {
        let at = Instant::now();
        let deadline = at + self.app.config.shutdown_timeout;
        self.app.health.draining();
        self.stop.send_replace(Some(deadline));
        let began = Began::Asked { at, deadline };
        Draining {
            running: self,
            began,
        }
    }

    /// The error of a drain that is cut.
    fn cut(&self, why: &str) -> Error {
        let left = self.app.metrics.inflight_bars.get();
        Error::DrainCut(format!(
            "{why}; {left} messages that were received are not finished"
        ))
    }
}

impl Draining {
    /// Waits until everything that was received is finished.
    ///
    /// # Errors
    /// The deadline has passed, or a second signal has come.
    pub async fn drain(self) -> Result<Finished, Error> {
        let Self { mut running, began } = self;
        let (at, deadline) = match began {
            Began::Asked { at, deadline } => (at, deadline),
            Began::Over(outcome) => return Ok(Finished { running, outcome }),
        };
        loop {
            tokio::select! {
                ended = &mut running.ended => {
                    let outcome = end_of_worker(ended);
                    return Ok(Finished { running, outcome });
                }
                (signal, wish) = running.signals.next() => {
                    // a signal to a process and to its group is one signal
                    if running.requests.is_to_stop(signal, wish) && at.elapsed() >= ONE_SIGNAL {
                        return Err(running.cut("a second signal came"));
                    }
                }
                () = sleep_until(deadline + GRACE) => {
                    return Err(running.cut("SHUTDOWN_TIMEOUT has passed"));
                }
                silent = &mut running.stuck => return Err(found_stuck(&silent)),
            }
        }
    }
}

impl Finished {
    /// Ends what is left, and returns the exit of the process.
    pub fn exit(self) -> Result<Exit, Error> {
        // it has reported its end
        let _ = self.running.worker.join();
        for service in self.running.services {
            service.abort();
        }
        self.outcome.exit()
    }
}

impl Requests {
    /// Passes the wish of a signal on; true if it is to stop.
    fn is_to_stop(&self, signal: i32, wish: Wish) -> bool {
        match wish {
            Wish::Stop => return true,
            Wish::Reload => self.reload.notify_one(),
            Wish::Status => self.status.notify_one(),
            Wish::Nothing => tracing::debug!(signal, "ignored a signal"),
        }
        false
    }
}

fn end_of_worker(ended: Result<Ended, oneshot::error::RecvError>) -> Ended {
    ended.unwrap_or_else(|_| {
        Ended::Broken(anyhow::anyhow!(
            "the worker ended without a report; the log has its panic"
        ))
    })
}

fn found_stuck(silent: &str) -> Error {
    Error::Internal(anyhow::anyhow!(
        "the watchdog ends the process (TECHNICAL_WATCHDOG_SECS): {silent}"
    ))
}
