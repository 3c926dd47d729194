//! The protocol by which slots pass between members, as a pure state machine.
//!
//! Every member keeps every series, so a hand-over moves no state, only the right to publish:
//! the holder *offers* a slot, the heir starts to keep its signals and *accepts*, the holder
//! stops and *grants* it with the position it published each series up to, and the heir
//! publishes what it kept beyond that. A member that starts copies the state of every slot
//! (*sync*) before it may be an heir.
//!
//! Promises, as long as messages between two members keep their order and bars reach a member
//! in order with them: while members only join and leave, each bar is published by exactly one
//! member. When one is killed, its slots are taken over once it has been silent for
//! [`Timing::silence`]; what it left unpublished by then is not published. A member that was
//! frozen or cut off that long gives up everything before it publishes again, so that nothing
//! is published twice: it knows by its own presences, which come back to it from the network
//! as they reach the others, and stop coming back a little before the others bury it.
//!
//! The caller must have worked off every bar that arrived before a message when it hands that
//! message in. Must not know: the network, the engine, the clock; time is handed in.

mod action;
mod rules;
mod transfers;
mod vacancy;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

pub use action::{Action, MemberView, Phase, Timing};

use vacancy::Vacancies;

use super::message::{MemberId, PROTOCOL, Presence};
use super::slots::{Slot, SlotSet};

#[derive(Debug, Clone)]
struct Peer {
    name: String,
    seq: u64,
    phase: Phase,
    claims: SlotSet,
    fingerprint: u64,
    protocol: u32,
    /// The time it had served when it was last heard.
    age: Duration,
    heard: Duration,
    /// The time at which it was first heard, or heard again after it had been taken for dead.
    since: Duration,
}

#[derive(Debug)]
struct Sync {
    from: MemberId,
    heard: Duration,
}

/// One member's part in the protocol. Times are durations since any fixed moment.
#[derive(Debug)]
pub struct Handover {
    me: MemberId,
    name: String,
    fingerprint: u64,
    timing: Timing,
    phase: Phase,
    seq: u64,
    holds: SlotSet,
    peers: BTreeMap<MemberId, Peer>,
    /// Slots whose state is copied, while syncing.
    warm: SlotSet,
    sync: Option<Sync>,
    /// Requests for state that failed since one succeeded, and when the next may be made.
    failures: u32,
    retry_at: Duration,
    offered: BTreeMap<MemberId, (SlotSet, Duration)>,
    accepted: HashMap<Slot, Duration>,
    unclaimed: HashMap<Slot, Duration>,
    /// The times at which unclaimed slots may be taken.
    vacancies: Vacancies,
    linked: bool,
    unlinked_at: Duration,
    announced: Duration,
    /// The time at which a presence of this member last came back to it.
    echoed: Duration,
    /// The presences sent and not yet received back: number and time.
    said: VecDeque<(u64, Duration)>,
    /// The sending time of the newest presence that has come back: everything that the others sent
    /// before it has been received.
    proven: Duration,
    /// True if the network knows of no member that serves: nobody has to be waited for.
    alone: bool,
    /// The first presence of the current start, and when one since came back.
    started_seq: u64,
    settling: Option<Duration>,
    /// The time at which the member last became active.
    activated: Duration,
    actions: Vec<Action>,
}

/// Presences that may be under way; of more, the oldest prove nothing.
const SAID_MAX: usize = 256;

/// The longest wait before state is asked for again, in heartbeats.
const RETRY_HEARTBEATS: u32 = 8;

impl Handover {
    /// A member that starts at `now` and computes what `fingerprint` stands for.
    #[must_use]
    pub fn new(
        me: MemberId,
        name: String,
        fingerprint: u64,
        timing: Timing,
        now: Duration,
    ) -> Self {
        let mut this = Self {
            me,
            name,
            fingerprint,
            timing,
            phase: Phase::Starting,
            seq: 0,
            holds: SlotSet::EMPTY,
            peers: BTreeMap::new(),
            warm: SlotSet::EMPTY,
            sync: None,
            failures: 0,
            retry_at: now,
            offered: BTreeMap::new(),
            accepted: HashMap::new(),
            unclaimed: HashMap::new(),
            vacancies: Vacancies::new(timing.silence),
            linked: true,
            unlinked_at: now,
            announced: now,
            echoed: now,
            said: VecDeque::new(),
            proven: now,
            alone: false,
            started_seq: 1,
            settling: None,
            activated: now,
            actions: Vec::new(),
        };
        this.announce(now, true);
        this
    }

