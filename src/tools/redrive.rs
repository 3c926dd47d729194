//! Putting dead letters back where they came from, after what refused them is mended.
//!
//! Promises that a letter it counts as put back is stored again by the stream of its subject, and
//! that it is put back once. A letter is removed when its bar is back, so what is left is what is
//! still to be mended. Between the two the process may be killed; so what is going to be put back
//! is written down before (`journal`), and the next run looks for it where it would be.
//!
//! Letters of one subject go one after the other, each when the one before is stored: bars of a
//! series stay in their order whatever happens to the connection, and nothing overtakes one that
//! failed.

mod journal;
mod letter;
mod report;
mod selection;
mod store;

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Info;
use futures_util::future::join_all;

use crate::bus::{Link, jetstream};
use crate::cli::RedriveArgs;
use crate::config::Config;
use crate::market::Timestamp;
use crate::wire::SubjectPattern;

use super::pace::Pace;
use journal::{Entry, Journal};
use letter::Letter;
use report::Line;
use selection::{Selection, Verdict};
use store::Store;

pub use report::{Counts, Outcome, RedriveReport};

/// A run that says nothing of each letter says how far it is this often.
const PROGRESS: Duration = Duration::from_secs(10);
/// Letters read, written down and put back together; acknowledgements that may be outstanding.
const BATCH: usize = 256;

/// The reason why nothing, or no more, could be put back.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// A stream or permission that it needs is missing.
    #[error("{0}")]
    Setup(String),
    /// The server says no.
    #[error("{0}")]
    Refused(String),
    /// The server says nothing.
    #[error("{0}")]
    Unanswered(String),
}

/// A letter on its way back.
struct Bound {
    letter: Letter,
    subject: String,
    id: String,
    stream: String,
}

struct Run<'a, W: Write> {
    store: Store,
    args: &'a RedriveArgs,
    selection: Selection,
    /// The stream that the letters are in.
    info: Info,
    /// Nothing where letters are left where they are, or the stream keeps no record.
    journal: Option<Journal>,
    /// Letters whose bars are back, of a run that was cut short.
    settled: HashSet<u64>,
    /// Subjects of which a letter could not be put back.
    blocked: HashSet<String>,
    pace: Pace,
    sent: u64,
    chosen: u64,
    report: RedriveReport,
    out: &'a mut W,
}

/// Puts back what `args` asks for, seen from `now`, over `client` of `link`; letters are printed to
/// `out` if `args` asks for that. An interruption after the start is in the report.
///
/// # Errors
/// If it cannot begin: there are no dead letters here, or the server does not answer.
pub async fn redrive<W: Write>(
    client: &Client,
    link: &Arc<Link>,
    config: &Config,
    args: &RedriveArgs,
    now: Timestamp,
    out: &mut W,
) -> Result<RedriveReport, RedriveError> {
    let start = Instant::now();
    let mut store = Store::new(jetstream(client, &config.nats.jetstream), link);
    let info = letters_stream(&mut store, config, args).await?;
    let mut run = Run {
        selection: Selection::new(args, &config.subjects, now),
        report: RedriveReport {
            stream: info.config.name.clone(),
            subject: config.dead_letter_subject.clone(),
            dry_run: args.dry_run,
            ..RedriveReport::default()
        },
        store,
        args,
        info,
        journal: None,
        settled: HashSet::new(),
        blocked: HashSet::new(),
        pace: Pace::new(args.rate, start),
        sent: 0,
        chosen: 0,
        out,
    };
    run.settle(config).await?;
    if let Err(error) = run.work().await {
        run.report.interrupted = Some(error.to_string());
    }
    run.report.seconds = start.elapsed().as_secs_f64();
    Ok(run.report)
}

/// The stream to read from, and that it can be.
async fn letters_stream(
    store: &mut Store,
    config: &Config,
    args: &RedriveArgs,
) -> Result<Info, RedriveError> {
    let subject = &config.dead_letter_subject;
    let own = &config.durable.signals_stream;
    let name = args.stream.as_ref().unwrap_or(own);
    let why = match store.info(name).await? {
        None => format!("there is no stream {name}"),
        Some(info) if args.stream.is_none() && !captures(&info, subject) => {
            format!("the stream {name} does not store {subject}")
        }
        Some(info) if info.config.deny_delete && !args.keep && !args.dry_run => {
            return Err(RedriveError::Setup(format!(
                "the stream {name} lets no message be deleted, so a letter that is put back would \
                 be put back again; --keep accepts that"
            )));
        }
        Some(info) => return Ok(info),
    };
    let hint = match store.stream_of(subject).await? {
        Some(other) => format!("the stream {other} stores {subject}: --stream {other}"),
        None if args.stream.is_some() => format!("no stream stores {subject}"),
        None => format!(
            "dead letters are stored in durable delivery only (in core delivery they are \
             published and not kept), and no other stream stores {subject} either; check NATS_URL, \
             TECHNICAL_SIGNALS_STREAM and TECHNICAL_DEAD_LETTER_SUBJECT"
        ),
    };
    Err(RedriveError::Setup(format!("{why}; {hint}")))
}

