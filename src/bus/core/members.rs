//! The member of the group: says what the protocol wants said, and copies state.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use async_nats::{Client, HeaderMap, Subject};
use hashbrown::HashMap;

use super::copy::{CopyFault, Giving, Next, Taking};
use super::resume::Resume;
use crate::bus::guard::Guard;
use crate::bus::intake::{Duty, Intake, Outgoing};
use crate::engine::{Engine, SeriesId, SeriesSnapshot};
use crate::group::{Direct, Handover, MemberId, Place, Position, Presence, Purpose, Slot, SlotSet};
use crate::market::SeriesKey;
use crate::wire::token;

/// A message to a member stays below this, whatever the server allows.
const CHUNK_BYTES: usize = 256 * 1024;
/// The most bytes a message has beside its series, positions and marks.
const ENVELOPE_BYTES: usize = 4 * 1024;
/// What a position takes, at most: a symbol, a timeframe, a timestamp, a revision.
const POSITION_BYTES: usize = 96;
/// What the mark of a dead letter takes, at most.
const MARK_BYTES: usize = 10;
/// Bytes of signals, and of dead letters, kept for hand-overs at most.
const KEPT_BYTES: usize = 32 << 20;
/// The bytes that one of them takes beside its payload.
const KEPT_OVERHEAD: usize = 1_024;
/// Marks of dead letters kept for hand-overs at most.
const WRITTEN_MAX: usize = 100_000;

/// The subjects on which the members of a group talk.
#[derive(Debug, Clone)]
pub(super) struct GroupSubjects {
    pub presence: Subject,
    /// Members that serve are subscribed to it.
    pub serving: Subject,
    direct: String,
}

impl GroupSubjects {
    pub fn new(group: &str) -> Self {
        let base = format!("agents.technical.group.{}", token(group));
        Self {
            presence: format!("{base}.presence").into(),
            serving: format!("{base}.serving").into(),
            direct: format!("{base}.to"),
        }
    }

    pub fn direct(&self, member: &MemberId) -> Subject {
        format!("{}.{member}", self.direct).into()
    }
}

/// The place of messages to everyone.
pub(super) const PRESENCE: Place<'static> = Place {
    purpose: Purpose::Presence,
    names: &[],
};

