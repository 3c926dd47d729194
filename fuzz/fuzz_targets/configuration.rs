//! Any environment and any `.env`: loading never panics, and what is accepted is accepted again
//! when its effective values are given back.
//!
//! The input is lines of `NAME=value` for the process environment; after a line `---` it is the
//! text of `.env`.
#![no_main]

use std::ffi::OsString;
use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use technical_analysis_agent::config::{Config, Environment, MASK};

struct Given {
    variables: Vec<(OsString, OsString)>,
    dot_env: Vec<u8>,
}

impl Environment for Given {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        self.variables.clone()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(".env") {
            Ok(self.dot_env.clone())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn host(&self) -> String {
        "host".to_owned()
    }

    fn pid(&self) -> u32 {
        7
    }
}

fuzz_target!(|data: &[u8]| {
    let separator = b"\n---\n";
    let split = data.windows(separator.len()).position(|part| part == separator);
    let (lines, dot_env) = match split {
        Some(at) => (&data[..at], &data[at + separator.len()..]),
        None => (data, &data[..0]),
    };
    let Ok(lines) = std::str::from_utf8(lines) else {
        return;
    };
    let variables = lines.lines().filter_map(|line| line.split_once('='));
    let given = Given {
        variables: variables.map(|(name, value)| (name.into(), value.into())).collect(),
        dot_env: dot_env.to_vec(),
    };
    let Ok(config) = Config::load(&given) else {
        return;
    };
    let shown = config.settings.iter().filter_map(|setting| {
        let value = setting.value.as_ref()?;
        Some((OsString::from(&setting.key), OsString::from(value)))
    });
    let again = Given {
        variables: shown.collect(),
        dot_env: Vec::new(),
    };
    let masked = config.settings.iter().any(|setting| {
        setting.value.as_deref().is_some_and(|value| value.contains(MASK))
    });
    if masked {
        return;
    }
    let again = Config::load(&again).expect("its own effective values");
    assert_eq!(again.analysis.fingerprint(), config.analysis.fingerprint());
    let values = |config: &Config| -> Vec<_> {
        let settings = config.settings.iter();
        settings.map(|setting| (setting.key.clone(), setting.value.clone())).collect()
    };
    assert_eq!(values(&again), values(&config));
});
