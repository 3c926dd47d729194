//! The command line.
//!
//! Must not know how a command does its work. The list of variables in `--help` is made from
//! [`config::keys`].

mod input;
mod values;

pub use input::{FileTime, InputArgs};

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::aggregate::Plan;
use crate::bus::permissions::Role;
use crate::config;
use crate::exit::Exit;
use crate::market::{Timeframe, Timestamp};
use crate::time_spec::TimeSpec;
use crate::tools::health::Question;
use crate::version;
use crate::wire::{Reason, SubjectPattern};
use values::{duration, patience, plain_subject, rate, reason, stored_time, stream_name, symbol};

/// Turns market data on NATS into technical-analysis signals.
#[derive(Debug, Parser)]
#[command(name = "technical-analysis-agent", version = version::FULL)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// A command of the binary.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the agent until SIGTERM, SIGINT or SIGQUIT, then drain and exit (the default)
    Run,
    /// Compute signals over files of bars, without a broker: JSON lines on standard output
    Replay(ReplayArgs),
    /// Publish bars to NATS as a market-data source would
    Feed(FeedArgs),
    /// Reset a series: forget its bars, and accept the next one whatever its time
    Reset(ResetArgs),
    /// Print signals as they arrive, a line each, until Ctrl-C
    Watch(WatchArgs),
    /// Say how messages are read, from a file or from a live subject, and what the agent does with them
    Explain(ExplainArgs),
    /// Put dead letters back where they came from, after what refused them is mended
    Redrive(RedriveArgs),
    /// Prove on the stored bars and signals that every promise of durable delivery was kept
    Verify(VerifyArgs),
    /// Ask a running agent whether it is healthy (`/health`): exit 0 when it is, 1 when it is not
    /// or cannot be reached
    Health(HealthArgs),
    /// Check the configuration and print every value with where it came from, secrets masked
    Config(ConfigArgs),
    /// List the indicators: parameters, outputs, first value, convention, source
    Indicators(OutputArgs),
}

/// Arguments of `replay`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(after_help = "The analysis is configured as for `run`: see \
    technical-analysis-agent --help.")]
