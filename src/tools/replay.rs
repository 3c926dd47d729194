//! `replay`: the pipeline of the live agent over files of bars.
//!
//! It prints, byte for byte, the signals that a live run publishes for the same bars in the same
//! order.

mod summary;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::bars_file::{BarsFile, LineError, ReadOptions};
use crate::cli::ReplayArgs;
use crate::clock;
use crate::config::Config;
use crate::engine::Signal;
use crate::error::Error;
use crate::market::{BarEvent, Timestamp, TradeEvent};
use crate::ops::logs::complain;
use crate::pipeline::{self, Admission, Change, Filter, Output, Pipeline, Sink};
use crate::wire::{Control, Refusal, SubjectParts, encode_signal};

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
        self.summary.bars > 0 || self.summary.trades > 0
    }
}

struct Replay<'a, W: Write> {
    pipeline: Pipeline,
    printer: Printer<'a, W>,
}

/// Prints the signals, counts everything and complains about what is refused.
struct Printer<'a, W: Write> {
    line: Vec<u8>,
    out: &'a mut W,
    strict: bool,
    options: Arc<ReadOptions>,
    summary: Summary,
    progress: ProgressBar,
    /// The reader of the signals has gone.
    closed: bool,
}

/// The outputs of one line of a file, up to an error.
struct OfLine<'p, 'a, W: Write> {
    printer: &'p mut Printer<'a, W>,
    path: &'p Path,
    number: u64,
    outcome: Result<(), Error>,
}

impl<W: Write> Filter for OfLine<'_, '_, W> {
    fn admit_trade(&mut self, event: &TradeEvent<'_>) -> bool {
        self.outcome.is_ok() && self.printer.options.covers(event.trade.timestamp)
    }

    fn admit(&mut self, event: &BarEvent<'_>) -> Admission {
        if self.outcome.is_err() {
            Admission::Skip
        } else if self.printer.options.covers(event.bar.timestamp) {
            Admission::Take
        } else {
            Admission::Complete
        }
    }

    fn admit_control(&mut self, control: &Control<'_>) -> bool {
        match control {
            Control::Mark(mark) => self.outcome.is_ok() && self.printer.options.covers(mark.at),
            Control::Reset(_) | Control::History(_) => true,
        }
    }
}

impl<W: Write> Sink for OfLine<'_, '_, W> {
    fn output(&mut self, output: Output<'_>) {
        if self.outcome.is_ok() {
            self.outcome = self.printer.output(output, self.path, self.number);
        }
    }
}

/// Prints the signals of the bars in `args.files`, in order, to `out`. Bad lines go to standard
/// error. It fails with [`Error::Data`] at the first bad line when `args.strict`, otherwise only
/// when a file cannot be read or `out` cannot be written.
pub fn replay(config: &Config, args: &ReplayArgs, out: &mut impl Write) -> Replayed {
    let mut config = config.clone();
    if let Some(timeframes) = &args.timeframes {
        let configured = &config.analysis.derived;
        let derived = timeframes
            .clone()
            .on_calendar(configured.calendar().clone());
        config.analysis.derived = derived.with_grace(configured.grace());
    }
    let mut replay = Replay {
        pipeline: Pipeline::configured(&config),
        printer: Printer {
            line: Vec::new(),
            out,
            strict: args.strict,
            options: Arc::new(args.input.options(&config)),
            summary: Summary::default(),
            progress: ProgressBar::hidden(),
            closed: false,
        },
    };
    let read = args
        .files
        .iter()
        .try_for_each(|path| replay.file(path, args));
    let read = read.and_then(|()| {
        if args.leave_open {
            Ok(())
        } else {
            replay.close_open(&args.files)
        }
    });
    let Replay {
        pipeline,
        mut printer,
    } = replay;
    let written = printer.flush();
    let failure = read.and(written).err();
    if failure.is_none() {
        printer.summary.explain_silence(pipeline.engine());
    }
    Replayed {
        summary: printer.summary,
        cut_short: printer.closed,
        failure,
    }
}

