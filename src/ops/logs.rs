//! Logs: one JSON object per line, or text for people; to a standard stream and daily files.
//!
//! Writing never waits for whoever reads: lines that find no room are dropped and counted.
//! Must not know what is logged.

mod daily;
mod guarded;
mod json;
mod throttle;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{InvalidLogFilter, LogConfig, LogFilter, LogFormat};

use daily::DailyFile;
use guarded::{ERRORS, Guarded};
use json::JsonLine;
pub use throttle::Throttle;

/// The destination of log lines besides the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output: the agent's own.
    Stdout,
    /// Standard error: for commands whose standard output is data.
    Stderr,
}

/// The reason why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("LOG_DIR={dir}: the log file cannot be opened: {error}; name a writable directory", dir = dir.display())]
    File {
        /// `LOG_DIR`.
        dir: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Somebody else did it already.
    #[error("logging is set up twice: {0}")]
    Twice(#[from] TryInitError),
}

/// The reason why the level could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum SetLevelError {
    /// The text is no level.
    #[error(transparent)]
    Invalid(#[from] InvalidLogFilter),
    /// Logging has ended.
    #[error("logging has stopped: {0}")]
    Gone(#[from] reload::Error),
}

/// Changes what is logged while the process runs.
#[derive(Debug, Clone)]
pub struct LogControl(reload::Handle<EnvFilter, Registry>);

impl LogControl {
    /// Over the filter behind `handle`.
    #[must_use]
    pub const fn new(handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self(handle)
    }

    /// Takes a level or filter as `LOG_LEVEL` does.
    ///
    /// # Errors
    /// If the text is neither; the previous filter stays in use.
    pub fn set(&self, filter: &str) -> Result<(), SetLevelError> {
        let filter: LogFilter = filter.parse()?;
        Ok(self.0.reload(filter.to_env_filter())?)
    }
}

/// Logging at work; dropping it writes out what is still held.
#[derive(Debug)]
#[must_use = "dropping this ends logging"]
pub struct Logs {
    control: LogControl,
    writers: Vec<(WorkerGuard, ErrorCounter)>,
}

impl Logs {
    /// The handle that changes the level.
    #[must_use]
    pub fn control(&self) -> LogControl {
        self.control.clone()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // from here on nobody would see a panic but on standard error
            drop(std::panic::take_hook());
        }
        let dropped: usize = self
            .writers
            .iter()
            .map(|(_, lost)| lost.dropped_lines())
            .sum();
        self.writers.clear();
        if dropped > 0 {
            // the log itself is over
            complain(format_args!(
                "{dropped} log lines found no room and were dropped"
            ));
        }
    }
}

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Output = Box<dyn Layer<Filtered> + Send + Sync>;

/// Sets up logging for the whole process, panics included.
///
/// # Errors
/// If the file cannot be opened or logging is set up already.
pub fn start(config: &LogConfig, agent: &str, stream: Stream) -> Result<Logs, LogError> {
    let mut writers = Vec::new();
    let mut writer = |lines: Box<dyn Write + Send>| {
        let (writer, guard) = NonBlockingBuilder::default()
            .thread_name("logs")
            .finish(lines);
        writers.push((guard, writer.error_counter()));
        writer
    };
    let (lines, terminal): (Box<dyn Write + Send>, bool) = match stream {
        Stream::Stdout => (
            guard(io::stdout(), "standard output".to_owned()),
            io::stdout().is_terminal(),
        ),
        Stream::Stderr => (
            guard(io::stderr(), "standard error".to_owned()),
            io::stderr().is_terminal(),
        ),
    };
    let pretty = match config.format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut outputs: Vec<Output> = vec![if pretty {
        text(writer(lines), colours)
    } else {
        json(writer(lines), agent)
    }];
    if let Some(dir) = &config.dir {
        let file = DailyFile::open(dir, agent).map_err(|error| LogError::File {
            dir: dir.clone(),
            error,
        })?;
        let name = file.path().display().to_string();
        let file = writer(guard(file, name));
        outputs.push(if config.format == LogFormat::Pretty {
            text(file, false)
        } else {
            json(file, agent)
        });
    }
    let (filter, handle) = reload::Layer::new(config.filter.to_env_filter());
    tracing_subscriber::registry()
        .with(filter)
        .with(outputs)
        .try_init()?;
    log_panics();
    Ok(Logs {
        control: LogControl::new(handle),
        writers,
    })
}

fn guard(output: impl Write + Send + 'static, name: String) -> Box<dyn Write + Send> {
    Box::new(Guarded::new(output, name, &ERRORS))
}

/// Lines that could not be written to an output of the log, since the process started.
#[must_use]
pub fn write_errors() -> u64 {
    ERRORS.load(Ordering::Relaxed)
}

/// Writes a line to standard error, whether or not anybody is there to read it: `eprintln!` panics
/// where it is full or closed.
pub fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// For people: no module names, which say nothing to whoever does not know the code.
fn text(writer: NonBlocking, colours: bool) -> Output {
    fmt::layer()
        .with_timer(Milliseconds)
        .with_target(false)
        .with_ansi(colours)
        .with_writer(writer)
        .boxed()
}

/// The time of a line for people, UTC.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}

fn json(writer: NonBlocking, agent: &str) -> Output {
    fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(JsonLine::new(agent))
        .with_ansi(false)
        .with_writer(writer)
        .boxed()
}

/// Makes every panic one ERROR event with its backtrace, in place of text on standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        let thread = std::thread::current();
        let payload = panic.payload();
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("without a text");
        let location = panic.location().map(ToString::to_string);
        if !tracing::enabled!(tracing::Level::ERROR) {
            complain(format_args!("{panic}\n{backtrace}"));
            return;
        }
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            location = location.as_deref().unwrap_or("unknown"),
            backtrace = %backtrace,
            "panic: {text}"
        );
    }));
}
