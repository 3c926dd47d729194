//! The report of an invalid configuration, with all violations.

use std::fmt;

use super::keys::Key;
use super::source::Source;

/// A variable with the value it was given, masked where it is secret.
#[derive(Debug, Clone)]
pub struct Given {
    /// The variable.
    pub key: &'static Key,
    /// Its value as it may be shown; none when it is not set.
    pub shown: Option<String>,
    /// The source of the value.
    pub source: Source,
}

/// One broken rule.
#[derive(Debug, Clone)]
pub enum Violation {
    /// One variable, or several that do not go together.
    Keys {
        /// The variables.
        given: Vec<Given>,
        /// The rule.
        reason: String,
    },
    /// `.env` itself cannot be used.
    DotEnv {
        /// The line, where one is to blame.
        line: Option<usize>,
        /// The reason why it is invalid.
        reason: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DotEnv {
                line: Some(line),
                reason,
            } => write!(f, ".env line {line}: {reason}; for example LOG_LEVEL=debug"),
            Self::DotEnv { line: None, reason } => write!(f, ".env: {reason}"),
            Self::Keys { given, reason } => {
                for (at, Given { key, shown, source }) in given.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    match shown {
                        Some(shown) => write!(f, "{comma}{}={shown} ({source})", key.name)?,
                        None => write!(f, "{comma}{} (not set)", key.name)?,
                    }
                }
                write!(f, ": {reason}; for example")?;
                for Given { key, .. } in given {
                    write!(f, " {}={}", key.name, key.example)?;
                }
                Ok(())
            }
        }
    }
}

/// A configuration that cannot be used: everything that is wrong with it.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigError {
    /// Every broken rule.
    pub violations: Vec<Violation>,
    /// Settings that were ignored, such as an unknown variable: often the cause.
    pub warnings: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.violations.len();
        let noun = if count == 1 { "error" } else { "errors" };
        write!(f, "the configuration has {count} {noun}")?;
        for violation in &self.violations {
            write!(f, "\n  {violation}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}
