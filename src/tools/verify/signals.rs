//! The stored signals of a group, as little of each as it takes to judge them: forty bytes, and
//! four more in series whose signals are not in the order of their bars.
//!
//! Pure. Signals are added in stored order; then each signal that is due claims the one that is
//! stored for it. What nobody claims in the end was stored once too often, or is no agent's.

use hashbrown::HashMap;

use super::key::Key;
use crate::market::{SeriesKey, Timestamp};

/// Equal signals in a row after which two histories count as one.
const CONVERGED: u32 = 100;

/// Set in an ordinal when the bar is outside the time that is asked for.
const OUTSIDE: u32 = 1 << 31;

/// Set in an ordinal when the bar may have had other corrections than are known here.
const UNKNOWN: u32 = 1 << 30;

/// A stored signal.
#[derive(Debug, Clone, Copy)]
struct Found {
    time: i64,
    hash: u64,
    seq: u64,
    input: u64,
    revision: u32,
    /// Its place among the due signals of its series; 0 while nobody has claimed it.
    ordinal: u32,
}

impl Found {
    const fn key(&self) -> (i64, u32) {
        (self.time, self.revision)
    }
}

/// The signals of one series.
#[derive(Debug, Default)]
struct Lane {
    found: Vec<Found>,
    /// True if two are not in the order of time and revision.
    is_mixed: bool,
    /// The index of each by time and revision, made when it is first needed.
    by_key: Option<Vec<u32>>,
    /// The index at which the next one is expected.
    next: usize,
    /// Signals of this series that were due so far.
    due: u32,
    trust: Trust,
}

/// The extent to which a series can be recomputed from the history behind its signals.
#[derive(Debug, Default)]
struct Trust {
    /// Losses of bars that were known when it was last looked at.
    losses: u32,
    /// Equal signals in a row since.
    equal: u32,
    /// The message from which on it is the same history.
    since: Option<u64>,
    /// The bar of that message: an earlier one may have had other corrections.
    since_bar: i64,
    /// True if a signal that differs was looked at to find out.
    is_probed: bool,
    /// The earliest bar of this recomputation whose signal is stored.
    earliest: Option<i64>,
    /// The latest bar of this recomputation whose signal is stored.
    latest: Option<i64>,
    /// Bit 0: bars on subjects with a symbol; bit 1: on subjects without.
    sources: u8,
}

/// A signal that is due.
#[derive(Debug, Clone, Copy)]
pub struct Due<'a> {
    /// The identity of the signal.
    pub key: &'a Key,
    /// Of its subject and payload, under each configuration that was in use.
    pub hashes: &'a [u64],
    /// The message of its bar.
    pub input: u64,
    /// Signals before this one are of another stream of bars, which was there before.
    pub since: u64,
    /// True if the bar is within the time that is asked for.
    pub in_range: bool,
}

/// The signal that is stored for one that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The signal itself, at this sequence.
    Equal(u64),
    /// One of the same bar and revision with other bytes.
    Different(u64),
    /// Nothing.
    Nothing,
}

/// A signal that is stored after one of a later bar of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// The identity of the signal.
    pub key: Key,
    /// Its sequence in the stream.
    pub seq: u64,
    /// The sequence of the signal of a later bar.
    pub after: u64,
}

/// A stored signal that nothing claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The identity that it claims.
    pub key: Key,
    /// Its sequence in the stream.
    pub seq: u64,
    /// The message that it says it was computed from; 0 when it says nothing.
    pub input: u64,
    /// The sequence of the signal that it is a copy of, and, if known, true if the bar of that
    /// signal is within the time asked for.
    pub twin: Option<(u64, Option<bool>)>,
    /// True if bars of subjects with, or without, a symbol gave signals of the series.
    pub sources: u8,
    /// From which message on its series has the history that its signals were computed from;
    /// nothing when it has not, or when the bar came before.
    pub since: Option<u64>,
    /// Losses of bars in the recomputation of its series.
    pub losses: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Signals {
    ids: HashMap<SeriesKey, u32>,
    lanes: Vec<Lane>,
    names: Vec<SeriesKey>,
    /// Lanes of the partition at work, and how many signals were due before it.
    touched: HashMap<u32, u32>,
}

impl Signals {
    fn id(&mut self, series: &SeriesKey) -> usize {
        if let Some(id) = self.ids.get(series) {
            return *id as usize;
        }
        let id = self.lanes.len();
        self.ids
            .insert(series.clone(), u32::try_from(id).unwrap_or(u32::MAX));
        self.lanes.push(Lane::default());
        self.names.push(series.clone());
        id
    }