fn captures(info: &Info, subject: &str) -> bool {
    let pattern = |text: &String| text.parse::<SubjectPattern>();
    let mut patterns = info.config.subjects.iter().filter_map(|s| pattern(s).ok());
    patterns.any(|pattern| pattern.matches(subject))
}

impl<W: Write> Run<'_, W> {
    /// Returns true if anything is to change.
    const fn acts(&self) -> bool {
        !self.args.dry_run && !self.args.keep
    }

    /// Finds out what a run that was cut short has put back, and finishes that.
    async fn settle(&mut self, config: &Config) -> Result<(), RedriveError> {
        let name = self.info.config.name.clone();
        let record = format!("commit.{name}.redrive");
        if !captures(&self.info, &record) || !self.info.config.allow_rollup {
            return Ok(());
        }
        let opened = Journal::open(&self.store, &name, &config.agent_name).await?;
        let (journal, doubt) = opened;
        if let Some(doubt) = doubt {
            self.settled = journal::put_back(&self.store, &doubt).await?;
            tracing::info!(
                in_doubt = doubt.entries.len(),
                put_back = self.settled.len(),
                "an earlier redrive was cut short"
            );
            if self.acts() {
                for entry in &doubt.entries {
                    if self.settled.contains(&entry.seq) {
                        self.report.read += 1;
                        self.report.count(Some(&entry.reason), Outcome::Already);
                    }
                }
                self.store.delete(&name, self.settled.drain()).await?;
            }
        }
        if self.acts() {
            self.journal = Some(journal);
        }
        Ok(())
    }

    async fn work(&mut self) -> Result<(), RedriveError> {
        let subject = self.report.subject.clone();
        // what is only looked at need not be sent here
        let mut reader = self
            .store
            .read(&self.info, &subject, None, self.args.dry_run);
        let mut logged_at = Instant::now();
        let outcome = loop {
            if logged_at.elapsed() >= PROGRESS {
                let (read, put_back) = (self.report.read, self.report.total.put_back);
                tracing::info!(read, put_back, "dead letters");
                logged_at = Instant::now();
            }
            let batch = match reader.next(self.batch_size()).await {
                Ok(batch) => batch,
                Err(error) => break Err(self.store.unanswered(&error)),
            };
            if batch.is_empty() || self.is_limit_reached() {
                break Ok(());
            }
            if let Err(error) = self.batch(batch.into_iter().map(Letter::from)).await {
                break Err(error);
            }
        };
        reader.close().await;
        outcome?;
        match &mut self.journal {
            Some(journal) => journal.end(&self.store).await,
            None => Ok(()),
        }
    }

    /// At a low rate batches are small, so that no letter is in doubt for long.
    fn batch_size(&self) -> usize {
        if self.args.rate <= 0.0 {
            return BATCH;
        }
        // a float becomes the nearest number there is
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let second = self.args.rate as usize;
        second.clamp(1, BATCH)
    }

    fn is_limit_reached(&self) -> bool {
        self.args.limit.is_some_and(|limit| self.chosen >= limit)
    }

    async fn batch(&mut self, letters: impl Iterator<Item = Letter>) -> Result<(), RedriveError> {
        let mut bound = Vec::new();
        for letter in letters {
            let verdict = self.selection.judge(&letter);
            if verdict == Verdict::PutBack && self.is_limit_reached() {
                break;
            }
            self.report.read += 1;
            match verdict {
                Verdict::NotAsked => self.report.not_asked += 1,
                Verdict::PassedOver => self.tell(&letter, Outcome::PassedOver, ""),
                Verdict::Unfit(why) => self.tell(&letter, Outcome::Refused, &why.to_string()),
                Verdict::PutBack => {
                    self.chosen += 1;
                    bound.extend(self.choose(letter).await?);
                }
            }
        }
        if bound.is_empty() {
            return Ok(());
        }
        self.put_back(&bound).await
    }

    /// A letter that is to be put back, if it can and still has to be.
    async fn choose(&mut self, letter: Letter) -> Result<Option<Bound>, RedriveError> {
        if self.settled.contains(&letter.seq) {
            self.tell(&letter, Outcome::Already, "");
            return Ok(None);
        }
        let subject = letter.subject().unwrap_or_default().to_owned();
        let Some(stream) = self.store.stream_of(&subject).await? else {
            self.tell(&letter, Outcome::Failed, "no stream stores its subject");
            return Ok(None);
        };
        if self.args.dry_run {
            self.tell(&letter, Outcome::PutBack, "");
            return Ok(None);
        }
        let origin = format!("{} {}", self.info.config.name, self.info.created);
        let id = letter.message_id(&origin);
        Ok(Some(Bound {
            letter,
            subject,
            id,
            stream,
        }))
    }

    async fn put_back(&mut self, bound: &[Bound]) -> Result<(), RedriveError> {
        if let Some(journal) = &mut self.journal {
            let entry = |one: &Bound| Entry {
                seq: one.letter.seq,
                reason: one.letter.reason().unwrap_or_default().to_owned(),
                id: one.id.clone(),
                stream: one.stream.clone(),
            };
            let entries = bound.iter().map(entry).collect();
            journal.begin(&self.store, entries).await?;
        }
        let mut back = Vec::new();
        let mut rest = bound;
        let mut outcome = Ok(());
        while !rest.is_empty() && outcome.is_ok() {
            let (together, later) = rest.split_at(of_different_subjects(rest));
            rest = later;
            outcome = self.send(together, &mut back).await;
        }
        if self.args.keep {
            return outcome;
        }
        let removed = self.store.delete(&self.report.stream, back).await;
        outcome.and(removed)
    }

    /// Publishes letters of different subjects, and waits until each is known to be stored or not
    /// to be; which are goes into `back`.
    async fn send(&mut self, together: &[Bound], back: &mut Vec<u64>) -> Result<(), RedriveError> {
        let mut under_way = Vec::new();
        for one in together {
            if self.blocked.contains(&one.subject) {
                self.tell(
                    &one.letter,
                    Outcome::Failed,
                    "one before it on its subject failed",
                );
                continue;
            }
            if let Some(wait) = self.pace.wait(self.sent, Instant::now()) {
                tokio::time::sleep(wait).await;
            }
            self.sent += 1;
            let message = PublishMessage::build()
                .headers(one.letter.headers(&self.info.config.name, &one.id))
                .payload(one.letter.payload.clone());
            let sent = self.store.js.send_publish(one.subject.clone(), message);
            let sent = sent.await;
            under_way.push(async move {
                match sent {
                    Ok(acknowledgement) => (one, acknowledgement.await),
                    Err(error) => (one, Err(error)),
                }
            });
        }
        let mut outcome = Ok(());
        for (one, answer) in join_all(under_way).await {
            match answer {
                Ok(acknowledgement) => {
                    back.push(one.letter.seq);
                    let outcome = if acknowledgement.duplicate {
                        Outcome::Already
                    } else {
                        Outcome::PutBack
                    };
                    self.tell(&one.letter, outcome, "");
                }
                Err(error) => {
                    let why = describe(&error);
                    self.tell(&one.letter, Outcome::Failed, &why);
                    // one that no server takes holds up nothing
                    if error.kind() != PublishErrorKind::MaxPayloadExceeded {
                        self.blocked.insert(one.subject.clone());
                    }
                    if is_unanswered(&error) {
                        outcome = Err(self.store.unanswered(&why));
                    }
                }
            }
        }
        outcome
    }

    /// Counts what came of a letter, and says it where that is asked for.
    fn tell(&mut self, letter: &Letter, outcome: Outcome, why: &str) {
        self.report.count(letter.reason(), outcome);
        if !self.args.verbose && !self.args.dry_run {
            return;
        }
        let line = Line::new(letter, outcome, why, self.args.dry_run);
        let text = if self.args.json {
            serde_json::to_string(&line).unwrap_or_else(|error| error.to_string())
        } else {
            line.to_string()
        };
        // a reader that has gone is no failure
        let _ = writeln!(self.out, "{text}");
    }
}

