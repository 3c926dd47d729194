//! The engine: bars in, signals out.
//!
//! Pure and deterministic: no IO, no clock, no lock, no async, and no allocation per bar once a
//! series is known. The same bars under the same configuration give the same signals, byte for
//! byte, whoever drives it: the live agent, a replay of a file, a test.
//!
//! Must not know: NATS, threads, time; it is told when a bar arrived.

mod alerts;
mod analysis;
mod columns;
mod config;
mod derived;
mod forming;
mod idle;
mod ring;
mod series;
mod signal;
mod snapshot;

use std::sync::Arc;

use hashbrown::HashMap;

pub use alerts::{Alert, AlertSet};
pub use config::AnalysisConfig;
pub use derived::{Derived, DerivedNote, DerivedNoteKind, DerivedOutcome, DerivedTotals};
pub use forming::FormingBar;
pub use ring::Ring;
pub use series::Series;
pub use signal::{Momentum, Readings, Signal, Trend};
pub use snapshot::{RestoreError, SeriesSnapshot};

use analysis::State;
use derived::Deriving;
use idle::Idle;
use series::Order;

use crate::aggregate::{Derivation, Parts};
use crate::indicators::Instance;
use crate::market::{
    Bar, BarEvent, Finality, SeriesKey, SeriesKeyRef, Symbol, Timeframe, Timestamp,
};

/// Bytes for the key of a series, its place in tables and the allocator.
const KEEPING: usize = 512;

/// Names a series within one engine, for as long as the series is not forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(u32);

impl SeriesId {
    /// A small number, dense from zero, for tables beside the engine.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Why a valid bar was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is earlier than the newest bar of its series.
    #[error("bar is earlier than the newest of its series, {newest}; send bars in order")]
    Late {
        /// The newest bar's open time.
        newest: Timestamp,
    },
    /// The engine keeps as many series as it may.
    #[error("{limit} series are kept already; raise TECHNICAL_MAX_SERIES or send fewer symbols")]
    TooManySeries {
        /// The bound.
        limit: usize,
    },
}

/// What a bar did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is the new last bar of its series.
    Appended,
    /// It replaced the last bar.
    Corrected,
    /// It equals the last bar: nothing happened.
    Duplicate,
    /// It is still forming: no complete bar changed.
    Forming,
    /// It was not taken.
    Refused(Refusal),
}

/// The answer to one bar.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// Its series, unless that is not kept.
    pub series: Option<SeriesId>,
    /// True if the series began with it; its id may have been another's before.
    pub begun: bool,
    /// What the bar did.
    pub effect: Effect,
    /// Bars missing right before it.
    pub missing: u64,
    /// Which reset the series began with; 0 if none.
    pub epoch: u64,
    /// What is to be published, if anything.
    pub signal: Option<&'a Signal>,
}

/// A series that was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// The series.
    pub series: SeriesId,
    /// The bars that were in its window.
    pub forgotten: usize,
}

/// An [`Outcome`] whose signal, if it has one, is still with the engine.
#[derive(Debug)]
struct Worked {
    series: Option<SeriesId>,
    begun: bool,
    /// True if the bars of the series were derived before.
    was_derived: bool,
    effect: Effect,
    missing: u64,
    epoch: u64,
    publish: bool,
}

impl Worked {
    const fn silent(series: Option<SeriesId>, effect: Effect) -> Self {
        Self {
            series,
            begun: false,
            was_derived: false,
            effect,
            missing: 0,
            epoch: 0,
            publish: false,
        }
    }

    fn outcome(self, signal: &Signal) -> Outcome<'_> {
        Outcome {
            series: self.series,
            begun: self.begun,
            effect: self.effect,
            missing: self.missing,
            epoch: self.epoch,
            signal: self.publish.then_some(signal),
        }
    }
}