    /// The phase of this member.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The time without a word after which a member is called dead.
    #[must_use]
    pub const fn silence(&self) -> Duration {
        self.timing.silence
    }

    /// The slots it publishes for.
    #[must_use]
    pub const fn holds(&self) -> &SlotSet {
        &self.holds
    }

    /// The slots it has offered and not handed over yet.
    #[must_use]
    pub fn offered(&self) -> SlotSet {
        let offered = self.offered.values().map(|(slots, _)| *slots);
        offered.fold(SlotSet::EMPTY, SlotSet::union)
    }

    /// Everyone known to live, this member first.
    #[must_use]
    pub fn members(&self) -> Vec<MemberView> {
        let me = MemberView {
            id: self.me.clone(),
            name: self.name.clone(),
            phase: self.phase,
            slots: self.holds.len(),
        };
        let peers = self.peers.iter().map(|(id, peer)| MemberView {
            id: id.clone(),
            name: peer.name.clone(),
            phase: peer.phase,
            slots: peer.claims.len(),
        });
        std::iter::once(me).chain(peers).collect()
    }

    /// The first member that computes something else than this one; `None` if there is none.
    #[must_use]
    pub fn differing_member(&self) -> Option<&str> {
        let mut others = self.peers.values();
        others
            .find(|peer| peer.fingerprint != self.fingerprint)
            .map(|peer| peer.name.as_str())
    }

    /// The presence to send with [`Action::Announce`].
    #[must_use]
    pub fn presence(&self, hello: bool) -> Presence {
        Presence {
            id: self.me.clone(),
            name: self.name.clone(),
            seq: self.seq,
            phase: self.phase,
            claims: self.holds,
            fingerprint: self.fingerprint,
            age: match self.phase {
                Phase::Active | Phase::Leaving => self.announced.saturating_sub(self.activated),
                _ => Duration::ZERO,
            },
            hello,
            protocol: PROTOCOL,
            vacant: self.vacancies.report(self.vacant(), self.proven),
        }
    }

    /// The actions to take next, in order. Call it after every other call.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Returns true if a leaving member has nothing left that another could take.
    #[must_use]
    pub fn is_released(&self) -> bool {
        let heirs = self.peers.values().any(|peer| peer.phase != Phase::Leaving);
        !heirs || (self.holds.is_empty() && self.accepted.is_empty())
    }

    /// Time has passed. To be called several times a second, and before publishing when it has
    /// not been called for a while: this is where a member notices that it was frozen or cut off.
    pub fn tick(&mut self, now: Duration) {
        if !self.linked {
            return;
        }
        if self.was_away(now) {
            self.restart(now);
            return;
        }
        let silence = self.timing.silence;
        // one that has just been deaf itself cannot tell who is dead: it speaks, and once that
        // has come back it has heard whatever the silent one said before
        let dead: Vec<MemberId> = self
            .peers
            .iter()
            .filter(|(_, peer)| self.proven.saturating_sub(peer.heard) > silence)
            .map(|(id, _)| id.clone())
            .collect();
        for id in dead {
            self.bury(&id);
        }
        let asks = now.saturating_sub(self.announced) >= self.timing.heartbeat / 10;
        let silent = |peer: &Peer| now.saturating_sub(peer.heard) > silence;
        if asks && (self.peers.values().any(silent) || self.is_due(now)) {
            self.announce(now, self.phase == Phase::Starting);
        }
        if now.saturating_sub(self.announced) >= self.timing.heartbeat {
            self.announce(now, self.phase == Phase::Starting);
        }
        self.evaluate(now);
    }

    /// The connection went down or came back.
    pub fn on_link(&mut self, now: Duration, up: bool) {
        if up == self.linked {
            return;
        }
        self.linked = up;
        if !up {
            self.unlinked_at = now;
        } else if now.saturating_sub(self.unlinked_at) * 2 > self.timing.silence {
            self.restart(now);
        } else {
            self.echoed = now;
            self.vacancies.was_deaf(now);
            for peer in self.peers.values_mut() {
                peer.heard = now;
            }
            self.announce(now, true);
        }
    }

