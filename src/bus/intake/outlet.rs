//! The outputs of a pipeline, made ready to be published.
//!
//! A signal gets its subject, its headers and its payload, a refusal its dead letter, if this member
//! publishes or keeps those of the slot. Everything is counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::header::HeaderValue;
use async_nats::{HeaderMap, Subject};

use super::Envelope;
use super::letters::LetterBudget;
use super::outgoing::{Kept, KeptLetter, Outgoing};
use super::refusals::{Refused, lock};
use super::tallies::Tallies;
use crate::clock;
use crate::config::Config;
use crate::engine::{SeriesId, Signal};
use crate::group::Slot;
use crate::market::{BarEvent, SeriesKey, Timestamp};
use crate::ops::metrics::{LocalMetrics, Metrics};
use crate::ops::receipts::FeedId;
use crate::pipeline::{Change, HistoryTaken, Restarted, Taken};
use crate::version::VERSION;
use crate::wire::headers::{DeadLetters, Provenance, SignalHeaders, TRACEPARENT, message_id};
use crate::wire::{Encoder, Ignored, SubjectTemplate};

/// The longest trace context that is carried through; today's has 55 bytes.
const TRACEPARENT_BYTES: usize = 512;

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
    pub(super) dead_letters: DeadLetters,
    group: String,
    publish_subject: SubjectTemplate,
    forming_subject: SubjectTemplate,
    pub(super) dead_letter_subject: Subject,
    /// The room that the message at work has left for dead letters.
    pub(super) budget: LetterBudget,
    routes: Vec<Option<Route>>,
    metrics: Arc<Metrics>,
    pub(super) local: LocalMetrics,
    /// Open time of the newest bar since the last flush, in seconds.
    newest: i64,
    pub(super) refused: Refused,
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
    pub(super) fn taken(&mut self, taken: &Taken<'_>, envelope: &Envelope<'_>, finished: Instant) {
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
        if self.ready(taken, self.tallies.feed(), envelope, finished) {
            self.local.bars_owned.inc();
        }
    }

    /// Makes the signal of a bar ready, if there is one; `feed` counts it as published, if its bar is
    /// one of a feed. Returns true if this member publishes the signals of the series.
    pub(super) fn ready(
        &mut self,
        taken: &Taken<'_>,
        feed: Option<FeedId>,
        envelope: &Envelope<'_>,
        finished: Instant,
    ) -> bool {
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
            feed,
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
    pub(super) fn restarted(&mut self, restarted: &Restarted<'_>, envelope: &Envelope<'_>) {
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
    pub(super) fn rebuilt(&mut self, rebuilt: &HistoryTaken<'_>, envelope: &Envelope<'_>) {
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
    pub(super) fn ignore(&mut self, kind: Ignored, envelope: &Envelope<'_>) {
        self.tallies.ignored(envelope.arrival.payload);
        if let Some(counter) = self.local.messages_ignored.get(kind as usize) {
            counter.inc();
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
