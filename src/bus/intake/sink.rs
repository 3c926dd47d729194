//! The sink of a message: outputs are counted, and handed to the outlet.

use std::time::Instant;

use super::Envelope;
use super::outlet::Outlet;
use crate::failpoints;
use crate::group::Slot;
use crate::market::{BarEvent, Timestamp, TradeEvent};
use crate::pipeline::{Admission, Change, Filter, Output, Sink};
use crate::wire::{Control, Mark};

/// Largest number of bars of one message after which the open derived bars are shown. A longer
/// message is history, and would give as many forming signals for each derived timeframe.
const SHOWN_PER_MESSAGE: u32 = 64;

/// Takes the outputs of one message.
pub(super) struct OfMessage<'o, 'e, F> {
    out: &'o mut Outlet,
    envelope: &'e Envelope<'e>,
    filter: F,
    /// Opening time of the bar in the element at work.
    opened: Timestamp,
    /// Bars of the message after which the open derived bars were shown.
    shown: u32,
    /// The start of the engine's work on a bar, and then its end.
    clock: Instant,
}

impl Outlet {
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
}

impl<F: Filter> Filter for OfMessage<'_, '_, F> {
    fn admit_control(&mut self, control: &Control<'_>) -> bool {
        let admitted = self.filter.admit_control(control);
        match control {
            Control::Mark(_) => return admitted && !failpoints::ignores_time_marks(),
            Control::Reset(_) | Control::History(_) if !admitted => self.out.tallies.passed_over(),
            Control::Reset(_) | Control::History(_) => {}
        }
        admitted
    }

    fn admit_trade(&mut self, event: &TradeEvent<'_>) -> bool {
        let admitted = self.filter.admit_trade(event);
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
        // one reading serves for the engine's time and for the latency
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
            Output::Derived(taken)
                if taken.change == Change::Corrected && failpoints::keeps_corrections_down() => {}
            // its bar did not come from the feed
            Output::Derived(taken) => {
                self.out.ready(&taken, None, self.envelope, self.clock);
            }
            Output::Revised(taken) => {
                self.out.local.signals_revised.inc();
                self.out.ready(&taken, None, self.envelope, self.clock);
            }
            Output::Trade(event) => self.out.tallies.trade(event),
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
                let feed = self.out.tallies.feed();
                self.out.ready(&taken, feed, self.envelope, self.clock);
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
