//! Verifying the promises of durable delivery on the streams of their user.
//!
//! Reads the stream of signals into a few bytes per signal (`signals`, `letters`), then the bars of
//! one partition after the other, computes them again through the intake that agents use
//! ([`Recomputation`]), and judges each output by what is stored for it (`judge`). Changes nothing:
//! the consumers that it reads by are removed, and nothing is published but requests.
//!
//! Agents may be at work meanwhile. How far they have come is read first, then the signals, then
//! the bars: so all that is claimed to be stored is among the signals, and the bar of each signal
//! among the bars.

mod difference;
mod found;
mod judge;
pub mod key;
pub mod letters;
mod progress;
mod report;
pub mod signals;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::header::HeaderValue;
use async_nats::jetstream::stream::{DiscardPolicy, Info};
use indicatif::ProgressBar;
use xxhash_rust::xxh3::xxh3_64;

use crate::bus::durable::{Input, Place as PartitionPlace, Recomputation};
use crate::bus::permissions::Denial;
use crate::bus::{Link, jetstream};
use crate::clock;
use crate::config::Config;
use crate::market::Timestamp;
use crate::ops::metrics::Metrics;
use crate::tools::reader::Stored;
use crate::wire::headers::{GROUP, INPUT_SEQ, REASON, SUBJECT, TRUNCATED};
use crate::wire::{Reason, SubjectPattern};
use found::{Found, find};
use judge::{Bars, Judge, OTHER_BARS, Retention, Run, Share, Span, Terms};
use key::{Head, hash};
use letters::{Letter, Letters, Place};
use progress::progress_bar;
use report::{Finding, Kind};
use signals::Signals;
use source::Source;

pub use report::{Change, Difference, Findings, Kind as FindingKind, Totals, VerifyReport};
pub use source::VerifyError;

/// Messages read at a time.
const BATCH: usize = 4_096;
/// Signals and dead letters whose traces are kept at a time, 40 to 80 bytes each; more are judged in
/// several passes over the streams.
pub const MOST: u64 = 4_000_000;
/// Clocks may disagree, and a server drops what is too old when it comes to it.
const SLACK: Duration = Duration::from_secs(5);

/// The options of a verification.
#[derive(Debug)]
pub struct Task<'a> {
    /// Group, streams and subjects, and the analysis of the agents.
    pub config: &'a Config,
    /// Configurations that agents had before: a signal may be that of any of them.
    pub former: &'a [Config],
    /// Only bars that were stored from then on.
    pub from: Option<Timestamp>,
    /// Only bars that were stored before.
    pub to: Option<Timestamp>,
    /// Stored messages whose traces are kept at a time, such as [`MOST`].
    pub most: u64,
    /// The metrics of the recomputation.
    pub metrics: &'a Arc<Metrics>,
}

/// Verifies `task` by what is stored over `client` of `link`. Progress goes to standard error when
/// it is a terminal.
///
/// # Errors
/// If there is nothing to verify here, or the server does not answer.
pub async fn verify(
    client: &Client,
    link: &Arc<Link>,
    task: &Task<'_>,
) -> Result<VerifyReport, VerifyError> {
    let start = Instant::now();
    let source = Source::new(jetstream(client, &task.config.nats.jetstream), link);
    // what is denied is not answered; that a consumer cannot be removed leaves it to the server
    let is_grave = |denial: &Denial| !denial.subject.contains(".CONSUMER.DELETE.");
    let mut report = tokio::select! {
        report = work(&source, task) => report?,
        () = link.denied(is_grave) => return Err(source.unanswered(&"")),
    };
    report.finish(start.elapsed().as_secs_f64());
    Ok(report)
}

/// Makes the report, but for its sums.
async fn work(source: &Source, task: &Task<'_>) -> Result<VerifyReport, VerifyError> {
    let config = task.config;
    let found = find(source, config).await?;
    let span = Span {
        from: task.from,
        to: task.to,
    };
    let former = task.former.iter().map(|former| analysed_as(config, former));
    let former: Vec<Config> = former.collect();
    let all = || std::iter::once(config).chain(&former);
    let mut report = VerifyReport::default();
    let shares = found.signals.state.messages.div_ceil(task.most).max(1);
    for number in 0..shares {
        let share = Share { of: shares, number };
        let pass = Pass {
            source,
            config,
            former: &former,
            found: &found,
            metrics: task.metrics,
            terms: Terms {
                share,
                span,
                window: config.analysis.window as u64,
                is_every: all().all(|config| config.analysis.publish_frequency <= 1),
            },
        };
        pass.run(&mut report).await?;
    }
    Ok(report)
}

/// `config` with what `former` makes of bars.
fn analysed_as(config: &Config, former: &Config) -> Config {
    let mut config = config.clone();
    config.analysis = former.analysis.clone();
    config.input = former.input.clone();
    config.max_series = former.max_series;
    config.series_idle = former.series_idle;
    config
}

