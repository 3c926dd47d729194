//! The errors of commands, and the exit code of each.

use crate::bus::ConnectError;
use crate::config::ConfigError;
use crate::exit::Exit;
use crate::ops::logs::LogError;
use crate::tools::redrive::RedriveError;
use crate::tools::verify::VerifyError;
use crate::tools::watch::WatchError;

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log cannot be written.
    #[error(transparent)]
    Logs(#[from] LogError),
    /// A line of the input is bad, and that was not to be tolerated.
    #[error("{0}")]
    Data(String),
    /// No server answered in time, or what it takes to connect cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Dead letters cannot be put back.
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    /// There is nothing to verify, or nobody answers.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Signals cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The drain did not finish; what was cut is in the log.
    #[error("the drain was cut short: {0}")]
    DrainCut(String),
    /// Anything else.
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// The code to exit with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Watch(WatchError::Overlap(..)) => Exit::Usage,
            // a directory that cannot be written to is a bad LOG_DIR
            Self::Config(_)
            | Self::Logs(LogError::File { .. })
            | Self::Connect(ConnectError::File { .. } | ConnectError::Seed)
            | Self::Redrive(RedriveError::Setup(_)) => Exit::Config,
            Self::Data(_) => Exit::Data,
            Self::Connect(ConnectError::Unreachable { .. })
            | Self::Verify(_)
            | Self::Watch(WatchError::Denied(_) | WatchError::Unanswered { .. })
            | Self::Redrive(RedriveError::Refused(_) | RedriveError::Unanswered(_)) => {
                Exit::Unreachable
            }
            Self::DrainCut(_) => Exit::DrainCut,
            Self::Internal(_)
            | Self::Logs(LogError::Twice(_))
            | Self::Watch(WatchError::Output(_)) => Exit::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_the_code_that_scripts_rely_on() {
        let code = |error: Error| error.exit().code();
        assert_eq!(code(Error::Usage(String::new())), 64);
        assert_eq!(code(Error::Data(String::new())), 65);
        let unreachable = ConnectError::Unreachable {
            servers: String::new(),
            waited: std::time::Duration::ZERO,
            cause: String::new(),
        };
        assert_eq!(code(unreachable.into()), 69);
        assert_eq!(code(ConnectError::Seed.into()), 78);
        assert_eq!(code(anyhow::anyhow!("x").into()), 70);
        assert_eq!(code(Error::DrainCut(String::new())), 75);
        assert_eq!(code(RedriveError::Setup(String::new()).into()), 78);
        assert_eq!(code(RedriveError::Unanswered(String::new()).into()), 69);
        let bad = ConfigError {
            violations: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(code(bad.into()), 78);
    }
}
