//! Hand-overs of slots to this member: the signals and dead letters kept for them, and the positions
//! up to which the holder has published.

use hashbrown::HashMap;

use super::messenger::{Messenger, POSITION_BYTES};
use crate::bus::intake::{Intake, Outgoing};
use crate::group::{Direct, MemberId, Position, Slot, SlotSet};
use crate::market::SeriesKey;

/// The largest mark of a dead letter, in bytes.
const MARK_BYTES: usize = 10;
/// Bytes of signals, and of dead letters, kept for hand-overs at most.
const KEPT_BYTES: usize = 32 << 20;
/// The bytes that one of them takes beside its payload.
const KEPT_OVERHEAD: usize = 1_024;
/// Marks of dead letters kept for hand-overs at most.
const WRITTEN_MAX: usize = 100_000;

/// The parts of a grant that came before its last message.
struct Granting {
    from: MemberId,
    seq: u64,
    positions: Vec<Position>,
    letters: Vec<u64>,
}

/// Facts about the series of a grant, sent before it.
#[derive(Default)]
pub(super) struct Facts {
    /// The resets that these series began with, if any.
    epochs: HashMap<SeriesKey, u64>,
    /// Steps of the series whose positions alone do not show their progress.
    steps: HashMap<SeriesKey, u64>,
}

/// The hand-overs to this member.
#[derive(Default)]
pub(super) struct Inheritance {
    granting: Option<Granting>,
    /// Facts of a grant that is on its way.
    facts: Option<(MemberId, u64, Facts)>,
    /// Slots whose signals are kept until they are granted.
    keeps: SlotSet,
}

impl Inheritance {
    /// Slots whose signals are kept until they are granted.
    pub const fn keeps(&self) -> SlotSet {
        self.keeps
    }

    /// Accepts the offer of `slots`, whose signals are kept from now on.
    pub async fn accept(&mut self, messenger: &Messenger, to: &MemberId, slots: SlotSet) {
        self.keeps = self.keeps.union(slots);
        let from = messenger.me.clone();
        messenger.send(to, &Direct::Accept { from, slots }).await;
    }

    /// Grants `slots` to the heir with the position of each of their series, in as many messages as that takes.
    pub async fn grant(
        messenger: &Messenger,
        intake: &mut Intake,
        to: &MemberId,
        slots: SlotSet,
        seq: u64,
    ) {
        let mut letters: HashMap<Slot, Vec<u64>> = HashMap::new();
        intake.out.written.retain(|(slot, mark)| {
            if slots.contains(*slot) {
                letters.entry(*slot).or_default().push(*mark);
            }
            !slots.contains(*slot)
        });
        let mut by_slot: HashMap<Slot, Vec<Position>> = HashMap::new();
        let several = intake.engine().config().correctable() > 1;
        let (mut epochs, mut steps) = (Vec::new(), Vec::new());
        for (_, series) in intake.engine().iter() {
            let slot = Slot::of(series.key().symbol.as_str().as_bytes());
            if series.epoch() != 0 && slots.contains(slot) {
                epochs.push((series.key().clone(), series.epoch()));
            }
            if let Some((timestamp, revision)) = series.position().filter(|_| slots.contains(slot))
            {
                let key = series.key().clone();
                if several {
                    steps.push((key.clone(), series.step()));
                }
                by_slot.entry(slot).or_default().push(Position {
                    key,
                    timestamp,
                    revision,
                });
            }
        }
        let room = messenger.room();
        for epochs in epochs.chunks((room / POSITION_BYTES).max(1)) {
            let (from, epochs) = (messenger.me.clone(), epochs.to_vec());
            messenger
                .send(to, &Direct::GrantEpochs { from, seq, epochs })
                .await;
        }
        for steps in steps.chunks((room / POSITION_BYTES).max(1)) {
            let (from, steps) = (messenger.me.clone(), steps.to_vec());
            messenger
                .send(to, &Direct::GrantSteps { from, seq, steps })
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
                send_grant(messenger, to, seq, slots, positions, marks).await;
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
                let from = messenger.me.clone();
                let some = Direct::GrantPart {
                    from,
                    seq,
                    positions,
                    letters,
                };
                messenger.send(to, &some).await;
            }
        }
        send_grant(messenger, to, seq, part, positions, marks).await;
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

