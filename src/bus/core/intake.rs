//! From a message to what is to be published about it. Synchronous, and no panic leaves it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Message, Subject};
use bytes::Bytes;

use super::resume::Resume;
use crate::clock;
use crate::config::Config;
use crate::engine::{Effect, Engine, Refusal as Declined, SeriesId, Signal};
use crate::group::{Slot, SlotSet};
use crate::market::{BarEvent, SeriesKey, Timestamp};
use crate::ops::logs::Throttle;
use crate::ops::metrics::{LocalMetrics, Metrics};
use crate::version::VERSION;
use crate::wire::headers::{DeadLetters, Provenance, SignalHeaders, TRACEPARENT, message_id};
use crate::wire::{
    DecodeLimits, Decoder, Encoder, Reason, Refusal, SubjectPattern, SubjectTemplate,
};

/// A reason is spoken of this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Something to be published.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub subject: Subject,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// When the bar of a signal was received; nothing for a dead letter.
    pub received: Option<Instant>,
}

/// A final signal that another member publishes, kept in case its slot is handed over.
#[derive(Debug)]
pub(super) struct Kept {
    pub slot: Slot,
    pub key: SeriesKey,
    pub timestamp: Timestamp,
    pub revision: u32,
    pub signal: Outgoing,
}

/// What is done with the bars of which slots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Duty {
    /// Published.
    pub holds: SlotSet,
    /// Kept for a hand-over.
    pub keeps: SlotSet,
}

/// Where the signals of a series go.
struct Route {
    slot: Slot,
    signals: Subject,
    forming: Subject,
}

/// The message an element came in.
struct Envelope<'a> {
    message: &'a Message,
    received: Instant,
    now: Timestamp,
    duty: Duty,
}

pub(super) struct Intake {
    pub engine: Engine,
    /// Bars to be passed over because copied state contains them already.
    pub resume: Option<Resume>,
    pub outbox: Vec<Outgoing>,
    pub kept: Vec<Kept>,
    pub last_processed: Option<Timestamp>,
    decoder: Decoder,
    encoder: Encoder,
    headers: SignalHeaders,
    dead_letters: DeadLetters,
    group: String,
    publish_subject: SubjectTemplate,
    forming_subject: SubjectTemplate,
    dead_letter_subject: Subject,
    routes: Vec<Option<Route>>,
    metrics: Arc<Metrics>,
    local: LocalMetrics,
    refused: Throttle<Reason>,
}