pub struct ReplayArgs {
    /// Files of bars, read one after another; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Options of reading the input.
    #[command(flatten)]
    pub input: InputArgs,
    /// Larger bars to derive, with commas between them, as 5m,1h,1d; without it those of
    /// TECHNICAL_TIMEFRAMES
    #[arg(long, value_name = "T,U,…")]
    pub timeframes: Option<Plan>,
    /// Leave derived bars open at the end of the files, as an agent that waits for more bars does
    #[arg(long)]
    pub leave_open: bool,
    /// End with 65 at the first bad line instead of skipping it
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `feed`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Bars go to the server that NATS_URL names, under the first of \
    TECHNICAL_SUBJECTS that has a wildcard, else under the first. In the end the agents of \
    TECHNICAL_GROUP are asked what they did with exactly these bars. Exit code 0, or 65 when not \
    everything was published or the agents refused every bar."
)]
pub struct FeedArgs {
    /// Files of bars, published one after another; `-` is standard input
    #[arg(
        required_unless_present = "synthetic",
        conflicts_with = "synthetic",
        value_name = "FILE"
    )]
    pub files: Vec<PathBuf>,
    /// Options of reading the input.
    #[command(flatten)]
    pub input: InputArgs,
    /// Feed the bars as the past of series that may have live bars already: once all of its history
    /// has come, each series is rebuilt from it and the live bars after it
    #[arg(long, conflicts_with = "synthetic")]
    pub history: bool,
    /// With --history: publish to this subject, the one of the live bars of the series
    #[arg(long, value_name = "S", value_parser = plain_subject, requires = "history")]
    pub subject: Option<String>,
    /// Make up bars (a random walk) instead of reading them
    #[arg(long)]
    pub synthetic: bool,
    /// Synthetic: how many symbols
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "files",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub symbols: u32,
    /// Synthetic: how many bars of each symbol
    #[arg(long, value_name = "N", default_value_t = 1_000, conflicts_with = "files",
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub bars: u32,
    /// Synthetic: the same seed gives the same prices
    #[arg(long, value_name = "S", default_value_t = 1, conflicts_with = "files")]
    pub seed: u64,
    /// Bars per second; 0 is as fast as possible
    #[arg(
        long,
        value_name = "R",
        default_value_t = 0.0,
        value_parser = rate,
        allow_negative_numbers = true
    )]
    pub rate: f64,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reset`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Publishes a control message in order with the bars of the series, under the subject \
    that `feed` would publish them to, and asks the agents of TECHNICAL_GROUP how many bars were \
    forgotten. Exit code 0 when the series was reset, 65 when there is no such series or the reset was \
    refused, 69 when no agent answers, the server cannot be reached or does not allow it."
)]
pub struct ResetArgs {
    /// The instrument
    #[arg(value_name = "SYMBOL", value_parser = symbol)]
    pub symbol: String,
    /// The bar length, as 1m or 1d
    #[arg(value_name = "TIMEFRAME")]
    pub timeframe: Timeframe,
    /// Publish there instead: the subject that the bars of the series come on
    #[arg(long, value_name = "S", value_parser = plain_subject)]
    pub subject: Option<String>,
    /// Report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Listens on the server that NATS_URL names, with the credentials that `run` takes. \
    Prints what is published from then on; what came before is in the stream of signals (durable \
    delivery). Exit code 0, 65 when fewer messages came than --count asked for, 69 when the server \
    cannot be reached or does not allow it."
)]
pub struct WatchArgs {
    /// Subjects to listen to (wildcards are allowed); without one, those of signals and of dead
    /// letters
    #[arg(value_name = "SUBJECT")]
    pub subjects: Vec<SubjectPattern>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this time: a number of seconds, or 90s, 15m, 2h, 1d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Print the payloads as they came, byte for byte, and a dead letter as an object with `refused`
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "For each message: the dialect that reads it, the name that each field was found \
    under, the bar in plain units and UTC, and what an agent without any series would do with it; or \
    why it is refused, with the nearest form that would be taken. Exit code 0, or 65 when nothing was \
    understood."
)]
pub struct ExplainArgs {
    /// A file of messages, or of bars as `replay` reads them; `-` is standard input. Without it,
    /// --subject is listened to
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The subject of the messages in FILE; without FILE, listen to it on the server (wildcards are
    /// allowed)
    #[arg(long, value_name = "S")]
    pub subject: Option<SubjectPattern>,
    /// Live: at most so many messages
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub count: u64,
    /// Live: wait at most so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = patience)]
    pub timeout: Duration,
    /// Options for reading files.
    #[command(flatten)]
    pub input: InputArgs,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `redrive`.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(
    after_help = "Reads the letters of TECHNICAL_DEAD_LETTER_SUBJECT in the stream of signals \
    (durable delivery), publishes each payload unchanged to the subject it came on, and removes \
    the letter once its bar is stored: what is left is what is still to be mended. A run that was \
    cut short is made good by the next one, and nothing is put back twice. Letters whose reason is \
    late are passed over unless --reason late asks for them, as their series have newer bars. \
    Whole letters of TECHNICAL_SUBJECTS only. Exit code 0 when all that was asked is done, 65 when \
    some were refused or failed, 69 when JetStream stopped answering, 78 when there is no such \
    stream."
)]
pub struct RedriveArgs {
    /// Only letters refused for this reason; may be given several times
    #[arg(long = "reason", value_name = "REASON", value_parser = reason())]
    pub reasons: Vec<Reason>,
    /// Only letters that came on such a subject; NATS wildcards
    #[arg(long, value_name = "PATTERN")]
    pub subject: Option<SubjectPattern>,
    /// Only letters stored since: RFC 3339, or how long ago (90s, 15m, 2h, 7d)
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeSpec>,
    /// Only letters stored before: likewise
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeSpec>,
    /// At most so many letters, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Read from this stream instead of TECHNICAL_SIGNALS_STREAM
    #[arg(long, value_name = "NAME", value_parser = stream_name)]
    pub stream: Option<String>,
    /// Leave the letters where they are; the next run then puts them back again
    #[arg(long)]
    pub keep: bool,
    /// Letters per second; 0 is as fast as possible
    #[arg(
        long,
        value_name = "R",
        default_value_t = 0.0,
        value_parser = rate,
        allow_negative_numbers = true
    )]
    pub rate: f64,
    /// Change nothing; say what would be done with each letter
    #[arg(long)]
    pub dry_run: bool,
    /// Say what came of each letter
    #[arg(long, short)]
    pub verbose: bool,
    /// Report as JSON, one object; before it one per letter with --verbose or --dry-run
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Reads the streams of bars and of signals, computes every signal of TECHNICAL_GROUP \
    again under the configuration in the environment, and compares: each bar that is due has exactly \
    one signal per revision, with the bytes of recomputation, in the order of its series; each \
    refused message has one dead letter with its reason; no bar was deleted from the middle. Changes \
    nothing, and may run while agents work. What retention has dropped at the beginning is counted as \
    not checkable. Bars before --from are read, as state rests on them. Exit code 0 when every \
    promise is kept, 65 when one is broken, 69 when NATS, JetStream or the streams are not there."
)]
pub struct VerifyArgs {
    /// Only bars that the stream stored from then on, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = stored_time)]
    pub from: Option<Timestamp>,
    /// Only bars that the stream stored before, RFC 3339
    #[arg(long, value_name = "TIME", value_parser = stored_time)]
    pub to: Option<Timestamp>,
    /// A signal may also be that of the configuration in this file, which agents had before; in the
    /// form of .env, and with all TECHNICAL_ variables that were set. May be given several times
    #[arg(long, value_name = "FILE")]
    pub former: Vec<PathBuf>,
    /// Report as JSON, one object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `health`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HealthArgs {
    /// Base URL of the agent's HTTP endpoint; derived from `HTTP_ADDR` by default
    #[arg(long, value_name = "BASE_URL")]
    pub url: Option<String>,
    /// Ask whether it is alive (`/livez`): for health checks that restart what fails them
    #[arg(long, conflicts_with = "ready")]
    pub live: bool,
    /// Ask whether it is ready (`/readyz`)
    #[arg(long)]
    pub ready: bool,
    /// Ask again until the answer is yes, for at most this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = patience)]
    pub wait: Option<Duration>,
}

impl HealthArgs {
    /// The question that the options ask.
    #[must_use]
    pub const fn question(&self) -> Question {
        match (self.live, self.ready) {
            (true, _) => Question::Live,
            (_, true) => Question::Ready,
            _ => Question::Healthy,
        }
    }
}

/// Arguments of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct ConfigArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print instead the permissions that a NATS user needs, for the configuration of a server: the
    /// agent's, with those of the other roles as comments, or only those of a role
    #[arg(long, conflicts_with = "json", value_name = "ROLE", value_enum)]
    #[allow(clippy::option_option)] // absent, without a role, with one
    pub permissions: Option<Option<Role>>,
}

/// Arguments of commands that print a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct OutputArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// The answer of clap: a mistake, or the text of `--help` or `--version`. Print it with
/// [`clap::Error::print`] and exit with [`exit_of`].
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, clap::Error> {
    let matches = Cli::command()
        .after_help("Everything is configured by environment variables: see --help.")
        .after_long_help(reference())
        .try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    if let Some(Command::Verify(args)) = &cli.command
        && let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        let reason = "--from has to be before --to";
        return Err(Cli::command().error(ErrorKind::ValueValidation, reason));
    }
    Ok(cli.command.unwrap_or(Command::Run))
}

/// The exit code of what [`parse`] answered instead of a command.
#[must_use]
pub fn exit_of(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

/// Variables and exit codes, for `--help`.
fn reference() -> String {
    let mut text = String::from(
        "Environment variables. The process environment comes first, then .env in the working \
         directory, then the default; an empty value is as if unset.\n\n",
    );
    text.push_str(&config::help());
    text.push_str("Exit codes:\n");
    for (exit, meaning) in Exit::ALL {
        let _ = writeln!(text, "  {:>2}  {meaning}", exit.code());
    }
    text
}

#[cfg(test)]
mod tests;
