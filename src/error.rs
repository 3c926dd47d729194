//! How a process ends: the exit codes that scripts and supervisors rely on.

use std::process::ExitCode;

use crate::bus::ConnectError;
use crate::config::ConfigError;
use crate::ops::logs::LogError;
use crate::tools::redrive::RedriveError;
use crate::tools::verify::VerifyError;
use crate::tools::watch::WatchError;

/// An exit code. The numbers are those of `sysexits.h` where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Drained and stopped, or done.
    Done = 0,
    /// `health`: the agent is not healthy or cannot be asked.
    Unhealthy = 1,
    /// Bad command line.
    Usage = 64,
    /// `replay`: nothing could be taken, or with `--strict` a line is bad. `feed`, `redrive`: not
    /// everything went. `explain`: nothing was understood. `verify`: a promise is broken. `watch`:
    /// fewer messages came than were asked for.
    Data = 65,
    /// NATS could not be reached within `NATS_CONNECT_TIMEOUT`, or stopped answering `redrive`;
    /// `verify` found no streams; `watch` may not subscribe.
    Unreachable = 69,
    /// Internal failure.
    Internal = 70,
    /// The drain was cut: by `SHUTDOWN_TIMEOUT` or by a second signal.
    DrainCut = 75,
    /// Bad configuration.
    Config = 78,
}

impl Exit {
    /// Every code with what it means, as listed in `--help`.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Done, "drained and stopped, or done"),
        (Self::Unhealthy, "health: not healthy, or nobody answers"),
        (Self::Usage, "bad command line"),
        (
            Self::Data,
            "replay: nothing in the input could be taken, or with --strict a line is bad; feed, \
             redrive: not everything was published; explain: nothing was understood; verify: a promise is \
             broken; watch: fewer messages came than --count asks for",
        ),
        (
            Self::Unreachable,
            "NATS unreachable within NATS_CONNECT_TIMEOUT; redrive: JetStream stopped answering; \
             verify: no JetStream or no such streams; watch: may not subscribe",
        ),
        (Self::Internal, "internal failure"),
        (
            Self::DrainCut,
            "the drain did not finish within SHUTDOWN_TIMEOUT, or was cut by a second signal",
        ),
        (Self::Config, "bad configuration"),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do what it was asked for.
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
    fn the_codes_are_those_that_scripts_rely_on() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 64, 65, 69, 70, 75, 78]);
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
