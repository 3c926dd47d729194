//! The exit codes that scripts and supervisors rely on.

use std::process::ExitCode;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_that_scripts_rely_on() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 64, 65, 69, 70, 75, 78]);
    }
}
