//! The way from a message to its signals and refusals, the same for core delivery, durable
//! delivery, `replay` and `verify`.
//!
//! A driver hands in the bytes of a message, the symbol and timeframe in its subject and the time
//! of its arrival. The pipeline decodes the message, orders its bars, computes, and hands every
//! [`Output`] to the driver's [`Sink`], in order. Drivers differ in where messages come from and in
//! where outputs go, and in nothing else: the same messages give the same signals, byte for byte,
//! and the same refusals.
//!
//! Pure: no NATS, no clock, no IO, no metrics, and no allocation per bar of a known series.
//!
//! # Order
//! The elements of a message are processed one after the other. A bar that completes the forming
//! bar before it ([`Engine::closed_by`]) follows that one, so one element has up to two outputs. A
//! correction is followed by the later bars whose signals it changed, in order, then by the derived
//! bars that it changed. Each derived bar is followed by the later ones whose signals changed.
//!
//! # Resets and marks
//! A message may be a [`Reset`] or a [`Mark`] in place of market data. The engine applies it in
//! order with the bars: a mark closes the derived bars that ended at least the grace before it.
//!
//! # Histories
//! A message may be part of a [`History`](crate::wire::History). The bars of its parts give no signals. Its end rebuilds
//! the series in order with the live bars, and restates the signal of the newest bar.
//!
//! # Time
//! The time of a message is its arrival, and the driver hands it in: core delivery when the client
//! received the message, durable delivery when the server stored it, `replay` when it reads the
//! line. It decides one thing: a bar that opens more than 24 h after its arrival is refused as
//! `future`, and so is a mark of more than 5 s after it. Order, completion, silence
//! ([`Engine::forgetting`]) and room for another series are decided by the times of the bars. So a replay takes what a live agent took. It may also take
//! what was refused as `future` then, because it reads the message later.
//!
//! # Panics
//! A panic under [`Pipeline::guard`] costs only the message: the bar at work is rolled back, the
//! bars before it stay.

mod history;
mod output;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::config::Config;
use crate::engine::{DerivedOutcome, Effect, Engine, Refusal as Declined, Revision, TradeEffect};
use crate::market::{BarEvent, Finality, Timestamp, TradeEvent};
use crate::wire::{
    Content, Control, Decoder, Element, Mark, Reason, Refusal, Reset, SubjectParts, SubjectRefusal,
};
pub use history::HistoryTaken;
use output::taken;
pub use output::{Change, Marked, Output, Restarted, Taken};

/// A message, with everything that its outputs depend on.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// Its bytes.
    pub payload: &'m [u8],
    /// The symbol and timeframe in its subject.
    pub subject: &'m Result<SubjectParts<'m>, SubjectRefusal>,
    /// The time of its arrival.
    pub arrived: Timestamp,
}

/// A driver's decision about a bar before the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The bar is taken in.
    Take,
    /// The bar is left out, but it completes the forming bar before it.
    Complete,
    /// The bar is left out altogether, for example because copied state contains it.
    Skip,
}

/// A driver's decisions about bars and control messages before the engine sees them. Without one of
/// its own, a driver takes all of them.
pub trait Filter {
    /// Decides about a bar of a message.
    fn admit(&mut self, _event: &BarEvent<'_>) -> Admission {
        Admission::Take
    }

    /// Returns true if a trade is to be taken in.
    fn admit_trade(&mut self, _event: &TradeEvent<'_>) -> bool {
        true
    }

    /// Returns true if a control message is to be followed.
    fn admit_control(&mut self, _control: &Control<'_>) -> bool {
        true
    }
}

impl<F: Filter> Filter for &mut F {
    fn admit(&mut self, event: &BarEvent<'_>) -> Admission {
        F::admit(self, event)
    }

    fn admit_trade(&mut self, event: &TradeEvent<'_>) -> bool {
        F::admit_trade(self, event)
    }

    fn admit_control(&mut self, control: &Control<'_>) -> bool {
        F::admit_control(self, control)
    }
}

/// The filter of a driver that takes everything.
#[derive(Debug, Clone, Copy)]
pub struct TakeAll;

impl Filter for TakeAll {}

