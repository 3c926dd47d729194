//! A copy of state on its way from one member to another: cut into parts by the giver, put
//! together and counted by the taker.
//!
//! A copy is a stream of records: the series of a slot, each as the engine writes it, then the
//! slot with the number of its series, then the next slot. Parts cut the stream wherever one is
//! full, so a series may be larger than a message. A slot counts as copied once its record has
//! come and its series were counted; a copy that breaks off is asked for again, without the slots
//! that have come.
//!
//! The giver sends [`WINDOW`] parts ahead of what the taker has taken, so neither side holds more
//! than that of a copy, however large it is.
//!
//! Must not know: the network.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::aggregate::Trades;
use crate::engine::{
    Corrections, Derived, Engine, FormingBar, HistorySnapshot, RestoreError, SeriesId,
    SeriesSnapshot,
};
use crate::group::{MemberId, Slot, SlotSet};
use crate::market::Symbol;

/// Parts that may be on their way.
const WINDOW: u32 = 8;
/// A taker not heard for so long takes no more.
const PATIENCE: Duration = Duration::from_secs(10);
/// The length of a record precedes it.
const LENGTH_BYTES: usize = 4;
/// Longest length of a series in bytes: a larger one is damage.
const RECORD_MAX: usize = 64 << 20;

/// The reason why a copy cannot be used as it came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CopyFault {
    #[error("part {expected} of the copy did not come, part {came} did")]
    Gap { expected: u32, came: u32 },
    #[error("the copy is damaged in part {part}")]
    Damaged { part: u32 },
    #[error("slot {slot} has {said} series, but {came} came")]
    Count { slot: usize, said: u32, came: u32 },
    #[error("the copy ended after {came} of {wanted} slots")]
    Short { wanted: usize, came: usize },
    #[error("series {series} cannot be kept: {error}")]
    Unusable { series: String, error: RestoreError },
    #[error("the member did not answer in time")]
    Silence,
}

#[derive(Serialize, Deserialize)]
enum Record {
    Series(Box<SeriesSnapshot>),
    /// All series of a slot came before.
    Slot {
        slot: Slot,
        series: u32,
    },
    /// The forming bar of the series that comes next. An agent that is older knows no such bar.
    Forming(FormingBar),
    /// The derivation state of the series that follows. Older agents derive no bars and skip it.
    Derived(Derived),
    /// The reset that the series began with that comes next. An agent that is older knows none.
    Epoch(u64),
    /// Corrections of the series that follows.
    Corrections(Corrections),
    /// An open history. Older agents support none and skip it.
    History(Box<HistorySnapshot>),
    /// The trades of the series that follows. Older agents build no bars from trades and skip it.
    Trades(Box<Trades>),
}

/// Copied state that is complete.
#[derive(Debug)]
pub(super) enum Came {
    Series(Box<SeriesSnapshot>),
    /// An open history.
    History(Box<HistorySnapshot>),
}

/// The next message of a giver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Part { part: u32, bytes: Bytes },
    End { parts: u32 },
}

/// The symbols of a slot, with their series; `None` stands for the open histories of a symbol.
type ToWrite = VecDeque<(Symbol, Option<SeriesId>)>;

/// State on its way to a member.
pub(super) struct Giving {
    pub to: MemberId,
    pub copy: u64,
    /// The slots still to be written, the one at work first, and the series of each. Those of a
    /// symbol follow each other.
    slots: VecDeque<(Slot, ToWrite)>,
    /// Series of the slot at work that are written.
    series: u32,
    /// Messages that are written and not sent.
    buffer: Vec<u8>,
    sent: u32,
    taken: u32,
    heard: Instant,
}

