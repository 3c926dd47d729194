//! Bars that are derived from the smallest bars of their symbol, as bars of series of their own.
//!
//! The smallest timeframe that a symbol is fed is gathered in buckets ([`Derivation`]), which are
//! part of that series' state. A bucket that closes gives a bar of a larger timeframe, which waits
//! here until the driver takes it in with [`Engine::next_derived`]. Timeframes that the source
//! sends itself are not derived: its own bars win.
//!
//! The timeframes that a symbol is fed follow from the series that are kept; no snapshot has them.

mod marks;
mod rebuild;

use std::collections::VecDeque;
use std::fmt;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::{Effect, Engine, FormingBar, Outcome, Refusal, Series, SeriesId, Worked};
use crate::aggregate::{Derivation, DerivedBar, Parts, Plan, Scratch, is_made_of};
use crate::market::{Bar, BarEvent, Finality, SeriesKeyRef, Symbol, Timeframe, Timestamp};

/// The derivation state of a series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Derived {
    /// The completeness of the newest bar, if the bars of the series are derived.
    pub(super) parts: Option<Parts>,
    /// The buckets that its bars are gathered in, if others are derived from them.
    pub(super) gathered: Option<Box<Derivation>>,
}

/// Counts of derived bars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DerivedTotals {
    /// Bars that were derived.
    pub derived: u64,
    /// Derived bars that changed with a bar that was corrected.
    pub revised: u64,
    /// Series of which none are derived because the source sends them itself.
    pub own: u64,
    /// Bars that reach across the end of a derived bar, which was left out.
    pub straddling: u64,
    /// Derived bars that were left out because as many series are kept as may be.
    pub no_room: u64,
    /// Derived bars that a time mark closed.
    pub marked: u64,
}

/// Something about derived bars that people should know; each kind is said once per timeframe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedNote {
    /// The instrument that showed it.
    pub symbol: Symbol,
    /// The derived timeframe.
    pub timeframe: Timeframe,
    /// The kind of note.
    pub kind: DerivedNoteKind,
}

/// The subject of a [`DerivedNote`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedNoteKind {
    /// The source sends bars of this timeframe itself.
    Own,
    /// Bars of this length reach across the end of a derived bar.
    Straddling(Timeframe),
    /// The engine keeps as many series as its bound allows.
    NoRoom,
}

/// A derived bar that was taken in.
#[derive(Debug)]
pub struct DerivedOutcome<'a> {
    /// Its instrument.
    pub symbol: Symbol,
    /// The bar.
    pub derived: DerivedBar,
    /// Effect on the derived series.
    pub outcome: Outcome<'a>,
}

/// The state of an engine that derives bars, beside that of its series.
#[derive(Debug, Default)]
pub(super) struct Deriving {
    /// The timeframes that each symbol is fed, smallest first.
    fed: HashMap<Symbol, Vec<Timeframe>>,
    /// Bars to be taken in.
    due: VecDeque<(Symbol, DerivedBar)>,
    /// Room for bars that buckets hand out.
    found: Vec<DerivedBar>,
    scratch: Scratch,
    /// Room for the bars of a series that can be corrected.
    correctable: Vec<Bar>,
    open_buckets: usize,
    /// Lower bound of the ends of open buckets; `None` while none was opened.
    first_end: Option<Timestamp>,
    totals: DerivedTotals,
    notes: Vec<DerivedNote>,
    said: Vec<(Timeframe, std::mem::Discriminant<DerivedNoteKind>)>,
}

impl Derived {
    /// True if it holds nothing that a snapshot has to keep.
    pub(super) const fn is_none(&self) -> bool {
        self.parts.is_none() && self.gathered.is_none()
    }

    /// True if a deserialized state of a series of `timeframe` can be continued by `plan`. The
    /// newest complete bar of the series opened at `newest`, the oldest correctable one at `oldest`.
    pub(super) fn is_sound(
        &self,
        plan: &Plan,
        timeframe: Timeframe,
        newest: Option<Timestamp>,
        oldest: Option<Timestamp>,
    ) -> bool {
        let gathered = self.gathered.as_ref();
        let is_sound = gathered.is_none_or(|one| one.is_sound(plan, timeframe, newest, oldest));
        self.is_none() || (!plan.is_empty() && is_sound)
    }