/// A set of series under one configuration.
#[derive(Debug)]
pub struct Engine {
    config: Arc<AnalysisConfig>,
    fingerprint: u64,
    max_series: usize,
    index: HashMap<SeriesKey, SeriesId>,
    series: Vec<Option<Series>>,
    free: Vec<SeriesId>,
    /// The state that a bar is tried on.
    trial: State,
    signal: Signal,
    working: Option<Working>,
    /// The series at work as it was, where the bar starts it anew.
    replaced: Option<Series>,
    idle: Idle,
    /// True if a series may have a bar that is forming until the next one comes.
    has_forming: bool,
    /// The state of derivation; `None` where nothing is derived.
    deriving: Option<Box<Deriving>>,
}

/// The state before the bar at work, to roll back to.
#[derive(Debug)]
struct Working {
    series: SeriesId,
    /// The newest bar of the series before it.
    newest: Option<Bar>,
    /// When it opened.
    at: Timestamp,
}

impl Engine {
    /// An engine that keeps at most `max_series` series.
    #[must_use]
    pub fn new(config: Arc<AnalysisConfig>, max_series: usize) -> Self {
        let trial = State::new(&config);
        let signal = Signal::blank(&config);
        Self {
            fingerprint: config.fingerprint(),
            deriving: Deriving::by(&config.derived),
            config,
            max_series,
            index: HashMap::new(),
            series: Vec::new(),
            free: Vec::new(),
            trial,
            signal,
            working: None,
            replaced: None,
            idle: Idle::never(),
            has_forming: false,
        }
    }

    /// The memory that a series takes once its window is full, in bytes, what indicators of
    /// several stages remember aside.
    #[must_use]
    pub fn bytes_per_series(config: &AnalysisConfig) -> usize {
        let further = 2 * config.indicators.len() * size_of::<Instance>();
        let buckets = Derivation::bytes(&config.derived);
        Ring::full_bytes(config.window) + size_of::<Option<Series>>() + further + buckets + KEEPING
    }

    /// The configuration it computes under.
    #[must_use]
    pub const fn config(&self) -> &Arc<AnalysisConfig> {
        &self.config
    }

