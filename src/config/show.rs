//! The effective configuration, for people and scripts.

use serde::Serialize;

use super::keys::agent::{TECHNICAL_AGENT_NAME, TECHNICAL_SUBJECTS};
use super::keys::{self, Variable};
use super::settings::Settings;
use super::source::Source;
use super::{Config, MASK};

/// A variable with the value in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The variable.
    pub key: String,
    /// Its value, masked where it is secret; none when nothing is set.
    pub value: Option<String>,
    /// The source of the value.
    pub source: Source,
}

/// Every variable, with what was derived filled in and the files that secrets were read from.
pub(super) fn effective(settings: &Settings, config: &Config) -> Vec<Setting> {
    let mut list = Vec::new();
    for key in keys::all() {
        let given = settings.given(key);
        let is = |other: &keys::Key| key.name == other.name;
        let value = if is(TECHNICAL_SUBJECTS::KEY) && given.source == Source::Default {
            // it depends on whether trades are taken
            Some(subjects(config))
        } else {
            let name = || is(TECHNICAL_AGENT_NAME::KEY).then(|| config.agent_name.clone());
            given.shown.or_else(name)
        };
        list.push(Setting {
            key: key.name.to_owned(),
            value,
            source: given.source,
        });
        if let (Some(variable), Some((path, source))) = (key.file_variable(), settings.file(key)) {
            list.push(Setting {
                key: variable,
                value: Some(path.clone()),
                source: *source,
            });
        }
    }
    list
}

fn subjects(config: &Config) -> String {
    let patterns: Vec<String> = config.subjects.iter().map(ToString::to_string).collect();
    patterns.join(",")
}

impl Config {
    /// The settings as aligned columns: variable, value (`–` for none), source.
    #[must_use]
    pub fn table(&self) -> String {
        let width = |text: fn(&Setting) -> usize| self.settings.iter().map(text).max().unwrap_or(0);
        let keys = width(|s| s.key.chars().count());
        let values = width(|s| s.value.as_deref().unwrap_or(NONE).chars().count()).min(60);
        let line = |s: &Setting| {
            let value = s.value.as_deref().unwrap_or(NONE);
            format!("{:keys$}  {value:values$}  {}\n", s.key, s.source)
        };
        self.settings.iter().map(line).collect()
    }

    /// The settings as a JSON array of `{"key", "value", "source"}`.
    ///
    /// # Errors
    /// Never in practice: texts always serialize.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.settings)
    }

    /// The settings that differ from the defaults, as `KEY=value` pairs in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        self.settings
            .iter()
            .filter(|s| s.source != Source::Default)
            .map(|s| format!("{}={}", s.key, s.value.as_deref().unwrap_or(MASK)))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

const NONE: &str = "–";
