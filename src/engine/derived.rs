//! Bars that are derived from the smallest bars of their symbol, as bars of series of their own.
//!
//! The smallest timeframe that a symbol is fed is gathered in buckets ([`Derivation`]), which are
//! part of that series' state. A bucket that closes gives a bar of a larger timeframe, which waits
//! here until the driver takes it in with [`Engine::next_derived`]. Timeframes that the source
//! sends itself are not derived: its own bars win.
//!
//! The timeframes that a symbol is fed follow from the series that are kept; no snapshot has them.

mod gather;
mod marks;
mod rebuild;
mod trade_marks;

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::config::AnalysisConfig;
use super::notes::{DerivedNote, DerivedNoteKind};
use super::trades::TradeTotals;
use super::{Effect, Engine, FormingBar, Outcome, Refusal, Series};
use crate::aggregate::{Derivation, DerivedBar, Parts, Scratch, TradedBar};
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
    /// Steps after trades, to be done when no bar of `due` is left.
    pub(super) built: VecDeque<Built>,
    /// Room for bars that buckets hand out.
    found: Vec<DerivedBar>,
    /// Room for bars that buckets of trades hand out.
    pub(super) traded: Vec<TradedBar>,
    scratch: Scratch,
    /// Room for the bars of a series that can be corrected.
    correctable: Vec<Bar>,
    pub(super) open_buckets: usize,
    /// Lower bound of the ends of open buckets; `None` while none was opened.
    first_end: Option<Timestamp>,
    /// The same for buckets of trades.
    first_end_of_trades: Option<Timestamp>,
    pub(super) trades: TradeTotals,
    pub(super) totals: DerivedTotals,
    notes: Vec<DerivedNote>,
    said: Vec<(Timeframe, std::mem::Discriminant<DerivedNoteKind>)>,
}

/// A step after trades.
#[derive(Debug)]
pub(super) enum Built {
    /// The bar is taken in.
    Bar(Symbol, DerivedBar),
    /// Bars that are derived from this timeframe and end at this time or before are closed.
    Until(Symbol, Timeframe, Timestamp),
}

/// The origin of a bar that others are derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A source sent it.
    Source,
    /// It was built from trades.
    Trades,
}

impl Derived {
    /// True if it holds nothing that a snapshot has to keep.
    pub(super) const fn is_none(&self) -> bool {
        self.parts.is_none() && self.gathered.is_none()
    }

    /// True if a deserialized state of a series of `timeframe` can be continued by `config`. The
    /// newest complete bar of the series opened at `newest`, the oldest correctable one at `oldest`.
    pub(super) fn is_sound(
        &self,
        config: &AnalysisConfig,
        timeframe: Timeframe,
        newest: Option<Timestamp>,
        oldest: Option<Timestamp>,
    ) -> bool {
        let gathered = self.gathered.as_ref();
        let plan = &config.derived;
        let is_sound = gathered.is_none_or(|one| one.is_sound(plan, timeframe, newest, oldest));
        self.is_none() || (config.derives() && is_sound)
    }

    pub(super) fn open_buckets(&self) -> usize {
        self.gathered.as_ref().map_or(0, |one| one.open_buckets())
    }
}

impl Deriving {
    /// The empty state for `config`; `None` where nothing is derived.
    pub fn by(config: &AnalysisConfig) -> Option<Box<Self>> {
        config.derives().then(Box::default)
    }

    /// Queues the bars that buckets of `series` have handed out. The number of trades that a bar is
    /// built from is no measure of its completeness.
    fn queue(&mut self, series: &Series) {
        let symbol = &series.key().symbol;
        let counts = series.trades.is_none();
        let found = self.found.drain(..).map(|mut bar| {
            bar.parts.expected = bar.parts.expected.filter(|_| counts);
            (symbol.clone(), bar)
        });
        self.due.extend(found);
    }