/// The place of messages to the member called `to.0`.
pub(super) fn said_to<'a>(to: &'a [&'a str; 1]) -> Place<'a> {
    Place {
        purpose: Purpose::Direct,
        names: to,
    }
}

/// State on its way to a member that does not count it.
struct Copying {
    to: MemberId,
    slots: SlotSet,
    series: VecDeque<SeriesId>,
}

/// The parts of a grant that came before its last message.
struct Granting {
    from: MemberId,
    seq: u64,
    positions: Vec<Position>,
    letters: Vec<u64>,
}

pub(super) struct Members {
    pub handover: Handover,
    pub subjects: GroupSubjects,
    pub me: MemberId,
    guard: Arc<Guard>,
    client: Client,
    copying: VecDeque<Copying>,
    giving: Vec<Giving>,
    taking: Option<Taking>,
    /// Copies asked for so far.
    copies: u64,
    /// Why the last copy failed, until one succeeds.
    copy_fault: Option<String>,
    granting: Option<Granting>,
    /// The resets that the series of grants that are on their way began with.
    epochs: Option<(MemberId, u64, HashMap<SeriesKey, u64>)>,
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
            giving: Vec::new(),
            taking: None,
            copies: 0,
            copy_fault: None,
            granting: None,
            epochs: None,
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

    /// Returns whether there is state to be sent to others now.
    pub fn is_copying(&self) -> bool {
        !self.copying.is_empty() || self.giving.iter().any(Giving::is_open)
    }

    /// Why the last copy failed, until one succeeds.
    pub fn copy_fault(&self) -> Option<&str> {
        self.copy_fault.as_deref()
    }

    /// The bytes of series, positions and marks that fit in a message to a member.
    fn room(&self) -> usize {
        let allowed = self.client.max_payload();
        let room = allowed.min(CHUNK_BYTES).saturating_sub(ENVELOPE_BYTES);
        room.max(POSITION_BYTES)
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

    pub async fn request_sync(&mut self, to: &MemberId, slots: SlotSet, counted: bool) {
        let from = self.me.clone();
        if !counted {
            tracing::info!(member = %to, "a member of a former version cannot count the state it sends");
            self.taking = None;
            return self.say(to, &Direct::SyncRequest { from, slots }).await;
        }
        self.copies += 1;
        let copy = self.copies;
        self.taking = Some(Taking::new(to.clone(), copy, slots));
        self.say(to, &Direct::CopyRequest { from, copy, slots })
            .await;
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
        intake.out.written.retain(|(slot, mark)| {
            if slots.contains(*slot) {
                letters.entry(*slot).or_default().push(*mark);
            }
            !slots.contains(*slot)
        });
        let mut by_slot: HashMap<Slot, Vec<Position>> = HashMap::new();
        let mut epochs = Vec::new();
        for (_, series) in intake.engine().iter() {
            let slot = Slot::of(series.key().symbol.as_str().as_bytes());
            if series.epoch() != 0 && slots.contains(slot) {
                epochs.push((series.key().clone(), series.epoch()));
            }
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
        let room = self.room();
        for epochs in epochs.chunks((room / POSITION_BYTES).max(1)) {
            let (from, epochs) = (self.me.clone(), epochs.to_vec());
            self.say(to, &Direct::GrantEpochs { from, seq, epochs })
                .await;
        }
        let mut part = SlotSet::EMPTY;
        let (mut positions, mut marks) = (Vec::new(), Vec::new());
        for slot in slots.iter() {
            let more = by_slot.remove(&slot).unwrap_or_default();
            let more_marks = letters.remove(&slot).unwrap_or_default();
            if size(&positions, &marks) + size(&more, &more_marks) > room && !part.is_empty() {
                let slots = std::mem::take(&mut part);
                let (positions, marks) =
                    (std::mem::take(&mut positions), std::mem::take(&mut marks));
                self.say_grant(to, seq, slots, positions, marks).await;
            }
            part.insert(slot);
            positions.extend(more);
            marks.extend(more_marks);
            // one slot alone may be too much
            while size(&positions, &marks) > room {
                let letters = marks.split_off(marks.len().saturating_sub(room / MARK_BYTES));
                let left = room - letters.len() * MARK_BYTES;
                let fitting = positions.len().saturating_sub(left / POSITION_BYTES);
                let positions = positions.split_off(fitting);
                let from = self.me.clone();
                let some = Direct::GrantPart {
                    from,
                    seq,
                    positions,
                    letters,
                };
                self.say(to, &some).await;
            }
        }
        self.say_grant(to, seq, part, positions, marks).await;
    }

    async fn say_grant(
        &self,
        to: &MemberId,
        seq: u64,
        slots: SlotSet,
        positions: Vec<Position>,
        letters: Vec<u64>,
    ) {
        let from = self.me.clone();
        let grant = Direct::Grant {
            from,
            seq,
            slots,
            positions,
            letters,
        };
        self.say(to, &grant).await;
    }

    /// Keeps a part of a grant until the rest of it comes.
    pub fn on_grant_part(
        &mut self,
        from: MemberId,
        seq: u64,
        positions: Vec<Position>,
        letters: Vec<u64>,
    ) {
        match &mut self.granting {
            Some(granting) if granting.from == from && granting.seq == seq => {
                granting.positions.extend(positions);
                granting.letters.extend(letters);
            }
            granting => {
                *granting = Some(Granting {
                    from,
                    seq,
                    positions,
                    letters,
                });
            }
        }
    }

    /// Keeps the resets of a grant until the rest of it comes.
    pub fn on_grant_epochs(&mut self, from: MemberId, seq: u64, epochs: Vec<(SeriesKey, u64)>) {
        match &mut self.epochs {
            Some((of, grant, known)) if *of == from && *grant == seq => known.extend(epochs),
            known => *known = Some((from, seq, epochs.into_iter().collect())),
        }
    }

    /// Takes the resets of this grant.
    pub fn granted_epochs(&mut self, from: &MemberId, seq: u64) -> HashMap<SeriesKey, u64> {
        let known = self
            .epochs
            .take_if(|(of, grant, _)| of == from && *grant == seq);
        known.map_or_else(HashMap::new, |(_, _, epochs)| epochs)
    }

    /// Adds to a grant the parts of it that came before.
    pub fn complete_grant(
        &mut self,
        from: &MemberId,
        seq: u64,
        positions: &mut Vec<Position>,
        letters: &mut Vec<u64>,
    ) {
        let of_grant = |granting: &mut Granting| granting.from == *from && granting.seq == seq;
        if let Some(granting) = self.granting.take_if(of_grant) {
            positions.extend(granting.positions);
            letters.extend(granting.letters);
        }
    }

    /// Signals of `mine` beyond `positions` were published by nobody, and dead letters that are
    /// not among `letters` written by nobody: they are to be now. What was kept of `slots` is
    /// kept no longer. `epochs` are the resets that the series in these positions began with.
    pub fn inherit(
        &mut self,
        intake: &mut Intake,
        (slots, mine): (SlotSet, SlotSet),
        positions: &[Position],
        epochs: &HashMap<SeriesKey, u64>,
        letters: &[u64],
    ) {
        let of_position = |p: &Position| (p.timestamp, p.revision);
        let published: HashMap<_, _> = positions.iter().map(|p| (&p.key, of_position(p))).collect();
        self.keeps = self.keeps.difference(slots);
        let (granted, kept) = std::mem::take(&mut intake.out.kept)
            .into_iter()
            .partition(|kept| slots.contains(kept.slot));
        intake.out.kept = kept;
        // times of before a reset say nothing about those of after it, so order tells
        let mut passed: HashMap<SeriesKey, bool> = HashMap::new();
        for kept in &granted {
            let of_grant = epochs.get(&kept.key).copied().unwrap_or_default();
            if kept.epoch == of_grant {
                passed.insert(kept.key.clone(), false);
            } else if !passed.contains_key(&kept.key) {
                let (symbol, timeframe) = (kept.key.symbol.as_str(), kept.key.timeframe);
                let series = intake.engine().find(symbol, timeframe);
                if series.is_some_and(|(_, series)| series.epoch() != of_grant) {
                    passed.insert(kept.key.clone(), true);
                }
            }
        }
        for kept in granted {
            let of_grant = epochs.get(&kept.key).copied().unwrap_or_default();
            let beyond = if kept.epoch == of_grant {
                passed.insert(kept.key.clone(), true);
                published
                    .get(&kept.key)
                    .is_none_or(|published| (kept.timestamp, kept.revision) > *published)
            } else {
                passed.get(&kept.key).copied().unwrap_or_default()
            };
            if beyond && mine.contains(kept.slot) {
                intake.out.outbox.push(kept.signal);
            }
        }
        let mut written: HashMap<u64, usize> = HashMap::new();
        for mark in letters {
            *written.entry(*mark).or_default() += 1;
        }
        let (granted, kept) = std::mem::take(&mut intake.out.kept_letters)
            .into_iter()
            .partition(|kept| slots.contains(kept.slot));
        intake.out.kept_letters = kept;
        for kept in granted {
            match written.get_mut(&kept.mark).filter(|times| **times > 0) {
                Some(times) => *times -= 1,
                None if mine.contains(kept.slot) => intake.out.outbox.push(kept.letter),
                None => {}
            }
        }
    }

    /// What was kept of `slots` is not needed.
    pub fn forget(&mut self, intake: &mut Intake, slots: SlotSet) {
        self.keeps = self.keeps.difference(slots);
        intake.out.kept.retain(|kept| !slots.contains(kept.slot));
        intake
            .out
            .kept_letters
            .retain(|kept| !slots.contains(kept.slot));
    }

    /// Keeps memory bounded when a grant does not come.
    pub fn limit_kept(&self, intake: &mut Intake) {
        // an offer that came to nothing needs no account
        if !intake.out.written.is_empty() {
            let offered = self.handover.offered();
            intake
                .out
                .written
                .retain(|(slot, _)| offered.contains(*slot));
        }
        let excess = intake.out.written.len().saturating_sub(WRITTEN_MAX);
        intake.out.written.drain(..excess);
        let signals = excess_of(&intake.out.kept, |kept| &kept.signal);
        let letters = excess_of(&intake.out.kept_letters, |kept| &kept.letter);
        if signals + letters > 0 {
            tracing::warn!(
                signals,
                letters,
                "a hand-over takes too long; what was kept for it is given up"
            );
            intake.out.kept.drain(..signals);
            intake.out.kept_letters.drain(..letters);
        }
    }

    /// Begins to send the state of `slots` to `to`, which does not count it.
    pub fn copy_to(&mut self, intake: &Intake, to: MemberId, slots: SlotSet) {
        let in_slots = intake.engine().iter().filter(|(_, series)| {
            slots.contains(Slot::of(series.key().symbol.as_str().as_bytes()))
        });
        let series = in_slots.map(|(id, _)| id).collect();
        self.copying.push_back(Copying { to, slots, series });
    }

    /// Begins to send the state of `slots` to `to`, in the place of what it asked for before.
    pub fn give_to(&mut self, intake: &Intake, to: MemberId, copy: u64, slots: SlotSet) {
        self.giving.retain(|giving| giving.to != to);
        let now = Instant::now();
        let giving = Giving::new(intake.engine(), to, copy, slots, now);
        self.giving.push(giving);
    }

    /// `from` has taken so many parts of its copy.
    pub fn on_taken(&mut self, from: &MemberId, copy: u64, parts: u32) {
        let mut giving = self.giving.iter_mut();
        if let Some(giving) = giving.find(|giving| giving.to == *from && giving.copy == copy) {
            giving.on_taken(parts, Instant::now());
        }
    }

    /// Sends the next part of each copy that has room for it.
    pub async fn copy_on(&mut self, intake: &Intake) {
        self.copy_uncounted(intake).await;
        if self.giving.is_empty() {
            return;
        }
        let (now, room, from) = (Instant::now(), self.room(), self.me.clone());
        let mut next = Vec::new();
        self.giving.retain_mut(|giving| {
            if giving.is_given_up(now) {
                tracing::warn!(member = %giving.to, "a member does not take the state it asked for");
                return false;
            }
            if !giving.is_open() {
                return true;
            }
            let (from, copy) = (from.clone(), giving.copy);
            let (message, more) = match giving.next(intake.engine(), room) {
                Next::Part { part, bytes } => {
                    let part = Direct::CopyPart {
                        from,
                        copy,
                        part,
                        bytes,
                    };
                    (part, true)
                }
                Next::End { parts } => (Direct::CopyEnd { from, copy, parts }, false),
            };
            next.push((giving.to.clone(), message));
            more
        });
        for (to, message) in next {
            self.say(&to, &message).await;
        }
    }

    /// Sends the next part of what is copied to a member that does not count it.
    async fn copy_uncounted(&mut self, intake: &Intake) {
        let room = self.room();
        let Some(copying) = self.copying.front_mut() else {
            return;
        };
        let mut series = Vec::new();
        let mut bytes = 0;
        while let Some(id) = copying.series.pop_front() {
            let Some(snapshot) = intake.engine().snapshot(id) else {
                continue;
            };
            match postcard::to_stdvec(&snapshot) {
                Ok(state) if bytes + state.len() > room && !series.is_empty() => {
                    copying.series.push_front(id);
                    break;
                }
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

    /// Says how much of its copy was taken.
    pub async fn confirm(&self, to: &MemberId, copy: u64, parts: u32) {
        let from = self.me.clone();
        self.say(to, &Direct::CopyTaken { from, copy, parts }).await;
    }

    /// Takes a part of the copy that was asked for. Returns the slots that are complete now, or
    /// why the copy is of no use; nothing when the part is of another copy.
    pub fn take_part(
        &mut self,
        intake: &mut Intake,
        from: &MemberId,
        copy: u64,
        part: u32,
        bytes: &[u8],
    ) -> Option<Result<Taken, CopyFault>> {
        let copied = &mut self.copied;
        let taking = self.taking.as_mut();
        let taking = taking.filter(|taking| taking.from == *from && taking.copy == copy)?;
        let slots = taking.on_part(part, bytes, |snapshot| {
            keep(intake.engine_mut(), copied, snapshot)
        });
        let parts = taking.parts();
        Some(slots.map(|slots| Taken { slots, parts }))
    }

    /// Compares the end of a copy with what came. As [`Self::take_part`].
    pub fn end_copy(
        &mut self,
        from: &MemberId,
        copy: u64,
        parts: u32,
    ) -> Option<Result<(), CopyFault>> {
        let of_copy = |taking: &mut Taking| taking.from == *from && taking.copy == copy;
        let taking = self.taking.take_if(of_copy)?;
        let ended = taking.on_end(parts);
        if ended.is_ok() {
            self.copy_fault = None;
        }
        Some(ended)
    }

    /// The copy from `from` failed, and will be asked for again.
    pub fn copy_failed(&mut self, from: &MemberId, fault: &CopyFault) {
        tracing::warn!(member = %from, %fault, "the state of a member was not copied whole; asking for it again");
        self.taking = None;
        self.copy_fault = Some(fault.to_string());
    }

    /// Takes in state that nobody counted.
    pub fn restore(&mut self, intake: &mut Intake, series: &[Vec<u8>]) -> Result<(), CopyFault> {
        for state in series {
            let snapshot = postcard::from_bytes(state);
            let snapshot = snapshot.map_err(|_| CopyFault::Damaged { part: 0 })?;
            keep(intake.engine_mut(), &mut self.copied, snapshot)?;
        }
        Ok(())
    }

    /// Everything said before is void.
    pub fn restart(&mut self, intake: &mut Intake) {
        self.keeps = SlotSet::EMPTY;
        self.copied = Resume::default();
        self.copying.clear();
        self.giving.clear();
        self.taking = None;
        self.granting = None;
        self.epochs = None;
        intake.out.kept.clear();
        intake.out.kept_letters.clear();
        intake.out.written.clear();
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

/// The content of one part of a copy.
pub(super) struct Taken {
    /// Slots that are complete now.
    pub slots: SlotSet,
    /// Parts taken so far.
    pub parts: u32,
}

fn keep(
    engine: &mut Engine,
    copied: &mut Resume,
    snapshot: SeriesSnapshot,
) -> Result<(), CopyFault> {
    let key = snapshot.series().key().clone();
    let newest = snapshot.series().ring().newest();
    let epoch = snapshot.epoch();
    match engine.restore(snapshot) {
        Ok(_) => {
            if newest.is_some() || epoch != 0 {
                copied.copied(key, newest, epoch);
            }
            Ok(())
        }
        Err(error) => Err(CopyFault::Unusable {
            series: key.to_string(),
            error,
        }),
    }
}

/// The most bytes that positions and marks take in a message.
const fn size(positions: &[Position], marks: &[u64]) -> usize {
    positions.len() * POSITION_BYTES + marks.len() * MARK_BYTES
}

/// How many of the oldest to give up, so that the rest takes half of what may be kept.
fn excess_of<T>(kept: &[T], outgoing: impl Fn(&T) -> &Outgoing) -> usize {
    let bytes = |one: &T| outgoing(one).payload.len() + KEPT_OVERHEAD;
    let mut all: usize = kept.iter().map(bytes).sum();
    if all <= KEPT_BYTES {
        return 0;
    }
    kept.iter()
        .take_while(|one| {
            let more = all > KEPT_BYTES / 2;
            all -= bytes(one);
            more
        })
        .count()
}