    /// A member said where it stands; this one's own words come back here too.
    pub fn on_presence(&mut self, now: Duration, presence: &Presence) {
        if presence.id == self.me {
            self.on_echo(now, presence.seq);
            return;
        }
        let known = self.peers.get(&presence.id);
        if known.is_some_and(|peer| peer.seq > presence.seq) {
            return;
        }
        if presence.phase == Phase::Gone {
            self.peers.remove(&presence.id);
            self.offered.remove(&presence.id);
        } else {
            let since = known.map_or(now, |peer| peer.since);
            let peer = Peer {
                name: presence.name.clone(),
                seq: presence.seq,
                phase: presence.phase,
                claims: presence.claims,
                fingerprint: presence.fingerprint,
                protocol: presence.protocol,
                age: presence.age,
                heard: now,
                since,
            };
            self.vacancies.claimed(presence.claims, now);
            self.vacancies.on_report(now, &presence.vacant);
            self.peers.insert(presence.id.clone(), peer);
        }
        if presence.phase == Phase::Gone && self.phase == Phase::Starting {
            // it may have been the last one that served
            self.announce(now, true);
        } else if presence.hello {
            self.announce(now, false);
        }
        self.evaluate(now);
    }

    /// The network knows of no member that serves, as far as it was asked since this one said
    /// hello. One that starts and has not been told so waits for as long as it takes to call a
    /// member dead: whoever serves may only be slow to answer.
    pub fn on_nobody(&mut self, now: Duration) {
        if self.phase == Phase::Starting {
            self.alone = true;
            self.evaluate(now);
        }
    }

    /// This member is to stop: it hands over what it holds.
    pub fn leave(&mut self, now: Duration) {
        if self.phase != Phase::Leaving {
            self.phase = Phase::Leaving;
            self.offered.clear();
            self.announce(now, false);
            self.evaluate(now);
        }
    }

    /// The last presence: this member is no more.
    pub fn farewell(&mut self) -> Presence {
        self.phase = Phase::Gone;
        self.holds = SlotSet::EMPTY;
        self.seq += 1;
        self.presence(false)
    }

    fn on_echo(&mut self, now: Duration, seq: u64) {
        // what comes back only now may have waited here through a freeze: the others heard it
        // when it was said
        let was_away = self.was_away(now);
        self.echoed = now;
        while let Some((_, at)) = self.said.front().copied().filter(|(said, _)| *said <= seq) {
            self.proven = at;
            self.said.pop_front();
        }
        if was_away {
            self.restart(now);
            return;
        }
        if self.phase == Phase::Starting && seq >= self.started_seq && self.settling.is_none() {
            self.settling = Some(now);
            self.vacancies.listen(now);
        }
        self.evaluate(now);
    }

    /// Returns true if this member has not heard itself for so long that the others may take it for
    /// dead.
    fn was_away(&self, now: Duration) -> bool {
        let unheard = now.saturating_sub(self.echoed);
        self.phase != Phase::Starting && unheard * 6 > self.timing.silence * 5
    }

    fn announce(&mut self, now: Duration, hello: bool) {
        self.seq += 1;
        self.announced = now;
        self.said.push_back((self.seq, now));
        if self.said.len() > SAID_MAX {
            self.said.pop_front();
        }
        // one presence says it all
        self.actions
            .retain(|a| !matches!(a, Action::Announce { hello: h } if !h || hello));
        self.actions.push(Action::Announce { hello });
    }

    /// Whatever was held may be another's by now.
    fn restart(&mut self, now: Duration) {
        if self.phase == Phase::Leaving {
            self.drop_slots(now, self.holds);
            return;
        }
        self.drop_slots(now, self.holds);
        self.phase = Phase::Starting;
        self.peers.clear();
        self.warm = SlotSet::EMPTY;
        self.sync = None;
        self.failures = 0;
        self.retry_at = now;
        self.offered.clear();
        self.accepted.clear();
        self.unclaimed.clear();
        self.vacancies.forget();
        self.actions.push(Action::Restart);
        self.alone = false;
        self.settling = None;
        self.announce(now, true);
        self.started_seq = self.seq;
    }

    fn give_up(&mut self, now: Duration, slots: SlotSet) {
        self.holds = self.holds.difference(slots);
        self.vacancies.claimed(slots, now);
    }

    fn drop_slots(&mut self, now: Duration, slots: SlotSet) {
        if !slots.is_empty() {
            self.give_up(now, slots);
            self.actions.push(Action::Drop { slots });
        }
    }

    /// Slots that no living member is known to hold.
    fn vacant(&self) -> SlotSet {
        let alive =
            |peer: &&Peer| self.proven.saturating_sub(peer.heard) * 5 <= self.timing.heartbeat * 6;
        let claims = self.peers.values().filter(alive).map(|peer| peer.claims);
        let claimed = claims.fold(self.holds, SlotSet::union);
        SlotSet::ALL.difference(claimed)
    }

    fn bury(&mut self, id: &MemberId) {
        self.peers.remove(id);
        self.offered.remove(id);
        if self.sync.as_ref().is_some_and(|sync| sync.from == *id) {
            self.sync = None;
        }
    }
}

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;
