//! Process environment, `.env` and defaults → one validated value.
//!
//! [`Config::load`] promises that a value it returns can be run with, and that an error it
//! returns names everything that is wrong at once. It reads through [`Environment`] and
//! changes nothing. Must not know how any of it is used.

mod analysis;
mod check;
mod choices;
mod dot_env;
mod durable;
mod environment;
mod fingerprint;
mod input;
pub mod keys;
mod log_filter;
mod nats;
mod readers;
mod reference;
mod secret;
mod settings;
mod show;
mod source;
mod subjects;
mod violation;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use choices::{Delivery, LogFormat, Storage};
pub use durable::DurableConfig;
pub use environment::{Environment, FormerEnvironment, ProcessEnvironment};
pub use log_filter::{InvalidLogFilter, LogFilter};
pub use nats::{Auth, JetStreamApi, NatsConfig};
pub use reference::{env_example, help, markdown_table};
pub use secret::{MASK, Secret};
pub use show::Setting;
pub use source::Source;
pub use violation::{ConfigError, Given, Violation};

use crate::engine::AnalysisConfig;
use crate::wire::{InputRules, SubjectPattern, SubjectTemplate};

use check::Check;
use keys::Variable;
use keys::agent::AgentValues;
use keys::analysis::{AnalysisValues, TECHNICAL_SERIES_IDLE_SECS};
use keys::durable::DurableValues;
use keys::input::{InputValues, TECHNICAL_DEFAULT_TIMEFRAME};
use keys::nats::NatsValues;
use keys::process::ProcessValues;
use readers::MAX_NAME;
use settings::Settings;

/// Everything the agent is told from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// This process, in logs, metrics, headers and status.
    pub agent_name: String,
    /// Replicas of one group share the symbols.
    pub group: String,
    /// The first signs messages and records of the group, all are accepted, an empty one accepts
    /// what is not signed; none where nothing is signed.
    pub group_secrets: Vec<Secret>,
    /// The kind of delivery: the transport of bars and signals.
    pub delivery: Delivery,
    /// The connection to NATS.
    pub nats: NatsConfig,
    /// The log: filter, format and files.
    pub logs: LogConfig,
    /// Time allowed for the drain.
    pub shutdown_timeout: Duration,
    /// The process ends when it makes no progress for this long; without it it does not.
    pub watchdog: Option<Duration>,
    /// The operations endpoint.
    pub http: HttpConfig,
    /// Market-data subjects; no two overlap.
    pub subjects: Vec<SubjectPattern>,
    /// The subject of signals.
    pub publish_subject: SubjectTemplate,
    /// The subject of signals of forming bars.
    pub forming_subject: SubjectTemplate,
    /// The subject of refused input.
    pub dead_letter_subject: String,
    /// The rules for reading input.
    pub input: InputRules,
    /// The computation.
    pub analysis: AnalysisConfig,
    /// Series kept at most.
    pub max_series: usize,
    /// A series silent for this long is forgotten; without it never.
    pub series_idle: Option<Duration>,
    /// Streams, retention and leases.
    pub durable: DurableConfig,
    /// Every variable with its effective value and where it came from, secrets masked.
    pub settings: Vec<Setting>,
    /// Settings that were ignored, such as an unknown variable.
    pub warnings: Vec<String>,
    /// The text of every variable that has one, to tell one configuration from another by.
    texts: BTreeMap<String, Secret>,
}

/// The log: filter, format and files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The events to log.
    pub filter: LogFilter,
    /// The format of a line.
    pub format: LogFormat,
    /// Directory of the daily files, if they are wanted.
    pub dir: Option<PathBuf>,
}

/// The operations endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address it listens on; `None` when it is off.
    pub addr: Option<SocketAddr>,
    /// Bearer token of the admin routes; without it they are closed.
    pub admin_token: Option<Secret>,
}

impl HttpConfig {
    /// True if series can be reset over HTTP: the endpoint is on, and its admin routes are open.
    #[must_use]
    pub const fn resets_series(&self) -> bool {
        self.addr.is_some() && self.admin_token.is_some()
    }
}

/// The values of all variables, by section.
struct Values {
    nats: NatsValues,
    process: ProcessValues,
    agent: AgentValues,
    input: InputValues,
    analysis: AnalysisValues,
    durable: DurableValues,
}