/// The number of letters, from the first on, that have a subject each of their own.
fn of_different_subjects(bound: &[Bound]) -> usize {
    let mut seen = HashSet::new();
    let repeats = bound.iter().position(|one| !seen.insert(&one.subject));
    repeats.unwrap_or(bound.len())
}

/// Returns true if the outcome of a message is unknown.
fn is_unanswered(error: &PublishError) -> bool {
    use std::error::Error as _;
    match error.kind() {
        PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending => true,
        PublishErrorKind::Other => !error
            .source()
            .is_some_and(|source| source.is::<async_nats::jetstream::Error>()),
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::MaxPayloadExceeded => false,
    }
}

fn describe(error: &PublishError) -> String {
    if is_unanswered(error) {
        format!("its stream did not confirm it: {error}")
    } else {
        format!("its stream refused it: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(subject: &str) -> Bound {
        Bound {
            letter: letter::letter(1, &[], ""),
            subject: subject.to_owned(),
            id: String::new(),
            stream: String::new(),
        }
    }

    #[test]
    fn letters_of_one_subject_are_never_under_way_together() {
        for (subjects, expected) in [
            (&["a", "b", "c"][..], 3),
            (&["a", "a", "b"], 1),
            (&["a", "b", "a", "c"], 2),
            (&[], 0),
        ] {
            let bound: Vec<Bound> = subjects.iter().map(|subject| bound(subject)).collect();
            assert_eq!(of_different_subjects(&bound), expected, "{subjects:?}");
        }
    }
}
