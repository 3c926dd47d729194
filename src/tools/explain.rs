//! `explain`: how messages are read, and why.
//!
//! The pipeline of the agent is asked, nothing else: what is said here is what the agent does with
//! the same messages, beginning without any series.

mod control;
mod report;
mod trace;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::Client;
use futures_util::StreamExt as _;

use super::bars_file::{BarsFile, LineError, ReadOptions};
use crate::cli::ExplainArgs;
use crate::clock;
use crate::config::Config;
use crate::error::Error;
use crate::market::Timestamp;
use crate::ops::logs::complain;
use crate::pipeline::{Filter, Output, Pipeline, Sink};
use crate::wire::dialects::{GENERIC, signs_of};
use crate::wire::{
    Content, Decoder, Element, Reason, SubjectParts, SubjectPattern, SubjectRefusal,
};

use report::{BarEntry, Entry, accepted, does, scale_hint};
use trace::Facts;

/// Elements of one message whose fields are traced.
const TRACED: usize = 64;

/// The counts of a run of `explain`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Explained {
    /// Messages.
    pub messages: u64,
    /// Elements that were understood.
    pub understood: u64,
    /// Elements that were refused, and lines that are no message.
    pub refused: u64,
}

/// Explains messages one after another.
pub struct Explainer<'a, W: Write> {
    config: &'a Config,
    pipeline: Pipeline,
    options: Arc<ReadOptions>,
    json: bool,
    out: &'a mut W,
    count: Explained,
}

impl<'a, W: Write> Explainer<'a, W> {
    /// Writes to `out` what `args` asks for.
    #[must_use]
    pub fn new(config: &'a Config, args: &ExplainArgs, out: &'a mut W) -> Self {
        Self {
            config,
            pipeline: Pipeline::configured(config),
            options: Arc::new(args.input.options(config)),
            json: args.json,
            out,
            count: Explained::default(),
        }
    }

    /// The counts so far.
    pub const fn count(&self) -> Explained {
        self.count
    }

    /// Explains the messages of a file, as if each came on `subject`.
    ///
    /// # Errors
    /// If the file cannot be read, or the output not be written.
    pub fn file(&mut self, path: &Path, args: &ExplainArgs) -> Result<(), Error> {
        let mut file = BarsFile::open(path, args.input.format, ReadOptions::clone(&self.options))
            .map_err(|error| Error::Data(error.to_string()))?;
        let columns = file.columns();
        loop {
            let line = file.next();
            for note in file.notes() {
                complain(format_args!("{}: {note}", path.display()));
            }
            match line {
                None => return Ok(()),
                Some(Ok(line)) => {
                    let subject = args.subject.as_ref().map(SubjectPattern::as_str);
                    let number = Some(line.number);
                    self.message(&line.payload, subject, number, columns.as_deref())?;
                }
                Some(Err(LineError::Bad {
                    number,
                    name,
                    reason,
                })) => {
                    self.count.messages += 1;
                    self.count.refused += 1;
                    let number = (self.count.messages, Some(number));
                    let mut entry = Entry::new(number, None, (1, GENERIC), b"");
                    entry.reason = Some(name);
                    entry.detail = Some(reason);
                    "never sees it: the row makes no message".clone_into(&mut entry.does);
                    self.write(&entry)?;
                }
                Some(Err(error @ LineError::Read { .. })) => {
                    return Err(Error::Data(format!("{}: {error}", path.display())));
                }
            }
        }
    }