    /// Queues the bars that buckets of the trades of `symbol` have handed out, and then the closing
    /// of larger bars that end at `until` or before.
    pub(super) fn build(
        &mut self,
        symbol: &Symbol,
        timeframe: Timeframe,
        until: Option<Timestamp>,
    ) {
        let bars = self.traded.drain(..).map(|built| {
            let parts = Parts {
                have: built.trades,
                expected: None,
            };
            let bar = DerivedBar {
                timeframe,
                bar: built.bar,
                parts,
                is_final: true,
            };
            Built::Bar(symbol.clone(), bar)
        });
        self.built.extend(bars);
        let until = until.map(|until| Built::Until(symbol.clone(), timeframe, until));
        self.built.extend(until);
    }

    /// True if derived bars wait to be taken in.
    pub(super) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Closes the bars that are derived from `series` and end at `at` or before.
    pub(super) fn close_until(&mut self, series: &mut Series, at: Timestamp) {
        if let Some(gathered) = &mut series.derived.gathered {
            let open = gathered.open_buckets();
            gathered.close_until(at, &mut self.found);
            self.open_buckets -= open - gathered.open_buckets();
            self.queue(series);
        }
    }

    pub(super) fn note(&mut self, symbol: &Symbol, timeframe: Timeframe, kind: DerivedNoteKind) {
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
        self.built.clear();
        self.found.clear();
        self.traded.clear();
    }

    /// A series is kept.
    pub fn on_kept(&mut self, series: &Series) {
        self.open_buckets += series.open_buckets();
        if let Some(gathered) = &series.derived.gathered {
            self.note_ends(gathered);
        }
        self.note_ends_of_trades(series);
        if !series.is_derived() {
            let key = series.key();
            insert(self.fed.entry_ref(&key.symbol).or_default(), key.timeframe);
        }
    }

    /// The bars of a series are forgotten, and with them its buckets.
    pub fn on_emptied(&mut self, series: &Series) {
        self.open_buckets -= series.open_buckets();
    }

    /// A series is kept no longer.
    pub fn on_forgotten(&mut self, series: &Series) {
        self.open_buckets -= series.open_buckets();
        let key = series.key();
        if !series.is_derived()
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
        deriving.close_until(series, at);
    }

    /// Takes in the next derived bar that is due; `None` when there is none left. Bars that change
    /// nothing are passed over.
    ///
    /// After a panic in here, [`Self::roll_back`] makes the engine usable again.
    pub fn next_derived(&mut self, now: Timestamp) -> Option<DerivedOutcome<'_>> {
        let (symbol, derived, worked) = loop {
            let next = self.deriving.as_mut()?.due.pop_front();
            let is_built = next.is_none();
            let (symbol, mut derived) = match next {
                Some(next) => next,
                None => match self.next_built()? {
                    Some(next) => next,
                    None => continue,
                },
            };
            let opened = &mut derived.bar.timestamp;
            let calendar = self.config.derived.calendar();
            *opened = calendar.label(derived.timeframe, *opened);
            let event = derived.event(symbol.as_str());
            let worked = self.work(&event, Some(derived.parts), now);
            if is_built {
                self.gather(&event, &worked, Origin::Trades);
            }
            let deriving = self.deriving.as_mut()?;
            match worked.effect {
                Effect::Appended | Effect::Inserted => deriving.totals.derived += 1,
                Effect::Corrected => deriving.totals.revised += 1,
                Effect::Forming if worked.publish => {}
                Effect::Refused(Refusal::TooManySeries { .. }) => {
                    self.note_no_room(&symbol, derived.timeframe);
                    continue;
                }
                Effect::Forming
                | Effect::Duplicate
                | Effect::Refused(Refusal::Late { .. } | Refusal::LateTrade { .. }) => continue,
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
            let calendar = self.config.derived.calendar();
            gathered.peek(
                forming,
                calendar,
                &mut deriving.scratch,
                &mut deriving.found,
            );
            deriving.queue(series);
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
}