impl Giving {
    pub fn new(engine: &Engine, to: MemberId, copy: u64, slots: SlotSet, now: Instant) -> Self {
        let mut by_slot: VecDeque<(Slot, ToWrite)> =
            slots.iter().map(|slot| (slot, VecDeque::new())).collect();
        let kept = engine
            .iter()
            .map(|(id, series)| (&series.key().symbol, Some(id)));
        let open = engine.symbols_with_history().map(|symbol| (symbol, None));
        for (symbol, id) in kept.chain(open) {
            let slot = Slot::of(symbol.as_str().as_bytes());
            if let Ok(at) = by_slot.binary_search_by_key(&slot, |(slot, _)| *slot) {
                by_slot[at].1.push_back((symbol.clone(), id));
            }
        }
        for (_, series) in &mut by_slot {
            series.make_contiguous().sort_unstable();
        }
        Self {
            to,
            copy,
            slots: by_slot,
            series: 0,
            buffer: Vec::new(),
            sent: 0,
            taken: 0,
            heard: now,
        }
    }

    /// Notes that the taker has taken this number of parts.
    pub fn on_taken(&mut self, parts: u32, now: Instant) {
        self.taken = self.taken.max(parts.min(self.sent));
        self.heard = now;
    }

    /// Returns whether there is something to send, and the taker has room for it.
    pub const fn is_open(&self) -> bool {
        self.sent - self.taken < WINDOW
    }

    /// Returns whether the taker has not been heard for too long.
    pub fn is_given_up(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > PATIENCE
    }

    /// The next part, of at most `room` bytes.
    pub fn next(&mut self, engine: &Engine, room: usize) -> Next {
        while self.buffer.len() < room && self.write(engine) {}
        if self.buffer.is_empty() {
            return Next::End { parts: self.sent };
        }
        let rest = self.buffer.split_off(room.min(self.buffer.len()));
        let bytes = std::mem::replace(&mut self.buffer, rest).into();
        let part = self.sent;
        self.sent += 1;
        Next::Part { part, bytes }
    }

    /// Writes the series of one symbol, or the end of a slot; false when all are written. The
    /// series of a symbol are of one moment, as bars of some are derived from those of another.
    fn write(&mut self, engine: &Engine) -> bool {
        let Some((slot, series)) = self.slots.front_mut() else {
            return false;
        };
        let Some((symbol, mut id)) = series.pop_front() else {
            let record = Record::Slot {
                slot: *slot,
                series: self.series,
            };
            append(&mut self.buffer, &record);
            self.slots.pop_front();
            self.series = 0;
            return true;
        };
        loop {
            // one that was forgotten since is not given
            if let Some(mut snapshot) = id.and_then(|id| engine.snapshot(id)) {
                if let Some(forming) = snapshot.take_forming() {
                    append(&mut self.buffer, &Record::Forming(forming));
                }
                if let Some(derived) = snapshot.take_derived() {
                    append(&mut self.buffer, &Record::Derived(derived));
                }
                if let Some(corrections) = snapshot.take_corrections() {
                    append(&mut self.buffer, &Record::Corrections(corrections));
                }
                if let Some(trades) = snapshot.take_trades() {
                    append(&mut self.buffer, &Record::Trades(trades));
                }
                if snapshot.epoch() != 0 {
                    append(&mut self.buffer, &Record::Epoch(snapshot.epoch()));
                }
                self.series += 1;
                append(&mut self.buffer, &Record::Series(Box::new(snapshot)));
            }
            match series.front() {
                Some((next, _)) if *next == symbol => {}
                _ => {
                    for history in engine.histories_of(&symbol) {
                        append(&mut self.buffer, &Record::History(Box::new(history)));
                    }
                    return true;
                }
            }
            let Some((_, next)) = series.pop_front() else {
                return true;
            };
            id = next;
        }
    }
}

fn append(buffer: &mut Vec<u8>, record: &Record) {
    let written = postcard::to_stdvec(record);
    let length = |written: &Vec<u8>| u32::try_from(written.len()).ok();
    match written.as_ref().map(|written| (written, length(written))) {
        Ok((written, Some(length))) => {
            buffer.extend(length.to_le_bytes());
            buffer.extend_from_slice(written);
        }
        // it was counted, so the taker learns that it is missing
        Ok((_, None)) => tracing::error!("state of a series is too large to be copied"),
        Err(error) => tracing::error!(%error, "state of a series cannot be written"),
    }
}

