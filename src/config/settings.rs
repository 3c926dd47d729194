//! Layers of text: process environment over `.env` over defaults.
//!
//! Promises that an empty value counts as unset, that a secret may come from a file, and that
//! every setting knows where it came from. Must not know what any value means.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::dot_env;
use super::environment::Environment;
use super::keys::nats::NATS_URL;
use super::keys::{self, Fallback, Key, Variable};
use super::secret::{MASK, mask_urls};
use super::source::{Layer, Source};
use super::violation::{Given, Violation};

/// The text of every variable that has one.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, (String, Source)>,
    /// `X_FILE` variables in use.
    files: BTreeMap<&'static str, (String, Source)>,
    pub violations: Vec<Violation>,
    pub warnings: Vec<String>,
}

impl Settings {
    pub fn gather(environment: &dyn Environment) -> Self {
        let mut settings = Self::default();
        let process: Layer = environment
            .variables()
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        let dot_env = settings.read_dot_env(environment);
        let layers = [(Source::Environment, process), (Source::DotEnv, dot_env)];
        for key in keys::all() {
            settings.take(key, &layers);
            settings.take_file(key, &layers, environment);
        }
        settings.warn_of_unknown(&layers);
        settings
    }

    /// The given values and the defaults, by variable.
    pub fn texts(&self) -> impl Iterator<Item = (String, String)> {
        keys::all().filter_map(|key| {
            let given = self.values.get(key.name).map(|(text, _)| text.clone());
            let text = given.or(match key.fallback {
                Fallback::Text(text) => Some(text.to_owned()),
                Fallback::Derived(_) | Fallback::None => None,
            })?;
            Some((key.name.to_owned(), text))
        })
    }

    /// A variable as it may be shown.
    pub fn given(&self, key: &'static Key) -> Given {
        let (text, source) = match (self.values.get(key.name), key.fallback) {
            (Some((text, source)), _) => (Some(text.as_str()), *source),
            (None, Fallback::Text(text)) => (Some(text), Source::Default),
            (None, _) => (None, Source::Default),
        };
        Given {
            key,
            shown: text.map(|text| shown(key, text)),
            source,
        }
    }

    /// The `X_FILE` variable of a secret that was read from a file: its path and source.
    pub fn file(&self, key: &Key) -> Option<&(String, Source)> {
        self.files.get(key.name)
    }

    fn take(&mut self, key: &'static Key, layers: &[(Source, Layer)]) {
        if let Some((source, raw)) = first_set(key.name, layers) {
            match raw.to_str() {
                Some(text) if key.secret => {
                    let place = format!("{} ({source})", key.name);
                    let text = self.cleaned(text, &place);
                    if text.starts_with(['"', '\'']) && text.len() > 1 && text.ends_with(&text[..1])
                    {
                        self.warnings.push(format!(
                            "{place} stands in quotation marks, which are taken as part of it"
                        ));
                    }
                    self.values.insert(key.name, (text, source));
                }
                Some(text) => {
                    let text = text.trim().to_owned();
                    self.values.insert(key.name, (text, source));
                }
                None => {
                    let shown = if key.secret {
                        MASK.to_owned()
                    } else {
                        raw.to_string_lossy().into_owned()
                    };
                    self.refuse(key, shown, source, "is not UTF-8".to_owned());
                }
            }
        }
    }

    fn take_file(
        &mut self,
        key: &'static Key,
        layers: &[(Source, Layer)],
        environment: &dyn Environment,
    ) {
        let Some(variable) = key.file_variable() else {
            return;
        };
        let Some((source, path)) = first_set(&variable, layers) else {
            return;
        };
        let path = path.to_string_lossy().trim().to_owned();
        if let Some((_, other)) = self.values.get(key.name) {
            let reason =
                format!("{variable}={path} ({source}) is set as well; set only one of the two");
            let other = *other;
            self.refuse(key, MASK.to_owned(), other, reason);
            return;
        }
        let content = environment
            .read(Path::new(&path))
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
        match content {
            Ok(text) => {
                // the usual end of a file is not worth a word
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                let text = text.strip_prefix('\u{feff}').unwrap_or(text);
                let text = if key.secret {
                    self.cleaned(text, &format!("the file {path} named by {variable}"))
                } else {
                    text.trim().to_owned()
                };
                if text.trim().is_empty() {
                    let reason = format!("the file {path} named by {variable} is empty");
                    self.refuse(key, MASK.to_owned(), source, reason);
                } else {
                    self.values.insert(key.name, (text, source));
                }
            }
            Err(error) => {
                let reason = format!("the file {path} named by {variable} cannot be read: {error}");
                self.refuse(key, MASK.to_owned(), source, reason);
            }
        }
        self.files.insert(key.name, (path, source));
    }

