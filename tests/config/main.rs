//! The rules of the configuration, read from an environment that exists only in the test.

mod layers;
mod listing;
mod rules;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use technical_analysis_agent::config::{Config, ConfigError, Environment};

/// An environment made of texts.
#[derive(Default)]
struct World {
    variables: Vec<(OsString, OsString)>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl World {
    fn of(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            variables,
            ..Self::default()
        }
    }

    fn file(mut self, path: &'static str, content: &str) -> Self {
        self.files.insert(path, content.as_bytes().to_vec());
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self)
    }
}

impl Environment for World {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.variables.clone()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = path.to_str().and_then(|path| self.files.get(path));
        content
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn host(&self) -> String {
        "node-7".to_owned()
    }

    fn pid(&self) -> u32 {
        4711
    }
}
