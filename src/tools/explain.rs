//! `explain`: how messages are read, and why.
//!
//! The pipeline of the agent is asked, nothing else: what is said here is what the agent does with
//! the same messages, beginning without any series.

mod control;
mod reading;
mod report;
mod trace;
mod trade;

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
use crate::pipeline::Pipeline;
use crate::wire::dialects::{GENERIC, signs_of};
use crate::wire::{Content, Element, SubjectParts, SubjectPattern, SubjectRefusal};

use reading::{Actions, BAR, MessageRead, ReadElement, TRADE, because, read};
use report::{BarEntry, Entry, accepted, scale_hint};
use trace::{Facts, TradeFacts};
use trade::TradeEntry;

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
        let beside = if subject.is_some() {
            "the subject"
        } else {
            "the option"
        };
        let decoder = self.pipeline.decoder().clone();
        let before = self.pipeline.engine().revisions();
        let elements = read(&decoder, payload, &parts, now);
        let spans: Vec<(usize, usize)> = elements.iter().map(|read| read.span).collect();
        // bars are taken in the order of time, and counted as they stand in the message
        let number = |at: usize| {
            let is_before =
                |(other, span): &(usize, &(usize, usize))| (span.0, *other) < (spans[at].0, at);
            spans.iter().enumerate().filter(is_before).count() + 1
        };
        let message = MessageRead {
            decoder: &decoder,
            payload,
            parts: &parts,
            now,
            spans: &spans,
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
            match &content {
                Content::Bar(event) if !self.options.covers(event.bar.timestamp) => continue,
                Content::Trade(event) if !self.options.covers(event.trade.timestamp) => continue,
                Content::Ignored(kind) => {
                    entry.kind = "ignored";
                    entry.reason = Some(kind.name());
                    entry.does = "understands it and does nothing but count it".to_owned();
                }
                Content::Bar(event) => {
                    let facts = Facts::of(event);
                    let mut fields = message.sources::<Facts>(at);
                    Self::complete(&mut fields, &parts, beside, columns);
                    if dialect == GENERIC {
                        entry.because = Some(because("bar", BAR, &fields));
                        entry.hint = scale_hint(facts.prices);
                    }
                    entry.kind = "bar";
                    entry.bar = Some(BarEntry::new(facts, fields));
                }
                Content::Trade(event) => {
                    let mut fields = message.sources::<TradeFacts>(at);
                    if let Ok(parts) = &parts
                        && parts.symbol.is_some()
                    {
                        fields.entry("symbol").or_insert_with(|| beside.to_owned());
                    }
                    if dialect == GENERIC {
                        entry.because = Some(because("trade", TRADE, &fields));
                    }
                    entry.kind = "trade";
                    entry.trade = Some(TradeEntry::new(TradeFacts::of(event), fields));
                }
                Content::Refused(refusal) => {
                    self.count.refused += refusal.elements as u64;
                    entry.reason = Some(refusal.reason.name());
                    entry.detail = Some(refusal.detail.clone().into_owned());
                    entry.accepted = accepted(refusal, self.config.input.default_timeframe);
                    entry.does = format!(
                        "refuses it: a dead letter on {}",
                        self.config.dead_letter_subject
                    );
                }
            }
            if !matches!(content, Content::Refused(_)) {
                self.count.understood += 1;
            }
            if matches!(content, Content::Bar(_) | Content::Trade(_)) {
                let element = Element {
                    dialect,
                    bytes: &payload[start..end],
                    content,
                };
                entry.does = self.take(element, before, now);
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

    /// Takes in an element that is a bar or a trade, as the agent would. `before` are the revisions
    /// before its message.
    fn take(&mut self, element: Element<'_>, before: u64, arrived: Timestamp) -> String {
        let mut actions = Actions::default();
        let revised = self.pipeline.engine().revisions().wrapping_sub(before);
        self.pipeline.step(element, revised, arrived, &mut actions);
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
