//! The outputs of a pipeline, made ready to be published.
//!
//! A signal gets its subject, its headers and its payload, a refusal its dead letter, if this member
//! publishes or keeps those of the slot. Everything is counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Subject};
use bytes::Bytes;

use super::Envelope;
use super::letters::{LETTERS_BYTES, LetterBudget};
use super::outgoing::{Kept, KeptLetter, Outgoing};
use super::tallies::Tallies;
use crate::clock;
use crate::config::Config;
use crate::engine::{SeriesId, Signal};
use crate::failpoints;
use crate::group::{Slot, letter_mark};
use crate::market::{BarEvent, SeriesKey, Timestamp};
use crate::ops::logs::Throttle;
use crate::ops::metrics::{LocalMetrics, Metrics};
use crate::pipeline::{Admission, Change, Filter, HistoryTaken, Output, Restarted, Sink, Taken};
use crate::version::VERSION;
use crate::wire::headers::{
    DeadLetters, Provenance, SignalHeaders, TRACEPARENT, explain_command, message_id,
};
use crate::wire::{
    ELEMENTS_MAX, Encoder, History, Ignored, Mark, Reason, Refusal, Reset, SubjectParts,
    SubjectRefusal, SubjectTemplate,
};

/// A reason is logged this often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// The longest trace context that is carried through; today's has 55 bytes.
const TRACEPARENT_BYTES: usize = 512;

/// After so many bars of one message the open derived bars are shown. A message of thousands of bars
/// is history, and would be answered with as many forming signals for each derived timeframe.
const SHOWN_PER_MESSAGE: u32 = 64;

/// Refusals logged, by reason. All intakes of a process share it.
pub(in crate::bus) type Refused = Arc<Mutex<Throttle<Reason>>>;

/// The slot and the subjects of a series.
struct Route {
    slot: Slot,
    signals: Subject,
    forming: Subject,
}

pub(in crate::bus) struct Outlet {
    pub outbox: Vec<Outgoing>,
    pub kept: Vec<Kept>,
    pub kept_letters: Vec<KeptLetter>,
    /// Dead letters of offered slots that were written since, by their marks.
    pub written: Vec<(Slot, u64)>,
    pub last_processed: Option<Timestamp>,
    /// The outcomes of bars that `feed` published.
    pub tallies: Tallies,
    /// The largest message that the server takes; dead letters are cut to it.
    pub max_message: usize,
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
}

/// Takes the outputs of one message.
pub(super) struct OfMessage<'o, 'e, F> {
    out: &'o mut Outlet,
    envelope: &'e Envelope<'e>,
    filter: F,
    /// The open time of the bar that the element at work holds.
    opened: Timestamp,
    /// Bars of the message after which the open derived bars were shown.
    shown: u32,
    /// The start of the engine's work on a bar, and then its end.
    clock: Instant,
}

impl<F: Filter> Filter for OfMessage<'_, '_, F> {
    fn admit_reset(&mut self, reset: &Reset) -> bool {
        let admitted = self.filter.admit_reset(reset);
        if !admitted {
            self.out.tallies.passed_over();
        }
        admitted
    }

    fn admit_mark(&mut self, mark: &Mark) -> bool {
        self.filter.admit_mark(mark) && !failpoints::ignores_time_marks()
    }

    fn admit_history(&mut self, history: &History<'_>) -> bool {
        let admitted = self.filter.admit_history(history);
        if !admitted {
            self.out.tallies.passed_over();
        }
        admitted
    }

    fn admit(&mut self, event: &BarEvent<'_>) -> Admission {
        self.opened = event.bar.timestamp;
        let admission = self.filter.admit(event);
        if admission != Admission::Take {
            self.out.tallies.passed_over();
        }
        admission
    }
}

impl<F: Filter> Sink for OfMessage<'_, '_, F> {
    fn before_bar(&mut self, _event: &BarEvent<'_>) {
        self.clock = Instant::now();
    }

    fn after_bar(&mut self, event: &BarEvent<'_>) {
        failpoints::after_bar(event.bar.close);
        let began = self.clock;
        // one reading serves what the engine took and the latency
        self.clock = Instant::now();
        let took = self.clock - began;
        self.out.local.engine_seconds.observe(took.as_secs_f64());
    }

    fn wants_forming(&mut self, event: &BarEvent<'_>) -> bool {
        let slot = Slot::of(event.symbol.as_bytes());
        if self.shown >= SHOWN_PER_MESSAGE || !self.envelope.duty.holds.contains(slot) {
            return false;
        }
        self.shown += 1;
        true
    }

