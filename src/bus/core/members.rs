//! The member of the group: says what the protocol wants said, and copies state.

use std::collections::VecDeque;
use std::sync::Arc;

use async_nats::{Client, HeaderMap, Subject};
use hashbrown::HashMap;

use super::resume::Resume;
use crate::bus::guard::Guard;
use crate::bus::intake::{Duty, Intake};
use crate::engine::{SeriesId, SeriesSnapshot};
use crate::group::{Direct, Handover, MemberId, Place, Position, Presence, Purpose, Slot, SlotSet};
use crate::wire::token;

/// A message to a member stays below this, whatever the server allows.
const CHUNK_BYTES: usize = 256 * 1024;
/// What a position takes, at most: a symbol, a timeframe, a timestamp, a revision.
const POSITION_BYTES: usize = 96;
/// What the mark of a dead letter takes, at most.
const MARK_BYTES: usize = 10;
/// Signals, and dead letters, kept for hand-overs at most.
const KEPT_MAX: usize = 100_000;

/// The subjects on which the members of a group talk.
#[derive(Debug, Clone)]
pub(super) struct GroupSubjects {
    pub presence: Subject,
    direct: String,
}

impl GroupSubjects {
    pub fn new(group: &str) -> Self {
        let base = format!("agents.technical.group.{}", token(group));
        Self {
            presence: format!("{base}.presence").into(),
            direct: format!("{base}.to"),
        }
    }

    pub fn direct(&self, member: &MemberId) -> Subject {
        format!("{}.{member}", self.direct).into()
    }
}

/// What is said to everyone.
pub(super) const PRESENCE: Place<'static> = Place {
    purpose: Purpose::Presence,
    names: &[],
};