impl Intake {
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            engine: Engine::new(Arc::new(config.analysis.clone()), config.max_series),
            resume: None,
            outbox: Vec::new(),
            kept: Vec::new(),
            last_processed: None,
            decoder: Decoder::new(DecodeLimits {
                max_payload_bytes: config.max_payload_bytes,
                default_timeframe: config.default_timeframe,
            }),
            encoder: Encoder::new(),
            headers: SignalHeaders::new(&config.agent_name, &config.group, VERSION),
            dead_letters: DeadLetters::new(&config.agent_name),
            group: config.group.clone(),
            publish_subject: config.publish_subject.clone(),
            forming_subject: config.forming_subject.clone(),
            dead_letter_subject: config.dead_letter_subject.clone().into(),
            routes: Vec::new(),
            local: metrics.local(),
            metrics,
            refused: Throttle::new(WARN_EVERY),
        }
    }

    /// Works off one message; what is to be published is in the outbox afterwards. Should the
    /// engine panic, the message is refused as poison and nothing else is lost.
    pub fn take(
        &mut self,
        message: &Message,
        pattern: &SubjectPattern,
        now: Timestamp,
        duty: Duty,
    ) {
        let envelope = Envelope {
            message,
            received: Instant::now(),
            now,
            duty,
        };
        self.local.messages_received.inc();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let parts = pattern.parts(&message.subject);
            let decoder = self.decoder;
            decoder.decode(
                &message.payload,
                &parts,
                now,
                |element, bytes| match element {
                    Ok(event) => self.bar(&event, bytes, &envelope),
                    Err(refusal) => self.refuse(&refusal, &envelope),
                },
            );
        }));
        if outcome.is_err() {
            self.engine.roll_back();
            self.metrics.panics.inc();
            let refusal = Refusal {
                reason: Reason::Poison,
                detail: "the agent panicked on this message; its log has the backtrace".into(),
                payload: &message.payload,
                symbol: None,
            };
            self.refuse(&refusal, &envelope);
        }
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
        for (reason, count) in self.refused.due(Instant::now()) {
            tracing::warn!(reason = reason.name(), count, "market data was refused");
        }
    }

    /// A signal has left; `latency` since its bar was received.
    pub fn published(&mut self, latency: Duration) {
        self.local.signals_published.inc();
        self.local
            .signal_latency_seconds
            .observe(latency.as_secs_f64());
    }

    /// Forgets series that have been silent since `since`.
    pub fn forget_idle(&mut self, since: Timestamp) -> usize {
        let forgotten = self.engine.forget_idle(since);
        for id in &forgotten {
            self.routes[id.index()] = None;
        }
        forgotten.len()
    }

    fn bar(&mut self, event: &BarEvent<'_>, bytes: &[u8], envelope: &Envelope<'_>) {
        if self
            .resume
            .as_mut()
            .is_some_and(|resume| resume.covers(event))
        {
            return;
        }
        let started = Instant::now();
        let outcome = self.engine.on_bar(event, envelope.now);
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
        self.last_processed = Some(envelope.now);
        tracing::debug!(
            symbol = %event.symbol, timeframe = %event.timeframe, timestamp = %event.bar.timestamp,
            close = event.bar.close, effect = ?outcome.effect, "bar"
        );
        let Some(id) = outcome.series else {
            return;
        };
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
        };
        if holds {
            observe(&mut self.local, signal, envelope.now);
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

    /// Counts a refusal, and writes the dead letter if that falls to this member.
    fn refuse(&mut self, refusal: &Refusal<'_>, envelope: &Envelope<'_>) {
        let reason = refusal.reason;
        self.metrics
            .bars_rejected
            .with_label_values(&[reason.name()])
            .inc();
        let subject = envelope.message.subject.as_str();
        if let Some(count) = self.refused.allow(reason, envelope.received) {
            tracing::warn!(
                reason = reason.name(), count, subject, detail = %refusal.detail,
                "market data was refused"
            );
        }
        let slot = match &refusal.symbol {
            Some(symbol) => Slot::of(symbol.as_bytes()),
            None => Slot::of(refusal.payload),
        };
        if envelope.duty.holds.contains(slot) {
            let (headers, payload) = self.dead_letters.build(refusal, subject, None);
            self.outbox.push(Outgoing {
                subject: self.dead_letter_subject.clone(),
                headers,
                payload: Bytes::copy_from_slice(payload),
                received: None,
            });
        }
    }
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
        input_seq: None,
        latency_us: u64::try_from((now - envelope.received).as_micros()).unwrap_or(u64::MAX),
        traceparent: traceparent(envelope.message),
    })
}

fn traceparent(message: &Message) -> Option<&HeaderValue> {
    message.headers.as_ref()?.get(TRACEPARENT)
}

fn observe(local: &mut LocalMetrics, signal: &Signal, now: Timestamp) {
    for alert in signal.alerts.iter() {
        local.alerts[alert as usize].inc();
    }
    let closed = signal
        .timestamp
        .nanos()
        .saturating_add(signal.timeframe.nanos());
    let age = Duration::from_nanos(now.nanos().saturating_sub(closed).max(0).unsigned_abs());
    local.bar_age_seconds.observe(age.as_secs_f64());
    tracing::debug!(
        symbol = %signal.symbol, timeframe = %signal.timeframe, timestamp = %signal.timestamp,
        rsi = signal.rsi, trend = ?signal.trend_signal, "signal"
    );
}