    /// How many series it keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it keeps none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The series it keeps, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (SeriesId, &Series)> {
        self.index
            .values()
            .filter_map(|id| Some((*id, self.series[id.index()].as_ref()?)))
    }

    /// The series of `symbol` in `timeframe`.
    #[must_use]
    pub fn find(&self, symbol: &str, timeframe: Timeframe) -> Option<(SeriesId, &Series)> {
        let id = *self.index.get(&SeriesKeyRef { symbol, timeframe })?;
        Some((id, self.get(id)?))
    }

    /// The series named by `id`.
    #[must_use]
    pub fn get(&self, id: SeriesId) -> Option<&Series> {
        self.series.get(id.index())?.as_ref()
    }

    /// Takes in one bar that arrived at `now`. Within a series, a later bar is appended, an
    /// equal timestamp replaces the last bar, an earlier one is refused. The bar that it completes,
    /// if any, must be taken in before it ([`Self::closed_by`]), and so must the derived bars that
    /// end before it ([`Self::close_before`]).
    ///
    /// A panic in here leaves the engine usable after [`Self::roll_back`].
    pub fn on_bar(&mut self, event: &BarEvent<'_>, now: Timestamp) -> Outcome<'_> {
        let worked = self.work(event, None, now);
        if self.deriving.is_some() {
            self.gather(event, &worked);
        }
        worked.outcome(&self.signal)
    }

    /// Takes in one bar; `parts` are those of a derived one.
    fn work(&mut self, event: &BarEvent<'_>, parts: Option<Parts>, now: Timestamp) -> Worked {
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        let until_next = event.finality == Finality::UntilNext;
        self.has_forming |= until_next;
        let mut begun = false;
        let id = match self.index.get(&key) {
            Some(id) => {
                let id = *id;
                let newest = self.get(id).and_then(Series::position);
                if self.is_after_silence(newest.map(|(at, _)| at), event) {
                    if !event.finality.is_final() {
                        if let Some(series) = self.series[id.index()].as_mut()
                            && until_next
                        {
                            series.hold(event);
                        }
                        return Worked::silent(None, Effect::Forming);
                    }
                    self.start_anew(id);
                }
                id
            }
            // a series begins with a bar that is complete, or will be when the next one comes
            None if event.finality == Finality::Forming => {
                return Worked::silent(None, Effect::Forming);
            }
            None => match self.begin(event) {
                Ok(id) => {
                    begun = true;
                    id
                }
                Err(refusal) => return Worked::silent(None, Effect::Refused(refusal)),
            },
        };
        let Some(series) = self.series[id.index()].as_mut() else {
            unreachable!("the index names only series that are kept")
        };
        series.touch(now);
        let was_derived = series.derived.parts.is_some();
        let order = series.order(event.bar.timestamp);
        let is_final = event.finality.is_final();
        let effect = match order {
            Order::Late { .. }
                if event.finality == Finality::History && series.contains(&event.bar) =>
            {
                Effect::Duplicate
            }
            Order::Late { newest } => Effect::Refused(Refusal::Late { newest }),
            // what still calls a complete bar forming is behind it
            Order::Equal if !is_final => Effect::Duplicate,
            Order::Equal if series.is_duplicate(&event.bar) => Effect::Duplicate,
            Order::Equal => Effect::Corrected,
            Order::Later if is_final => Effect::Appended,
            Order::Later if until_next => match series.forming() {
                Some(held) if event.bar.timestamp < held.timestamp() => Effect::Appended,
                Some(_) if series.repeats_forming(event) => Effect::Duplicate,
                _ => Effect::Forming,
            },
            Order::Later => Effect::Forming,
        };
        let missing = match effect {
            Effect::Appended => series.missing_before(event.bar.timestamp),
            _ => 0,
        };
        self.working = Some(Working {
            series: id,
            newest: series.ring().newest(),
            at: event.bar.timestamp,
        });
        let (config, trial, signal) = (&self.config, &mut self.trial, &mut self.signal);
        let publish = match effect {
            Effect::Appended => series.append(event, config, trial, signal),
            Effect::Corrected => series.correct(event, config, trial, signal),
            Effect::Forming => series.peek(event, config, trial, signal),
            Effect::Duplicate | Effect::Refused(_) => false,
        };
        match effect {
            Effect::Appended => series.release(event.bar.timestamp),
            Effect::Forming if until_next => series.hold(event),
            _ => {}
        }
        signal.parts = parts;
        if matches!(effect, Effect::Appended | Effect::Corrected) {
            series.derived.parts = parts;
        }
        let epoch = series.epoch();
        self.working = None;
        self.replaced = None;
        if effect == Effect::Appended {
            self.note_bar(event.bar.timestamp);
        }
        Worked {
            series: Some(id),
            begun,
            was_derived,
            effect,
            missing,
            epoch,
            publish,
        }
    }

    /// Takes back the bar that was at work when [`Self::on_bar`] panicked; what was kept before
    /// it is as it was. A series that the bar would have begun is forgotten.
    pub fn roll_back(&mut self) {
        let Some(Working {
            series: id,
            newest,
            at,
        }) = self.working.take()
        else {
            return;
        };
        self.trial = State::new(&self.config);
        if let Some(deriving) = &mut self.deriving {
            deriving.roll_back();
        }
        if let Some(before) = self.replaced.take() {
            self.series[id.index()] = Some(before);
            return;
        }
        if let Some(series) = self.series[id.index()].as_mut() {
            series.roll_back(newest);
            // a forming bar that cannot be taken in would make every later one panic
            if series.forming().is_some_and(|held| held.timestamp() == at) {
                series.release(at);
            }
            if series.last_open().is_none() && series.epoch() == 0 {
                self.forget(id);
            }
        }
    }

    /// The signal of a series' newest complete bar, computed once more.
    pub fn latest(&mut self, id: SeriesId) -> Option<&Signal> {
        let series = self.series.get(id.index())?.as_ref()?;
        if series.ring().is_empty() {
            return None;
        }
        series.latest(&self.config, &mut self.trial, &mut self.signal);
        Some(&self.signal)
    }

    /// Makes the series of `symbol` in `timeframe` as new: its next bar is accepted whatever its
    /// time. So are the series that are derived from it. Nothing where there is no such series.
    /// `epoch` tells this reset from others.
    pub fn reset(
        &mut self,
        symbol: &str,
        timeframe: Timeframe,
        epoch: Option<u64>,
    ) -> Option<Emptied> {
        let id = *self.index.get(&SeriesKeyRef { symbol, timeframe })?;
        let series = self.get(id)?;
        let epoch = epoch.unwrap_or_else(|| series.epoch().wrapping_add(1).max(1));
        let mut emptied = Emptied {
            series: id,
            forgotten: self.empty(id, epoch),
        };
        if self.get(id).is_some_and(Series::is_derived) {
            return Some(emptied);
        }
        let config = Arc::clone(&self.config);
        for timeframe in config.derived.timeframes() {
            let timeframe = *timeframe;
            let derived = self.index.get(&SeriesKeyRef { symbol, timeframe });
            if let Some(id) = derived.copied()
                && self.get(id).is_some_and(Series::is_derived)
            {
                emptied.forgotten += self.empty(id, epoch);
            }
        }
        Some(emptied)
    }

    /// Puts an empty series in the place of one; returns the bars that were in its window.
    fn empty(&mut self, id: SeriesId, epoch: u64) -> usize {
        let Some(series) = self.series[id.index()].as_mut() else {
            return 0;
        };
        let forgotten = series.ring().len();
        let mut empty = series.emptied(epoch, &self.config);
        if series.is_derived() {
            empty.derived = series.derived.clone();
        } else if let Some(deriving) = &mut self.deriving {
            deriving.on_emptied(series);
        }
        *series = empty;
        forgotten
    }

    /// Forgets one series.
    pub fn forget(&mut self, id: SeriesId) {
        if let Some(series) = self.series.get_mut(id.index()).and_then(Option::take) {
            self.index.remove(series.key());
            self.free.push(id);
            if let Some(deriving) = &mut self.deriving {
                deriving.on_forgotten(&series);
            }
        }
    }

    fn begin(&mut self, event: &BarEvent<'_>) -> Result<SeriesId, Refusal> {
        let too_many = Refusal::TooManySeries {
            limit: self.max_series,
        };
        if self.index.len() >= self.max_series {
            self.forget_silent();
        }
        if self.index.len() >= self.max_series {
            return Err(too_many);
        }
        self.note_begin(event);
        // the decoder lets no other symbol through
        let symbol = Symbol::new(&event.symbol).map_err(|_| too_many)?;
        let key = SeriesKey::new(symbol, event.timeframe);
        let series = Series::new(key, &self.config);
        self.keep(series).ok_or(too_many)
    }

    fn start_anew(&mut self, id: SeriesId) {
        if let Some(series) = self.series[id.index()].as_mut() {
            let mut empty = series.emptied(series.epoch(), &self.config);
            // its buckets were seen from their open all the same
            empty.derived = series.derived.clone();
            self.replaced = Some(std::mem::replace(series, empty));
        }
    }

    fn keep(&mut self, series: Series) -> Option<SeriesId> {
        let id = if let Some(id) = self.free.pop() {
            id
        } else {
            let id = SeriesId(u32::try_from(self.series.len()).ok()?);
            self.series.push(None);
            id
        };
        self.index.insert(series.key().clone(), id);
        self.series[id.index()] = Some(series);
        Some(id)
    }
}

#[cfg(test)]
mod tests;