impl<W: Write> Replay<'_, W> {
    fn file(&mut self, path: &Path, args: &ReplayArgs) -> Result<(), Error> {
        let options = ReadOptions::clone(&self.printer.options);
        let mut file = BarsFile::open(path, args.input.format, options)
            .map_err(|error| Error::Data(error.to_string()))?;
        self.printer.progress = progress_bar(file.size());
        let mut shown = 0;
        self.printer.tell(path, file.notes());
        while let Some(line) = file.next() {
            match line {
                Ok(line) => self.line(path, line.number, &line.payload, clock::now())?,
                Err(LineError::Bad {
                    number,
                    name,
                    reason,
                }) => {
                    self.printer.summary.refuse(name, 1);
                    self.printer.skip(path, number, &reason)?;
                }
                Err(error @ LineError::Read { .. }) => {
                    return Err(Error::Data(format!("{}: {error}", path.display())));
                }
            }
            if self.printer.closed {
                break;
            }
            if file.bytes_read() - shown > PROGRESS_STEP {
                shown = file.bytes_read();
                self.printer.progress.set_position(shown);
            }
        }
        self.printer.progress.finish_and_clear();
        self.printer.tell(path, file.notes());
        let derived = self.pipeline.engine_mut().take_derived_notes();
        self.printer
            .tell(path, derived.iter().map(ToString::to_string).collect());
        Ok(())
    }

    /// Closes the derived bars that are open after the last line.
    fn close_open(&mut self, files: &[PathBuf]) -> Result<(), Error> {
        let mut sink = OfLine {
            printer: &mut self.printer,
            path: files.last().map_or(Path::new("-"), PathBuf::as_path),
            number: 0,
            outcome: Ok(()),
        };
        self.pipeline.finish(clock::now(), &mut sink);
        sink.outcome
    }

    fn line(
        &mut self,
        path: &Path,
        number: u64,
        payload: &[u8],
        arrived: Timestamp,
    ) -> Result<(), Error> {
        let options = Arc::clone(&self.printer.options);
        let parts = Ok(std::str::from_utf8(payload)
            .map_or_else(|_| SubjectParts::default(), |text| options.parts(text)));
        let message = pipeline::Message {
            payload,
            subject: &parts,
            arrived,
        };
        let mut sink = OfLine {
            printer: &mut self.printer,
            path,
            number,
            outcome: Ok(()),
        };
        let taken = self
            .pipeline
            .guard(|pipeline| pipeline.take(&message, &mut sink));
        if taken.is_err() {
            sink.output(Output::Refused(pipeline::poison(payload)));
        }
        sink.outcome
    }
}

impl<W: Write> Printer<'_, W> {
    fn tell(&self, path: &Path, notes: Vec<String>) {
        for note in notes {
            self.progress
                .suspend(|| complain(format_args!("{}: {note}", path.display())));
        }
    }

    fn output(&mut self, output: Output<'_>, path: &Path, number: u64) -> Result<(), Error> {
        match output {
            Output::Taken(taken) => {
                self.summary.take(taken.event.bar.timestamp, taken.change);
                match taken.signal {
                    Some(signal) => self.print(signal),
                    None => Ok(()),
                }
            }
            Output::Derived(taken) => {
                let is_new = matches!(taken.change, Change::Appended | Change::Inserted);
                self.summary.derived += u64::from(is_new);
                taken.signal.map_or(Ok(()), |signal| self.print(signal))
            }
            Output::Revised(taken) => {
                self.summary.revised += 1;
                taken.signal.map_or(Ok(()), |signal| self.print(signal))
            }
            Output::Trade(event) => {
                self.summary.trade(event.trade.timestamp);
                Ok(())
            }
            Output::Duplicate(event) => {
                self.summary.repeat(event.bar.timestamp);
                Ok(())
            }
            Output::Reset(_) => {
                self.summary.resets += 1;
                Ok(())
            }
            Output::Marked(_) => {
                self.summary.marks += 1;
                Ok(())
            }
            Output::Gathered(_) => Ok(()),
            Output::Rebuilt(taken) => {
                self.summary.rebuild(taken.rebuilt);
                Ok(())
            }
            Output::Restated(taken) => taken.signal.map_or(Ok(()), |signal| self.print(signal)),
            Output::Ignored(kind) => {
                self.summary.ignore(kind.name());
                Ok(())
            }
            Output::Refused(Refusal {
                reason,
                detail,
                elements,
                ..
            }) => {
                self.summary.refuse(reason.name(), elements as u64);
                self.skip(path, number, &format!("{}: {detail}", reason.name()))
            }
        }
    }

    fn print(&mut self, signal: &Signal) -> Result<(), Error> {
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
