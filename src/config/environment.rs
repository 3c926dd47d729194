//! The sources of settings, behind a small trait so that a test needs no process environment and no
//! working directory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// No `.env`, secret or certificate is larger; what is, is another file than the one meant.
const MAX_BYTES: u64 = 1024 * 1024;

/// A source of settings.
pub trait Environment {
    /// The environment variables.
    fn variables(&self) -> Vec<(OsString, OsString)>;

    /// The content of a file; `.env` is asked for by that name alone.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The name of this machine.
    fn host(&self) -> String;

    /// The id of this process.
    fn pid(&self) -> u32;
}

/// The environment of this process and its working directory.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        if file.take(MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_BYTES {
            let reason = format!("it has more than {MAX_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(bytes)
    }

    fn host(&self) -> String {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}

/// The environment of agents that had another configuration: a file in the place of `.env`, and of
/// all `TECHNICAL_` variables of an environment.
#[derive(Debug)]
pub struct FormerEnvironment<'a, E> {
    now: &'a E,
    file: Vec<u8>,
}

impl<'a, E: Environment> FormerEnvironment<'a, E> {
    /// An environment whose file at `path` is read again, and `now` for the rest.
    ///
    /// # Errors
    /// Whatever keeps the file from being read.
    pub fn new(now: &'a E, path: &Path) -> io::Result<Self> {
        let file = now.read(path)?;
        Ok(Self { now, file })
    }
}

impl<E: Environment> Environment for FormerEnvironment<'_, E> {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        let mut variables = self.now.variables();
        variables.retain(|(name, _)| !name.to_string_lossy().starts_with("TECHNICAL_"));
        variables
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(".env") {
            return Ok(self.file.clone());
        }
        self.now.read(path)
    }

    fn host(&self) -> String {
        self.now.host()
    }

    fn pid(&self) -> u32 {
        self.now.pid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Environment for Fixed {
        fn variables(&self) -> Vec<(OsString, OsString)> {
            let all = [("TECHNICAL_RSI_PERIOD", "7"), ("NATS_URL", "nats://a")];
            all.map(|(name, value)| (name.into(), value.into())).into()
        }

        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            match path.to_str() {
                Some("then.env") => Ok(b"TECHNICAL_RSI_PERIOD=9".to_vec()),
                Some(".env" | "secret") => Ok(b"now".to_vec()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }

        fn host(&self) -> String {
            "h".to_owned()
        }

        fn pid(&self) -> u32 {
            1
        }
    }

    #[test]
    fn the_analysis_of_then_comes_from_its_file_alone() {
        let then = FormerEnvironment::new(&Fixed, Path::new("then.env")).unwrap();
        assert_eq!(then.variables(), [("NATS_URL".into(), "nats://a".into())]);
        let env = then.read(Path::new(".env")).unwrap();
        assert_eq!(env, b"TECHNICAL_RSI_PERIOD=9");
        assert_eq!(then.read(Path::new("secret")).unwrap(), b"now");
        assert!(FormerEnvironment::new(&Fixed, Path::new("none.env")).is_err());
    }
}
