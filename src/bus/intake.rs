//! From a message to what is to be published about it, whatever carries it there and back.
//! Synchronous, and no panic leaves it.

mod letters;
mod outgoing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

use super::catalogue::Catalogue;
use super::core::Resume;
use super::durable::misplaced;
use super::sabotage;
use crate::clock;
use crate::config::Config;
use crate::engine::{Effect, Engine, Refusal as Declined, SeriesId, Signal};
use crate::group::{Slot, SlotSet, letter_mark};
use crate::market::{BarEvent, SeriesKey, Timestamp};
use crate::ops::logs::Throttle;
use crate::ops::metrics::{LocalMetrics, Metrics};
use crate::version::VERSION;
use crate::wire::headers::{DeadLetters, Provenance, SignalHeaders, TRACEPARENT, message_id};
use crate::wire::{
    Content, Decoder, ELEMENTS_MAX, Encoder, Ignored, Reason, Refusal, SubjectParts,
    SubjectPattern, SubjectRefusal, SubjectTemplate,
};

use letters::{LETTERS_BYTES, LetterBudget};
pub(super) use outgoing::{Kept, KeptLetter, Outgoing};

/// A reason is spoken of this often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// The longest trace context that is carried through; today's has 55 bytes.
const TRACEPARENT_BYTES: usize = 512;

/// What is done with the bars of which slots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Duty {
    /// Published.
    pub holds: SlotSet,
    /// Kept for a hand-over.
    pub keeps: SlotSet,
    /// Published, and offered to another, who is to know which dead letters are written.
    pub offered: SlotSet,
}

/// Where the signals of a series go.
struct Route {
    slot: Slot,
    signals: Subject,
    forming: Subject,
}

/// A message, and what is known of how it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub subject: &'a str,
    pub payload: &'a [u8],
    pub headers: Option<&'a HeaderMap>,
    /// Its place in the stream it was stored in.
    pub input_seq: Option<u64>,
    /// When it came.
    pub now: Timestamp,
}

impl<'a> Arrival<'a> {
    /// One that came as it was published.
    pub fn plain(message: &'a Message, now: Timestamp) -> Self {
        Self {
            subject: &message.subject,
            payload: &message.payload,
            headers: message.headers.as_ref(),
            input_seq: None,
            now,
        }
    }
}

/// Refusals spoken of, by reason. All intakes of a process share it.
pub(super) type Refused = Arc<Mutex<Throttle<Reason>>>;

/// The agent panicked in the middle of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panicked;

/// The message an element came in.
struct Envelope<'a> {
    arrival: Arrival<'a>,
    received: Instant,
    duty: Duty,
}

pub(super) struct Intake {
    pub engine: Engine,
    /// Bars to be passed over because copied state contains them already.
    pub resume: Option<Resume>,
    pub outbox: Vec<Outgoing>,
    pub kept: Vec<Kept>,
    pub kept_letters: Vec<KeptLetter>,
    /// Dead letters of offered slots that were written since, by their marks.
    pub written: Vec<(Slot, u64)>,
    pub last_processed: Option<Timestamp>,
    /// The largest message that the server takes; dead letters are cut to it.
    pub max_message: usize,
    catalogue: Catalogue,
    decoder: Decoder,
    encoder: Encoder,
    headers: SignalHeaders,
    dead_letters: DeadLetters,
    group: String,
    publish_subject: SubjectTemplate,
    forming_subject: SubjectTemplate,
    dead_letter_subject: Subject,
    /// The room that the message at work has left for dead letters.
    budget: LetterBudget,
    routes: Vec<Option<Route>>,
    metrics: Arc<Metrics>,
    local: LocalMetrics,
    /// Open time of the newest bar since the last flush, in seconds.
    newest: i64,
    refused: Refused,
    /// The partitions that the server divides the symbols of subjects into, if it does.
    partitions: Option<u32>,
}

