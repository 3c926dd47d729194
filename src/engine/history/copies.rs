//! Snapshots of open histories, for checkpoints and copies.

use serde::{Deserialize, Serialize};

use super::{Account, FAULT_BYTES, Open};
use crate::engine::analysis::MOST;
use crate::engine::{Corrections, Derived, Engine, FormingBar, RestoreError, Series, SeriesId};
use crate::market::{SeriesKey, Symbol};

/// An open history outside the engine, to be continued elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HistorySnapshot {
    fingerprint: u64,
    key: SeriesKey,
    id: String,
    account: Account,
    series: Vec<Kept>,
}

/// A series of an open history, with the state that formats write beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    series: Series,
    forming: Option<FormingBar>,
    derived: Option<Derived>,
    corrections: Option<Corrections>,
}

impl HistorySnapshot {
    /// The series that it is a history of.
    #[must_use]
    pub const fn key(&self) -> &SeriesKey {
        &self.key
    }

    /// The id of the history.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Number of parts taken in.
    #[must_use]
    pub const fn parts(&self) -> u32 {
        self.account.parts
    }
}

impl Engine {
    /// The open histories, that of the latest message last.
    pub fn histories(&self) -> impl Iterator<Item = HistorySnapshot> + '_ {
        self.histories.open.iter().map(|open| self.copy_of(open))
    }

    /// The open histories of a symbol.
    pub fn histories_of(&self, symbol: &Symbol) -> Vec<HistorySnapshot> {
        let of_symbol = |open: &&Open| open.key.symbol == *symbol;
        let found = self.histories.open.iter().filter(of_symbol);
        found.map(|open| self.copy_of(open)).collect()
    }

    /// The symbols that have open histories.
    pub fn symbols_with_history(&self) -> impl Iterator<Item = &Symbol> {
        self.histories.open.iter().map(|open| &open.key.symbol)
    }

    fn copy_of(&self, open: &Open) -> HistorySnapshot {
        let kept = |(_, series): (SeriesId, &Series)| {
            let mut series = series.clone();
            series.ring_mut().compact();
            let forming = series.forming.take();
            let derived = series.take_derived();
            let corrections = series.take_corrections();
            Kept {
                series,
                forming,
                derived,
                corrections,
            }
        };
        let mut series: Vec<Kept> = open.engine.iter().map(kept).collect();
        series.sort_by_key(|kept| kept.series.key().timeframe.nanos());
        HistorySnapshot {
            fingerprint: self.fingerprint,
            key: open.key.clone(),
            id: open.id.as_ref().to_owned(),
            account: open.account.clone(),
            series,
        }
    }

    /// Restores an open history, which replaces any other of its series.
    ///
    /// # Errors
    /// If the snapshot belongs to another configuration or is damaged; the engine is then
    /// unchanged.
    pub fn restore_history(&mut self, snapshot: HistorySnapshot) -> Result<(), RestoreError> {
        if snapshot.fingerprint != self.fingerprint {
            return Err(RestoreError::Fingerprint);
        }
        let mut engine = self.beside();
        for kept in snapshot.series {
            let mut series = kept.series;
            let is_of = series.key().symbol == snapshot.key.symbol;
            series.forming = kept.forming;
            series.set_derived(kept.derived.unwrap_or_default());
            series.corrections = kept.corrections.unwrap_or_default();
            let is_its = *series.key() == snapshot.key || series.is_derived();
            if !is_of || !is_its {
                return Err(RestoreError::Damaged);
            }
            let series = engine.revive(series)?;
            engine.put(series)?;
        }
        let mut account = snapshot.account;
        let counts = [account.bars, account.refused, account.repeated];
        let is_long = |fault: &String| fault.len() > FAULT_BYTES;
        if counts.iter().any(|count| *count > MOST) || account.fault.as_ref().is_some_and(is_long) {
            return Err(RestoreError::Damaged);
        }
        account.live = account.live.min(MOST);
        self.histories.put(Open {
            key: snapshot.key,
            id: snapshot.id.into(),
            account,
            engine: Box::new(engine),
        });
        Ok(())
    }
}