/// One pass over the streams.
struct Pass<'a> {
    source: &'a Source,
    config: &'a Config,
    former: &'a [Config],
    found: &'a Found,
    metrics: &'a Arc<Metrics>,
    terms: Terms,
}

/// The state of the stream of signals once it was read.
#[derive(Default)]
struct Traces {
    signals: Signals,
    letters: Vec<Letter>,
    in_span: Run,
    /// The first message since each of the streams of bars was made.
    since: [u64; 2],
    /// The time of the server when reading ended; nothing when there was nothing to be read.
    read_at: Option<Timestamp>,
}

impl Pass<'_> {
    async fn run(&self, report: &mut VerifyReport) -> Result<(), VerifyError> {
        let mut made = [None, None];
        for (is_bare, made) in [false, true].into_iter().zip(&mut made) {
            let info = self.bars_info(is_bare).await?;
            *made = info.map(|info| nanos(info.created.unix_timestamp_nanos()));
        }
        let traces = self.traces(made, report).await?;
        let retention = self.retention(traces.read_at);
        // after the signals, so that their bars are among the messages
        let infos = [self.bars_info(false).await?, self.bars_info(true).await?];
        let mut bars = [infos[0].as_ref().map(bars), infos[1].as_ref().map(bars)];
        for (bars, since) in bars.iter_mut().zip(traces.since) {
            if let Some(bars) = bars {
                bars.signals_since = since;
            }
        }
        let letters = Letters::new(traces.letters, self.found.groups);
        let messages = infos.iter().flatten().map(|info| info.state.messages).sum();
        let progress = progress_bar(messages, self.terms.share, "bars");
        let mut judge = Judge::new(
            self.terms,
            (traces.signals, letters),
            retention,
            traces.in_span,
            bars,
            report,
        );
        for place in &self.found.partitions.places {
            if let Some(info) = &infos[usize::from(place.is_bare)] {
                self.partition(place, info, &mut judge, &progress).await?;
            }
        }
        judge.finish();
        progress.finish_and_clear();
        Ok(())
    }

    /// The stream of bars on subjects without a symbol, or with one; nothing where none of the
    /// market-data subjects is such.
    async fn bars_info(&self, is_bare: bool) -> Result<Option<Info>, VerifyError> {
        let places = &self.found.partitions.places;
        let Some(place) = places.iter().find(|place| place.is_bare == is_bare) else {
            return Ok(None);
        };
        let info = self.source.info(&place.stream).await?;
        info.map(Some).ok_or_else(|| {
            VerifyError::Unavailable(format!(
                "there is no stream {}: set TECHNICAL_SUBJECTS as for the agents, of which some \
                 store bars there",
                place.stream
            ))
        })
    }

    /// Reads the stream of signals.
    async fn traces(
        &self,
        made: [Option<Timestamp>; 2],
        report: &mut VerifyReport,
    ) -> Result<Traces, VerifyError> {
        let info = &self.found.signals;
        let progress = progress_bar(info.state.messages, self.terms.share, "signals");
        let mut traces = Traces {
            since: [u64::MAX; 2],
            ..Traces::default()
        };
        let pattern = self.config.publish_subject.pattern();
        let mut reader = self.source.read(info, "");
        let outcome = loop {
            match reader.next(BATCH).await {
                Ok(batch) if batch.is_empty() => break Ok(()),
                Ok(batch) => {
                    progress.inc(batch.len() as u64);
                    for stored in &batch {
                        self.trace(stored, &pattern, made, &mut traces, report);
                    }
                }
                Err(error) => break Err(self.source.unanswered(&error)),
            }
        };
        traces.read_at = reader.now();
        reader.close().await;
        progress.finish_and_clear();
        outcome.map(|()| traces)
    }

    fn trace(
        &self,
        stored: &Stored,
        pattern: &SubjectPattern,
        made: [Option<Timestamp>; 2],
        traces: &mut Traces,
        report: &mut VerifyReport,
    ) {
        let is_old = made.map(|made| made.is_some_and(|made| stored.at < made));
        for (since, is_old) in traces.since.iter_mut().zip(is_old) {
            if !is_old {
                *since = stored.seq.min(*since);
            }
        }
        let text = |name: &str| stored.headers.get(name).map(HeaderValue::as_str);
        let input = text(INPUT_SEQ).and_then(|text| text.parse::<u64>().ok());
        let is_first = self.terms.share.number == 0;
        let in_span = self.terms.span.has(stored.at);
        let subject = stored.subject.as_str();
        if subject == self.config.dead_letter_subject {
            // core delivery names no message, and stores no letter on purpose
            let Some(input) = input else { return };
            if is_first && in_span {
                report.dead_letters += 1;
            }
            let is_bare = text(SUBJECT).is_some_and(|one| self.found.partitions.is_bare(one));
            if is_old[usize::from(is_bare)] {
                report.skip(OTHER_BARS, u64::from(is_first && in_span));
                return;
            }
            let place = Place::new(is_bare, input);
            if self.terms.share.has_letters(place) {
                let name = text(REASON).unwrap_or_default();
                traces.letters.push(Letter {
                    place,
                    reason: Reason::ALL.into_iter().find(|one| one.name() == name),
                    hash: xxh3_64(&stored.payload),
                    is_cut: text(TRUNCATED).is_some(),
                    seq: stored.seq,
                });
            }
            return;
        }
        let is_ours = text(GROUP).is_none_or(|group| group == self.config.group);
        if !pattern.matches(subject) || !is_ours {
            return;
        }
        if is_first && in_span {
            report.signals += 1;
        }
        if in_span {
            traces.in_span.add(stored.seq);
        }
        match Head::read(&stored.payload) {
            Some(head) if self.terms.share.has(&head.key.series) => {
                let hash = hash(subject, &stored.payload);
                traces
                    .signals
                    .add(&head.key, hash, stored.seq, input.unwrap_or(0));
            }
            None if is_first && in_span => report.different.add(|| {
                let detail = format!("what is stored on {subject} is no signal");
                Finding::new(Kind::Signal, &self.found.signals.config.name, detail).at(stored.seq)
            }),
            Some(_) | None => {}
        }
    }

    /// The signals that the stream may have dropped when it was read to its end at `read_at`.
    fn retention(&self, read_at: Option<Timestamp>) -> Retention {
        let info = &self.found.signals;
        let config = &info.config;
        let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
        let is_full = limit(config.max_bytes)
            .or(limit(config.max_messages))
            .is_some();
        let age = (!config.max_age.is_zero()).then_some(config.max_age);
        let drops_for_room = is_full && config.discard == DiscardPolicy::Old;
        Retention {
            name: config.name.clone(),
            created: nanos(info.created.unix_timestamp_nanos()),
            oldest: age.map(|age| {
                let age = age.saturating_sub(SLACK).as_nanos();
                let now = read_at.unwrap_or_else(clock::now).nanos();
                Timestamp::from_nanos(now.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)))
            }),
            first_at: (drops_for_room && info.state.first_sequence > 1)
                .then(|| nanos(info.state.first_timestamp.unix_timestamp_nanos())),
            per_subject: limit(config.max_messages_per_subject),
        }
    }

    /// Computes one partition again.
    async fn partition(
        &self,
        place: &PartitionPlace,
        info: &Info,
        judge: &mut Judge<'_>,
        progress: &ProgressBar,
    ) -> Result<(), VerifyError> {
        let configs = std::iter::once(self.config).chain(self.former);
        let mut again: Vec<Recomputation> = configs
            .map(|config| {
                Recomputation::new(config, &self.found.partitions, Arc::clone(self.metrics))
            })
            .collect();
        let committed = self.found.committed.get(&place.number).cloned();
        let mut judge = judge.partition(place.number, place.is_bare, committed);
        let mut reader = self.source.read(info, &place.filter);
        let outcome = loop {
            let batch = match reader.next(BATCH).await {
                Ok(batch) if batch.is_empty() => break Ok(()),
                Ok(batch) => batch,
                Err(error) => break Err(self.source.unanswered(&error)),
            };
            progress.inc(batch.len() as u64);
            for stored in &batch {
                let input = Input {
                    subject: &stored.subject,
                    headers: &stored.headers,
                    payload: &stored.payload,
                    seq: stored.seq,
                    stored_at: stored.at,
                };
                let is_poison = judge.is_poison(stored.seq);
                let outputs = again.iter_mut().map(|again| again.take(input, is_poison));
                let outputs = outputs.collect();
                for look in judge.message(stored, outputs) {
                    let found = if look.is_probe || judge.has_room() {
                        let name = &self.found.signals.config.name;
                        self.source.message(name, look.seq).await?
                    } else {
                        None
                    };
                    judge.looked(look, found.as_ref());
                }
            }
        };
        reader.close().await;
        outcome?;
        judge.finish();
        Ok(())
    }
}

fn bars(info: &Info) -> Bars {
    let limit = info.config.max_messages_per_subject;
    let (first, last) = (info.state.first_sequence, info.state.last_sequence);
    let mut deleted = info.state.deleted.clone().unwrap_or_default();
    deleted.retain(|seq| (first..=last).contains(seq));
    deleted.sort_unstable();
    let counted = info.state.deleted_count.unwrap_or(0);
    Bars {
        name: info.config.name.clone(),
        origin: info.created.to_string(),
        first,
        last,
        signals_since: 0,
        uncounted: if counted > source::MAX_DELETED {
            counted
        } else {
            0
        },
        deleted,
        per_subject: u64::try_from(limit).ok().filter(|limit| *limit > 0),
        in_span: Run::default(),
        subjects: HashMap::new(),
    }
}

fn nanos(nanos: i128) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}
