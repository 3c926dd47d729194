//! `watch`: signals as they arrive, a line each.
//!
//! It listens with plain NATS, so it sees what is published from the moment it says that it watches,
//! in both deliveries. A message that cannot be shown in time because the output is slow is dropped
//! by the client, and that is reported at the end.

mod line;

use std::fmt;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_nats::{Client, Message};
use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::bus::permissions::Operation;
use crate::bus::{Link, Sizing, round_trip};
use crate::cli::WatchArgs;
use crate::config::Config;
use crate::ops::logs::complain;
use crate::wire::SubjectPattern;

use line::Kind;

/// Messages that may wait in the client for each subject, and other commands of it.
pub const SIZING: Sizing = Sizing {
    subscription_capacity: 16_384,
    client_capacity: 64,
};
/// Lines that may wait for the output.
const LINES: usize = 1_024;
/// Time for the server to take the subscriptions.
const SUBSCRIBING: Duration = Duration::from_secs(10);
/// Exit code of a second Ctrl-C, which does not wait for the output.
const INTERRUPTED: i32 = 130;

/// The reason why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Two subjects would print a message twice.
    #[error(
        "`{0}` and `{1}` overlap, so a message on both would be printed twice; name one of them"
    )]
    Overlap(String, String),
    /// The server does not let this user listen.
    #[error(
        "the NATS user may not subscribe to `{0}`; allow it in the authorization of the server \
         (`technical-analysis-agent config --permissions consumer` prints all it takes), or name \
         the subjects to watch"
    )]
    Denied(String),
    /// The server did not take the subscriptions.
    #[error("cannot subscribe to {subjects}: {cause}")]
    Unanswered {
        /// The subjects.
        subjects: String,
        /// The cause.
        cause: String,
    },
    /// The output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// The reason why watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The number of messages that was asked for has come.
    Count,
    /// The time is over.
    Time,
    /// A signal of the system.
    Asked,
    /// The reader of the output has gone.
    Unread,
    /// The connection is closed for good.
    Closed,
}

/// The account of a watch.
#[derive(Debug)]
pub struct Watched {
    subjects: String,
    /// Messages by kind, in the order of [`Kind::ALL`].
    counts: [u64; Kind::ALL.len()],
    reconnects: u64,
    dropped: u64,
    end: End,
    wanted: Option<u64>,
}

impl Watched {
    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// True unless fewer messages came than were asked for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let enough = self.wanted.is_none_or(|wanted| self.total() >= wanted);
        enough || matches!(self.end, End::Asked | End::Unread)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Kind::ALL.iter().zip(self.counts);
        let shown: Vec<String> = counts
            .filter(|(kind, count)| *count > 0 || **kind == Kind::Signal)
            .map(|(kind, count)| format!("{count} {}", kind.plural()))
            .collect();
        write!(f, "{}", shown.join(", "))?;
        if self.end == End::Closed {
            write!(f, "; the connection to NATS is closed")?;
        }
        if self.reconnects > 0 {
            write!(
                f,
                "; the connection was lost {} times, and what was published meanwhile is missing here",
                self.reconnects
            )?;
        }
        if self.dropped > 0 {
            write!(
                f,
                "; messages were dropped, as the output was too slow for them"
            )?;
        }
        if self.total() == 0 {
            write!(
                f,
                "\nnothing came on {}: see whether an agent runs (`technical-analysis-agent health`) and \
                 bars are published (`technical-analysis-agent feed FILE` does that). The first signal of a \
                 series comes with bar TECHNICAL_MIN_BARS_REQUIRED (50)",
                self.subjects
            )?;
        }
        Ok(())
    }
}

