//! Process environment, `.env` and defaults → one validated value.
//!
//! [`Config::load`] promises that a value it returns can be run with, and that an error it
//! returns names everything that is wrong at once. It reads through [`Environment`] and
//! changes nothing. Must not know how any of it is used.

mod analysis;
mod check;
mod dot_env;
mod durable;
mod environment;
mod fingerprint;
mod input;
pub mod keys;
mod log_filter;
mod nats;
mod raw;
mod reference;
mod secret;
mod settings;
mod show;
mod subjects;
mod violation;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use durable::{DurableConfig, Storage};
pub use environment::{Environment, FormerEnvironment, ProcessEnvironment};
pub use log_filter::{InvalidLogFilter, LogFilter};
pub use nats::{Auth, JetStreamApi, NatsConfig};
pub use reference::{env_example, help, markdown_table};
pub use secret::{MASK, Secret};
pub use settings::Source;
pub use show::Setting;
pub use violation::{ConfigError, Given, Violation};

use crate::engine::AnalysisConfig;
use crate::wire::{InputRules, SubjectPattern, SubjectTemplate};

use check::{Check, count, field, name, one_of, seconds, whole_seconds};
use raw::Raw;
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
    /// How bars come in and signals go out.
    pub delivery: Delivery,
    /// How to reach NATS.
    pub nats: NatsConfig,
    /// What is logged, and where.
    pub logs: LogConfig,
    /// Time allowed for the drain.
    pub shutdown_timeout: Duration,
    /// The process ends when it makes no progress for this long; without it it does not.
    pub watchdog: Option<Duration>,
    /// The operations endpoint.
    pub http: HttpConfig,
    /// Market-data subjects; no two overlap.
    pub subjects: Vec<SubjectPattern>,
    /// Where signals go.
    pub publish_subject: SubjectTemplate,
    /// Where signals of forming bars go.
    pub forming_subject: SubjectTemplate,
    /// Where refused input goes.
    pub dead_letter_subject: String,
    /// The rules for reading input.
    pub input: InputRules,
    /// What is computed.
    pub analysis: AnalysisConfig,
    /// Series kept at most.
    pub max_series: usize,
    /// A series silent for this long is forgotten; without it never.
    pub series_idle: Option<Duration>,
    /// Streams, retention and leases.
    pub durable: DurableConfig,
    /// Every variable with its effective value and where it came from, secrets masked.
    pub settings: Vec<Setting>,
    /// What was ignored, such as an unknown variable.
    pub warnings: Vec<String>,
    /// The text of every variable that has one, to tell one configuration from another by.
    texts: BTreeMap<String, Secret>,
}

/// How bars come in and signals go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Durable where the server can, else core.
    Auto,
    /// Plain NATS.
    Core,
    /// JetStream.
    Durable,
}

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Which events.
    pub filter: LogFilter,
    /// How a line looks.
    pub format: LogFormat,
    /// Directory of the daily files, if they are wanted.
    pub dir: Option<PathBuf>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON where no terminal is looking.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people.
    Pretty,
}

