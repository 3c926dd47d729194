//! The life cycle of the agent as types: a configured [`Application`], then `Running`, `Draining`
//! once it is asked to stop, and `Finished` with the exit code of the process.
//!
//! Two threads. The main thread handles signals, answers HTTP and watches the deadline. The
//! worker's thread has the connection.

mod reload;
mod running;
mod signals;
mod tasks;
mod worker;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Builder;

use crate::bus::Link;
use crate::config::{Config, Environment};
use crate::engine::{Alert, Engine};
use crate::error::Error;
use crate::exit::Exit;
use crate::ops::cgroup::{memory_limit, shortage};
use crate::ops::health::Health;
use crate::ops::logs::LogControl;
use crate::ops::metrics::{Build, Metrics};
use crate::version::{GIT, RUSTC, VERSION};
use crate::wire::{Ignored, Reason};

pub use signals::ignore_early;

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

/// A configured agent.
pub struct Application {
    config: Arc<Config>,
    host: String,
    metrics: Arc<Metrics>,
    health: Health,
    link: Arc<Link>,
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
        runtime.block_on(async {
            let running = self.start(logs).await?;
            let draining = running.serve().await?;
            draining.drain().await?.exit()
        })
    }

    /// Logs the version and the configuration that this process runs with.
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
}
