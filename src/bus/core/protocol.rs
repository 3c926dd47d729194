//! The member's part in the group: hears what others say and does what the protocol asks for.

use std::pin::pin;
use std::time::Instant;

use async_nats::Message;
use futures_util::{FutureExt, StreamExt};
use tokio::time::sleep;

use super::copies::Taken;
use super::copy::CopyFault;
use super::messenger::{PRESENCE, sent_to};
use super::{TICK, Worker};
use crate::bus::intake::Arrival;
use crate::group::{Action, Direct, MemberId, Phase, Presence, SlotSet};
use crate::ops::metrics::{ACQUIRED, RELEASED};
use crate::wire::{Content, Control};

impl Worker {
    /// Processes the presences that have arrived, without waiting.
    pub(super) fn drain_presences(&mut self) {
        while let Some(Some(message)) = self.presences.next().now_or_never() {
            self.on_presence(&message);
        }
    }

    /// Waits for `future`, and meanwhile keeps up the presence of this member: one that does not
    /// receive its own presence takes itself for replaced, and publishes nothing more.
    pub(super) async fn present<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                output = future.as_mut() => return output,
                Some(message) = self.presences.next() => self.on_presence(&message),
                () = sleep(TICK) => {}
            }
            self.tick();
            self.perform().await;
        }
    }

    pub(super) fn on_presence(&mut self, message: &Message) {
        let (headers, content) = (message.headers.as_ref(), &message.payload);
        if !self.guard.admits(PRESENCE, headers, content) {
            return;
        }
        match serde_json::from_slice::<Presence>(&message.payload) {
            Ok(presence) => {
                let now = self.started.elapsed();
                self.members.handover.on_presence(now, &presence);
            }
            Err(error) => tracing::debug!(%error, "presence cannot be read"),
        }
    }

    /// Takes in an answer to the roll call: true if nobody serves.
    pub(super) fn called(&mut self, nobody: bool) {
        if nobody {
            let now = self.started.elapsed();
            self.members.handover.on_nobody(now);
        }
    }

    /// Processes messages to this member, once every bar that came before them is worked off.
    pub(super) async fn on_direct(&mut self, messages: Vec<Message>) {
        // a mark that arrived earlier closes bars that the giver of slots reports as closed
        self.hear_marks();
        self.drain_ready().await;
        while self.active && !self.pending.is_empty() {
            self.work_off().await;
        }
        self.take_mark().await;
        for message in messages {
            let (headers, content) = (message.headers.as_ref(), &message.payload);
            let to = [self.members.messenger.me.as_ref()];
            if !self.guard.admits(sent_to(&to), headers, content) {
                continue;
            }
            match postcard::from_bytes::<Direct>(&message.payload) {
                Ok(said) => self.on_message(said).await,
                Err(error) => tracing::warn!(%error, "message of a member cannot be read"),
            }
            self.perform().await;
            self.publish().await;
        }
    }

    pub(super) async fn on_message(&mut self, said: Direct) {
        let now = self.started.elapsed();
        let handover = &mut self.members.handover;
        match said {
            Direct::Offer { from, slots } => handover.on_offer(now, &from, slots),
            Direct::Accept { from, slots } => handover.on_accept(now, &from, slots),
            Direct::Grant {
                from,
                seq,
                slots,
                mut positions,
                mut letters,
            } => {
                let mine = handover.on_grant(now, &from, seq, slots);
                self.moved(ACQUIRED, mine);
                self.members
                    .inheritance
                    .complete_grant(&from, seq, &mut positions, &mut letters);
                let facts = self.members.inheritance.granted_facts(&from, seq);
                self.members.inheritance.inherit(
                    &mut self.intake,
                    (slots, mine),
                    &positions,
                    &facts,
                    &letters,
                );
            }
            Direct::GrantPart {
                from,
                seq,
                positions,
                letters,
            } => self
                .members
                .inheritance
                .on_grant_part(from, seq, positions, letters),
            Direct::GrantEpochs { from, seq, epochs } => {
                self.members.inheritance.on_grant_epochs(from, seq, epochs);
            }
            Direct::GrantSteps { from, seq, steps } => {
                self.members.inheritance.on_grant_steps(from, seq, steps);
            }
            Direct::SyncRequest { from, slots } => {
                self.members
                    .copies
                    .begin_uncounted(&self.intake, from, slots)
            }
            Direct::State { from, series } => {
                handover.on_progress(now, &from);
                if handover.phase() == Phase::Syncing
                    && let Err(fault) = self
                        .members
                        .copies
                        .take_uncounted(&mut self.intake, &series)
                {
                    self.copy_failed(&from, &fault);
                }
            }
            Direct::Synced { from, slots } => handover.on_synced(now, &from, slots),
            Direct::CopyRequest { from, copy, slots } => {
                if matches!(handover.phase(), Phase::Active | Phase::Leaving) {
                    self.members.copies.begin(&self.intake, from, copy, slots);
                }
            }
            Direct::CopyTaken { from, copy, parts } => {
                self.members.copies.on_taken(&from, copy, parts)
            }
            Direct::CopyPart {
                from,
                copy,
                part,
                bytes,
            } => {
                let members = &mut self.members;
                match members
                    .copies
                    .take_part(&mut self.intake, &from, copy, part, &bytes)
                {
                    None => {}
                    Some(Ok(Taken { slots, parts })) => {
                        self.members.handover.on_copied(now, &from, slots);
                        self.members.messenger.confirm(&from, copy, parts).await;
                    }
                    Some(Err(fault)) => self.copy_failed(&from, &fault),
                }
            }
            Direct::CopyEnd { from, copy, parts } => {
                match self.members.copies.end(&from, copy, parts) {
                    None => {}
                    Some(Ok(())) => self.members.handover.on_synced(now, &from, SlotSet::EMPTY),
                    Some(Err(fault)) => self.copy_failed(&from, &fault),
                }
            }
        }
    }

    fn copy_failed(&mut self, from: &MemberId, fault: &CopyFault) {
        self.members.copies.failed(from, fault);
        let now = self.started.elapsed();
        self.members.handover.on_copy_failed(now, from);
    }

    /// Does what the protocol asks for.
    pub(super) async fn perform(&mut self) {
        loop {
            let actions = self.members.handover.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action).await;
            }
        }
    }

    pub(super) async fn act(&mut self, action: Action) {
        match action {
            Action::Announce { hello } => {
                let presence = self.members.handover.presence(hello);
                // before it is said, so that one that starts hears of it by one way or the other
                self.roll_call.serve(presence.phase.answers()).await;
                self.members.messenger.announce(&presence).await;
                if hello && presence.phase == Phase::Starting {
                    self.roll_call.ask(self.members.handover.silence());
                }
            }
            Action::RequestSync {
                from,
                slots,
                counted,
            } => self.members.request_sync(&from, slots, counted).await,
            Action::SyncFailed { from } => self.members.copies.failed(&from, &CopyFault::Silence),
            Action::Offer { to, slots } => self.members.messenger.offer(&to, slots).await,
            Action::Accept { to, slots } => self.members.accept(&to, slots).await,
            Action::Release { to, slots, seq } => {
                self.publish().await;
                self.moved(RELEASED, slots);
                self.members.grant(&mut self.intake, &to, slots, seq).await;
            }
            Action::Take { slots } => {
                self.moved(ACQUIRED, slots);
                self.members.inheritance.forget(&mut self.intake, slots);
            }
            Action::Drop { slots } => {
                self.moved(RELEASED, slots);
                self.members.inheritance.forget(&mut self.intake, slots);
            }
            Action::Forget { slots } => self.members.inheritance.forget(&mut self.intake, slots),
            Action::Activate { cold } => self.activate(cold),
            Action::Restart => {
                tracing::warn!(
                    "this member was cut off from the group for too long; joining it again"
                );
                self.active = false;
                self.roll_call.forget();
                self.members.restart(&mut self.intake);
            }
        }
    }

    pub(super) fn activate(&mut self, cold: bool) {
        if cold {
            tracing::warn!(
                "the members with the state left before all of it was copied; series without state start from their next bar"
            );
        }
        let members = self.members.handover.members().len();
        tracing::info!(
            members,
            series = self.intake.engine().len(),
            waiting = self.pending.len(),
            "joined the group"
        );
        self.active = true;
        self.intake.out.forget_routes();
        self.setup.health.started();
        self.pending.restart(Instant::now());
        let Some(mut resume) = self.members.copies.take_copied() else {
            return;
        };
        let engine = self.intake.engine();
        for waiting in self.pending.iter() {
            let pattern = &self.subscriptions.0[waiting.feed].0;
            let arrival = Arrival::plain(&waiting.message, waiting.arrived);
            let parts = |subject| pattern.parts(subject);
            let of_subject = parts(arrival.subject);
            match Control::read(arrival.payload, &of_subject, arrival.arrived) {
                Some(Ok(control)) => resume.scan_control(&control),
                Some(Err(_)) => {}
                None => self
                    .intake
                    .each_element(arrival, parts, |content| match content {
                        Content::Bar(event) => resume.scan(event, engine),
                        Content::Trade(event) => resume.scan_trade(event),
                        Content::Ignored(_) | Content::Refused(_) => {}
                    }),
            }
        }
        resume.rewind();
        self.resume = Some(resume);
    }

    pub(super) fn moved(&self, direction: &str, slots: SlotSet) {
        if !slots.is_empty() {
            let moves = &self.setup.metrics.partition_moves;
            moves
                .with_label_values(&[direction])
                .inc_by(slots.len() as u64);
            tracing::info!(direction, slots = slots.len(), "slots moved");
        }
    }
}
