//! From a message to its outgoing signals and dead letters, for core and durable delivery.
//!
//! The [`Pipeline`] does the work; the intake drives it and guards it against panics, and its
//! [`Outlet`] gives every output its subject, its headers and its place in the metrics. Synchronous,
//! and no panic leaves it.
//!
//! Must not know: where messages come from, and who decides which bars are left out.

mod derived;
mod letters;
mod outgoing;
mod outlet;
mod refusals;
mod sink;
mod tallies;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Message};

use super::catalogue::Catalogue;
use crate::config::Config;
use crate::engine::Engine;
use crate::group::SlotSet;
use crate::market::{SeriesKey, Timestamp};
use crate::ops::metrics::Metrics;
use crate::pipeline::{self, Filter, Panicked, Pipeline, TakeAll};
use crate::wire::{Content, Mark, SubjectParts, SubjectRefusal};

use derived::DerivedAccount;
pub(super) use outgoing::Outgoing;
pub(super) use outlet::Outlet;
pub(super) use refusals::Refused;

/// The duties of this member by slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Duty {
    /// Published.
    pub holds: SlotSet,
    /// Kept for a hand-over.
    pub keeps: SlotSet,
    /// Published, and offered to another, who is to know which dead letters are written.
    pub offered: SlotSet,
}

/// A message, and what is known of how it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub subject: &'a str,
    pub payload: &'a [u8],
    pub headers: Option<&'a HeaderMap>,
    /// Its place in the stream it was stored in.
    pub input_seq: Option<u64>,
    /// The time of its arrival, as the pipeline defines it.
    pub arrived: Timestamp,
}

impl<'a> Arrival<'a> {
    /// A message that came as it was published.
    pub fn plain(message: &'a Message, arrived: Timestamp) -> Self {
        Self {
            subject: &message.subject,
            payload: &message.payload,
            headers: message.headers.as_ref(),
            input_seq: None,
            arrived,
        }
    }

    fn message(
        &self,
        parts: &'a Result<SubjectParts<'a>, SubjectRefusal>,
    ) -> pipeline::Message<'a> {
        pipeline::Message {
            payload: self.payload,
            subject: parts,
            arrived: self.arrived,
        }
    }
}

/// The message at work.
struct Envelope<'a> {
    arrival: Arrival<'a>,
    received: Instant,
    duty: Duty,
}

impl<'a> Envelope<'a> {
    fn new(arrival: Arrival<'a>, duty: Duty) -> Self {
        Self {
            arrival,
            received: Instant::now(),
            duty,
        }
    }
}

pub(super) struct Intake {
    pipeline: Pipeline,
    /// The outputs, on their way.
    pub out: Outlet,
    derived: DerivedAccount,
    catalogue: Catalogue,
}

impl Intake {
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            pipeline: Pipeline::configured(config),
            derived: DerivedAccount::new(Arc::clone(&metrics)),
            out: Outlet::new(config, metrics),
            catalogue: Catalogue::default(),
        }
    }

    /// Logs refusals together with other intakes.
    pub fn sharing(mut self, refused: &Refused) -> Self {
        self.out.share(refused);
        self
    }

    /// The series.
    pub const fn engine(&self) -> &Engine {
        self.pipeline.engine()
    }

    /// The series, to put state into them and to ask for the newest signal.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        self.pipeline.engine_mut()
    }

    /// The keys of all series, in order; a moment old at most.
    pub fn keys(&mut self) -> Arc<Vec<SeriesKey>> {
        self.catalogue.keys(self.pipeline.engine())
    }

    /// Works off one message; its outputs are in the outlet afterwards. `parts` reads its subject,
    /// `filter` decides about each of its bars. If the engine panics, the message is refused as
    /// poison and nothing else is lost.
    pub fn take<'a>(
        &mut self,
        arrival: Arrival<'a>,
        duty: Duty,
        parts: impl FnOnce(&'a str) -> Result<SubjectParts<'a>, SubjectRefusal>,
        filter: impl Filter,
    ) {
        let done = self.attempt(arrival, duty, parts, filter);
        if done.is_err() {
            self.refuse_as_poison(arrival, duty);
        }
    }

    /// [`Self::take`] without the end of a panic: the effects of the message before it stay in the
    /// engine and in the outlet, and the caller handles the rest.
    pub fn attempt<'a>(
        &mut self,
        arrival: Arrival<'a>,
        duty: Duty,
        parts: impl FnOnce(&'a str) -> Result<SubjectParts<'a>, SubjectRefusal>,
        filter: impl Filter,
    ) -> Result<(), Panicked> {
        let Self { pipeline, out, .. } = self;
        let envelope = Envelope::new(arrival, duty);
        out.begin_message(&envelope);
        let done = pipeline.guard(|pipeline| {
            let parts = parts(arrival.subject);
            pipeline.take(&arrival.message(&parts), &mut out.sink(&envelope, filter));
            out.close_letters(&parts, &envelope);
            out.tallies.end();
        });
        done.inspect_err(|_| out.count_panic())
    }

    /// Applies a time mark that came apart from market data. Its outputs are in the outlet
    /// afterwards.
    pub fn take_mark(&mut self, mark: Mark, arrived: Timestamp, duty: Duty) {
        let Self { pipeline, out, .. } = self;
        let payload = mark.payload();
        let arrival = Arrival {
            subject: "",
            payload: &payload,
            headers: None,
            input_seq: None,
            arrived,
        };
        let envelope = Envelope::new(arrival, duty);
        let parts = Ok(SubjectParts::default());
        let message = arrival.message(&parts);
        let sink = &mut out.sink(&envelope, TakeAll);
        let done = pipeline.guard(|pipeline| pipeline.take(&message, sink));
        if done.is_err() {
            out.count_panic();
        }
    }

    /// Refuses a message unread because it makes the agent panic.
    pub fn refuse_as_poison(&mut self, arrival: Arrival<'_>, duty: Duty) {
        let envelope = Envelope::new(arrival, duty);
        self.out.tallies.begin(arrival.headers, duty.holds);
        self.out
            .refuse(&pipeline::poison(arrival.payload), &envelope);
        self.out.tallies.end();
    }

    /// Shows every element of a message to `each`, without working it off.
    pub fn each_element<'a>(
        &self,
        arrival: Arrival<'a>,
        parts: impl FnOnce(&'a str) -> Result<SubjectParts<'a>, SubjectRefusal>,
        each: impl FnMut(&Content<'_>),
    ) {
        let parts = parts(arrival.subject);
        self.pipeline.each_element(&arrival.message(&parts), each);
    }

    /// Shows what was counted, and logs refusals that were held back.
    pub fn flush(&mut self) {
        self.out.flush();
        self.derived.flush(self.pipeline.engine_mut());
    }

    /// A signal has left; `latency` since its bar was received.
    pub fn published(&mut self, latency: Duration) {
        self.out.published(latency);
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
