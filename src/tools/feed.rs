//! Publishing bars as a market-data source would: for demonstrations, load and tests.
//!
//! Promises that a bar it counts as acknowledged is stored by a stream, and that one it
//! counts as flushed has reached the server. Whether a bar is good is for the agent to say: every
//! message carries the id of the run, and in the end the agents are asked for their account of it.

mod address;
mod asking;
mod history;
mod outcome;
mod reset;
mod source;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::{Client, HeaderMap};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::bus::{self, Link, round_trip};
use crate::cli::FeedArgs;
use crate::config::{Config, JetStreamApi};
use crate::market::Timestamp;
use crate::ops::logs::complain;
use crate::ops::receipts::FeedId;
use crate::wire::headers::FEED;

use super::pace::Pace;
use super::replay::Refused;
use address::Target;
use outcome::Fed;
pub use outcome::Outcome;
pub use reset::{ResetReport, reset};
use source::Item;

/// Acknowledgements that may be outstanding.
const IN_FLIGHT: usize = 1_000;
/// Bars read ahead of publishing.
const READ_AHEAD: usize = 1_024;
/// Time limit for the server's answer about the stream that covers a subject.
const LOOK_UP: Duration = Duration::from_secs(2);
/// Bars that no agent has counted count as unknown once the agents make no progress for this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The server confirms the last bars within this time.
const CONFIRMATION: Duration = Duration::from_secs(30);

/// Numbers and outcome of the published bars.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeedReport {
    /// The subjects, wildcards standing for symbol and timeframe.
    pub subject: String,
    /// Bars handed to the server.
    pub published: u64,
    /// The stream that stores them, if one does.
    pub stream: Option<String>,
    /// Bars the stream has acknowledged; without a stream, bars known to have reached the server.
    pub confirmed: u64,
    /// Lines and bars that could not be published.
    pub skipped: u64,
    /// The same by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Messages that are understood and hold no bar, by kind: they are not published.
    pub ignored: BTreeMap<&'static str, u64>,
    /// The earliest open time of a bar that was published, where it can be read.
    #[serde(serialize_with = "rfc3339")]
    pub first: Option<Timestamp>,
    /// The latest one.
    #[serde(serialize_with = "rfc3339")]
    pub last: Option<Timestamp>,
    /// From the first bar to the last confirmation.
    pub seconds: f64,
    /// The group whose agents were asked.
    pub group: String,
    /// The outcome of the bars; absent where nothing was published.
    pub outcome: Option<Outcome>,
}

impl FeedReport {
    /// True if there was something to publish, and all of it was published and is confirmed.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.published > 0 && self.skipped == 0 && self.confirmed == self.published
    }

    /// True if the agents refused every bar.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.outcome.as_ref().is_some_and(Outcome::all_refused)
    }

    /// Says what the agents say, or what it means that they say nothing.
    fn tell_outcome(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(outcome) = &self.outcome else {
            return Ok(());
        };
        if !outcome.agents.is_empty() {
            return write!(f, "\n{outcome}");
        }
        let group = &self.group;
        match &outcome.problem {
            Some(problem) => write!(
                f,
                "\nthe agents of group {group} cannot be asked what they did with the bars: {problem}"
            ),
            None => {
                write!(f, "\nno agent of group {group} answers: ")?;
                match &self.stream {
                    Some(stream) => write!(
                        f,
                        "the bars are stored in stream {stream}, and give signals once an agent in \
                         durable delivery takes them from there"
                    ),
                    None => write!(
                        f,
                        "no stream stores the bars either, so they are lost unless something else \
                         has received them; start an agent and feed them again"
                    ),
                }
            }
        }
    }
}

impl fmt::Display for FeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match &self.stream {
            Some(stream) => format!("{} acknowledged by stream {stream}", self.confirmed),
            None => format!("{} flushed (no stream covers the subject)", self.confirmed),
        };
        write!(
            f,
            "published {} bars to {} in {:.1} s: {how}, {}",
            self.published,
            self.subject,
            self.seconds,
            Refused(&self.reasons)
        )?;
        if !self.ignored.is_empty() {
            let ignored: u64 = self.ignored.values().sum();
            write!(f, ", {ignored} messages without a bar left out")?;
        }
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(f, "\nfirst {first}, last {last}")?;
        }
        self.tell_outcome(f)
    }
}