    /// Adds a stored signal; they come in stored order.
    pub fn add(&mut self, key: &Key, hash: u64, seq: u64, input: u64) {
        let id = self.id(&key.series);
        let lane = &mut self.lanes[id];
        let found = Found {
            time: key.timestamp.nanos(),
            hash,
            seq,
            input,
            revision: key.revision,
            ordinal: 0,
        };
        let last = lane.found.last();
        lane.is_mixed |= last.is_some_and(|last| last.key() >= found.key());
        lane.found.push(found);
    }

    /// The stored signal for one that is due. Due signals of a partition come in the order of its
    /// messages; `losses` counts the bars that are known to be missing before it, and a full
    /// window has `window` bars.
    pub fn claim(&mut self, due: Due<'_>, bars_analyzed: u64, window: u64, losses: u32) -> Claim {
        let id = self.id(&due.key.series);
        let lane = &mut self.lanes[id];
        let before = lane.due;
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        self.touched.entry(id).or_insert(before);
        lane.due += 1;
        lane.trust.note_losses(losses);
        let Some(at) = lane.locate(due) else {
            return Claim::Nothing;
        };
        let found = &mut lane.found[at];
        let (seq, is_equal) = (found.seq, due.hashes.contains(&found.hash));
        lane.next = at + 1;
        lane.trust
            .note(is_equal, bars_analyzed < window, due.input, due.key);
        found.ordinal = lane.due;
        if !due.in_range {
            found.ordinal |= OUTSIDE;
        }
        if !lane.trust.knows(found.time) {
            found.ordinal |= UNKNOWN;
        }
        if is_equal {
            Claim::Equal(seq)
        } else {
            Claim::Different(seq)
        }
    }

    fn lane(&self, series: &SeriesKey) -> Option<&Lane> {
        let id = self.ids.get(series)?;
        Some(&self.lanes[*id as usize])
    }

    /// Returns true if the signal is computed here from the history that the stored one was
    /// computed from, as far as can be known.
    #[must_use]
    pub fn is_trusted(&self, key: &Key) -> bool {
        let lane = self.lane(&key.series);
        lane.is_none_or(|lane| lane.trust.knows(key.timestamp.nanos()))
    }

    /// Returns true if a signal of an earlier bar was claimed in this partition, so that the series
    /// was old enough for signals by then.
    #[must_use]
    pub fn has_earlier(&self, key: &Key) -> bool {
        let earliest = self.lane(&key.series).and_then(|lane| lane.trust.earliest);
        earliest.is_some_and(|earliest| earliest < key.timestamp.nanos())
    }

    /// Stored signals of the series.
    #[must_use]
    pub fn count(&self, series: &SeriesKey) -> u64 {
        self.lane(series).map_or(0, |lane| lane.found.len() as u64)
    }

    /// Asks once per series whether a differing signal is worth looking at: the first one of the
    /// latest bar.
    pub fn probe(&mut self, key: &Key) -> bool {
        let id = self.id(&key.series);
        let trust = &mut self.lanes[id].trust;
        trust.is_newest(key) && !std::mem::replace(&mut trust.is_probed, true)
    }

    /// The series was found to be of the same history from this signal of message `input` on.
    pub fn trust(&mut self, key: &Key, input: u64) {
        let id = self.id(&key.series);
        self.lanes[id].trust.begin(key, input);
    }

    /// Ends the partition at work: its signals that are stored after one of a later bar.
    pub fn end_partition(&mut self, is_bare: bool, mut each: impl FnMut(Misplaced)) {
        for (id, before) in std::mem::take(&mut self.touched) {
            let lane = &mut self.lanes[id as usize];
            let mut latest: Option<(u32, u64)> = None;
            for found in &lane.found {
                let place = found.ordinal & !(OUTSIDE | UNKNOWN);
                if place <= before || found.ordinal & UNKNOWN != 0 {
                    continue;
                }
                match latest {
                    Some((newest, after)) if newest > place => {
                        if found.ordinal & OUTSIDE == 0 {
                            each(Misplaced {
                                key: key_of(&self.names[id as usize], found),
                                seq: found.seq,
                                after,
                            });
                        }
                    }
                    _ => latest = Some((place, found.seq)),
                }
            }
            // another partition may have bars of the same series
            lane.next = 0;
            lane.trust.sources |= if is_bare { 2 } else { 1 };
            lane.trust.earliest = None;
            lane.trust.latest = None;
        }
    }

    /// Shows what nothing has claimed.
    pub fn left(&mut self, mut each: impl FnMut(Left)) {
        for (lane, series) in self.lanes.iter_mut().zip(&self.names) {
            for at in 0..lane.found.len() {
                let found = lane.found[at];
                if found.ordinal != 0 {
                    continue;
                }
                let twin = if lane.is_mixed { lane.twin(at) } else { None };
                each(Left {
                    key: key_of(series, &found),
                    seq: found.seq,
                    input: found.input,
                    twin,
                    sources: lane.trust.sources,
                    since: lane.trust.since.filter(|_| lane.trust.knows(found.time)),
                    losses: lane.trust.losses,
                });
            }
        }
    }
}

