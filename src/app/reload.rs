//! Reading the configuration again while the agent runs.
//!
//! The log level and the credentials for NATS are taken into use; whatever decides about values,
//! subjects or streams needs a restart and is named. The process environment cannot change from
//! outside, so a new value comes from `.env`, or from the file of a secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bus::Link;
use crate::config::{Config, NatsConfig, ProcessEnvironment, Secret};
use crate::ops::logs::LogControl;

/// Settings that are taken into use without a restart.
const LIVE: [&str; 6] = [
    "LOG_LEVEL",
    "NATS_CREDS_FILE",
    "NATS_NKEY_SEED",
    "NATS_USER",
    "NATS_PASSWORD",
    "NATS_TOKEN",
];

/// Takes new settings into use.
pub(super) struct Reload {
    /// The settings in use, by variable.
    used: BTreeMap<String, Secret>,
    nats: NatsConfig,
    logs: LogControl,
    link: Arc<Link>,
}

/// The variables that differ from those in use.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Taken into use.
    live: Vec<String>,
    /// Not in use before a restart.
    later: Vec<String>,
}

impl Reload {
    pub fn new(config: &Config, logs: LogControl, link: Arc<Link>) -> Self {
        Self {
            used: config.texts().clone(),
            nats: config.nats.clone(),
            logs,
            link,
        }
    }

    /// Reads the configuration and uses what can be used. Blocks for as long as files take to read.
    pub fn run(&mut self) {
        let config = match Config::load(&ProcessEnvironment) {
            Ok(config) => config,
            Err(error) => {
                tracing::error!("nothing is reloaded; the current settings stay in use: {error}");
                return;
            }
        };
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let changes = changes(&self.used, config.texts(), &self.nats, &config.nats);
        // also where it has not changed: it may have been set over HTTP
        if let Err(error) = self.logs.set(&config.logs.filter.to_string()) {
            tracing::error!(%error, "the log level cannot be changed");
        }
        self.link.renew_credentials(&config.nats);
        for key in &changes.live {
            match config.texts().get(key) {
                Some(text) => drop(self.used.insert(key.clone(), text.clone())),
                None => drop(self.used.remove(key)),
            }
        }
        tracing::info!(
            log_level = %config.logs.filter,
            changed = list(&changes.live),
            needs_restart = list(&changes.later),
            "configuration reloaded: the log level is in use now, credentials and certificates \
             from the next connection to NATS on, everything else after a restart"
        );
    }
}

fn list(keys: &[String]) -> String {
    if keys.is_empty() {
        "none".to_owned()
    } else {
        keys.join(" ")
    }
}

fn changes(
    used: &BTreeMap<String, Secret>,
    read: &BTreeMap<String, Secret>,
    nats_used: &NatsConfig,
    nats_read: &NatsConfig,
) -> Changes {
    let mut changes = Changes::default();
    let mut keys: Vec<&String> = used.keys().chain(read.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys
        .into_iter()
        .filter(|key| used.get(*key) != read.get(*key))
    {
        let only_logins = key == "NATS_URL" && addresses(nats_used) == addresses(nats_read);
        if LIVE.contains(&key.as_str()) || only_logins {
            changes.live.push(key.clone());
        } else {
            changes.later.push(key.clone());
        }
    }
    changes
}

fn addresses(config: &NatsConfig) -> Vec<(&str, &str, u16)> {
    config
        .servers
        .iter()
        .map(|server| (server.scheme(), server.host(), server.port()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, JetStreamApi};

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        let owned =
            |(key, text): &(&str, &str)| ((*key).to_owned(), Secret::new((*text).to_owned()));
        pairs.iter().map(owned).collect()
    }

    fn nats(url: &str) -> NatsConfig {
        NatsConfig {
            servers: vec![url.parse().unwrap()],
            auth: Auth::None,
            tls_ca: None,
            tls_client: None,
            connect_timeout: None,
            jetstream: JetStreamApi::default(),
        }
    }

    #[test]
    fn what_has_changed_is_told_apart_by_what_it_takes() {
        let used = texts(&[
            ("LOG_LEVEL", "info"),
            ("NATS_PASSWORD", "old"),
            ("NATS_URL", "nats://a:b@host"),
            ("TECHNICAL_RSI_PERIOD", "14"),
            ("HTTP_ADDR", "off"),
        ]);
        let (old, same) = (nats("nats://a:b@host"), nats("nats://a:c@host"));
        assert_eq!(changes(&used, &used, &old, &old), Changes::default());
        let read = texts(&[
            ("LOG_LEVEL", "debug"),
            ("NATS_PASSWORD", "new"),
            ("NATS_URL", "nats://a:c@host"),
            ("TECHNICAL_RSI_PERIOD", "7"),
        ]);
        let found = changes(&used, &read, &old, &same);
        assert_eq!(found.live, ["LOG_LEVEL", "NATS_PASSWORD", "NATS_URL"]);
        assert_eq!(found.later, ["HTTP_ADDR", "TECHNICAL_RSI_PERIOD"]);
        let elsewhere = changes(&used, &read, &old, &nats("nats://a:c@other"));
        assert!(elsewhere.later.contains(&"NATS_URL".to_owned()));
    }
}