/// For `serialize_with`, which passes references.
#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref)]
fn rfc3339<S: serde::Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => time.serialize_rfc3339(to),
        None => to.serialize_none(),
    }
}

/// Publishes the bars that `args` asks for over `client` of `link`; synthetic bars end at `now`.
/// Standard error gets the progress, if it is a terminal, and each skipped row with its reason.
///
/// # Errors
/// If a file cannot be read or the connection fails for good.
pub async fn feed(
    client: &Client,
    link: &Arc<Link>,
    config: &Config,
    args: &FeedArgs,
    now: Timestamp,
) -> anyhow::Result<FeedReport> {
    if args.history {
        return history::feed(client, link, config, args, now).await;
    }
    let (items, total) = source::open(args, config, now)?;
    let progress = progress_bar(total);
    let mut run = Run::begin(client, link, config, None).await;

    // reading may block for as long as it likes; the connection must not wait for it
    let (send, mut receive) = tokio::sync::mpsc::channel(READ_AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        for item in items {
            let last = item.is_err();
            if send.blocking_send(item).is_err() || last {
                break;
            }
        }
    });

    let pace = Pace::new(args.rate, run.start);
    while let Some(item) = receive.recv().await {
        let (subject, payload, bars, times) = match item? {
            Item::Bar {
                address,
                payload,
                bars,
                times,
            } => (run.target.subject(&address), payload, bars, times),
            Item::Ignored(kind) => {
                *run.account.ignored.entry(kind).or_default() += 1;
                continue;
            }
            Item::Note(note) => {
                progress.suspend(|| complain(note));
                continue;
            }
            Item::Skipped { reason, told } => {
                *run.account.reasons.entry(reason).or_default() += 1;
                progress.suspend(|| complain(format_args!("skipped: {told}")));
                continue;
            }
        };
        if let Some(wait) = pace.wait(run.publisher.published, Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        run.publisher.publish(subject, payload).await?;
        run.account.bars += bars;
        if let Some((begin, end)) = times {
            run.account.span(begin, end);
        }
        progress.inc(1);
    }
    reader.await.context("the reader of bars failed")?;
    run.publisher.finish().await?;
    progress.finish_and_clear();
    let (published, confirmed) = (run.publisher.published, run.publisher.confirmed);
    Ok(run.report(config, published, confirmed).await)
}

/// Numbers of messages read and published.
#[derive(Debug, Default)]
struct Account {
    reasons: BTreeMap<&'static str, u64>,
    ignored: BTreeMap<&'static str, u64>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Elements of the messages that were published.
    bars: u64,
}

impl Account {
    /// Notes bars from `begin` to `end`.
    fn span(&mut self, begin: Timestamp, end: Timestamp) {
        self.first = Some(self.first.map_or(begin, |first| first.min(begin)));
        self.last = Some(self.last.map_or(end, |last| last.max(end)));
    }
}

/// One run of `feed`.
struct Run<'a> {
    client: &'a Client,
    link: &'a Arc<Link>,
    id: FeedId,
    target: Target,
    subject: String,
    stream: Option<String>,
    publisher: Publisher<'a>,
    account: Account,
    start: Instant,
}

impl<'a> Run<'a> {
    /// Finds the stream that stores the published messages, by `subject` or by the subjects of
    /// market data.
    async fn begin(
        client: &'a Client,
        link: &'a Arc<Link>,
        config: &Config,
        subject: Option<&str>,
    ) -> Self {
        let target = Target::new(&config.subjects, config.input.default_timeframe);
        let api = &config.nats.jetstream;
        let subject = subject.unwrap_or(target.pattern()).to_owned();
        let stream = stream_of(client, api, &subject).await;
        let id = FeedId::new(xxh3_64(nuid::next().as_bytes()));
        Self {
            publisher: Publisher::new(client, link, api, stream.is_some(), id),
            client,
            link,
            id,
            target,
            subject,
            stream,
            account: Account::default(),
            start: Instant::now(),
        }
    }

