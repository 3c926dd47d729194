//! Slots and their state on the way from one member to another.

use std::time::Duration;

use super::{Action, Handover, Phase};
use crate::group::message::MemberId;
use crate::group::slots::SlotSet;

impl Handover {
    /// `from` wants to hand `slots` over to this member.
    pub fn on_offer(&mut self, now: Duration, from: &MemberId, slots: SlotSet) {
        let slots = slots.difference(self.holds);
        if self.phase == Phase::Active && !slots.is_empty() {
            for slot in slots.iter() {
                self.accepted.insert(slot, now);
            }
            self.actions.push(Action::Accept {
                to: from.clone(),
                slots,
            });
        }
    }

    /// `from` is ready to take `slots`.
    pub fn on_accept(&mut self, now: Duration, from: &MemberId, slots: SlotSet) {
        let Some((offered, _)) = self.offered.remove(from) else {
            return;
        };
        let slots = slots.intersection(offered).intersection(self.holds);
        if slots.is_empty() {
            return;
        }
        self.give_up(now, slots);
        self.seq += 1;
        self.actions.push(Action::Release {
            to: from.clone(),
            slots,
            seq: self.seq,
        });
        if let Some(heir) = self.peers.get_mut(from) {
            heir.claims = heir.claims.union(slots);
        }
        self.announce(now, false);
        self.evaluate(now);
    }

    /// `from` has handed `slots` over. What is returned is this member's from here on.
    pub fn on_grant(
        &mut self,
        now: Duration,
        from: &MemberId,
        seq: u64,
        slots: SlotSet,
    ) -> SlotSet {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.seq = peer.seq.max(seq);
            peer.claims = peer.claims.difference(slots);
        }
        if !matches!(self.phase, Phase::Active | Phase::Leaving) {
            return SlotSet::EMPTY;
        }
        let mine = slots.difference(self.holds);
        self.holds = self.holds.union(mine);
        self.vacancies.claimed(slots, now);
        for slot in slots.iter() {
            self.accepted.remove(&slot);
            self.unclaimed.remove(&slot);
        }
        self.announce(now, false);
        self.evaluate(now);
        mine
    }

    /// Some of the requested state came.
    pub fn on_progress(&mut self, now: Duration, from: &MemberId) {
        if let Some(sync) = self.sync.as_mut().filter(|sync| sync.from == *from) {
            sync.heard = now;
        }
    }

    /// All of the requested state of `slots` came.
    pub fn on_synced(&mut self, now: Duration, from: &MemberId, slots: SlotSet) {
        if self.phase == Phase::Syncing {
            self.warm = self.warm.union(slots);
            if self.sync.as_ref().is_some_and(|sync| sync.from == *from) {
                self.sync = None;
                self.failures = 0;
            }
            self.evaluate(now);
        }
    }

    /// All of the requested state of `slots` came, and more slots are to come.
    pub fn on_copied(&mut self, now: Duration, from: &MemberId, slots: SlotSet) {
        if self.phase == Phase::Syncing {
            self.warm = self.warm.union(slots);
            self.on_progress(now, from);
        }
    }

    /// The requested state did not come whole: it is asked for again.
    pub fn on_copy_failed(&mut self, now: Duration, from: &MemberId) {
        if self.sync.as_ref().is_some_and(|sync| sync.from == *from) {
            self.fail_sync(now);
            self.evaluate(now);
        }
    }

    /// Slots whose state is still to be copied before this member can serve.
    #[must_use]
    pub fn awaited(&self) -> SlotSet {
        match self.phase {
            Phase::Syncing => SlotSet::ALL.difference(self.warm),
            _ => SlotSet::EMPTY,
        }
    }
}
