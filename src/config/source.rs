//! The places that variables come from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use serde::Serialize;

/// The place that a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The process environment.
    #[serde(rename = "environment")]
    Environment,
    /// `.env` in the working directory.
    #[serde(rename = ".env")]
    DotEnv,
    /// The default.
    #[serde(rename = "default")]
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Environment => "environment",
            Self::DotEnv => ".env",
            Self::Default => "default",
        })
    }
}

/// Variables from one place.
pub(super) type Layer = BTreeMap<String, OsString>;