/// The operations endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens; none when it is off.
    pub addr: Option<SocketAddr>,
    /// Bearer token of the admin routes; without it they are closed.
    pub admin_token: Option<Secret>,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every violation there is, with what was ignored.
    pub fn load(environment: &dyn Environment) -> Result<Self, ConfigError> {
        let mut settings = Settings::gather(environment);
        let raw: Raw = envy::from_iter(settings.texts()).map_err(|error| ConfigError {
            violations: vec![Violation::Keys {
                given: Vec::new(),
                reason: error.to_string(),
            }],
            warnings: Vec::new(),
        })?;
        let warnings = std::mem::take(&mut settings.warnings);
        let mut violations = std::mem::take(&mut settings.violations);
        let mut check = Check::new(&settings);
        let mut config = Self::read(&raw, &mut check, environment);
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

    fn read(raw: &Raw, check: &mut Check<'_>, environment: &dyn Environment) -> Self {
        let group = check.read(&field!(raw.technical_group), name);
        let agent_name = check
            .read_optional(&field!(raw.technical_agent_name), name)
            .unwrap_or_else(|| default_agent_name(&group, environment));
        let group_secrets = check
            .read_optional(&field!(raw.technical_group_secret), group_secrets)
            .unwrap_or_default();
        let delivery = check.read(&field!(raw.technical_delivery), one_of(DELIVERIES));
        let nats = nats::read(raw, check, environment);
        let logs = LogConfig {
            filter: check.read(&field!(raw.log_level), |text| {
                text.parse()
                    .map_err(|error: InvalidLogFilter| error.to_string())
            }),
            format: check.read(&field!(raw.log_format), one_of(FORMATS)),
            dir: check.read_optional(&field!(raw.log_dir), |text| Ok(PathBuf::from(text))),
        };
        let http = HttpConfig {
            addr: check.read(&field!(raw.http_addr), http_addr),
            admin_token: check.read_optional(&field!(raw.http_admin_token), bearer_token),
        };
        let subjects = subjects::read(raw, check);
        let analysis = analysis::read(raw, check);
        let watchdog = check.read(
            &field!(raw.technical_watchdog_secs),
            whole_seconds(0..=86_400),
        );
        let idle = check.read(
            &field!(raw.technical_series_idle_secs),
            whole_seconds(0..=31_536_000),
        );
        let input = input::read(raw, check);
        // where it is left to its default, bars name their own
        let named = check.is_set("TECHNICAL_DEFAULT_TIMEFRAME");
        let bar = u128::from(input.default_timeframe.nanos().unsigned_abs());
        check.require(
            !named || idle.is_zero() || idle.as_nanos() >= bar,
            &["TECHNICAL_SERIES_IDLE_SECS", "TECHNICAL_DEFAULT_TIMEFRAME"],
            "a series is not silent before its next bar is due: allow at least one timeframe",
        );
        Self {
            agent_name,
            group,
            group_secrets,
            delivery,
            nats,
            logs,
            shutdown_timeout: check.read(&field!(raw.shutdown_timeout), seconds(0.1..=3_600.0)),
            watchdog: (!watchdog.is_zero()).then_some(watchdog),
            http,
            subjects: subjects.inputs,
            publish_subject: subjects.publish,
            forming_subject: subjects.forming,
            dead_letter_subject: subjects.dead_letter,
            input,
            durable: durable::read(raw, check, analysis.window),
            analysis,
            max_series: check.read(&field!(raw.technical_max_series), count(1..=10_000_000)),
            series_idle: (!idle.is_zero()).then_some(idle),
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

const FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("json", LogFormat::Json),
    ("pretty", LogFormat::Pretty),
];

const DELIVERIES: &[(&str, Delivery)] = &[
    ("auto", Delivery::Auto),
    ("core", Delivery::Core),
    ("durable", Delivery::Durable),
];

fn http_addr(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| "must be an IP address with a port, or off".to_owned())
}

fn bearer_token(text: &str) -> Result<Secret, String> {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(text.to_owned()))
    } else {
        Err("must be printable ASCII without spaces, as it travels in a header".to_owned())
    }
}

/// Secrets that may be in use at a time; more than a roll from one to the next needs.
const MAX_SECRETS: usize = 16;

fn group_secrets(text: &str) -> Result<Vec<Secret>, String> {
    let secrets: Vec<&str> = text.split(',').map(str::trim).collect();
    if secrets.iter().all(|secret| secret.is_empty()) {
        return Err("names no secret: set one, or leave the variable unset".to_owned());
    }
    if secrets.len() > MAX_SECRETS {
        return Err(format!(
            "has {} secrets; at most {MAX_SECRETS} are allowed",
            secrets.len()
        ));
    }
    let secret = |text: &&str| Secret::new((*text).to_owned());
    Ok(secrets.iter().map(secret).collect())
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
    let end = (0..=check::MAX_NAME - tail.len())
        .rev()
        .find(|end| group.is_char_boundary((*end).min(group.len())))
        .unwrap_or(0);
    format!("{}{tail}", &group[..end.min(group.len())])
}