    /// Publishes the signals of `mine` beyond `positions` and the dead letters that are not among
    /// `letters`, as nobody has published them. Drops everything that was kept for `slots`. `facts`
    /// are about the series in these positions.
    pub fn inherit(
        &mut self,
        intake: &mut Intake,
        (slots, mine): (SlotSet, SlotSet),
        positions: &[Position],
        Facts { epochs, steps }: &Facts,
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
                match (published.get(&kept.key), steps.get(&kept.key)) {
                    (Some(_), Some(step)) => kept.step > *step,
                    (Some(published), None) => (kept.timestamp, kept.revision) > *published,
                    (None, _) => true,
                }
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

    /// Drops the signals and dead letters that were kept for `slots`.
    pub fn forget(&mut self, intake: &mut Intake, slots: SlotSet) {
        self.keeps = self.keeps.difference(slots);
        intake.out.kept.retain(|kept| !slots.contains(kept.slot));
        intake
            .out
            .kept_letters
            .retain(|kept| !slots.contains(kept.slot));
    }

    /// Keeps memory bounded when a grant does not come.
    pub fn limit_kept(intake: &mut Intake, offered: SlotSet) {
        // an offer that came to nothing needs no account
        if !intake.out.written.is_empty() {
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
                "a hand-over takes too long; discarding the signals kept for it"
            );
            intake.out.kept.drain(..signals);
            intake.out.kept_letters.drain(..letters);
        }
    }

    /// Keeps the resets of a grant until the grant itself arrives.
    pub fn on_grant_epochs(&mut self, from: MemberId, seq: u64, epochs: Vec<(SeriesKey, u64)>) {
        self.facts_of(from, seq).epochs.extend(epochs);
    }

    /// Keeps the steps of the series of a grant until the grant itself arrives.
    pub fn on_grant_steps(&mut self, from: MemberId, seq: u64, steps: Vec<(SeriesKey, u64)>) {
        self.facts_of(from, seq).steps.extend(steps);
    }

    /// Takes the facts of this grant.
    pub fn granted_facts(&mut self, from: &MemberId, seq: u64) -> Facts {
        let known = self
            .facts
            .take_if(|(of, grant, _)| of == from && *grant == seq);
        known.map_or_else(Facts::default, |(_, _, facts)| facts)
    }

    /// The facts of this grant, which replace those of an earlier one.
    fn facts_of(&mut self, from: MemberId, seq: u64) -> &mut Facts {
        let is_other = |known: &(MemberId, u64, Facts)| known.0 != from || known.1 != seq;
        if self.facts.as_ref().is_some_and(is_other) {
            self.facts = None;
        }
        let (.., facts) = self
            .facts
            .get_or_insert_with(|| (from, seq, Facts::default()));
        facts
    }

    /// Keeps nothing any more.
    pub fn restart(&mut self, intake: &mut Intake) {
        *self = Self::default();
        intake.out.kept.clear();
        intake.out.kept_letters.clear();
        intake.out.written.clear();
    }
}

async fn send_grant(
    messenger: &Messenger,
    to: &MemberId,
    seq: u64,
    slots: SlotSet,
    positions: Vec<Position>,
    letters: Vec<u64>,
) {
    let from = messenger.me.clone();
    let grant = Direct::Grant {
        from,
        seq,
        slots,
        positions,
        letters,
    };
    messenger.send(to, &grant).await;
}

/// The most bytes that positions and marks take in a message.
const fn size(positions: &[Position], marks: &[u64]) -> usize {
    positions.len() * POSITION_BYTES + marks.len() * MARK_BYTES
}

/// The number of the oldest to give up, so that the rest takes half of the bytes allowed.
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