impl Intake {
    /// The keys of all series, in order; a moment old at most.
    pub fn keys(&mut self) -> Arc<Vec<SeriesKey>> {
        self.catalogue.keys(&self.engine)
    }

    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            engine: Engine::new(Arc::new(config.analysis.clone()), config.max_series)
                .forgetting(config.series_idle),
            resume: None,
            outbox: Vec::new(),
            kept: Vec::new(),
            kept_letters: Vec::new(),
            written: Vec::new(),
            last_processed: None,
            max_message: usize::MAX,
            catalogue: Catalogue::default(),
            decoder: Decoder::new(config.input.clone()),
            encoder: Encoder::new(),
            headers: SignalHeaders::new(&config.agent_name, &config.group, VERSION),
            dead_letters: DeadLetters::new(&config.agent_name),
            group: config.group.clone(),
            publish_subject: config.publish_subject.clone(),
            forming_subject: config.forming_subject.clone(),
            dead_letter_subject: config.dead_letter_subject.clone().into(),
            budget: LetterBudget::default(),
            routes: Vec::new(),
            local: metrics.local(),
            newest: 0,
            metrics,
            refused: Self::refused(),
            partitions: None,
        }
    }

    /// Speaks of refusals together with others.
    pub fn sharing(mut self, refused: &Refused) -> Self {
        self.refused = Arc::clone(refused);
        self
    }

    /// Refuses subjects that the server divides into other partitions than the series they name.
    pub fn partitioned(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// What several intakes speak of refusals through.
    pub fn refused() -> Refused {
        Arc::new(Mutex::new(Throttle::new(WARN_EVERY)))
    }

    /// Works off one message; what is to be published is in the outbox afterwards. Should the
    /// engine panic, the message is refused as poison and nothing else is lost.
    pub fn take(&mut self, arrival: Arrival<'_>, pattern: &SubjectPattern, duty: Duty) {
        if self.attempt(arrival, pattern, duty).is_err() {
            self.engine.roll_back();
            self.refuse_as_poison(arrival, duty);
        }
    }

    /// As [`Self::take`], but a panic is left to the caller: what the message did before it is in
    /// the engine and in the outbox.
    pub fn attempt(
        &mut self,
        arrival: Arrival<'_>,
        pattern: &SubjectPattern,
        duty: Duty,
    ) -> Result<(), Panicked> {
        let envelope = Envelope {
            arrival,
            received: Instant::now(),
            duty,
        };
        self.local.messages_received.inc();
        catch_unwind(AssertUnwindSafe(|| {
            let misplaced = self
                .partitions
                .and_then(|partitions| misplaced(pattern, arrival.subject, partitions));
            let parts = match misplaced {
                Some(refusal) => Err(refusal),
                None => pattern.parts(arrival.subject),
            };
            let decoder = self.decoder.clone();
            self.budget = LetterBudget::default();
            decoder.decode_all(
                arrival.payload,
                &parts,
                arrival.now,
                |element| match element.content {
                    Content::Bar(event) => self.bars(&event, element.bytes, &envelope),
                    Content::Ignored(kind) => self.ignore(kind),
                    Content::Refused(refusal) => self.refuse(&refusal, &envelope),
                },
            );
            self.close_letters(&parts, &envelope);
        }))
        .map_err(|_| {
            self.metrics.panics.inc();
            Panicked
        })
    }

    /// Refuses a message unread because it makes the agent panic.
    pub fn refuse_as_poison(&mut self, arrival: Arrival<'_>, duty: Duty) {
        let refusal = Refusal {
            reason: Reason::Poison,
            detail: "the agent panicked on this message; its log has the backtrace".into(),
            payload: arrival.payload,
            elements: 1,
            symbol: None,
        };
        self.budget = LetterBudget::default();
        let envelope = Envelope {
            arrival,
            received: Instant::now(),
            duty,
        };
        self.refuse(&refusal, &envelope);
    }

    /// Shows every bar of a message to `each`, without working it off.
    pub fn each_bar(
        &self,
        message: &Message,
        pattern: &SubjectPattern,
        mut each: impl FnMut(&BarEvent<'_>),
    ) {
        let parts = pattern.parts(&message.subject);
        let now = clock::now();
        self.decoder
            .decode(&message.payload, &parts, now, |element, _| {
                if let Ok(event) = element {
                    each(&event);
                }
            });
    }

    /// Shows what was counted, and speaks of refusals that were held back.
    pub fn flush(&mut self) {
        self.local.flush();
        self.metrics.note_bar(self.newest);
        let due = lock(&self.refused).due(Instant::now());
        for (reason, count) in due {
            tracing::warn!(reason = reason.name(), count, "market data was refused");
        }
    }

    /// Series were put into the engine, under ids that may have been others'.
    pub fn forget_routes(&mut self) {
        self.routes.clear();
    }

    /// A signal has left; `latency` since its bar was received.
    pub fn published(&mut self, latency: Duration) {
        self.local.signals_published.inc();
        self.local
            .signal_latency_seconds
            .observe(latency.as_secs_f64());
    }

    /// Takes in a bar, after the one that it completes.
    fn bars(&mut self, event: &BarEvent<'_>, bytes: &[u8], envelope: &Envelope<'_>) {
        if self
            .resume
            .as_mut()
            .is_some_and(|resume| resume.covers(event))
        {
            return;
        }
        if let Some(complete) = self.engine.closed_by(event) {
            self.bar(&complete, bytes, envelope);
        }
        self.bar(event, bytes, envelope);
    }

    fn bar(&mut self, event: &BarEvent<'_>, bytes: &[u8], envelope: &Envelope<'_>) {
        let started = Instant::now();
        let outcome = self.engine.on_bar(event, envelope.arrival.now);
        sabotage::after_bar(event.bar.close);
        // one reading serves what the engine took and the latency
        let finished = Instant::now();
        self.local
            .engine_seconds
            .observe((finished - started).as_secs_f64());
        match outcome.effect {
            Effect::Refused(declined) => {
                let refusal = Refusal {
                    reason: match declined {
                        Declined::Late { .. } => Reason::Late,
                        Declined::TooManySeries { .. } => Reason::TooManySeries,
                    },
                    detail: declined.to_string().into(),
                    payload: bytes,
                    elements: 1,
                    symbol: Some(event.symbol.clone()),
                };
                self.refuse(&refusal, envelope);
                return;
            }
            Effect::Duplicate => {
                self.local.bars_duplicate.inc();
                return;
            }
            Effect::Corrected => self.local.bars_corrected.inc(),
            Effect::Appended if outcome.missing > 0 => self.local.bar_gaps.inc(),
            Effect::Appended | Effect::Forming => {}
        }
        self.local.bars_received.inc();
        if event.adjusted {
            self.local.bars_adjusted.inc();
        }
        let opened = event.bar.timestamp.nanos().div_euclid(1_000_000_000);
        self.newest = self.newest.max(opened);
        self.last_processed = Some(envelope.arrival.now);
        tracing::debug!(
            symbol = %event.symbol, timeframe = %event.timeframe, timestamp = %event.bar.timestamp,
            close = event.bar.close, effect = ?outcome.effect, "bar"
        );
        let Some(id) = outcome.series else {
            return;
        };
        if outcome.begun
            && let Some(of_another) = self.routes.get_mut(id.index())
        {
            *of_another = None;
        }
        let route = route(
            &mut self.routes,
            id,
            event,
            &self.publish_subject,
            &self.forming_subject,
        );
        let holds = envelope.duty.holds.contains(route.slot);
        if holds {
            self.local.bars_owned.inc();
        }
        let Some(signal) = outcome.signal else {
            return;
        };
        let kept = signal.is_final && envelope.duty.keeps.contains(route.slot);
        if !holds && !kept {
            return;
        }
        let outgoing = Outgoing {
            subject: if signal.is_final {
                route.signals.clone()
            } else {
                route.forming.clone()
            },
            headers: provenance(&self.headers, &self.group, signal, envelope, finished),
            payload: self.encoder.signal(signal),
            received: Some(envelope.received),
            forming: !signal.is_final,
        };
        if holds {
            observe(&mut self.local, signal, clock::now());
            self.outbox.push(outgoing);
        } else {
            self.kept.push(Kept {
                slot: route.slot,
                key: SeriesKey::new(signal.symbol.clone(), signal.timeframe),
                timestamp: signal.timestamp,
                revision: signal.revision,
                signal: outgoing,
            });
        }
    }

    /// Counts something that is understood and needs nothing to be done.
    fn ignore(&self, kind: Ignored) {
        if let Some(counter) = self.local.messages_ignored.get(kind as usize) {
            counter.inc();
        }
    }

    /// Counts a refusal, and writes the dead letter if the message may have another one.
    fn refuse(&mut self, refusal: &Refusal<'_>, envelope: &Envelope<'_>) {
        let reason = refusal.reason;
        let elements = refusal.elements as u64;
        if let Some(counter) = self.local.bars_rejected.get(reason as usize) {
            counter.inc_by(elements);
        }
        let spoken = lock(&self.refused).allow_many(reason, elements, envelope.received);
        if let Some(count) = spoken {
            tracing::warn!(
                reason = reason.name(), count, subject = envelope.arrival.subject,
                detail = %refusal.detail, "market data was refused"
            );
        }
        if reason == Reason::TooManyElements {
            self.budget.leave_rest(refusal.payload, refusal.elements);
            return;
        }
        // a message that is refused whole is its own letter, whatever its size
        let whole = refusal.payload.len() == envelope.arrival.payload.len();
        if whole || self.budget.takes(refusal.payload) {
            let slot = match &refusal.symbol {
                Some(symbol) => Slot::of(symbol.as_bytes()),
                None => Slot::of(refusal.payload),
            };
            self.write_letter(refusal, slot, envelope);
        }
    }

    /// Writes the one dead letter for all elements of a message that have none of their own.
    fn close_letters(
        &mut self,
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
        envelope: &Envelope<'_>,
    ) {
        let Some((elements, payload)) = self.budget.rest() else {
            return;
        };
        let named = parts
            .as_ref()
            .ok()
            .and_then(|parts| parts.symbol.as_deref());
        let slot = Slot::of(named.map_or(envelope.arrival.payload, str::as_bytes));
        let detail = format!(
            "{elements} elements are left in this letter: at most {ELEMENTS_MAX} are taken from one message, and \
             at most {LETTERS_BYTES} bytes of it become letters of their own; send fewer bars per message"
        );
        let refusal = Refusal {
            reason: Reason::TooManyElements,
            detail: detail.into(),
            payload: &payload,
            elements,
            symbol: None,
        };
        self.write_letter(&refusal, slot, envelope);
    }

    /// Writes a dead letter, or keeps it, if that falls to this member.
    fn write_letter(&mut self, refusal: &Refusal<'_>, slot: Slot, envelope: &Envelope<'_>) {
        let subject = envelope.arrival.subject;
        let duty = envelope.duty;
        let holds = duty.holds.contains(slot);
        if !holds && !duty.keeps.contains(slot) {
            return;
        }
        let (headers, payload) = self.dead_letters.build(
            refusal,
            subject,
            envelope.arrival.input_seq,
            self.max_message,
        );
        let letter = Outgoing {
            subject: self.dead_letter_subject.clone(),
            headers,
            payload: Bytes::copy_from_slice(payload),
            received: None,
            forming: false,
        };
        let mark = letter_mark(subject, refusal.payload);
        if !holds {
            self.kept_letters.push(KeptLetter { slot, mark, letter });
            return;
        }
        if duty.offered.contains(slot) {
            self.written.push((slot, mark));
        }
        self.outbox.push(letter);
    }
}

fn lock(refused: &Refused) -> std::sync::MutexGuard<'_, Throttle<Reason>> {
    // a count half taken is no harm
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The route of a series, made when it is first needed.
fn route<'a>(
    routes: &'a mut Vec<Option<Route>>,
    id: SeriesId,
    event: &BarEvent<'_>,
    signals: &SubjectTemplate,
    forming: &SubjectTemplate,
) -> &'a Route {
    if routes.len() <= id.index() {
        routes.resize_with(id.index() + 1, || None);
    }
    routes[id.index()].get_or_insert_with(|| Route {
        slot: Slot::of(event.symbol.as_bytes()),
        signals: signals.render(&event.symbol, event.timeframe).into(),
        forming: forming.render(&event.symbol, event.timeframe).into(),
    })
}