    fn output(&mut self, output: Output<'_>) {
        match output {
            Output::Taken(taken) => {
                // a bar that another one completes opens before it
                let completed = taken.event.bar.timestamp < self.opened;
                self.out.tallies.taken(&taken, completed);
                self.out.taken(&taken, self.envelope, self.clock);
            }
            Output::Derived(taken) => {
                self.out.ready(&taken, self.envelope, self.clock);
            }
            Output::Revised(taken) => {
                self.out.local.signals_revised.inc();
                self.out.ready(&taken, self.envelope, self.clock);
            }
            Output::Duplicate(event) => {
                self.out.tallies.duplicate(event);
                self.out.local.bars_duplicate.inc();
            }
            Output::Reset(restarted) => self.out.restarted(&restarted, self.envelope),
            Output::Marked(_) => {
                self.out.tallies.ignored(self.envelope.arrival.payload);
                self.out.local.marks_taken.inc();
            }
            Output::Gathered(_) => self.out.last_processed = Some(self.envelope.arrival.arrived),
            Output::Rebuilt(rebuilt) => self.out.rebuilt(&rebuilt, self.envelope),
            Output::Restated(taken) => {
                self.out.tallies.restated(&taken);
                self.out.ready(&taken, self.envelope, self.clock);
            }
            Output::Ignored(kind) => self.out.ignore(kind, self.envelope),
            Output::Refused(refusal) => {
                if Mark::is_like(refusal.payload) {
                    self.out.local.marks_refused.inc();
                }
                self.out.refuse(&refusal, self.envelope);
            }
        }
    }
}

