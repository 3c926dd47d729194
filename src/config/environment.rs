//! Where settings are read from, behind a small trait so that a test needs no process
//! environment and no working directory.

use std::ffi::OsString;
use std::io;
use std::path::Path;

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
        std::fs::read(path)
    }

    fn host(&self) -> String {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }
}
