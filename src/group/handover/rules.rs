//! The rules: what follows from what is known, whenever something new is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, Handover, Peer, Phase, RETRY_HEARTBEATS, Sync};
use crate::group::message::MemberId;
use crate::group::slots::{Slot, SlotSet, rendezvous};

impl Handover {
    pub(super) fn evaluate(&mut self, now: Duration) {
        match self.phase {
            Phase::Starting => {
                let heard_for = self.settling.map(|since| now.saturating_sub(since));
                let known = self.alone || self.knows_one_that_serves();
                let enough = if known {
                    self.timing.settle
                } else {
                    self.timing.silence
                };
                if heard_for.is_some_and(|time| time >= enough) {
                    self.settle(now);
                }
            }
            Phase::Syncing => self.synchronize(now),
            Phase::Active => {
                if self.is_usurper(now) {
                    self.restart(now);
                    return;
                }
                self.offer(now);
                self.resolve_conflicts(now);
                self.take_unclaimed(now);
                self.give_up_waiting(now);
            }
            Phase::Leaving => {
                self.offer(now);
                self.give_up_waiting(now);
            }
            Phase::Gone => {}
        }
    }

    fn knows_one_that_serves(&self) -> bool {
        self.peers.values().any(|peer| peer.phase.answers())
    }

    /// Those whose state can be copied.
    pub(super) fn elders(&self) -> impl Iterator<Item = (&MemberId, &Peer)> {
        self.peers.iter().filter(|(_, peer)| {
            matches!(peer.phase, Phase::Active | Phase::Leaving)
                && peer.fingerprint == self.fingerprint
        })
    }

    pub(super) fn claimed(&self) -> SlotSet {
        let claims = self.peers.values().map(|peer| peer.claims);
        claims.fold(SlotSet::EMPTY, SlotSet::union)
    }

    /// Members in one of `phases`, with this one when `me`.
    pub(super) fn members_in(&self, phases: &[Phase], me: bool) -> Vec<MemberId> {
        let peers = self.peers.iter().filter(|(_, p)| phases.contains(&p.phase));
        peers
            .map(|(id, _)| id.clone())
            .chain(me.then(|| self.me.clone()))
            .collect()
    }

    /// Enough was heard: copy the state of those who serve, or be the first to serve.
    pub(super) fn settle(&mut self, now: Duration) {
        if self.elders().any(|(_, peer)| !peer.claims.is_empty()) {
            self.phase = Phase::Syncing;
            self.announce(now, false);
            self.synchronize(now);
            return;
        }
        // of several that start together one goes first, and the others copy from it; one that
        // is copying already will go before
        let copying = self.peers.values().any(|peer| peer.phase == Phase::Syncing);
        let starting = self.members_in(&[Phase::Starting], true);
        if !copying && starting.iter().min() == Some(&self.me) {
            self.holds = SlotSet::ALL.difference(self.claimed());
            self.activate(now, false);
            self.actions.push(Action::Take { slots: self.holds });
        }
    }

    pub(super) fn activate(&mut self, now: Duration, cold: bool) {
        self.phase = Phase::Active;
        self.activated = now;
        self.actions.push(Action::Activate { cold });
        self.announce(now, false);
    }

    /// Copies the state of every slot, and serves once it has all that anyone can give. As long
    /// as members live that have state, it is asked for again when a copy fails: a member that
    /// served without it would publish other values.
    pub(super) fn synchronize(&mut self, now: Duration) {
        if let Some(sync) = &self.sync {
            if now.saturating_sub(sync.heard) <= self.timing.patience {
                return;
            }
            let from = sync.from.clone();
            self.fail_sync(now);
            self.actions.push(Action::SyncFailed { from });
        }
        let Some((from, slots)) = self.wanted_state() else {
            self.activate(now, self.warm != SlotSet::ALL);
            return;
        };
        if now < self.retry_at {
            return;
        }
        let counted = self.peers.get(&from).is_some_and(|peer| peer.protocol > 0);
        self.actions.push(Action::RequestSync {
            from: from.clone(),
            slots,
            counted,
        });
        self.sync = Some(Sync { from, heard: now });
    }

    pub(super) fn fail_sync(&mut self, now: Duration) {
        self.sync = None;
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + self.timing.heartbeat * self.failures.min(RETRY_HEARTBEATS);
    }

    /// Whose state of which slots to copy next: from each member that of the slots it claims,
    /// and from whoever has served longest that of slots nobody claims. Every member keeps every
    /// series, so after a failure another one is asked.
    fn wanted_state(&self) -> Option<(MemberId, SlotSet)> {
        let cold = SlotSet::ALL.difference(self.warm);
        let claimed = |peer: &Peer| peer.claims.intersection(cold);
        let mut elders: Vec<(&MemberId, &Peer)> = self.elders().collect();
        elders.sort_by_key(|(_, peer)| claimed(peer).len());
        let (id, peer) = *elders.last()?;
        if cold.is_empty() {
            return None;
        }
        if self.failures > 0 {
            let other = elders.len() - 1 - self.failures as usize % elders.len();
            return Some((elders[other].0.clone(), cold));
        }
        if !claimed(peer).is_empty() {
            return Some((id.clone(), claimed(peer)));
        }
        // what a killed member held belongs to no one until it is missed
        let oldest = elders
            .iter()
            .max_by_key(|(_, peer)| (peer.phase == Phase::Active, peer.age));
        oldest.map(|(id, _)| ((*id).clone(), cold))
    }

