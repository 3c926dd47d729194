//! Histories: bars of the past that are gathered beside a live series and then replace it.
//!
//! An open history has its own engine, with the series and those derived from it. At its end this
//! engine takes in the bars of the live series after those of the history, as if all had come in
//! order. The result replaces the live series. Until then the live series is not touched, so a
//! history that breaks off changes nothing.
//!
//! Invariants: at most [`HISTORIES_MAX`] are open, one per series; a history is complete or has no
//! effect; a series never loses bars to a history that has fewer bars of the same past.

mod copies;
mod fault;
mod rebuild;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Engine, Series, SeriesId};
use crate::market::{BarEvent, SeriesKey, Timeframe, Timestamp};
pub use copies::HistorySnapshot;
pub use fault::HistoryFault;

/// Largest number of open histories. One more drops the one that was silent for longest.
pub const HISTORIES_MAX: usize = 16;

/// Largest length of the fault that a history remembers, in bytes.
const FAULT_BYTES: usize = 512;

/// A series that was rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The series, and then those that are derived from it.
    pub series: Vec<SeriesId>,
    /// True if there was no such series before.
    pub begun: bool,
    /// Bars of the history that the series did not have.
    pub taken: u64,
    /// Bars of the history that the series had already, or that its own bars replace.
    pub duplicates: u64,
    /// Bars of the history that replaced others of the same time.
    pub corrections: u64,
    /// Opening time of the oldest bar of the history.
    pub first: Timestamp,
    /// Opening time of the newest bar of the history.
    pub last: Timestamp,
}

impl Rebuilt {
    /// The bars of the history.
    #[must_use]
    pub const fn bars(&self) -> u64 {
        self.taken + self.duplicates + self.corrections
    }
}

/// A refusal of a message of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRefusal {
    /// The reason.
    pub fault: HistoryFault,
    /// Bars that are lost with it and were not counted in an earlier refusal.
    pub bars: u64,
}

/// The open histories.
#[derive(Debug, Default)]
pub(super) struct Histories {
    /// Ordered by the latest message of each, the newest last.
    open: Vec<Open>,
}

/// The account of the messages of an open history.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Account {
    /// Parts that were taken in.
    parts: u32,
    /// Bars that came in its parts.
    bars: u64,
    /// Bars among them that were refused.
    refused: u64,
    /// Bars that repeat or replace another of the history.
    repeated: u64,
    /// Bars that the live series has appended since it began.
    live: u64,
    /// Opening time of its oldest bar.
    first: Option<Timestamp>,
    /// Reason why it can have no effect.
    fault: Option<String>,
}

/// A history that is open.
#[derive(Debug)]
struct Open {
    key: SeriesKey,
    id: Arc<str>,
    account: Account,
    engine: Box<Engine>,
}

impl Histories {
    pub const fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Drops the history of a series.
    pub fn forget(&mut self, symbol: &str, timeframe: Timeframe) {
        let is_of = |key: &SeriesKey| key.symbol.as_str() == symbol && key.timeframe == timeframe;
        self.open.retain(|open| !is_of(&open.key));
    }

    /// Counts a bar appended to the live series. Once all bars in its window arrived after a
    /// history began, that history cannot be joined to it.
    pub fn note_live(&mut self, symbol: &str, timeframe: Timeframe, window: usize) {
        self.open.retain_mut(|open| {
            if open.key.symbol.as_str() != symbol || open.key.timeframe != timeframe {
                return true;
            }
            open.account.live += 1;
            open.account.live <= window as u64
        });
    }

    /// Takes the history `id` of a series out.
    fn take(&mut self, key: &SeriesKey, id: &str) -> Option<Open> {
        let is_it = |open: &Open| open.key == *key && *open.id == *id;
        let at = self.open.iter().position(is_it)?;
        Some(self.open.remove(at))
    }

    /// Adds a history as the most recent one; it replaces any other of its series.
    fn put(&mut self, open: Open) {
        self.open.retain(|other| other.key != open.key);
        if self.open.len() >= HISTORIES_MAX {
            self.open.remove(0);
        }
        self.open.push(open);
    }
}

impl Account {
    fn fail(&mut self, fault: String) {
        let end = (0..=fault.len().min(FAULT_BYTES)).rev();
        let end = end.into_iter().find(|end| fault.is_char_boundary(*end));
        let fault = fault[..end.unwrap_or_default()].to_owned();
        self.fault.get_or_insert(fault);
    }
}

