//! A log output that may fail: the disk is full, the file is at its limit, the reader has gone.
//!
//! Each line that cannot be written is counted. The first of them is reported as an event, which the
//! other output shows, and so is the first line that gets through again. The appender would drop
//! the lines in silence.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An output that fails now and then is reported no more often than this.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Lines that could not be written to an output, since the process started.
pub(super) static ERRORS: AtomicU64 = AtomicU64::new(0);

/// Takes whole lines and never fails.
pub(super) struct Guarded<W> {
    inner: W,
    /// The output, as users know it.
    name: String,
    errors: &'static AtomicU64,
    /// Lines lost since the last one that was written.
    lost: u64,
    said: Option<Instant>,
    /// True if the last failure was reported, so that its end is as well.
    reported: bool,
    /// True if part of a line was written: the next one must not continue it.
    torn: bool,
}

impl<W: Write> Guarded<W> {
    pub const fn new(inner: W, name: String, errors: &'static AtomicU64) -> Self {
        Self {
            inner,
            name,
            errors,
            lost: 0,
            said: None,
            reported: false,
            torn: false,
        }
    }

    fn put(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.inner.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.inner.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.lost += 1;
        if self.lost == 1 && self.said.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            self.said = Some(Instant::now());
            self.reported = true;
            tracing::error!(
                output = self.name,
                %error,
                "the log cannot be written; its lines are lost until it can (technical_log_errors_total counts them)"
            );
        }
    }

    fn written(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 && std::mem::take(&mut self.reported) {
            tracing::warn!(output = self.name, lost, "the log can be written again");
        }
    }
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.put(line) {
            Ok(()) => self.written(),
            Err(error) => self.failed(&error),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // what cannot be flushed now is tried again with the next line
        if let Err(error) = self.inner.flush() {
            self.failed(&error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has room for so many bytes.
    struct Disk {
        room: usize,
        text: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.text.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_lost_while_there_is_no_room_and_none_runs_into_another() {
        static LOST: AtomicU64 = AtomicU64::new(0);
        let mut disk = Disk {
            room: 10,
            text: Vec::new(),
        };
        let mut log = Guarded::new(&mut disk, "file".to_owned(), &LOST);
        for line in ["first\n", "second\n", "third\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(LOST.load(Ordering::Relaxed), 2);
        log.inner.room = 100;
        log.write_all(b"fourth\n").unwrap();
        log.flush().unwrap();
        assert_eq!(log.lost, 0);
        assert_eq!(LOST.load(Ordering::Relaxed), 2);
        let text = String::from_utf8(disk.text).unwrap();
        assert_eq!(text, "first\nseco\nfourth\n");
    }
}