    /// Offers every slot that ought to be another's.
    pub(super) fn offer(&mut self, now: Duration) {
        let heirs = self.members_in(&[Phase::Active], self.phase == Phase::Active);
        let mut due: BTreeMap<MemberId, SlotSet> = BTreeMap::new();
        for slot in self.holds.iter() {
            if let Some(heir) = rendezvous(slot, &heirs).filter(|heir| **heir != self.me) {
                due.entry(heir.clone()).or_default().insert(slot);
            }
        }
        self.offered.retain(|heir, _| due.contains_key(heir));
        for (to, slots) in due {
            let standing = self.offered.get(&to);
            let fresh = standing.is_some_and(|(offered, at)| {
                *offered == slots && now.saturating_sub(*at) < self.timing.heartbeat
            });
            if !fresh {
                self.offered.insert(to.clone(), (slots, now));
                self.actions.push(Action::Offer { to, slots });
            }
        }
    }

    /// Returns true if this member began to serve just now and did not hear in time of one that has
    /// served for longer, whose state it should have copied.
    pub(super) fn is_usurper(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.activated);
        age < self.timing.patience
            && self.elders().any(|(_, peer)| {
                self.believes(peer, now)
                    && peer.age > age
                    && !peer.claims.intersection(self.holds).is_empty()
            })
    }

    /// The claims of a member that is first heard may be out of date. One that comes back from a
    /// freeze or a cut finds that out within moments and gives up its claims itself. Messages of a
    /// dead member may arrive late, all at once; a live member sends more.
    pub(super) fn believes(&self, peer: &Peer, now: Duration) -> bool {
        let spoke_again = peer.heard.saturating_sub(peer.since) * 2 > self.timing.heartbeat;
        spoke_again && now.saturating_sub(peer.since) * 2 > self.timing.silence
    }

    /// Of two that hold a slot, the one it falls to keeps it.
    pub(super) fn resolve_conflicts(&mut self, now: Duration) {
        let members = self.members_in(&[Phase::Active], true);
        let claims = self.peers.values().filter(|peer| self.believes(peer, now));
        let claims = claims.map(|peer| peer.claims);
        let lost: SlotSet = self
            .holds
            .intersection(claims.fold(SlotSet::EMPTY, SlotSet::union))
            .iter()
            .filter(|slot| rendezvous(*slot, &members) != Some(&self.me))
            .collect();
        self.drop_slots(now, lost);
    }

    /// Takes slots that nobody holds and that fall to this member. One that is still starting gets
    /// its share by a hand-over when it serves, for it may stop before.
    pub(super) fn take_unclaimed(&mut self, now: Duration) {
        let members = self.members_in(&[Phase::Active], true);
        // others may not have heard yet that this member serves
        let known = now.saturating_sub(self.activated) >= self.timing.orphan;
        let free = self.free();
        self.unclaimed.retain(|slot, _| free.contains(*slot));
        let mut taken = SlotSet::EMPTY;
        for slot in free.iter() {
            let since = *self.unclaimed.entry(slot).or_insert(now);
            let waited = now.saturating_sub(since) >= self.timing.orphan;
            let nobodys = if self.is_vacant(slot) {
                known || waited
            } else {
                // one that has not listened for long does not know everyone who may hold it
                waited && self.knows_everyone(now) && !self.accepted.contains_key(&slot)
            };
            if nobodys && rendezvous(slot, &members) == Some(&self.me) {
                taken.insert(slot);
            }
        }
        if taken.is_empty() {
            return;
        }
        for slot in taken.iter() {
            self.unclaimed.remove(&slot);
            self.accepted.remove(&slot);
        }
        self.holds = self.holds.union(taken);
        self.actions.push(Action::Take { slots: taken });
        self.announce(now, false);
    }

    /// Slots that nobody claims.
    fn free(&self) -> SlotSet {
        let claimed = self.claimed().union(self.holds);
        SlotSet::ALL.difference(claimed)
    }

    /// True if the last holder of `slot` has been silent for so long that it is dead.
    fn is_vacant(&self, slot: Slot) -> bool {
        let due = self.vacancies.due(slot);
        due.is_some_and(|due| self.proven > due)
    }

    /// True if slots that nobody claims would be vacant, if this member had heard itself just now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let due = |slot| self.vacancies.due(slot).is_some_and(|due| now > due);
        self.phase == Phase::Active && self.free().iter().any(due)
    }

    pub(super) fn knows_everyone(&self, now: Duration) -> bool {
        let listening = self.settling.map(|since| now.saturating_sub(since));
        listening.is_some_and(|time| time > self.timing.silence)
    }

    pub(super) fn give_up_waiting(&mut self, now: Duration) {
        let patience = self.timing.patience;
        let late = |at: &Duration| now.saturating_sub(*at) > patience;
        let slots: SlotSet = self
            .accepted
            .iter()
            .filter(|(_, at)| late(at))
            .map(|(slot, _)| *slot)
            .collect();
        if !slots.is_empty() {
            self.accepted.retain(|slot, _| !slots.contains(*slot));
            self.actions.push(Action::Forget { slots });
        }
    }
}