impl Engine {
    /// Takes in part number `part` of the history `id` of the series `key`. Returns the number of
    /// its bars.
    ///
    /// # Errors
    /// If the history can have no effect. Only the first such part is refused; later ones are
    /// ignored.
    pub fn take_history(
        &mut self,
        (key, id, part): (&SeriesKey, &str, u32),
        bars: &[BarEvent<'_>],
        now: Timestamp,
    ) -> Result<usize, HistoryRefusal> {
        let mut open = self.open_history(key, id, part);
        // it stays out of the table until the part is done, so a panic leaves nothing half done
        let expected = open.account.parts;
        open.account.parts = open.account.parts.saturating_add(1);
        open.account.bars += bars.len() as u64;
        if open.account.fault.is_some() {
            self.histories.put(open);
            return Ok(bars.len());
        }
        let fault = if part != expected {
            let came = format!("part {part}");
            Some(HistoryFault::Gap { expected, came })
        } else {
            self.find_series(key).and_then(HistoryFault::of_origin)
        };
        if let Some(fault) = fault {
            open.account.fail(fault.to_string());
            open.account.refused += bars.len() as u64;
            self.histories.put(open);
            let bars = bars.len() as u64;
            return Err(HistoryRefusal { fault, bars });
        }
        for event in bars {
            let at = event.bar.timestamp;
            open.account.first = Some(open.account.first.map_or(at, |first| first.min(at)));
            let repeats = open.engine.absorb(event, now);
            open.account.repeated += u64::from(repeats);
        }
        self.histories.put(open);
        Ok(bars.len())
    }

    /// Notes that part number `part` of the history `id` was refused with its `bars`, so that the
    /// history has no effect.
    pub fn refuse_history(
        &mut self,
        (key, id, part): (&SeriesKey, &str, u32),
        bars: u64,
        why: &str,
    ) {
        let mut open = self.open_history(key, id, part);
        open.account.parts = open.account.parts.saturating_add(1);
        open.account.bars += bars;
        open.account.refused += bars;
        open.account
            .fail(HistoryFault::Part(why.to_owned()).to_string());
        self.histories.put(open);
    }

    /// Takes the history `id` of a series out of the table, or makes a new one.
    fn open_history(&mut self, key: &SeriesKey, id: &str, part: u32) -> Open {
        let known = self.histories.take(key, id);
        // the first part again begins another history
        known.filter(|_| part > 0).unwrap_or_else(|| Open {
            key: key.clone(),
            id: id.into(),
            account: Account::default(),
            engine: Box::new(self.beside()),
        })
    }

    /// Ends the history `id` of `parts` parts. Rebuilds its series from its bars followed by the
    /// live bars that are kept, as if all had come in this order. `epoch` identifies the rebuilt
    /// series.
    ///
    /// # Errors
    /// If the history has no effect; the series is then unchanged.
    pub fn end_history(
        &mut self,
        (key, id, parts): (&SeriesKey, &str, u32),
        epoch: u64,
        now: Timestamp,
    ) -> Result<Rebuilt, HistoryRefusal> {
        let Some(open) = self.histories.take(key, id) else {
            let fault = HistoryFault::Unknown;
            return Err(HistoryRefusal { fault, bars: 1 });
        };
        let bars = open
            .account
            .bars
            .saturating_sub(open.account.refused)
            .max(1);
        let ended = if let Some(fault) = &open.account.fault {
            Err(HistoryFault::Part(fault.clone()))
        } else if open.account.parts != parts {
            Err(HistoryFault::Gap {
                expected: open.account.parts,
                came: format!("the end of {parts}"),
            })
        } else {
            self.rebuild(open, epoch, now)
        };
        ended.map_err(|fault| HistoryRefusal { fault, bars })
    }

    /// An empty engine with the same configuration, for one history.
    fn beside(&self) -> Self {
        let series = 1 + self.config.derived.timeframes().len();
        let mut engine = Self::new(Arc::clone(&self.config), series);
        engine.idle = self.idle.same_rule();
        engine
    }

    fn find_series(&self, key: &SeriesKey) -> Option<&Series> {
        self.get(*self.index.get(key)?)
    }
}
