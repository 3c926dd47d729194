//! A series outside the engine: exactly what it remembers, to be continued elsewhere.

use serde::{Deserialize, Serialize};

use crate::aggregate::Trades;

use super::{Corrections, Derived, Engine, FormingBar, Series, SeriesId};

/// The complete state of one series. Continuing it gives the bits that the series itself
/// would have given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeriesSnapshot {
    fingerprint: u64,
    series: Series,
}

/// Reason why a snapshot cannot be restored here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It was computed under another configuration.
    #[error("snapshot was made under another configuration")]
    Fingerprint,
    /// It breaks an invariant.
    #[error("snapshot is damaged")]
    Damaged,
    /// The engine keeps as many series as its bound allows.
    #[error("no room for another series")]
    Full,
}

impl SeriesSnapshot {
    /// Moves its bars out: they are appended to `out`, in a quarter to a third of the bytes that
    /// they have when they are serialized with the rest. Without them it cannot be continued.
    pub fn take_bars(&mut self, out: &mut Vec<u8>) {
        self.series.ring_mut().take(out);
    }

    /// Puts back the bars that [`Self::take_bars`] took out, and removes them from the front of
    /// `bytes`.
    ///
    /// # Errors
    /// If `bytes` is damaged; the snapshot is then useless.
    pub fn put_bars(&mut self, bytes: &mut &[u8]) -> Result<(), RestoreError> {
        let ring = self.series.ring_mut();
        ring.put(bytes).ok_or(RestoreError::Damaged)
    }

    /// Moves the bar out that is forming until the next one comes: no format writes it with the
    /// rest of its series.
    pub fn take_forming(&mut self) -> Option<FormingBar> {
        let forming = self.series.forming().cloned();
        self.series.set_forming(None);
        forming
    }

    /// Moves the bar in that [`Self::take_forming`] has moved out.
    pub fn put_forming(&mut self, forming: FormingBar) {
        self.series.set_forming(Some(forming));
    }

    /// Moves out the trades that its bars are built from: no format writes them with the rest of its
    /// series.
    pub fn take_trades(&mut self) -> Option<Box<Trades>> {
        self.series.trades.take()
    }

    /// Moves in what [`Self::take_trades`] has moved out.
    pub fn put_trades(&mut self, trades: Box<Trades>) {
        self.series.trades = Some(trades);
    }

    /// Moves out what concerns derived bars: no format writes it with the rest of its series.
    pub fn take_derived(&mut self) -> Option<Derived> {
        self.series.take_derived()
    }

    /// Moves in what [`Self::take_derived`] has moved out.
    pub fn put_derived(&mut self, derived: Derived) {
        self.series.set_derived(derived);
    }

    /// Takes out the facts for corrections, if there are any: no format writes them with the rest
    /// of the series. Call it before [`Self::take_bars`].
    pub fn take_corrections(&mut self) -> Option<Corrections> {
        self.series.take_corrections()
    }

    /// Puts back the facts of [`Self::take_corrections`]. Those of the newest bar alone are in the
    /// rest of the series.
    pub fn put_corrections(&mut self, corrections: Corrections) {
        self.series.corrections = corrections;
    }

    /// The reset that its series began with; 0 if none. No format writes it with the rest of the
    /// series.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.series.epoch
    }

    /// Puts the value of [`Self::epoch`] in.
    pub const fn put_epoch(&mut self, epoch: u64) {
        self.series.epoch = epoch;
    }

    /// The series in it.
    #[must_use]
    pub const fn series(&self) -> &Series {
        &self.series
    }
}

impl Engine {
    /// Copies a series out.
    #[must_use]
    pub fn snapshot(&self, id: SeriesId) -> Option<SeriesSnapshot> {
        let mut series = self.get(id)?.clone();
        series.ring_mut().compact();
        if self.config.correctable() > 1 {
            series.put_horizons_aside();
        }
        Some(SeriesSnapshot {
            fingerprint: self.fingerprint,
            series,
        })
    }

    /// Restores a series, which replaces any under its key.
    ///
    /// # Errors
    /// If the snapshot belongs to another configuration or is damaged, or if there is no room for
    /// it; the engine is then unchanged.
    pub fn restore(&mut self, snapshot: SeriesSnapshot) -> Result<SeriesId, RestoreError> {
        let SeriesSnapshot {
            fingerprint,
            series,
        } = snapshot;
        if fingerprint != self.fingerprint {
            return Err(RestoreError::Fingerprint);
        }
        let series = self.revive(series)?;
        self.put(series)
    }

    /// Makes a deserialized series ready to be continued, if it is sound.
    pub(super) fn revive(&mut self, mut series: Series) -> Result<Series, RestoreError> {
        series.ring_mut().set_spare(self.config.spare_bars());
        series.complete_corrections(&self.config);
        if !series.is_sound(&self.config) {
            return Err(RestoreError::Damaged);
        }
        series.rebuild(&self.config, &mut self.trial, &mut self.signal);
        Ok(series)
    }

    /// Stores a sound series, which replaces any under its key.
    pub(super) fn put(&mut self, series: Series) -> Result<SeriesId, RestoreError> {
        self.has_forming |= series.forming().is_some();
        let newest = series.position();
        if let Some(id) = self.index.get(series.key()) {
            let id = *id;
            newest.inspect(|(at, _)| self.note_restored(*at));
            if let Some(deriving) = &mut self.deriving {
                if let Some(before) = &self.series[id.index()] {
                    deriving.on_forgotten(before);
                }
                deriving.on_kept(&series);
            }
            self.series[id.index()] = Some(series);
            return Ok(id);
        }
        if self.len() >= self.max_series {
            return Err(RestoreError::Full);
        }
        newest.inspect(|(at, _)| self.note_restored(*at));
        if let Some(deriving) = &mut self.deriving {
            deriving.on_kept(&series);
        }
        self.keep(series).ok_or(RestoreError::Full)
    }
}