fn key_of(series: &SeriesKey, found: &Found) -> Key {
    Key {
        series: series.clone(),
        timestamp: Timestamp::from_nanos(found.time),
        revision: found.revision,
    }
}

impl Lane {
    /// The index of the signal that `due` claims: one that is equal if there is one.
    fn locate(&mut self, due: Due<'_>) -> Option<usize> {
        let wanted = (due.key.timestamp.nanos(), due.key.revision);
        let fits =
            |found: &Found| found.ordinal == 0 && found.key() == wanted && found.seq >= due.since;
        if let Some(found) = self.found.get(self.next)
            && fits(found)
            && due.hashes.contains(&found.hash)
        {
            return Some(self.next);
        }
        if !self.is_mixed {
            let at = self.found.binary_search_by_key(&wanted, Found::key).ok()?;
            return fits(&self.found[at]).then_some(at);
        }
        let range = self.same(wanted);
        let order = self.by_key.as_deref().unwrap_or_default();
        let unclaimed = || {
            let all = order[range.clone()].iter().map(|at| *at as usize);
            all.filter(|at| fits(&self.found[*at]))
        };
        let equal = unclaimed().find(|at| due.hashes.contains(&self.found[*at].hash));
        equal.or_else(|| unclaimed().next())
    }

    /// The places of all signals of this time and revision, in `by_key`.
    fn same(&mut self, wanted: (i64, u32)) -> std::ops::Range<usize> {
        let found = &self.found;
        let order = self.by_key.get_or_insert_with(|| {
            let last = u32::try_from(found.len()).unwrap_or(u32::MAX);
            let mut order: Vec<u32> = (0..last).collect();
            order.sort_by_key(|at| (found[*at as usize].key(), *at));
            order
        });
        let begin = order.partition_point(|at| found[*at as usize].key() < wanted);
        let end = order.partition_point(|at| found[*at as usize].key() <= wanted);
        begin..end
    }

    /// The signal that the unclaimed one at `at` is a copy of: the claimed one of its time and
    /// revision, or one before it that nothing claims either and that names the same message.
    fn twin(&mut self, at: usize) -> Option<(u64, Option<bool>)> {
        let this = self.found[at];
        let range = self.same(this.key());
        let order = self.by_key.as_deref().unwrap_or_default();
        let others = || {
            order[range.clone()]
                .iter()
                .map(|at| &self.found[*at as usize])
        };
        if let Some(claimed) = others().find(|found| found.ordinal != 0) {
            return Some((claimed.seq, Some(claimed.ordinal & OUTSIDE == 0)));
        }
        let is_copy =
            |found: &&Found| found.seq < this.seq && (this.input == 0 || this.input == found.input);
        others().find(is_copy).map(|found| (found.seq, None))
    }
}

impl Trust {
    /// After a loss every series may lack a bar.
    const fn note_losses(&mut self, losses: u32) {
        if losses != self.losses {
            self.losses = losses;
            self.equal = 0;
            self.since = None;
            self.is_probed = false;
        }
    }

    fn note(&mut self, is_equal: bool, is_young: bool, input: u64, key: &Key) {
        let time = key.timestamp.nanos();
        self.earliest = Some(self.earliest.map_or(time, |earliest| earliest.min(time)));
        self.latest = self.latest.max(Some(time));
        if !is_equal {
            self.equal = 0;
            return;
        }
        self.equal += 1;
        // with as many bars in a window that is not full yet, no bar can be missing before it
        let is_same = is_young || self.equal >= CONVERGED;
        if self.since.is_none() && is_same && self.is_newest(key) {
            self.begin(key, input);
        }
    }

    /// Returns true for the first signal of the latest bar. Those of earlier bars say nothing about
    /// the bars after them: a bar that is missing may be inserted by its correction.
    fn is_newest(&self, key: &Key) -> bool {
        key.revision == 0 && self.latest <= Some(key.timestamp.nanos())
    }

    fn begin(&mut self, key: &Key, input: u64) {
        self.since = Some(input);
        self.since_bar = key.timestamp.nanos();
    }

    /// Returns true if bars and corrections of the bar at `time` are known.
    const fn knows(&self, time: i64) -> bool {
        self.losses == 0 || (self.since.is_some() && self.since_bar <= time)
    }
}

#[cfg(test)]
#[path = "signals_tests.rs"]
mod tests;