    pub(super) fn open_buckets(&self) -> usize {
        self.gathered.as_ref().map_or(0, |one| one.open_buckets())
    }
}

impl Deriving {
    /// The empty state for `plan`; `None` where nothing is derived.
    pub fn by(plan: &Plan) -> Option<Box<Self>> {
        (!plan.is_empty()).then(Box::default)
    }

    /// Queues what buckets of `symbol` have handed out.
    fn queue(&mut self, symbol: &Symbol) {
        let found = self.found.drain(..);
        self.due.extend(found.map(|bar| (symbol.clone(), bar)));
    }

    fn note(&mut self, symbol: &Symbol, timeframe: Timeframe, kind: DerivedNoteKind) {
        let what = (timeframe, std::mem::discriminant(&kind));
        if !self.said.contains(&what) {
            self.said.push(what);
            self.notes.push(DerivedNote {
                symbol: symbol.clone(),
                timeframe,
                kind,
            });
        }
    }

    /// A bar at work panicked: what it would have led to is void.
    pub fn roll_back(&mut self) {
        self.due.clear();
        self.found.clear();
    }

    /// A series is kept.
    pub fn on_kept(&mut self, series: &Series) {
        self.open_buckets += series.derived.open_buckets();
        if let Some(gathered) = &series.derived.gathered {
            self.note_ends(gathered);
        }
        if series.derived.parts.is_none() {
            let key = series.key();
            insert(self.fed.entry_ref(&key.symbol).or_default(), key.timeframe);
        }
    }

    /// The bars of a series are forgotten, and with them its buckets.
    pub fn on_emptied(&mut self, series: &Series) {
        self.open_buckets -= series.derived.open_buckets();
    }

    /// A series is kept no longer.
    pub fn on_forgotten(&mut self, series: &Series) {
        self.open_buckets -= series.derived.open_buckets();
        let key = series.key();
        if series.derived.parts.is_none()
            && let Some(fed) = self.fed.get_mut(&key.symbol)
        {
            fed.retain(|one| *one != key.timeframe);
            if fed.is_empty() {
                self.fed.remove(&key.symbol);
            }
        }
    }
}

fn insert(fed: &mut Vec<Timeframe>, timeframe: Timeframe) {
    if !fed.contains(&timeframe) {
        fed.push(timeframe);
        fed.sort_unstable_by_key(|one| one.nanos());
    }
}

impl Engine {
    /// Closes the buckets that end before `event` opens, as it is the next of its series. Their
    /// bars come before it: they are to be taken in with [`Self::next_derived`] until there is none
    /// left, then `event` with [`Self::on_bar`], and then [`Self::next_derived`] again.
    pub fn close_before(&mut self, event: &BarEvent<'_>) {
        let Some(deriving) = &mut self.deriving else {
            return;
        };
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        let Some(series) = self
            .index
            .get(&key)
            .and_then(|id| self.series[id.index()].as_mut())
        else {
            return;
        };
        let at = event.bar.timestamp;
        // a bar that the next one completes is complete if that next one exists already
        let held = series.forming().map(FormingBar::timestamp);
        let is_complete =
            event.finality == Finality::UntilNext && held.is_some_and(|held| at < held);
        if !event.finality.is_final() && !is_complete {
            return;
        }
        if series.position().is_some_and(|(newest, _)| newest >= at) {
            return;
        }
        if let Some(gathered) = &mut series.derived.gathered {
            let open = gathered.open_buckets();
            gathered.close_until(at, &mut deriving.found);
            deriving.open_buckets -= open - gathered.open_buckets();
            deriving.queue(&series.key().symbol);
        }
    }