impl Outlet {
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            outbox: Vec::new(),
            kept: Vec::new(),
            kept_letters: Vec::new(),
            written: Vec::new(),
            last_processed: None,
            tallies: Tallies::default(),
            max_message: usize::MAX,
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
        }
    }

    /// Lets several intakes log refusals together.
    pub fn refused() -> Refused {
        Arc::new(Mutex::new(Throttle::new(WARN_EVERY)))
    }

    pub fn share(&mut self, refused: &Refused) {
        self.refused = Arc::clone(refused);
    }

    /// Series were put into the engine, under ids that may have been others'.
    pub fn forget_routes(&mut self) {
        self.routes.clear();
    }

    pub(super) fn begin_message(&mut self, envelope: &Envelope<'_>) {
        let Envelope { arrival, duty, .. } = envelope;
        self.tallies.begin(arrival.headers, duty.holds);
        self.local.messages_received.inc();
        self.budget = LetterBudget::default();
    }

    /// A sink for the outputs of the message in `envelope`.
    pub(super) fn sink<'e, F>(
        &mut self,
        envelope: &'e Envelope<'e>,
        filter: F,
    ) -> OfMessage<'_, 'e, F> {
        OfMessage {
            clock: envelope.received,
            opened: envelope.arrival.arrived,
            shown: 0,
            out: self,
            envelope,
            filter,
        }
    }

    pub(super) fn count_panic(&self) {
        self.metrics.panics.inc();
    }

    /// Shows what was counted, and logs refusals that were held back.
    pub(super) fn flush(&mut self) {
        self.local.flush();
        self.metrics.note_bar(self.newest);
        let due = lock(&self.refused).due(Instant::now());
        for (reason, count) in due {
            tracing::warn!(reason = reason.name(), count, "market data was refused");
        }
    }

    /// A signal has left; `latency` since its bar was received.
    pub(super) fn published(&mut self, latency: Duration) {
        self.local.signals_published.inc();
        self.local
            .signal_latency_seconds
            .observe(latency.as_secs_f64());
    }

    /// Counts a bar, and makes its signal ready. The engine took the bar in at `finished`.
    fn taken(&mut self, taken: &Taken<'_>, envelope: &Envelope<'_>, finished: Instant) {
        let event = taken.event;
        match taken.change {
            Change::Corrected => self.local.bars_corrected.inc(),
            Change::Inserted => self.local.bars_inserted.inc(),
            Change::Appended if taken.missing > 0 => self.local.bar_gaps.inc(),
            Change::Appended | Change::Forming => {}
        }
        self.local.bars_received.inc();
        if event.adjusted {
            self.local.bars_adjusted.inc();
        }
        let opened = event.bar.timestamp.nanos().div_euclid(1_000_000_000);
        self.newest = self.newest.max(opened);
        self.last_processed = Some(envelope.arrival.arrived);
        tracing::debug!(
            symbol = %event.symbol, timeframe = %event.timeframe, timestamp = %event.bar.timestamp,
            close = event.bar.close, effect = ?taken.change, "bar"
        );
        if self.ready(taken, envelope, finished) {
            self.local.bars_owned.inc();
        }
    }

    /// Makes the signal of a bar ready, if there is one. Returns whether this member publishes
    /// those of the series.
    fn ready(&mut self, taken: &Taken<'_>, envelope: &Envelope<'_>, finished: Instant) -> bool {
        let event = taken.event;
        let Some(id) = taken.series else {
            return false;
        };
        if taken.begun
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
        let Some(signal) = taken.signal else {
            return holds;
        };
        let kept = signal.is_final && envelope.duty.keeps.contains(route.slot);
        if !holds && !kept {
            return false;
        }
        let outgoing = Outgoing {
            subject: if signal.is_final {
                route.signals.clone()
            } else {
                route.forming.clone()
            },
            headers: provenance(
                &self.headers,
                &self.group,
                signal,
                taken.epoch,
                envelope,
                finished,
            ),
            payload: self.encoder.signal(signal),
            received: Some(envelope.received),
            forming: !signal.is_final,
            feed: self.tallies.feed(),
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
                epoch: taken.epoch,
                step: taken.step,
                signal: outgoing,
            });
        }
        holds
    }

    /// Counts and logs a reset, in the member that publishes the signals of the series.
    fn restarted(&mut self, restarted: &Restarted<'_>, envelope: &Envelope<'_>) {
        let series = &restarted.reset.series;
        let slot = Slot::of(series.symbol.as_str().as_bytes());
        self.tallies.reset(slot, restarted.forgotten);
        self.last_processed = Some(envelope.arrival.arrived);
        if !envelope.duty.holds.contains(slot) {
            return;
        }
        let (symbol, timeframe) = (&series.symbol, series.timeframe);
        match restarted.forgotten {
            Some(forgotten) => {
                self.local.series_resets.inc();
                tracing::info!(%symbol, %timeframe, forgotten, "a series was reset");
            }
            None => {
                tracing::info!(%symbol, %timeframe, "there is no such series to be reset");
            }
        }
    }

    /// Counts and logs the end of a history, in the member that publishes the signals of the series.
    fn rebuilt(&mut self, rebuilt: &HistoryTaken<'_>, envelope: &Envelope<'_>) {
        let HistoryTaken { series, rebuilt } = rebuilt;
        let slot = Slot::of(series.symbol.as_str().as_bytes());
        self.tallies.rebuilt(slot, rebuilt);
        self.last_processed = Some(envelope.arrival.arrived);
        if rebuilt.begun {
            // the id may have been that of another series
            for id in &rebuilt.series {
                self.routes.get_mut(id.index()).map(Option::take);
            }
        }
        if envelope.duty.holds.contains(slot) {
            self.local.series_rebuilt.inc();
            let (symbol, timeframe) = (&series.symbol, series.timeframe);
            let bars = rebuilt.bars();
            tracing::info!(%symbol, %timeframe, bars, "a series was rebuilt with its history");
        }
    }

    /// Counts something that is understood and needs nothing to be done.
    fn ignore(&mut self, kind: Ignored, envelope: &Envelope<'_>) {
        self.tallies.ignored(envelope.arrival.payload);
        if let Some(counter) = self.local.messages_ignored.get(kind as usize) {
            counter.inc();
        }
    }

    /// Counts a refusal, and writes the dead letter if the message may have another one.
    pub(super) fn refuse(&mut self, refusal: &Refusal<'_>, envelope: &Envelope<'_>) {
        let reason = refusal.reason;
        let elements = refusal.elements as u64;
        if let Some(counter) = self.local.bars_rejected.get(reason as usize) {
            counter.inc_by(elements);
        }
        let allowed = lock(&self.refused).allow_many(reason, elements, envelope.received);
        if let Some(count) = allowed {
            tracing::warn!(
                reason = reason.name(), count, subject = envelope.arrival.subject,
                detail = %refusal.detail, explain = explain_command(envelope.arrival.subject),
                "market data was refused"
            );
        }
        let slot = match &refusal.symbol {
            Some(symbol) => Slot::of(symbol.as_bytes()),
            None => Slot::of(refusal.payload),
        };
        self.tallies.refused(slot, refusal);
        if reason == Reason::TooManyElements {
            self.budget.leave_rest(refusal.payload, refusal.elements);
            return;
        }
        // a message that is refused whole is its own letter, whatever its size
        let whole = refusal.payload.len() == envelope.arrival.payload.len();
        if whole || self.budget.takes(refusal.payload) {
            self.write_letter(refusal, slot, envelope);
        }
    }

    /// Writes the one dead letter for all elements of a message that have none of their own.
    pub(super) fn close_letters(
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
            feed: None,
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

fn lock(refused: &Refused) -> MutexGuard<'_, Throttle<Reason>> {
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
    epoch: u64,
    envelope: &Envelope<'_>,
    now: Instant,
) -> HeaderMap {
    let id = || {
        let key = SeriesKey::new(signal.symbol.clone(), signal.timeframe);
        message_id(group, &key, signal.timestamp, signal.revision, epoch)
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