/// What is said to the member called `to.0`.
pub(super) fn said_to<'a>(to: &'a [&'a str; 1]) -> Place<'a> {
    Place {
        purpose: Purpose::Direct,
        names: to,
    }
}

/// State on its way to a member.
struct Copying {
    to: MemberId,
    slots: SlotSet,
    series: VecDeque<SeriesId>,
}

pub(super) struct Members {
    pub handover: Handover,
    pub subjects: GroupSubjects,
    pub me: MemberId,
    guard: Arc<Guard>,
    client: Client,
    copying: VecDeque<Copying>,
    copied: Resume,
    /// Slots whose signals are kept until they are granted.
    keeps: SlotSet,
}

impl Members {
    pub fn new(
        handover: Handover,
        subjects: GroupSubjects,
        me: MemberId,
        guard: Arc<Guard>,
        client: Client,
    ) -> Self {
        Self {
            handover,
            subjects,
            me,
            guard,
            client,
            copying: VecDeque::new(),
            copied: Resume::default(),
            keeps: SlotSet::EMPTY,
        }
    }

    pub fn duty(&self) -> Duty {
        Duty {
            holds: *self.handover.holds(),
            keeps: self.keeps,
            offered: self.handover.offered(),
        }
    }

    /// Whether state is still to be sent to others.
    pub fn is_copying(&self) -> bool {
        !self.copying.is_empty()
    }

    /// What was copied from others since the last call.
    pub fn take_copied(&mut self) -> Option<Resume> {
        let copied = std::mem::take(&mut self.copied);
        (!copied.is_empty()).then_some(copied)
    }

    pub async fn announce(&self, presence: &Presence) {
        match serde_json::to_vec(presence) {
            Ok(json) => {
                let subject = self.subjects.presence.clone();
                self.publish(subject, PRESENCE, json).await;
            }
            Err(error) => tracing::error!(%error, "presence cannot be written"),
        }
    }

    pub async fn say(&self, to: &MemberId, message: &Direct) {
        match postcard::to_stdvec(message) {
            Ok(bytes) => {
                let place = [to.as_ref()];
                self.publish(self.subjects.direct(to), said_to(&place), bytes)
                    .await;
            }
            Err(error) => tracing::error!(%error, "message to a member cannot be written"),
        }
    }

    pub async fn request_sync(&self, to: &MemberId, slots: SlotSet) {
        let from = self.me.clone();
        self.say(to, &Direct::SyncRequest { from, slots }).await;
    }

    pub async fn offer(&self, to: &MemberId, slots: SlotSet) {
        let from = self.me.clone();
        self.say(to, &Direct::Offer { from, slots }).await;
    }

    pub async fn accept(&mut self, to: &MemberId, slots: SlotSet) {
        self.keeps = self.keeps.union(slots);
        let from = self.me.clone();
        self.say(to, &Direct::Accept { from, slots }).await;
    }

    /// Tells the heir how far each series of `slots` has come, in as many messages as it takes.
    pub async fn grant(&self, intake: &mut Intake, to: &MemberId, slots: SlotSet, seq: u64) {
        let mut letters: HashMap<Slot, Vec<u64>> = HashMap::new();
        intake.written.retain(|(slot, mark)| {
            if slots.contains(*slot) {
                letters.entry(*slot).or_default().push(*mark);
            }
            !slots.contains(*slot)
        });
        let mut by_slot: HashMap<Slot, Vec<Position>> = HashMap::new();
        for (_, series) in intake.engine.iter() {
            let slot = Slot::of(series.key().symbol.as_str().as_bytes());
            if let Some((timestamp, revision)) = series.position().filter(|_| slots.contains(slot))
            {
                let key = series.key().clone();
                by_slot.entry(slot).or_default().push(Position {
                    key,
                    timestamp,
                    revision,
                });
            }
        }
        let mut part = SlotSet::EMPTY;
        let mut positions = Vec::new();
        let mut marks = Vec::new();
        let mut rest = slots.iter().peekable();
        while let Some(slot) = rest.next() {
            part.insert(slot);
            positions.append(&mut by_slot.remove(&slot).unwrap_or_default());
            marks.append(&mut letters.remove(&slot).unwrap_or_default());
            let bytes = positions.len() * POSITION_BYTES + marks.len() * MARK_BYTES;
            if rest.peek().is_none() || bytes > CHUNK_BYTES {
                let grant = Direct::Grant {
                    from: self.me.clone(),
                    seq,
                    slots: std::mem::take(&mut part),
                    positions: std::mem::take(&mut positions),
                    letters: std::mem::take(&mut marks),
                };
                self.say(to, &grant).await;
            }
        }
    }

    /// Signals of `mine` beyond `positions` were published by nobody, and dead letters that are
    /// not among `letters` written by nobody: they are to be now. What was kept of `slots` is
    /// kept no longer.
    pub fn inherit(
        &mut self,
        intake: &mut Intake,
        slots: SlotSet,
        mine: SlotSet,
        positions: &[Position],
        letters: &[u64],
    ) {
        let published: HashMap<_, _> = positions
            .iter()
            .map(|p| (&p.key, (p.timestamp, p.revision)))
            .collect();
        self.keeps = self.keeps.difference(slots);
        let (granted, kept) = std::mem::take(&mut intake.kept)
            .into_iter()
            .partition(|kept| slots.contains(kept.slot));
        intake.kept = kept;
        for kept in granted {
            let beyond = published
                .get(&kept.key)
                .is_none_or(|published| (kept.timestamp, kept.revision) > *published);
            if beyond && mine.contains(kept.slot) {
                intake.outbox.push(kept.signal);
            }
        }
        let mut written: HashMap<u64, usize> = HashMap::new();
        for mark in letters {
            *written.entry(*mark).or_default() += 1;
        }
        let (granted, kept) = std::mem::take(&mut intake.kept_letters)
            .into_iter()
            .partition(|kept| slots.contains(kept.slot));
        intake.kept_letters = kept;
        for kept in granted {
            match written.get_mut(&kept.mark).filter(|times| **times > 0) {
                Some(times) => *times -= 1,
                None if mine.contains(kept.slot) => intake.outbox.push(kept.letter),
                None => {}
            }
        }
    }

    /// What was kept of `slots` is not needed.
    pub fn forget(&mut self, intake: &mut Intake, slots: SlotSet) {
        self.keeps = self.keeps.difference(slots);
        intake.kept.retain(|kept| !slots.contains(kept.slot));
        intake
            .kept_letters
            .retain(|kept| !slots.contains(kept.slot));
    }

    /// Keeps memory bounded when a grant does not come.
    pub fn limit_kept(&self, intake: &mut Intake) {
        // an offer that came to nothing needs no account
        if !intake.written.is_empty() {
            let offered = self.handover.offered();
            intake.written.retain(|(slot, _)| offered.contains(*slot));
        }
        let excess = intake.kept_letters.len().saturating_sub(KEPT_MAX);
        intake.kept_letters.drain(..excess);
        let excess = intake.written.len().saturating_sub(KEPT_MAX);
        intake.written.drain(..excess);
        if intake.kept.len() > KEPT_MAX {
            let excess = intake.kept.len() - KEPT_MAX / 2;
            tracing::warn!(
                excess,
                "a hand-over takes too long; signals kept for it are given up"
            );
            intake.kept.drain(..excess);
        }
    }

    /// Begins to send the state of `slots` to `to`.
    pub fn copy_to(&mut self, intake: &Intake, to: MemberId, slots: SlotSet) {
        let in_slots = intake.engine.iter().filter(|(_, series)| {
            slots.contains(Slot::of(series.key().symbol.as_str().as_bytes()))
        });
        let series = in_slots.map(|(id, _)| id).collect();
        self.copying.push_back(Copying { to, slots, series });
    }

    /// Sends the next part of what is being copied.
    pub async fn copy_on(&mut self, intake: &Intake) {
        let Some(copying) = self.copying.front_mut() else {
            return;
        };
        let mut series = Vec::new();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES
            && let Some(id) = copying.series.pop_front()
        {
            let Some(snapshot) = intake.engine.snapshot(id) else {
                continue;
            };
            match postcard::to_stdvec(&snapshot) {
                Ok(state) => {
                    bytes += state.len();
                    series.push(state);
                }
                Err(error) => tracing::error!(%error, "state of a series cannot be written"),
            }
        }
        let (to, slots, done) = (copying.to.clone(), copying.slots, copying.series.is_empty());
        if done {
            self.copying.pop_front();
        }
        let from = self.me.clone();
        if !series.is_empty() {
            let state = Direct::State {
                from: from.clone(),
                series,
            };
            self.say(&to, &state).await;
        }
        if done {
            self.say(&to, &Direct::Synced { from, slots }).await;
        }
    }

    /// Takes in copied state.
    pub fn restore(&mut self, intake: &mut Intake, series: &[Vec<u8>]) {
        for state in series {
            let snapshot: SeriesSnapshot = match postcard::from_bytes(state) {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    tracing::warn!(%error, "state of a series cannot be read");
                    continue;
                }
            };
            let key = snapshot.series().key().clone();
            let newest = snapshot.series().ring().newest();
            match (intake.engine.restore(snapshot), newest) {
                (Ok(_), Some(newest)) => self.copied.copied(key, newest),
                (Ok(_), None) => {}
                (Err(error), _) => tracing::warn!(%key, %error, "state of a series cannot be used"),
            }
        }
    }

    /// Everything said before is void.
    pub fn restart(&mut self, intake: &mut Intake) {
        self.keeps = SlotSet::EMPTY;
        self.copied = Resume::default();
        self.copying.clear();
        intake.kept.clear();
        intake.kept_letters.clear();
        intake.written.clear();
    }

    async fn publish(&self, subject: Subject, place: Place<'_>, payload: Vec<u8>) {
        let mut headers = HeaderMap::new();
        self.guard.seal(&mut headers, place, &payload);
        let sent = if headers.is_empty() {
            self.client.publish(subject, payload.into()).await
        } else {
            let client = &self.client;
            client
                .publish_with_headers(subject, headers, payload.into())
                .await
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "message to the group cannot be sent");
        }
    }
}
