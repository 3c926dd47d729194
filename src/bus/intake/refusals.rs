//! Refused input: counted, logged, and written as dead letters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::Envelope;
use super::letters::LETTERS_BYTES;
use super::outgoing::{KeptLetter, Outgoing};
use super::outlet::Outlet;
use crate::group::{Slot, letter_mark};
use crate::ops::logs::Throttle;
use crate::pipeline::REVISED_MAX;
use crate::wire::headers::explain_command;
use crate::wire::{ELEMENTS_MAX, Reason, Refusal, SubjectParts, SubjectRefusal};

/// A reason is logged this often.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Refusals logged, by reason. All intakes of a process share it.
pub(in crate::bus) type Refused = Arc<Mutex<Throttle<Reason>>>;

impl Outlet {
    /// Lets several intakes log refusals together.
    pub fn refused() -> Refused {
        Arc::new(Mutex::new(Throttle::new(WARN_EVERY)))
    }

    pub fn share(&mut self, refused: &Refused) {
        self.refused = Arc::clone(refused);
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
            let elements = refusal.elements;
            self.budget
                .leave_rest(envelope.arrival.payload, refusal.payload, elements);
            return;
        }
        let letter = self
            .budget
            .letter(envelope.arrival.payload, refusal.payload);
        if let Some(payload) = letter {
            let mark = letter_mark(envelope.arrival.subject, refusal.payload);
            let refusal = Refusal {
                payload: &payload,
                ..refusal.clone()
            };
            self.write_letter(&refusal, (slot, mark), envelope);
        }
    }

    /// Writes one dead letter for all elements of a message that have none of their own.
    pub(super) fn close_letters(
        &mut self,
        parts: &Result<SubjectParts<'_>, SubjectRefusal>,
        envelope: &Envelope<'_>,
    ) {
        let Some((elements, payload)) = self.budget.rest(envelope.arrival.payload) else {
            return;
        };
        let named = parts
            .as_ref()
            .ok()
            .and_then(|parts| parts.symbol.as_deref());
        let slot = Slot::of(named.map_or(envelope.arrival.payload, str::as_bytes));
        let detail = format!(
            "{elements} elements are left in this letter: at most {ELEMENTS_MAX} are taken from one message, its \
             corrections revise at most {REVISED_MAX} later signals, and at most {LETTERS_BYTES} bytes of it \
             become letters of their own; send fewer bars per message"
        );
        let refusal = Refusal {
            reason: Reason::TooManyElements,
            detail: detail.into(),
            payload: &payload,
            elements,
            symbol: None,
        };
        let mark = letter_mark(envelope.arrival.subject, refusal.payload);
        self.write_letter(&refusal, (slot, mark), envelope);
    }

    /// Writes a dead letter, or keeps it, if that falls to this member. Other members know it by its
    /// mark.
    fn write_letter(
        &mut self,
        refusal: &Refusal<'_>,
        (slot, mark): (Slot, u64),
        envelope: &Envelope<'_>,
    ) {
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

pub(super) fn lock(refused: &Refused) -> MutexGuard<'_, Throttle<Reason>> {
    // a count half taken is no harm
    refused.lock().unwrap_or_else(PoisonError::into_inner)
}
