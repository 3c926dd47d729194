//! Signals, and what each asks for.
//!
//! | signal | asks to |
//! |---|---|
//! | TERM, INT, QUIT | drain and stop |
//! | HUP | read the configuration again; where it comes because the terminal is gone, stop |
//! | USR1 | log the status |
//! | USR2 | nothing |
//!
//! A signal that a process does not listen for ends it without a drain, so all of these are
//! listened for, from before the configuration is read.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
use signal_hook_tokio::Signals as Stream;

/// Something that a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Drain and stop.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Log the status.
    Status,
    /// Nothing.
    Nothing,
}

/// The signals of this process, as they come.
pub(super) struct Signals {
    stream: Stream,
    terminals: [bool; 3],
}

impl Signals {
    /// Listens. To be called within a runtime.
    pub fn listen() -> io::Result<Self> {
        let stream = Stream::new([SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2])?;
        let terminals = terminals();
        Ok(Self { stream, terminals })
    }

    /// The next signal with its wish.
    pub async fn next(&mut self) -> (i32, Wish) {
        // the stream ends when its handle is closed, and nobody has one
        let signal = self.stream.next().await.unwrap_or(SIGTERM);
        (signal, self.wish(signal))
    }

    fn wish(&self, signal: i32) -> Wish {
        match signal {
            SIGHUP if gone(self.terminals, terminals()) => Wish::Stop,
            SIGHUP => Wish::Reload,
            SIGUSR1 => Wish::Status,
            SIGUSR2 => Wish::Nothing,
            _ => Wish::Stop,
        }
    }
}

/// Keeps signals that must not end the process from doing so until `Signals::listen` is called,
/// and for good where nothing is ever asked with them. A write beyond the limit on the size of a
/// file then fails, as on a full disk, instead of ending the process.
///
/// # Errors
/// If the system refuses a handler.
pub fn ignore_early() -> io::Result<()> {
    let seen = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGUSR1, SIGUSR2, SIGXFSZ] {
        signal_hook::flag::register(signal, Arc::clone(&seen))?;
    }
    Ok(())
}

/// Tells for each standard stream if it is a terminal.
fn terminals() -> [bool; 3] {
    [
        io::stdin().is_terminal(),
        io::stdout().is_terminal(),
        io::stderr().is_terminal(),
    ]
}

/// Returns whether a stream that was a terminal is none any more.
fn gone(before: [bool; 3], now: [bool; 3]) -> bool {
    before.iter().zip(now).any(|(was, is)| *was && !is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_hung_up_is_told_from_a_wish_to_reload() {
        let (none, all) = ([false; 3], [true; 3]);
        assert!(!gone(none, none) && !gone(all, all) && !gone(none, all));
        assert!(gone(all, none) && gone([false, true, false], none));
    }
}