fn provenance(
    headers: &SignalHeaders,
    group: &str,
    signal: &Signal,
    envelope: &Envelope<'_>,
    now: Instant,
) -> HeaderMap {
    let id = || {
        let key = SeriesKey::new(signal.symbol.clone(), signal.timeframe);
        message_id(group, &key, signal.timestamp, signal.revision)
    };
    headers.build(Provenance {
        message_id: signal.is_final.then(id),
        input_seq: envelope.arrival.input_seq,
        latency_us: u64::try_from((now - envelope.received).as_micros()).unwrap_or(u64::MAX),
        traceparent: envelope.arrival.headers.and_then(traceparent),
    })
}

/// The input's trace context. One that is longer than any version of the standard makes it would
/// be copied into every signal of its message, so it is left out.
fn traceparent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let found = headers.get(TRACEPARENT)?;
    (found.as_str().len() <= TRACEPARENT_BYTES).then_some(found)
}

fn observe(local: &mut LocalMetrics, signal: &Signal, now: Timestamp) {
    for alert in signal.alerts.iter() {
        local.alerts[alert as usize].inc();
    }
    let closed = signal.timeframe.end_of(signal.timestamp).nanos();
    let age = Duration::from_nanos(now.nanos().saturating_sub(closed).max(0).unsigned_abs());
    local.bar_age_seconds.observe(age.as_secs_f64());
    tracing::debug!(
        symbol = %signal.symbol, timeframe = %signal.timeframe, timestamp = %signal.timestamp,
        rsi = signal.rsi, trend = ?signal.trend_signal, "signal"
    );
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