impl Values {
    fn of(settings: &Settings) -> envy::Result<Self> {
        Ok(Self {
            nats: envy::from_iter(settings.texts())?,
            process: envy::from_iter(settings.texts())?,
            agent: envy::from_iter(settings.texts())?,
            input: envy::from_iter(settings.texts())?,
            analysis: envy::from_iter(settings.texts())?,
            durable: envy::from_iter(settings.texts())?,
        })
    }
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every violation there is, with what was ignored.
    pub fn load(environment: &dyn Environment) -> Result<Self, ConfigError> {
        let mut settings = Settings::gather(environment);
        let values = Values::of(&settings).map_err(|error| ConfigError {
            violations: vec![Violation::Keys {
                given: Vec::new(),
                reason: error.to_string(),
            }],
            warnings: Vec::new(),
        })?;
        let warnings = std::mem::take(&mut settings.warnings);
        let mut violations = std::mem::take(&mut settings.violations);
        let mut check = Check::new(&settings);
        let mut config = Self::read(&values, &mut check, environment);
        violations.append(&mut check.violations);
        if !violations.is_empty() {
            return Err(ConfigError {
                violations,
                warnings,
            });
        }
        config.settings = show::effective(&settings, &config);
        let secret = |(key, text)| (key, Secret::new(text));
        config.texts = settings.texts().map(secret).collect();
        config.warnings = warnings;
        Ok(config)
    }

    fn read(values: &Values, check: &mut Check<'_>, environment: &dyn Environment) -> Self {
        let Values { agent, process, .. } = values;
        let group = check.read(&agent.TECHNICAL_GROUP);
        let agent_name = check
            .read_optional(&agent.TECHNICAL_AGENT_NAME)
            .unwrap_or_else(|| default_agent_name(&group, environment));
        let group_secrets = check
            .read_optional(&agent.TECHNICAL_GROUP_SECRET)
            .unwrap_or_default();
        let delivery = check.read(&agent.TECHNICAL_DELIVERY);
        let nats = nats::read(&values.nats, check, environment);
        let logs = LogConfig {
            filter: check.read(&process.LOG_LEVEL),
            format: check.read(&process.LOG_FORMAT),
            dir: check.read_optional(&process.LOG_DIR),
        };
        let http = HttpConfig {
            addr: check.read(&process.HTTP_ADDR),
            admin_token: check.read_optional(&process.HTTP_ADMIN_TOKEN),
        };
        let analysis = analysis::read(&values.analysis, check);
        let trades = analysis.trades.as_ref().map(|plan| plan.conditions);
        let subjects = subjects::read(agent, check, trades.is_some());
        let idle = check.read(&values.analysis.TECHNICAL_SERIES_IDLE_SECS);
        let input = input::read(values, check, trades);
        // where it is left to its default, bars name their own
        let named = check.is_set(TECHNICAL_DEFAULT_TIMEFRAME::KEY);
        let bar = u128::from(input.default_timeframe.nanos().unsigned_abs());
        check.require(
            !named || idle.is_none_or(|idle| idle.as_nanos() >= bar),
            &[
                TECHNICAL_SERIES_IDLE_SECS::KEY,
                TECHNICAL_DEFAULT_TIMEFRAME::KEY,
            ],
            "a series is not silent before its next bar is due: allow at least one timeframe",
        );
        Self {
            agent_name,
            group,
            group_secrets,
            delivery,
            nats,
            logs,
            shutdown_timeout: check.read(&process.SHUTDOWN_TIMEOUT),
            watchdog: check.read(&process.TECHNICAL_WATCHDOG_SECS),
            http,
            subjects: subjects.inputs,
            publish_subject: subjects.publish,
            forming_subject: subjects.forming,
            dead_letter_subject: subjects.dead_letter,
            input,
            durable: durable::read(&values.durable, check, analysis.window),
            analysis,
            max_series: check.read(&values.analysis.TECHNICAL_MAX_SERIES),
            series_idle: idle,
            settings: Vec::new(),
            warnings: Vec::new(),
            texts: BTreeMap::new(),
        }
    }

    /// The text of every variable that has one, defaults included.
    #[must_use]
    pub const fn texts(&self) -> &BTreeMap<String, Secret> {
        &self.texts
    }
}

/// `<group>-<host>-<pid>`. What makes it unique is at the end, so the group gives way where
/// the name would be too long.
fn default_agent_name(group: &str, environment: &dyn Environment) -> String {
    let host: String = environment
        .host()
        .chars()
        .filter(char::is_ascii_graphic)
        .take(64)
        .collect();
    let tail = format!("-{host}-{}", environment.pid());
    let end = (0..=MAX_NAME - tail.len())
        .rev()
        .find(|end| group.is_char_boundary((*end).min(group.len())))
        .unwrap_or(0);
    format!("{}{tail}", &group[..end.min(group.len())])
}