/// Prints what comes on the subjects of `args` to `out`, until it is asked to end.
///
/// # Errors
/// If the subjects cannot be subscribed to, or `out` cannot be written. A reader of `out` that has
/// gone is no error.
pub async fn watch(
    client: &Client,
    link: &Arc<Link>,
    config: &Config,
    args: &WatchArgs,
    out: impl Write + Send + 'static,
) -> Result<Watched, WatchError> {
    let subjects = subjects(config, args)?;
    let names = subjects.join(", ");
    let unanswered = |cause: String| WatchError::Unanswered {
        subjects: names.clone(),
        cause,
    };
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let asked_before = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let seen = Arc::clone(&asked_before);
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, seen)?;
        signal_hook::flag::register(signal, Arc::clone(&asked_before))?;
    }
    let mut subscriptions = Vec::new();
    for subject in &subjects {
        let subscribed = client.subscribe(subject.clone()).await;
        subscriptions.push(subscribed.map_err(|error| unanswered(error.to_string()))?);
    }
    let mut messages = select_all(subscriptions);
    let is_ours = |operation: Operation, subject: &str| {
        operation == Operation::Subscribe && subjects.iter().any(|ours| ours == subject)
    };
    let denied = || {
        let denials = link.denials();
        let mut ours = denials.into_iter();
        ours.find(|denial| is_ours(denial.operation, &denial.subject))
            .map(|denial| WatchError::Denied(denial.subject))
    };
    round_trip(client, link, Instant::now() + SUBSCRIBING)
        .await
        .map_err(|error| unanswered(error.to_string()))?;
    if let Some(error) = denied() {
        return Err(error);
    }
    complain(format_args!("watching {names}; Ctrl-C ends it"));

    let (lines, receive) = mpsc::channel(LINES);
    let writer = tokio::task::spawn_blocking(move || write_lines(receive, out));
    let mut watched = Watched {
        subjects: names.clone(),
        counts: [0; Kind::ALL.len()],
        reconnects: 0,
        dropped: 0,
        end: End::Asked,
        wanted: args.count,
    };
    let reconnects_before = link.reconnects();
    let deadline = args.duration.map(|limit| Instant::now() + limit);
    let mut over = pin!(async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    });
    let mut refused = pin!(link.denied(|denial| is_ours(denial.operation, &denial.subject)));
    let mut closed = pin!(link.wait_closed());
    watched.end = loop {
        let message: Message = tokio::select! {
            Some(message) = messages.next() => message,
            _ = signals.next() => break End::Asked,
            () = &mut over => break End::Time,
            () = &mut refused => match denied() {
                Some(error) => return Err(error),
                None => break End::Closed,
            },
            () = &mut closed => break End::Closed,
            () = lines.closed() => break End::Unread,
        };
        let (kind, line) = line::of(&message, args.json);
        if lines.send(line).await.is_err() {
            break End::Unread;
        }
        watched.counts[kind as usize] += 1;
        if args.count.is_some_and(|count| watched.total() >= count) {
            break End::Count;
        }
    };
    watched.reconnects = link.reconnects() - reconnects_before;
    watched.dropped = link.slow_consumer_events();
    drop(lines);
    match writer.await {
        Ok(written) => written?,
        Err(panicked) => return Err(WatchError::Output(io::Error::other(panicked))),
    }
    Ok(watched)
}

/// The subjects to listen to, of which no two overlap.
fn subjects(config: &Config, args: &WatchArgs) -> Result<Vec<String>, WatchError> {
    if args.subjects.is_empty() {
        // the configuration has made sure that they do not overlap
        return Ok(vec![
            config.publish_subject.pattern().as_str().to_owned(),
            config.dead_letter_subject.clone(),
        ]);
    }
    for (at, subject) in args.subjects.iter().enumerate() {
        let mut before = args.subjects[..at].iter();
        if let Some(other) = before.find(|other| other.overlaps(subject)) {
            let [one, other] = [other, subject].map(|subject| subject.as_str().to_owned());
            return Err(WatchError::Overlap(one, other));
        }
    }
    let text = |subject: &SubjectPattern| subject.as_str().to_owned();
    Ok(args.subjects.iter().map(text).collect())
}

/// Writes lines until there are no more, and flushes whenever none waits.
fn write_lines(mut lines: mpsc::Receiver<Vec<u8>>, mut out: impl Write) -> io::Result<()> {
    let mut write = || -> io::Result<()> {
        while let Some(line) = lines.blocking_recv() {
            out.write_all(&line)?;
            if lines.is_empty() {
                out.flush()?;
            }
        }
        out.flush()
    };
    match write() {
        // a reader that has gone, such as `head`, has what it wanted
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