    /// Asks the agents for the outcome of everything that was published.
    async fn report(self, config: &Config, published: u64, confirmed: u64) -> FeedReport {
        let seconds = self.start.elapsed().as_secs_f64();
        let fed = Fed {
            messages: self.publisher.published,
            bars: self.account.bars,
        };
        let (client, link, group) = (self.client, self.link, &config.group);
        let outcome = if fed.messages > 0 {
            Some(asking::ask(client, link, group, self.id, fed, PATIENCE).await)
        } else {
            None
        };
        let account = self.account;
        FeedReport {
            subject: self.subject,
            published,
            stream: self.stream,
            confirmed,
            skipped: account.reasons.values().sum(),
            reasons: account.reasons,
            ignored: account.ignored,
            first: account.first,
            last: account.last,
            seconds,
            group: group.clone(),
            outcome,
        }
    }
}

/// Sends bars and keeps count of what is known to have arrived.
struct Publisher<'a> {
    client: &'a Client,
    link: &'a Arc<Link>,
    /// Set where a stream acknowledges.
    jetstream: Option<jetstream::Context>,
    /// By which agents know the bars of this run.
    headers: HeaderMap,
    in_flight: VecDeque<PublishAckFuture>,
    /// Connections lost before the first bar.
    reconnects_before: u64,
    published: u64,
    confirmed: u64,
}

impl<'a> Publisher<'a> {
    fn new(
        client: &'a Client,
        link: &'a Arc<Link>,
        api: &JetStreamApi,
        acknowledged: bool,
        id: FeedId,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(FEED, id.to_string());
        Self {
            headers,
            client,
            link,
            jetstream: acknowledged.then(|| bus::jetstream(client, api)),
            in_flight: VecDeque::new(),
            reconnects_before: link.reconnects(),
            published: 0,
            confirmed: 0,
        }
    }

    async fn publish(&mut self, subject: String, payload: Vec<u8>) -> anyhow::Result<()> {
        let shown = subject.clone();
        let failed = || format!("publishing to {shown} failed");
        if let Some(jetstream) = &self.jetstream {
            let headers = self.headers.clone();
            let ack = jetstream.publish_with_headers(subject, headers, payload.into());
            let ack = ack.await;
            self.in_flight.push_back(ack.with_context(failed)?);
            if self.in_flight.len() >= IN_FLIGHT {
                self.take_acknowledgement().await;
            }
        } else {
            let headers = self.headers.clone();
            let sent = self
                .client
                .publish_with_headers(subject, headers, payload.into());
            let sent = sent.await;
            sent.with_context(failed)?;
        }
        self.published += 1;
        Ok(())
    }

    /// Waits for the oldest outstanding acknowledgement.
    async fn take_acknowledgement(&mut self) {
        if let Some(ack) = self.in_flight.pop_front() {
            match ack.await {
                Ok(_) => self.confirmed += 1,
                Err(error) => tracing::warn!(%error, "a bar was not acknowledged"),
            }
        }
    }

    /// Waits until everything sent is known to have arrived or not to.
    async fn finish(&mut self) -> anyhow::Result<()> {
        while !self.in_flight.is_empty() {
            self.take_acknowledgement().await;
        }
        if self.jetstream.is_none() {
            // it proves all before it, but on the same connection only
            let deadline = tokio::time::Instant::now() + CONFIRMATION;
            round_trip(self.client, self.link, deadline).await?;
            if self.link.reconnects() == self.reconnects_before {
                self.confirmed = self.published;
            } else {
                tracing::warn!("the connection was lost in between: bars may be missing");
            }
        }
        Ok(())
    }
}

/// The stream that stores what is published under `pattern`, if there is one.
async fn stream_of(client: &Client, api: &JetStreamApi, pattern: &str) -> Option<String> {
    let jetstream = bus::jetstream(client, api);
    let found = tokio::time::timeout(LOOK_UP, jetstream.stream_by_subject(pattern)).await;
    found.ok()?.ok()
}

fn progress_bar(total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{bar:40} {pos}/{len} bars  {rate}/s  {eta} left",
        None => "{spinner} {pos} bars  {rate}/s",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}

fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // a display that cannot be written to shows nothing
    let _ = write!(out, "{:.0}", state.per_sec());
}