    /// Takes in the next derived bar that is due; `None` when there is none left. Bars that change
    /// nothing are passed over.
    ///
    /// After a panic in here, [`Self::roll_back`] makes the engine usable again.
    pub fn next_derived(&mut self, now: Timestamp) -> Option<DerivedOutcome<'_>> {
        let (symbol, derived, worked) = loop {
            let (symbol, derived) = self.deriving.as_mut()?.due.pop_front()?;
            let event = derived.event(symbol.as_str());
            let worked = self.work(&event, Some(derived.parts), now);
            let deriving = self.deriving.as_mut()?;
            match worked.effect {
                Effect::Appended | Effect::Inserted => deriving.totals.derived += 1,
                Effect::Corrected => deriving.totals.revised += 1,
                Effect::Forming if worked.publish => {}
                Effect::Refused(Refusal::TooManySeries { .. }) => {
                    self.note_no_room(&symbol, derived.timeframe);
                    continue;
                }
                Effect::Forming | Effect::Duplicate | Effect::Refused(Refusal::Late { .. }) => {
                    continue;
                }
            }
            break (symbol, derived, worked);
        };
        let outcome = worked.outcome(&self.signal);
        Some(DerivedOutcome {
            symbol,
            derived,
            outcome,
        })
    }

    /// Makes the bars due that are forming, after `event` had an `effect` and
    /// [`Self::next_derived`] has no more.
    pub fn peek_derived(&mut self, event: &BarEvent<'_>, effect: Effect) {
        let Some(deriving) = &mut self.deriving else {
            return;
        };
        let forming = match effect {
            Effect::Appended | Effect::Corrected | Effect::Inserted => None,
            Effect::Forming => Some(&event.bar),
            Effect::Duplicate | Effect::Refused(_) => return,
        };
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        let series = self.index.get(&key);
        let Some(series) = series.and_then(|id| self.series[id.index()].as_ref()) else {
            return;
        };
        if let Some(gathered) = &series.derived.gathered {
            let zone = self.config.derived.calendar();
            gathered.peek(forming, zone, &mut deriving.scratch, &mut deriving.found);
            deriving.queue(&series.key().symbol);
        }
    }

    /// The buckets that take bars now.
    #[must_use]
    pub fn open_buckets(&self) -> usize {
        self.deriving.as_ref().map_or(0, |one| one.open_buckets)
    }

    /// True if larger bars are derived.
    #[must_use]
    pub const fn derives(&self) -> bool {
        self.deriving.is_some()
    }

    /// The account of derived bars since it was last taken.
    pub fn take_derived_totals(&mut self) -> DerivedTotals {
        let totals = self.deriving.as_mut().map(|one| &mut one.totals);
        totals.map(std::mem::take).unwrap_or_default()
    }

    /// Takes the notes about derived bars that were not logged yet.
    pub fn take_derived_notes(&mut self) -> Vec<DerivedNote> {
        let notes = self.deriving.as_mut().map(|one| &mut one.notes);
        notes.map(std::mem::take).unwrap_or_default()
    }

    /// Gathers a bar that a source sent, after it was worked on.
    pub(super) fn gather(&mut self, event: &BarEvent<'_>, worked: &Worked) {
        let Some(id) = worked.series else {
            return;
        };
        let is_state = event.finality != Finality::Forming;
        if is_state && (worked.begun || worked.was_derived) {
            self.feed(id);
        }
        let (Some(deriving), Some(series)) = (&mut self.deriving, self.series[id.index()].as_mut())
        else {
            return;
        };
        let plan = &self.config.derived;
        let key = series.key();
        if worked.effect == Effect::Appended && series.derived.gathered.is_none() {
            let fed = deriving.fed.get(&key.symbol).map_or(&[][..], Vec::as_slice);
            if fed.first() == Some(&key.timeframe) {
                let is_wanted = |one| !fed.contains(&one);
                let since = event.bar.timestamp;
                let begun = Derivation::new(plan, key.timeframe, since, is_wanted);
                series.derived.gathered = begun.map(Box::new);
            }
        }
        let Some(gathered) = &mut series.derived.gathered else {
            return;
        };
        let open = gathered.open_buckets();
        let (zone, correctable) = (plan.calendar(), self.config.correctable());
        let straddled = match worked.effect {
            Effect::Appended => {
                let moved = series.ring.moved(correctable);
                let straddled = gathered.append(&event.bar, &moved, zone, &mut deriving.found);
                deriving.note_ends(gathered);
                straddled
            }
            Effect::Corrected | Effect::Inserted => {
                let moved = series.ring.moved(correctable);
                let moved = Some(&moved).filter(|_| worked.effect == Effect::Inserted);
                let bars = &mut deriving.correctable;
                bars.clear();
                let newer = (0..correctable.min(series.ring.len())).rev();
                bars.extend(newer.filter_map(|newer| series.ring.back(newer)));
                let at = event.bar.timestamp;
                gathered.revise(at, moved, bars, zone, &mut deriving.found)
            }
            Effect::Forming | Effect::Duplicate | Effect::Refused(_) => None,
        };
        if let Some(timeframe) = straddled {
            let key = &series.key;
            deriving.totals.straddling += 1;
            let kind = DerivedNoteKind::Straddling(key.timeframe);
            deriving.note(&key.symbol, timeframe, kind);
        }
        let open_now = series.derived.open_buckets();
        deriving.open_buckets = deriving.open_buckets + open_now - open;
        deriving.queue(&series.key().symbol);
    }

    /// Notes that there is no room for the series of a derived timeframe.
    pub(super) fn note_no_room(&mut self, symbol: &Symbol, timeframe: Timeframe) {
        if let Some(deriving) = &mut self.deriving {
            deriving.totals.no_room += 1;
            deriving.note(symbol, timeframe, DerivedNoteKind::NoRoom);
        }
    }

    /// Notes that the source sends the bars of a series: none are derived for it any more, and the
    /// smallest timeframe of its symbol may be another one.
    pub(super) fn feed(&mut self, id: SeriesId) {
        let Some(series) = self.series[id.index()].as_mut() else {
            return;
        };
        series.pin_tag(&self.config);
        series.derived.parts = None;
        let key = series.key().clone();
        let Some(deriving) = &mut self.deriving else {
            return;
        };
        let fed = deriving.fed.entry_ref(&key.symbol).or_default();
        insert(fed, key.timeframe);
        let plan = self.config.derived.timeframes();
        let smallest = fed[0];
        // with a new smallest one, those that were derived from before are its to give up as well
        let own: Vec<Timeframe> = fed[1..]
            .iter()
            .copied()
            .filter(|one| smallest == key.timeframe || *one == key.timeframe)
            .collect();
        for timeframe in own {
            if plan.contains(&timeframe) && is_made_of(timeframe, smallest) {
                deriving.totals.own += 1;
                deriving.note(&key.symbol, timeframe, DerivedNoteKind::Own);
            }
            let base = if smallest == key.timeframe {
                timeframe
            } else {
                smallest
            };
            let base = SeriesKeyRef {
                symbol: key.symbol.as_str(),
                timeframe: base,
            };
            let series = self.index.get(&base);
            let Some(series) = series.and_then(|id| self.series[id.index()].as_mut()) else {
                continue;
            };
            let derived = &mut series.derived;
            deriving.open_buckets -= derived.open_buckets();
            if smallest == key.timeframe {
                derived.gathered = None;
            } else if let Some(gathered) = &mut derived.gathered {
                gathered.give_up(timeframe);
            }
            deriving.open_buckets += derived.open_buckets();
        }
    }
}

impl fmt::Display for DerivedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            symbol, timeframe, ..
        } = self;
        match self.kind {
            DerivedNoteKind::Own => write!(
                f,
                "the source sends {timeframe} bars of {symbol} itself, so none are derived; leave \
                 {timeframe} out of TECHNICAL_TIMEFRAMES, or stop sending it"
            ),
            DerivedNoteKind::Straddling(part) => write!(
                f,
                "{part} bars of {symbol} reach across the end of a {timeframe} bar, which is left \
                 out; send smaller bars, or set TECHNICAL_CALENDAR to the zone at whose midnights \
                 they begin"
            ),
            DerivedNoteKind::NoRoom => write!(
                f,
                "there is no room for derived {timeframe} bars of {symbol}; raise \
                 TECHNICAL_MAX_SERIES, or derive fewer timeframes"
            ),
        }
    }
}
