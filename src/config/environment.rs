//! Where settings are read from, behind a small trait so that a test needs no process
//! environment and no working directory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// No `.env`, secret or certificate is larger; what is, is another file than the one meant.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a configuration is read from.
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