/// State on its way from a member.
pub(super) struct Taking {
    pub from: MemberId,
    pub copy: u64,
    wanted: SlotSet,
    came: SlotSet,
    parts: u32,
    /// The beginning of a record that has not come whole.
    buffer: Vec<u8>,
    /// Series that came of the slot at work.
    series: u32,
    /// The forming bar of the series that comes next.
    forming: Option<FormingBar>,
    /// The derivation state of the series that follows.
    derived: Option<Derived>,
    /// The reset that the series began with that comes next.
    epoch: Option<u64>,
    /// The corrections of the series that follows.
    corrections: Option<Corrections>,
    /// The trades of the series that follows.
    trades: Option<Box<Trades>>,
}

impl Taking {
    pub const fn new(from: MemberId, copy: u64, wanted: SlotSet) -> Self {
        Self {
            from,
            copy,
            wanted,
            came: SlotSet::EMPTY,
            parts: 0,
            buffer: Vec::new(),
            series: 0,
            forming: None,
            derived: None,
            epoch: None,
            corrections: None,
            trades: None,
        }
    }

    /// Parts taken.
    pub const fn parts(&self) -> u32 {
        self.parts
    }

    /// Takes a part, hands every complete series and history to `keep`, and returns the slots that
    /// are complete now.
    pub fn on_part(
        &mut self,
        part: u32,
        bytes: &[u8],
        mut keep: impl FnMut(Came) -> Result<(), CopyFault>,
    ) -> Result<SlotSet, CopyFault> {
        if part != self.parts {
            return Err(CopyFault::Gap {
                expected: self.parts,
                came: part,
            });
        }
        self.parts += 1;
        self.buffer.extend_from_slice(bytes);
        let mut complete = SlotSet::EMPTY;
        let mut at = 0;
        while let Some(record) = whole_record(&self.buffer[at..]) {
            let record = record.map_err(|()| CopyFault::Damaged { part })?;
            at += LENGTH_BYTES + record.len();
            match postcard::from_bytes(record).map_err(|_| CopyFault::Damaged { part })? {
                Record::Forming(forming) => self.forming = Some(forming),
                Record::Derived(derived) => self.derived = Some(derived),
                Record::Epoch(epoch) => self.epoch = Some(epoch),
                Record::Corrections(corrections) => self.corrections = Some(corrections),
                Record::History(history) => keep(Came::History(history))?,
                Record::Trades(trades) => self.trades = Some(trades),
                Record::Series(mut snapshot) => {
                    if let Some(forming) = self.forming.take() {
                        snapshot.put_forming(forming);
                    }
                    if let Some(derived) = self.derived.take() {
                        snapshot.put_derived(derived);
                    }
                    if let Some(epoch) = self.epoch.take() {
                        snapshot.put_epoch(epoch);
                    }
                    if let Some(corrections) = self.corrections.take() {
                        snapshot.put_corrections(corrections);
                    }
                    if let Some(trades) = self.trades.take() {
                        snapshot.put_trades(trades);
                    }
                    keep(Came::Series(snapshot))?;
                    self.series += 1;
                }
                Record::Slot { slot, series } => {
                    let came = std::mem::take(&mut self.series);
                    if series != came {
                        return Err(CopyFault::Count {
                            slot: slot.index(),
                            said: series,
                            came,
                        });
                    }
                    if self.wanted.contains(slot) {
                        complete.insert(slot);
                    }
                }
            }
        }
        self.buffer.drain(..at);
        self.came = self.came.union(complete);
        Ok(complete)
    }

    /// Notes that the giver has sent everything, in this number of parts.
    pub fn on_end(&self, parts: u32) -> Result<(), CopyFault> {
        if parts != self.parts {
            return Err(CopyFault::Gap {
                expected: self.parts,
                came: parts,
            });
        }
        if self.came != self.wanted {
            return Err(CopyFault::Short {
                wanted: self.wanted.len(),
                came: self.came.len(),
            });
        }
        Ok(())
    }
}

/// The bytes of the record that `buffer` begins with, once it is whole.
fn whole_record(buffer: &[u8]) -> Option<Result<&[u8], ()>> {
    let (length, rest) = buffer.split_first_chunk::<LENGTH_BYTES>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > RECORD_MAX {
        return Some(Err(()));
    }
    rest.get(..length).map(Ok)
}

#[cfg(test)]
mod tests;
