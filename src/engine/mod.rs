//! The engine: bars in, signals out.
//!
//! Pure and deterministic: no IO, no clock, no lock, no async, and no allocation per bar once a
//! series is known. The same bars under the same configuration give the same signals, byte for
//! byte, whoever drives it: the live agent, a replay of a file, a test.
//!
//! Must not know: NATS, threads, time; the caller gives the arrival of each bar.

mod alerts;
mod analysis;
mod columns;
mod config;
mod corrections;
mod derived;
mod forming;
mod history;
mod idle;
mod notes;
mod outcome;
mod revise;
mod ring;
mod series;
mod signal;
mod snapshot;
mod trades;
mod work;

use std::sync::Arc;

use hashbrown::HashMap;

pub use alerts::{Alert, AlertSet};
pub use config::AnalysisConfig;
pub use corrections::Corrections;
pub use derived::{Derived, DerivedOutcome, DerivedTotals};
pub use forming::FormingBar;
pub use history::{HISTORIES_MAX, HistoryFault, HistoryRefusal, HistorySnapshot, Rebuilt};
pub use notes::{DerivedNote, DerivedNoteKind};
pub use outcome::{Effect, Emptied, Outcome, Refusal, Revision};
pub use ring::Ring;
pub use series::Series;
pub use signal::{Momentum, Readings, Signal, Trend};
pub use snapshot::{RestoreError, SeriesSnapshot};
pub use trades::{TradeEffect, TradeTotals};

use analysis::State;
use derived::Deriving;
use history::Histories;
use idle::Idle;
use outcome::Worked;
use revise::Revising;
use work::Working;

use crate::aggregate::Derivation;
use crate::indicators::Instance;
use crate::market::{SeriesKey, SeriesKeyRef, Symbol, Timeframe, Timestamp};

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
    revising: Revising,
    /// The series of the last bar, with the reset that it began with and its step.
    revised: Option<(SeriesId, u64, u64)>,
    working: Option<Working>,
    /// The former series, if the bar at work restarts it.
    replaced: Option<Series>,
    idle: Idle,
    /// True if a series may have a bar that is forming until the next one comes.
    has_forming: bool,
    /// The state of derivation; `None` where nothing is derived.
    deriving: Option<Box<Deriving>>,
    /// Open histories, whose bars may replace those of series.
    histories: Histories,
}

impl Engine {
    /// An engine that keeps at most `max_series` series.
    #[must_use]
    pub fn new(config: Arc<AnalysisConfig>, max_series: usize) -> Self {
        let trial = State::new(&config);
        let signal = Signal::blank(&config);
        Self {
            fingerprint: config.fingerprint(),
            deriving: Deriving::by(&config),
            revising: Revising::new(&config),
            revised: None,
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
            histories: Histories::default(),
        }
    }

    /// Memory of a series in bytes once its window is full, without the memory inside indicators of
    /// several stages.
    #[must_use]
    pub fn bytes_per_series(config: &AnalysisConfig) -> usize {
        // the state after the newest bar, and earlier ones, the first of them inside the series
        let states = if config.correctable() == 1 { 2 } else { 3 };
        let further = states * config.indicators.len() * size_of::<Instance>();
        let mark = (states - 2) * size_of::<State>();
        let buckets = Derivation::bytes(&config.derived);
        let trades = config
            .trades
            .as_ref()
            .map_or(0, |plan| plan.bytes(config.correctable()));
        Ring::full_bytes(config.window + config.spare_bars())
            + size_of::<Option<Series>>()
            + mark
            + further
            + buckets
            + trades
            + KEEPING
    }

    /// The configuration it computes under.
    #[must_use]
    pub const fn config(&self) -> &Arc<AnalysisConfig> {
        &self.config
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns true if the engine keeps no series.
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

    /// The signal of a series' newest complete bar, computed once more.
    pub fn latest(&mut self, id: SeriesId) -> Option<&Signal> {
        let series = self.series.get(id.index())?.as_ref()?;
        if series.ring().is_empty() {
            return None;
        }
        series.latest(&self.config, &mut self.trial, &mut self.signal);
        Some(&self.signal)
    }

    /// Empties the series of `symbol` in `timeframe` and those derived from it: the next bar is
    /// accepted whatever its time. Drops an open history of the series. Returns nothing if there is
    /// no such series. `epoch` identifies this reset.
    pub fn reset(
        &mut self,
        symbol: &str,
        timeframe: Timeframe,
        epoch: Option<u64>,
    ) -> Option<Emptied> {
        self.histories.forget(symbol, timeframe);
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

    /// Replaces a series by an empty one; returns the number of bars that were in its window.
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

    fn begin(
        &mut self,
        symbol: &str,
        timeframe: Timeframe,
        at: Timestamp,
    ) -> Result<SeriesId, Refusal> {
        let too_many = Refusal::TooManySeries {
            limit: self.max_series,
        };
        if self.index.len() >= self.max_series {
            self.forget_silent();
        }
        if self.index.len() >= self.max_series {
            return Err(too_many);
        }
        self.note_begin(timeframe, at);
        // the decoder lets no other symbol through
        let symbol = Symbol::new(symbol).map_err(|_| too_many)?;
        let key = SeriesKey::new(symbol, timeframe);
        let series = Series::new(key, &self.config);
        self.keep(series).ok_or(too_many)
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