    /// Explains the next messages of `subject`, at most so many within so long.
    ///
    /// # Errors
    /// If the subject cannot be subscribed to, or the output not be written.
    pub async fn live(
        &mut self,
        client: &Client,
        subject: &str,
        most: u64,
        limit: Duration,
    ) -> Result<(), Error> {
        let mut messages = client
            .subscribe(subject.to_owned())
            .await
            .with_context(|| format!("cannot subscribe to {subject}"))?;
        let deadline = tokio::time::Instant::now() + limit;
        while self.count.messages < most {
            let next = tokio::time::timeout_at(deadline, messages.next()).await;
            let Ok(Some(message)) = next else {
                complain(format_args!(
                    "{} of {most} messages came on {subject} within {} s",
                    self.count.messages,
                    limit.as_secs_f64()
                ));
                break;
            };
            self.message(&message.payload, Some(&message.subject), None, None)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        payload: &[u8],
        subject: Option<&str>,
        line: Option<u64>,
        columns: Option<&[(&'static str, String)]>,
    ) -> Result<(), Error> {
        self.count.messages += 1;
        let options = Arc::clone(&self.options);
        let rows = std::str::from_utf8(payload)
            .map_or_else(|_| SubjectParts::default(), |text| options.parts(text));
        let parts = match subject {
            Some(_) => self.parts(subject),
            None => Ok(rows),
        };
        let now = clock::now();
        if let Some(entry) = self.control(payload, &parts, now, subject, line) {
            return self.write(&entry);
        }
        let decoder = self.pipeline.decoder().clone();
        let elements = read(&decoder, payload, &parts, now);
        let spans: Vec<(usize, usize)> = elements.iter().map(|read| read.span).collect();
        // bars are taken in the order of time, and counted as they stand in the message
        let number = |at: usize| {
            let is_before =
                |(other, span): &(usize, &(usize, usize))| (span.0, *other) < (spans[at].0, at);
            spans.iter().enumerate().filter(is_before).count() + 1
        };
        for (at, read_element) in elements.into_iter().enumerate() {
            let ReadElement {
                dialect,
                content,
                span: (start, end),
            } = read_element;
            let mut entry = Entry::new(
                (self.count.messages, line),
                subject,
                (number(at), dialect),
                &payload[start..end],
            );
            entry.because = signs_of(dialect);
            match content {
                Content::Bar(event) if !self.options.covers(event.bar.timestamp) => continue,
                Content::Ignored(kind) => {
                    self.count.understood += 1;
                    entry.kind = "ignored";
                    entry.reason = Some(kind.name());
                    entry.does = "understands it and does nothing but count it".to_owned();
                }
                Content::Bar(event) => {
                    self.count.understood += 1;
                    let facts = Facts::of(&event);
                    // the bars of an envelope all have the bytes of the message
                    let twins = spans[..at].iter().filter(|span| span.0 == start).count();
                    let mut fields = match std::str::from_utf8(payload) {
                        Ok(text) if at < TRACED => trace::sources(
                            text,
                            |place| {
                                let inside =
                                    |(from, to): &(usize, usize)| (*from..*to).contains(&place);
                                spans.iter().enumerate().any(|(other, span)| {
                                    other != at && inside(span) && !inside(&(start, end))
                                })
                            },
                            |bytes| {
                                // a change may put the bars of the message in another order
                                let read = read(&decoder, bytes, &parts, now);
                                let mut same = read.iter().filter(|read| read.span.0 == start);
                                match &same.nth(twins)?.content {
                                    Content::Bar(event) => Some(Facts::of(event)),
                                    Content::Ignored(_) | Content::Refused(_) => None,
                                }
                            },
                        ),
                        _ => Default::default(),
                    };
                    let beside = if subject.is_some() {
                        "the subject"
                    } else {
                        "the option"
                    };
                    Self::complete(&mut fields, &parts, beside, columns);
                    if dialect == GENERIC {
                        entry.because = Some(because(&fields));
                        entry.hint = scale_hint(facts.prices);
                    }
                    entry.kind = "bar";
                    entry.does = self.take(
                        Element {
                            dialect,
                            bytes: &payload[start..end],
                            content: Content::Bar(event),
                        },
                        now,
                    );
                    entry.bar = Some(BarEntry::new(facts, fields));
                }
                Content::Refused(refusal) => {
                    self.count.refused += refusal.elements as u64;
                    entry.reason = Some(refusal.reason.name());
                    entry.detail = Some(refusal.detail.clone().into_owned());
                    entry.accepted = accepted(&refusal, self.config.input.default_timeframe);
                    entry.does = format!(
                        "refuses it: a dead letter on {}",
                        self.config.dead_letter_subject
                    );
                }
            }
            self.write(&entry)?;
        }
        Ok(())
    }

    /// The symbol and timeframe in the subject of a message, by the first configured pattern that it
    /// matches.
    fn parts<'s>(&self, subject: Option<&'s str>) -> Result<SubjectParts<'s>, SubjectRefusal> {
        let Some(subject) = subject else {
            return Ok(SubjectParts::default());
        };
        let mut patterns = self.config.subjects.iter();
        match patterns.find(|pattern| pattern.matches(subject)) {
            Some(pattern) => pattern.parts(subject),
            None => Ok(SubjectParts::default()),
        }
    }

    /// Names the sources that are not in the message: the subject, the settings, the columns.
    fn complete(
        fields: &mut std::collections::BTreeMap<&'static str, String>,
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
        beside: &str,
        columns: Option<&[(&'static str, String)]>,
    ) {
        if let Some(columns) = columns {
            for (field, column) in columns {
                fields.insert(field, format!("column `{column}`"));
            }
            return;
        }
        let Ok(parts) = parts else {
            return;
        };
        if !fields.contains_key("symbol") && parts.symbol.is_some() {
            fields.insert("symbol", beside.to_owned());
        }
        if !fields.contains_key("timeframe") {
            let source = if parts.timeframe.is_some() {
                beside
            } else {
                "TECHNICAL_DEFAULT_TIMEFRAME, as nothing names it"
            };
            fields.insert("timeframe", source.to_owned());
        }
    }

    /// Takes in an element that is a bar, as the agent would.
    fn take(&mut self, element: Element<'_>, arrived: Timestamp) -> String {
        let mut actions = Actions::default();
        self.pipeline.step(element, arrived, &mut actions);
        let completes = if actions.bars > 1 {
            "completes the bar before it, "
        } else {
            ""
        };
        completes.to_owned() + &actions.last
    }

    fn write(&mut self, entry: &Entry) -> Result<(), Error> {
        let text = if self.json {
            serde_json::to_string(entry).context("cannot write the answer")?
        } else {
            entry.to_string()
        };
        match writeln!(self.out, "{text}") {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(anyhow::Error::new(error)
                    .context("cannot write to standard output")
                    .into())
            }
            _ => Ok(()),
        }
    }
}

/// The agent's actions for one element.
#[derive(Default)]
struct Actions {
    bars: usize,
    last: String,
    /// Reason of a refusal, if it was refused.
    refused: Option<(Reason, String)>,
}

impl Filter for Actions {}

impl Sink for Actions {
    fn output(&mut self, output: Output<'_>) {
        // what is explained is the message, and not what follows from it
        if matches!(
            output,
            Output::Derived(_) | Output::Revised(_) | Output::Restated(_)
        ) {
            return;
        }
        if let Output::Refused(refusal) = &output {
            self.refused = Some((refusal.reason, refusal.detail.to_string()));
        }
        self.bars += 1;
        self.last = does(&output);
    }
}

/// An element of a message, and the place of its bytes.
struct ReadElement<'p> {
    dialect: &'static str,
    content: Content<'p>,
    span: (usize, usize),
}

fn read<'p>(
    decoder: &Decoder,
    payload: &'p [u8],
    parts: &'p Result<SubjectParts<'p>, SubjectRefusal>,
    now: Timestamp,
) -> Vec<ReadElement<'p>> {
    let mut elements = Vec::new();
    decoder.decode_all(payload, parts, now, |element| {
        let bytes = element.bytes;
        let start = (bytes.as_ptr() as usize).saturating_sub(payload.as_ptr() as usize);
        let end = (start + bytes.len()).min(payload.len());
        elements.push(ReadElement {
            dialect: element.dialect,
            content: element.content,
            span: (start.min(end), end),
        });
    });
    elements
}

/// The reason why a message counts as one of the generic shape.
fn because(fields: &std::collections::BTreeMap<&'static str, String>) -> String {
    let names: Vec<Cow<'_, str>> = ["timestamp", "open", "high", "low", "close"]
        .iter()
        .filter_map(|field| fields.get(field))
        .map(|name| Cow::Borrowed(name.as_str()))
        .collect();
    format!("it has the fields of a bar ({})", names.join(", "))
}
