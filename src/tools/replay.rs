//! `replay`: the engine of the live agent over files of bars.
//!
//! What a live run publishes for the same bars in the same order, this prints, byte for byte.

mod summary;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::bars_file::{BarsFile, LineError, ReadOptions};
use crate::cli::ReplayArgs;
use crate::clock;
use crate::config::Config;
use crate::engine::{Effect, Engine};
use crate::error::Error;
use crate::market::BarEvent;
use crate::ops::logs::complain;
use crate::wire::{Content, Decoder, SubjectParts, encode_signal};

pub(super) use summary::Refused;
pub use summary::Summary;

/// Bytes between two looks at the progress bar.
const PROGRESS_STEP: u64 = 64 * 1024;

/// A replay that has ended.
#[derive(Debug)]
pub struct Replayed {
    /// The bars taken in and the lines refused.
    pub summary: Summary,
    /// True if the reader of the signals went away before the end, as `head` does.
    pub cut_short: bool,
    /// The error that ended it before the end of the input.
    pub failure: Option<Error>,
}

impl Replayed {
    /// True if the input had anything that could be taken.
    #[must_use]
    pub const fn took_anything(&self) -> bool {
        self.summary.bars > 0
    }
}

struct Replay<'a, W: Write> {
    engine: Engine,
    decoder: Decoder,
    line: Vec<u8>,
    out: &'a mut W,
    strict: bool,
    options: Arc<ReadOptions>,
    summary: Summary,
    progress: ProgressBar,
    /// The reader of the signals has gone.
    closed: bool,
}

/// Prints the signals of the bars in `args.files`, in order, to `out`. Bad lines go to standard
/// error. It fails with [`Error::Data`] at the first bad line when `args.strict`, otherwise only
/// when a file cannot be read or `out` cannot be written.
pub fn replay(config: &Config, args: &ReplayArgs, out: &mut impl Write) -> Replayed {
    let mut replay = Replay {
        engine: Engine::new(Arc::new(config.analysis.clone()), config.max_series)
            .forgetting(config.series_idle),
        decoder: Decoder::new(config.input.clone()),
        line: Vec::new(),
        out,
        strict: args.strict,
        options: Arc::new(args.input.options(config)),
        summary: Summary::default(),
        progress: ProgressBar::hidden(),
        closed: false,
    };
    let read = args
        .files
        .iter()
        .try_for_each(|path| replay.file(path, args));
    let written = replay.flush();
    let failure = read.and(written).err();
    if failure.is_none() {
        replay.summary.explain_silence(&replay.engine);
    }
    Replayed {
        summary: replay.summary,
        cut_short: replay.closed,
        failure,
    }
}

impl<W: Write> Replay<'_, W> {
    fn file(&mut self, path: &Path, args: &ReplayArgs) -> Result<(), Error> {
        let mut file = BarsFile::open(path, args.input.format, ReadOptions::clone(&self.options))
            .map_err(|error| Error::Data(error.to_string()))?;
        self.progress = progress_bar(file.size());
        let mut shown = 0;
        self.tell(path, file.notes());
        while let Some(line) = file.next() {
            match line {
                Ok(line) => self.line(path, line.number, &line.payload)?,
                Err(LineError::Bad {
                    number,
                    name,
                    reason,
                }) => {
                    self.summary.refuse(name, 1);
                    self.skip(path, number, &reason)?;
                }
                Err(error @ LineError::Read { .. }) => {
                    return Err(Error::Data(format!("{}: {error}", path.display())));
                }
            }
            if self.closed {
                break;
            }
            if file.bytes_read() - shown > PROGRESS_STEP {
                shown = file.bytes_read();
                self.progress.set_position(shown);
            }
        }
        self.progress.finish_and_clear();
        self.tell(path, file.notes());
        Ok(())
    }

    fn tell(&self, path: &Path, notes: Vec<String>) {
        for note in notes {
            self.progress
                .suspend(|| complain(format_args!("{}: {note}", path.display())));
        }
    }

    fn line(&mut self, path: &Path, number: u64, payload: &[u8]) -> Result<(), Error> {
        let (decoder, now) = (self.decoder.clone(), clock::now());
        let options = Arc::clone(&self.options);
        let parts = Ok(std::str::from_utf8(payload)
            .map_or_else(|_| SubjectParts::default(), |text| options.parts(text)));
        let mut outcome = Ok(());
        decoder.decode_all(payload, &parts, now, |element| {
            if outcome.is_ok() {
                outcome = match element.content {
                    Content::Bar(event) => self.bars(path, number, &event),
                    Content::Ignored(kind) => {
                        self.summary.ignore(kind.name());
                        Ok(())
                    }
                    Content::Refused(refusal) => {
                        let elements = refusal.elements as u64;
                        self.summary.refuse(refusal.reason.name(), elements);
                        let reason = format!("{}: {}", refusal.reason.name(), refusal.detail);
                        self.skip(path, number, &reason)
                    }
                };
            }
        });
        outcome
    }

    /// Takes in a bar, after the one that it completes.
    fn bars(&mut self, path: &Path, number: u64, event: &BarEvent<'_>) -> Result<(), Error> {
        if let Some(complete) = self.engine.closed_by(event) {
            self.bar(path, number, &complete)?;
        }
        self.bar(path, number, event)
    }

    fn bar(&mut self, path: &Path, number: u64, event: &BarEvent<'_>) -> Result<(), Error> {
        if !self.options.covers(event.bar.timestamp) {
            return Ok(());
        }
        let outcome = self.engine.on_bar(event, clock::now());
        self.summary.count(event.bar.timestamp, outcome.effect);
        if let Effect::Refused(refusal) = outcome.effect {
            return self.skip(path, number, &refusal.to_string());
        }
        let Some(signal) = outcome.signal else {
            return Ok(());
        };
        self.summary.signals += 1;
        self.line.clear();
        encode_signal(signal, &mut self.line);
        self.line.push(b'\n');
        match self.out.write_all(&self.line) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            written => Ok(written.context("cannot write the signals")?),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        match self.out.flush() {
            Err(_) if self.closed => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            flushed => Ok(flushed.context("cannot write the signals")?),
        }
    }

    fn skip(&mut self, path: &Path, number: u64, reason: &str) -> Result<(), Error> {
        let told = format!("{}, line {number}: {reason}", path.display());
        if self.strict {
            return Err(Error::Data(told));
        }
        self.progress
            .suspend(|| complain(format_args!("skipped: {told}")));
        Ok(())
    }
}

/// On standard error, and only when that is a terminal.
fn progress_bar(size: Option<u64>) -> ProgressBar {
    let Some(size) = size else {
        return ProgressBar::no_length();
    };
    let bar = ProgressBar::new(size);
    match ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