/// A receiver of outputs, which also decides about bars and control messages.
pub trait Sink: Filter {
    /// The engine is about to work on a bar. For measuring.
    fn before_bar(&mut self, _event: &BarEvent<'_>) {}

    /// The engine has worked on a bar, and its output comes next. For measuring.
    fn after_bar(&mut self, _event: &BarEvent<'_>) {}

    /// Returns true if the derived bars that are still forming are wanted, with `event` in them.
    /// They are not state: nothing else depends on the answer.
    fn wants_forming(&mut self, _event: &BarEvent<'_>) -> bool {
        false
    }

    /// Takes an output.
    fn output(&mut self, output: Output<'_>);
}

/// Largest number of signals of later bars that the corrections of one message may revise. Without
/// it a message of 4,096 corrections, each of the oldest correctable bar, has 127,000 signals.
///
/// A member of core delivery that copied state passes over bars that are in it, and so over what
/// they revised. Only where a message exceeds this number within a hand-over, and has bars of several
/// series, can that member take a correction that others refuse.
pub const REVISED_MAX: u64 = 4_096;

/// The pipeline panicked in the middle of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// A decoder and an engine, and the series that it keeps.
#[derive(Debug)]
pub struct Pipeline {
    decoder: Decoder,
    engine: Engine,
}

impl Pipeline {
    /// A pipeline of these parts.
    #[must_use]
    pub const fn new(decoder: Decoder, engine: Engine) -> Self {
        Self { decoder, engine }
    }

    /// A pipeline without any series, by `config`.
    #[must_use]
    pub fn configured(config: &Config) -> Self {
        let engine = Engine::new(Arc::new(config.analysis.clone()), config.max_series)
            .forgetting(config.series_idle);
        Self::new(Decoder::new(config.input.clone()), engine)
    }

    /// The decoder.
    #[must_use]
    pub const fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The series.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The series, to put state into them and to ask for the newest signal.
    pub const fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Works off a message. A panic leaves the pipeline usable only under [`Self::guard`].
    pub fn take(&mut self, message: &Message<'_>, sink: &mut impl Sink) {
        let Self { decoder, engine } = self;
        let arrived = message.arrived;
        match Control::read(message.payload, message.subject, arrived) {
            Some(Ok(control)) => return follow(decoder, engine, &control, arrived, sink),
            Some(Err(refusal)) => return sink.output(Output::Refused(refusal)),
            None => {}
        }
        let before = engine.revisions();
        decoder.decode_all(message.payload, message.subject, arrived, |element| {
            let revised = engine.revisions().wrapping_sub(before);
            step(engine, element, revised, arrived, sink);
        });
    }

    /// Follows a control message that arrived at `arrived`, as [`Self::take`] does.
    pub fn follow(&mut self, control: &Control<'_>, arrived: Timestamp, sink: &mut impl Sink) {
        follow(&self.decoder, &mut self.engine, control, arrived, sink);
    }

    /// Works off one element of a message that arrived at `arrived`, as [`Self::take`] does each. The
    /// elements before it have `revised` this number of signals of later bars.
    pub fn step(
        &mut self,
        element: Element<'_>,
        revised: u64,
        arrived: Timestamp,
        sink: &mut impl Sink,
    ) {
        step(&mut self.engine, element, revised, arrived, sink);
    }

    /// Closes the open derived bars, as no more messages come. The last one arrived at `arrived`.
    pub fn finish(&mut self, arrived: Timestamp, sink: &mut impl Sink) {
        while self.engine.close_at_end() > 0 {
            derived(&mut self.engine, arrived, sink);
        }
    }

    /// Shows every element of a message to `each`, without working it off.
    pub fn each_element(&self, message: &Message<'_>, mut each: impl FnMut(&Content<'_>)) {
        let Message {
            payload,
            subject,
            arrived,
        } = *message;
        self.decoder
            .decode_all(payload, subject, arrived, |element| each(&element.content));
    }

    /// Does `work` on the pipeline. If it panics, the bar at work is rolled back: what was kept
    /// before it is as it was.
    ///
    /// # Errors
    /// `work` panicked. Its outputs up to then have reached the sink.
    pub fn guard<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> Result<R, Panicked> {
        catch_unwind(AssertUnwindSafe(|| work(self))).map_err(|_| {
            self.engine.roll_back();
            Panicked
        })
    }
}

/// The refusal of a message on which the pipeline panicked.
#[must_use]
pub fn poison(payload: &[u8]) -> Refusal<'_> {
    Refusal {
        reason: Reason::Poison,
        detail: "the agent panicked on this message; its log has the backtrace".into(),
        payload,
        elements: 1,
        symbol: None,
    }
}

fn step(
    engine: &mut Engine,
    element: Element<'_>,
    revised: u64,
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    let may_revise = revised < REVISED_MAX;
    let bytes = element.bytes;
    let event = match element.content {
        Content::Bar(event) => event,
        Content::Trade(event) if !may_revise && engine.would_reopen(&event) => {
            return sink.output(Output::Refused(too_many_revised(&event.symbol, bytes)));
        }
        Content::Trade(event) => return trade(engine, &event, bytes, arrived, sink),
        Content::Ignored(kind) => return sink.output(Output::Ignored(kind)),
        Content::Refused(refusal) => return sink.output(Output::Refused(refusal)),
    };
    let admission = sink.admit(&event);
    if admission == Admission::Skip {
        return;
    }
    if !may_revise && engine.would_revise(&event) {
        return sink.output(Output::Refused(too_many_revised(&event.symbol, bytes)));
    }
    if let Some(complete) = engine.closed_by(&event) {
        bar(engine, &complete, bytes, arrived, sink);
    }
    if admission == Admission::Take {
        bar(engine, &event, bytes, arrived, sink);
    }
}

/// Takes in a trade and the bars that it closes.
fn trade(
    engine: &mut Engine,
    event: &TradeEvent<'_>,
    bytes: &[u8],
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    if !sink.admit_trade(event) {
        return;
    }
    sink.output(match engine.on_trade(event, arrived) {
        TradeEffect::Taken | TradeEffect::Own => Output::Trade(event),
        TradeEffect::Refused(declined) => Output::Refused(refusal(declined, &event.symbol, bytes)),
    });
    derived(engine, arrived, sink);
}

fn follow(
    decoder: &Decoder,
    engine: &mut Engine,
    control: &Control<'_>,
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    if !sink.admit_control(control) {
        return;
    }
    match control {
        Control::Reset(reset) => restart(engine, reset, sink),
        Control::Mark(mark) => close_by_mark(engine, *mark, arrived, sink),
        Control::History(history) => history::take(decoder, engine, history, arrived, sink),
    }
}

fn restart(engine: &mut Engine, reset: &Reset, sink: &mut impl Sink) {
    let series = &reset.series;
    let emptied = engine.reset(series.symbol.as_str(), series.timeframe, reset.epoch());
    sink.output(Output::Reset(Restarted {
        reset,
        forgotten: emptied.map(|emptied| emptied.forgotten),
    }));
}

fn close_by_mark(engine: &mut Engine, mark: Mark, arrived: Timestamp, sink: &mut impl Sink) {
    let closed = engine.close_by_mark(mark.at);
    derived(engine, arrived, sink);
    sink.output(Output::Marked(Marked { mark, closed }));
}

fn bar(
    engine: &mut Engine,
    event: &BarEvent<'_>,
    bytes: &[u8],
    arrived: Timestamp,
    sink: &mut impl Sink,
) {
    let derives = engine.derives();
    if derives {
        engine.close_before(event);
        derived(engine, arrived, sink);
    }
    sink.before_bar(event);
    let outcome = engine.on_bar(event, arrived);
    sink.after_bar(event);
    let effect = outcome.effect;
    sink.output(match effect {
        Effect::Refused(declined) => Output::Refused(refusal(declined, &event.symbol, bytes)),
        _ => taken(event, outcome).map_or(Output::Duplicate(event), Output::Taken),
    });
    revised(engine, sink);
    if derives {
        derived(engine, arrived, sink);
        if sink.wants_forming(event) {
            engine.peek_derived(event, effect);
            derived(engine, arrived, sink);
        }
    }
}

/// Takes in the derived bars that are due.
fn derived(engine: &mut Engine, arrived: Timestamp, sink: &mut impl Sink) {
    while let Some(DerivedOutcome {
        symbol,
        derived,
        outcome,
    }) = engine.next_derived(arrived)
    {
        let event = derived.event(symbol.as_str());
        if let Some(taken) = taken(&event, outcome) {
            sink.output(Output::Derived(taken));
        }
        revised(engine, sink);
    }
}

/// Hands out the signals of later bars that the last bar changed.
fn revised(engine: &mut Engine, sink: &mut impl Sink) {
    while let Some(Revision {
        series,
        epoch,
        step,
        signal,
    }) = engine.next_revision()
    {
        let event = BarEvent {
            symbol: Cow::Borrowed(signal.symbol.as_str()),
            timeframe: signal.timeframe,
            bar: signal.bar(),
            finality: Finality::Final,
            adjusted: false,
            source: signal.source.as_deref().map(Cow::Borrowed),
        };
        sink.output(Output::Revised(Taken {
            event: &event,
            series: Some(series),
            begun: false,
            epoch,
            step,
            change: Change::Corrected,
            missing: 0,
            signal: Some(signal),
        }));
    }
}

fn refusal<'a>(declined: Declined, symbol: &'a str, bytes: &'a [u8]) -> Refusal<'a> {
    Refusal {
        reason: match declined {
            Declined::Late { .. } | Declined::LateTrade { .. } => Reason::Late,
            Declined::TooManySeries { .. } => Reason::TooManySeries,
        },
        detail: declined.to_string().into(),
        payload: bytes,
        elements: 1,
        symbol: Some(symbol.into()),
    }
}

fn too_many_revised<'a>(symbol: &'a str, bytes: &'a [u8]) -> Refusal<'a> {
    Refusal {
        reason: Reason::TooManyElements,
        detail: format!(
            "the corrections before it in the message have revised {REVISED_MAX} signals; send fewer \
             corrections per message"
        )
        .into(),
        payload: bytes,
        elements: 1,
        symbol: Some(symbol.into()),
    }
}

#[cfg(test)]
mod tests;
