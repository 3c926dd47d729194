//! The model: a store that keeps any prefix of a batch, and owners that end anywhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::*;
use crate::group::random::Random;

/// A configuration gives a signal for every so many-th bar of a series.
pub(super) type Frequency = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Id {
    Signal { series: u64, bar: u64 },
    Letter { message: u64, text: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    message: u64,
    id: Id,
    /// The configuration that gave its bytes.
    by: Option<Frequency>,
}

pub(super) struct Message {
    seq: u64,
    elements: Vec<Id>,
}

impl Message {
    fn outputs(&self, by: Frequency) -> Vec<Output> {
        let outputs = self.elements.iter().filter_map(|id| {
            let by = match id {
                Id::Signal { bar, .. } if bar % by != 0 => return None,
                Id::Signal { .. } => Some(by),
                Id::Letter { .. } => None,
            };
            let (message, id) = (self.seq, *id);
            Some(Output { message, id, by })
        });
        outputs.collect()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Marker {
    at: Point,
    begins_batch: bool,
    by: Option<Frequency>,
    after: Option<u64>,
}

/// The stream of signals: outputs, and the last marker.
#[derive(Default)]
pub(super) struct Store {
    last: u64,
    outputs: Vec<(u64, Output)>,
    /// Its sequence, and that of the last message of its batch.
    marker: Option<(u64, u64, Marker)>,
    /// Outputs of other partitions, which have messages of their own.
    foreign: Vec<(u64, u64)>,
}

impl Store {
    fn push(&mut self, output: Output) {
        self.last += 1;
        self.outputs.push((self.last, output));
    }

    fn mark(&mut self, marker: Marker) -> u64 {
        self.last += 1;
        self.marker = Some((self.last, self.last, marker));
        self.last
    }

    /// Stores a batch with its markers, or of the outputs only the first `part`.
    fn write(
        &mut self,
        outputs: &[Output],
        begin: Marker,
        end: Marker,
        part: Option<usize>,
    ) -> u64 {
        if outputs.is_empty() {
            assert!(part.is_none());
            return self.mark(end);
        }
        let revision = self.mark(begin);
        for output in &outputs[..part.unwrap_or(outputs.len())] {
            self.push(*output);
        }
        if part.is_none() {
            return self.mark(end);
        }
        self.marker = Some((revision, self.last, begin));
        revision
    }
}

/// A way to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    MarkerIgnored,
    PartIgnored,
    BehindIgnored,
    CountedAlthoughOther,
    CountedAlthoughMixed,
    FloorIgnored,
    PartialNotNoted,
    SavedBeforeStored,
}

pub(super) struct World {
    random: Random,
    fault: Option<Fault>,
    messages: Vec<Message>,
    store: Store,
    checkpoints: Vec<(u64, Frequency)>,
    frequencies: Vec<Frequency>,
    used: HashSet<Frequency>,
    /// Messages after this one are the last owner's alone.
    alone_after: u64,
}

/// An owner ends without a word.
pub(super) struct Crash;

impl World {
    pub(super) fn new(seed: u64, frequencies: &[Frequency], fault: Option<Fault>) -> Self {
        let mut random = Random(seed);
        let mut bars = [0; 3];
        let mut seq = 0;
        let messages = (0..12 + random.below(12)).map(|_| {
            seq += 1 + random.below(3);
            let elements = (0..random.below(9)).map(|_| match random.below(4) {
                0 => Id::Letter {
                    message: seq,
                    text: random.below(2),
                },
                _ => {
                    let series = random.below(3);
                    let bar = &mut bars[usize::try_from(series).unwrap()];
                    *bar += 1;
                    Id::Signal { series, bar: *bar }
                }
            });
            let elements = elements.collect();
            Message { seq, elements }
        });
        let messages = messages.collect();
        Self {
            random,
            fault,
            messages,
            store: Store::default(),
            checkpoints: Vec::new(),
            frequencies: frequencies.to_vec(),
            used: HashSet::new(),
            alone_after: 0,
        }
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    /// Owners follow one another until one ends well; the last meets no fault.
    pub(super) fn run(&mut self) -> Result<(), String> {
        for owner in 0..12 {
            let at = usize::try_from(self.random.below(self.frequencies.len() as u64)).unwrap();
            let by = self.frequencies[at];
            self.used.insert(by);
            if self
                .own(by, owner == 11)
                .map_err(|error| error.to_string())?
                .is_ok()
            {
                return self.judge(by);
            }
            // other partitions go on meanwhile
            for _ in 0..self.random.below(3) {
                self.store.last += 1;
                let message = 1 + self.random.below(60);
                self.store.foreign.push((self.store.last, message));
            }
        }
        Err("no owner ended well".to_owned())
    }

    fn recover(&mut self, by: Frequency) -> Result<Ledger, LedgerError> {
        let usable = self.checkpoints.iter().filter(|(_, of)| *of == by);
        let usable: Vec<u64> = usable.map(|(seq, _)| *seq).collect();
        // the newest, an old one, or none
        let checkpoint = match self.random.below(4) {
            0 => 0,
            1 if !usable.is_empty() => {
                usable[usize::try_from(self.random.below(usable.len() as u64)).unwrap()]
            }
            _ => usable.last().copied().unwrap_or(0),
        };
        let Some((revision, batch_end, marker)) = self.store.marker else {
            return Ledger::recover(7, checkpoint, None);
        };
        if self.fault == Some(Fault::MarkerIgnored) {
            return Ledger::recover(7, checkpoint, None);
        }
        let behind: Vec<u64> = if marker.begins_batch && self.fault != Some(Fault::BehindIgnored) {
            let batch = revision + 1..=batch_end;
            let behind = self
                .store
                .outputs
                .iter()
                .filter(|(at, _)| batch.contains(at));
            behind.map(|(_, output)| output.message).collect()
        } else {
            Vec::new()
        };
        let mut at = marker.at;
        if self.fault == Some(Fault::PartIgnored) {
            at.part = 0;
        }
        let outputs = match marker.by {
            Some(theirs) if theirs == by => Outputs::Same,
            Some(_) if self.fault == Some(Fault::CountedAlthoughOther) => Outputs::Same,
            None if self.fault == Some(Fault::CountedAlthoughMixed) => Outputs::Same,
            Some(_) => Outputs::Other,
            None => Outputs::Mixed,
        };
        let floor = match marker.after {
            Some(after) if self.fault != Some(Fault::FloorIgnored) => after,
            _ => revision,
        };
        let recovered = Recovered {
            at,
            earlier: 0,
            begins_batch: marker.begins_batch,
            behind: &behind,
            floor,
            newest: revision + behind.len() as u64,
            outputs,
        };
        Ledger::recover(7, checkpoint, Some(&recovered))
    }

    fn own(&mut self, by: Frequency, calm: bool) -> Result<Result<(), Crash>, LedgerError> {
        let mut ledger = self.recover(by)?;
        self.alone_after = ledger.replay_until() + 1;
        let mut known = Known::default();
        if let Some(search) = ledger.search() {
            known = Known::find(&self.store, search);
            ledger.by_identity(known.newest, search.floor);
        }
        let mut next = self
            .messages
            .partition_point(|one| one.seq <= ledger.last_applied());
        while next < self.messages.len() {
            let mut outgoing = Vec::new();
            for _ in 0..=self.random.below(3) {
                let Some(message) = self.messages.get(next) else {
                    break;
                };
                let outputs = message.outputs(by);
                let fresh =
                    ledger.applied(message.seq, outputs, |_| 10, |output| known.holds(output))?;
                outgoing.extend(fresh);
                next += 1;
            }
            if self.fault == Some(Fault::SavedBeforeStored) && self.chance(4) {
                self.checkpoints.push((ledger.last_applied(), by));
            }
            loop {
                let (most, bytes) = (1 + self.random.below(6), 10 + 10 * self.random.below(6));
                let most = usize::try_from(most).unwrap();
                let Some(batch) = ledger.next_batch(most, usize::try_from(bytes).unwrap()) else {
                    break;
                };
                if self
                    .store(&mut ledger, by, batch, &outgoing, calm)?
                    .is_err()
                {
                    return Ok(Err(Crash));
                }
            }
            let advance = ledger.has_caught_up() && self.chance(4);
            if ledger.owes_marker() || advance {
                let marker = ledger.marker_to(ledger.last_applied());
                if self.store(&mut ledger, by, marker, &[], calm)?.is_err() {
                    return Ok(Err(Crash));
                }
            }
            if ledger.may_save() && self.chance(3) {
                self.checkpoints.push((ledger.last_applied(), by));
            }
            if !calm && self.chance(12) {
                return Ok(Err(Crash));
            }
        }
        Ok(Ok(()))
    }

    /// Tries until the batch is stored or the owner ends.
    fn store(
        &mut self,
        ledger: &mut Ledger,
        by: Frequency,
        mut batch: Batch,
        outgoing: &[Output],
        calm: bool,
    ) -> Result<Result<(), Crash>, LedgerError> {
        loop {
            let marker = |at: Point, begins_batch| Marker {
                at,
                begins_batch,
                by: (!ledger.is_mixed(at)).then_some(by),
                after: ledger.floor_at(at),
            };
            let (begin, end) = (marker(batch.from, true), marker(batch.to, false));
            let outputs = &outgoing[batch.outputs.clone()];
            let (what, heard) = match calm {
                true => (0, true),
                false => (self.random.below(4), !self.chance(4)),
            };
            match what {
                // nothing is stored
                1 => {}
                2 if !outputs.is_empty() => {
                    let part = self.random.below(outputs.len() as u64 + 1);
                    let part = usize::try_from(part).unwrap();
                    let revision = self.store.write(outputs, begin, end, Some(part));
                    if heard && self.fault != Some(Fault::PartialNotNoted) {
                        batch = ledger.partially_stored(&batch, part, revision)?;
                    }
                }
                _ => {
                    let revision = self.store.write(outputs, begin, end, None);
                    if heard {
                        return ledger.stored(&batch, revision).map(Ok);
                    }
                }
            }
            if !heard {
                return Ok(Err(Crash));
            }
        }
    }

    fn judge(&self, last: Frequency) -> Result<(), String> {
        let stored: Vec<Output> = self.store.outputs.iter().map(|(_, one)| *one).collect();
        if self.used.len() == 1 {
            let due: Vec<Output> = self
                .messages
                .iter()
                .flat_map(|one| one.outputs(last))
                .collect();
            let at = (0..).find(|at| stored.get(*at) != due.get(*at) || *at > due.len());
            let at = at.unwrap_or_default();
            return if stored == due {
                Ok(())
            } else {
                Err(format!(
                    "output {at}: {:?} for {:?}",
                    stored.get(at),
                    due.get(at)
                ))
            };
        }
        let mut newest: HashMap<u64, u64> = HashMap::new();
        let mut letters: HashMap<Id, usize> = HashMap::new();
        let mut message = 0;
        for output in &stored {
            if output.message < message {
                return Err(format!("{output:?} follows one of message {message}"));
            }
            message = output.message;
            match output.id {
                Id::Signal { series, bar } => {
                    let before = newest.insert(series, bar).unwrap_or(0);
                    if before >= bar {
                        return Err(format!("{output:?} follows bar {before}"));
                    }
                }
                letter @ Id::Letter { .. } => *letters.entry(letter).or_default() += 1,
            }
        }
        let mut due_letters: HashMap<Id, usize> = HashMap::new();
        let signals: HashSet<Id> = stored.iter().map(|output| output.id).collect();
        for message in &self.messages {
            for id in &message.elements {
                match id {
                    Id::Letter { .. } => *due_letters.entry(*id).or_default() += 1,
                    Id::Signal { bar, .. } => {
                        let by_all = self.used.iter().all(|by| bar % by == 0);
                        let by_last = message.seq > self.alone_after && bar % last == 0;
                        if (by_all || by_last) && !signals.contains(id) {
                            return Err(format!("{id:?} of message {} is missing", message.seq));
                        }
                    }
                }
            }
        }
        if letters == due_letters {
            Ok(())
        } else {
            Err("another number of letters than of refusals".to_owned())
        }
    }
}

/// Outputs recognised by identity.
#[derive(Default)]
pub(super) struct Known {
    signals: HashSet<Id>,
    letters: BTreeMap<(u64, u64), usize>,
    newest: u64,
    divided: u64,
    bars: HashMap<u64, u64>,
}

impl Known {
    fn find(store: &Store, search: Search) -> Self {
        let mut known = Self {
            divided: search.after + 1,
            ..Self::default()
        };
        let within = |at: u64| at > search.floor && at <= search.last;
        let foreign = store.foreign.iter().filter(|(at, _)| within(*at));
        known.newest = foreign.map(|(_, message)| *message).max().unwrap_or(0);
        for (at, output) in &store.outputs {
            if !within(*at) || output.message <= search.after {
                continue;
            }
            known.newest = known.newest.max(output.message);
            match output.id {
                Id::Signal { series, bar } => {
                    known.signals.insert(output.id);
                    if output.message == known.divided {
                        let newest = known.bars.entry(series).or_default();
                        *newest = bar.max(*newest);
                    }
                }
                Id::Letter { message, text } => {
                    *known.letters.entry((message, text)).or_default() += 1;
                }
            }
        }
        known
    }

    fn holds(&mut self, output: &Output) -> bool {
        match output.id {
            Id::Signal { series, bar } => {
                let newest = self.bars.get(&series).copied().unwrap_or(0);
                self.signals.contains(&output.id) || output.message == self.divided && bar < newest
            }
            Id::Letter { message, text } => match self.letters.get_mut(&(message, text)) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            },
        }
    }
}