    /// A secret without the line breaks around it, which tools add and no server knows of.
    fn cleaned(&mut self, text: &str, place: &str) -> String {
        let trimmed = text.trim_matches(['\n', '\r']);
        if trimmed.len() < text.len() {
            self.warnings.push(format!(
                "{place} begins or ends with a line break (newline), which was trimmed"
            ));
        }
        if trimmed.trim().len() < trimmed.len() {
            self.warnings.push(format!(
                "{place} begins or ends with white space, which is taken as part of it"
            ));
        }
        trimmed.to_owned()
    }

    fn refuse(&mut self, key: &'static Key, shown: String, source: Source, reason: String) {
        let shown = Some(shown);
        self.violations.push(Violation::Keys {
            given: vec![Given { key, shown, source }],
            reason,
        });
    }

    fn read_dot_env(&mut self, environment: &dyn Environment) -> Layer {
        match dot_env::read(environment) {
            Ok(file) => {
                self.violations.extend(file.bad_lines);
                // the file may have settings of other programs as well
                let ours = file.remarks.into_iter().filter(|(name, _)| is_ours(name));
                self.warnings.extend(ours.map(|(_, remark)| remark));
                file.values
            }
            Err(violation) => {
                self.violations.push(violation);
                Layer::new()
            }
        }
    }

    fn warn_of_unknown(&mut self, layers: &[(Source, Layer)]) {
        for (source, layer) in layers {
            for (name, value) in layer {
                if keys::all().any(|key| key.is_called(name)) || is_service_link(name, value) {
                    continue;
                }
                if let Some(remark) = unknown(name) {
                    self.warnings.push(format!("{name} ({source}) {remark}"));
                }
            }
        }
    }
}

/// Returns whether a variable is one of the agent's, or would be but for its spelling.
fn is_ours(name: &str) -> bool {
    keys::all().any(|key| key.is_called(name)) || name.starts_with("TECHNICAL_")
}

/// The remark on a variable that is not known; none where it may well be another program's.
fn unknown(name: &str) -> Option<String> {
    let from_file = name
        .strip_suffix("_FILE")
        .and_then(|base| keys::all().find(|key| key.name == base));
    if let Some(key) = from_file {
        return Some(format!(
            "is ignored: {0} is not read from a file, only secrets and NATS_URL are; set {0}",
            key.name
        ));
    }
    let distance = |key: &&Key| strsim::damerau_levenshtein(key.name, &name.to_uppercase());
    let nearest = keys::all().min_by_key(distance)?;
    let close = match distance(&nearest) {
        0 => {
            return Some(format!(
                "is ignored: the variable is called {}",
                nearest.name
            ));
        }
        distance => distance <= 2 && nearest.name.len() >= 8,
    };
    (name.starts_with("TECHNICAL_") || close).then(|| {
        format!(
            "is no known variable and is ignored; the nearest is {}",
            nearest.name
        )
    })
}

/// A value as it may be shown.
pub(super) fn shown(key: &Key, text: &str) -> String {
    if key.secret {
        MASK.to_owned()
    } else if key.name == NATS_URL::KEY.name {
        mask_urls(text)
    } else {
        text.to_owned()
    }
}

/// The first layer where the variable has a value that is not empty.
fn first_set(name: &str, layers: &[(Source, Layer)]) -> Option<(Source, OsString)> {
    layers.iter().find_map(|(source, layer)| {
        let value = layer.get(name)?;
        let blank = value.to_str().is_some_and(|text| text.trim().is_empty());
        (!blank).then(|| (*source, value.clone()))
    })
}

/// Returns true if Kubernetes set the variable: it does so for every service of the namespace, and
/// a service may well be called `technical-analysis`.
fn is_service_link(name: &str, value: &OsString) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || ((name.ends_with("_PORT") || name.contains("_PORT_"))
            && (name.contains("_TCP")
                || name.contains("_UDP")
                || value.to_str().is_some_and(|v| v.contains("://"))))
}
