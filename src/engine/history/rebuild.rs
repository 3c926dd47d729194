//! The end of a history: its bars and the live ones are joined in one series.

use std::borrow::Cow;
use std::sync::Arc;

use super::{HistoryFault, Open, Rebuilt};
use crate::engine::{Effect, Engine, RestoreError, Series, SeriesId, Signal};
use crate::market::{BarEvent, Finality, SeriesKeyRef, Timestamp};

impl Engine {
    /// The signal of the newest bar of a rebuilt series, if it is due.
    pub fn restated(&mut self, id: SeriesId) -> Option<(BarEvent<'static>, &Signal)> {
        let series = self.series.get(id.index())?.as_ref()?;
        if !series.was_published() {
            return None;
        }
        let event = BarEvent {
            symbol: Cow::Owned(series.key().symbol.as_str().to_owned()),
            timeframe: series.key().timeframe,
            bar: series.ring().newest()?,
            finality: Finality::Final,
            adjusted: false,
            source: None,
        };
        Some((event, self.latest(id)?))
    }

    /// Takes in a bar and its derived bars without signals. Returns true if the bar repeats or
    /// replaces another bar, or is out of order.
    pub(super) fn absorb(&mut self, event: &BarEvent<'_>, now: Timestamp) -> bool {
        if let Some(complete) = self.closed_by(event) {
            self.absorb_one(&complete, now);
        }
        self.absorb_one(event, now)
    }

    fn absorb_one(&mut self, event: &BarEvent<'_>, now: Timestamp) -> bool {
        self.close_before(event);
        while self.next_derived(now).is_some() {}
        let effect = self.on_bar(event, now).effect;
        while self.next_derived(now).is_some() {}
        matches!(
            effect,
            Effect::Corrected | Effect::Duplicate | Effect::Refused(_)
        )
    }

    /// Takes in the live bars after those of the history, and replaces the live series by the
    /// result.
    pub(super) fn rebuild(
        &mut self,
        mut open: Open,
        epoch: u64,
        now: Timestamp,
    ) -> Result<Rebuilt, HistoryFault> {
        let key = &open.key;
        let Some(history) = open.engine.find_series(key) else {
            return Err(HistoryFault::Empty);
        };
        let live = self.find_series(key);
        if let Some(fault) = live.and_then(HistoryFault::of_origin) {
            return Err(fault);
        }
        let before = history.clone();
        let (first, last) = open
            .account
            .first
            .zip(history.last_open())
            .ok_or(HistoryFault::Empty)?;
        if let Some(live) = live {
            check_joint((history, first), live)?;
            // the history wins over older live bars
            let later = live
                .kept_events()
                .filter(|event| event.bar.timestamp >= last);
            for event in later {
                open.engine.absorb(&event, now);
            }
            // close the buckets that a time mark has closed in the live series
            open.engine.close_as(live);
            while open.engine.next_derived(now).is_some() {}
        }
        let rebuilt = open.engine.find_series(key).unwrap_or(&before);
        let (duplicates, corrections) = live.map_or((0, 0), |live| overlap(&before, live, rebuilt));
        let repeated = duplicates + open.account.repeated;
        let taken = open.account.bars.saturating_sub(repeated + corrections);
        let (series, begun) = self.replace(&mut open, epoch, now)?;
        Ok(Rebuilt {
            series,
            begun,
            taken,
            duplicates: repeated,
            corrections,
            first,
            last,
        })
    }

    /// Replaces the kept series by those of a history. Returns them, and true if the first is new.
    fn replace(
        &mut self,
        open: &mut Open,
        epoch: u64,
        now: Timestamp,
    ) -> Result<(Vec<SeriesId>, bool), HistoryFault> {
        let Open { key, engine, .. } = open;
        let mut all: Vec<Series> = engine.series.drain(..).flatten().collect();
        all.sort_by_key(|series| series.key().timeframe.nanos());
        let at = all.iter().position(|series| series.key() == key);
        let mut base = all.remove(at.ok_or(HistoryFault::Empty)?);
        let begun = self.find_series(key).is_none();
        let own = self.fed_beside(key);
        let is_smallest = own.iter().all(|one| one.nanos() > key.timeframe.nanos());
        base.keep_buckets(|timeframe| is_smallest && !own.contains(&timeframe));
        all.retain(|series| is_smallest && !own.contains(&series.key().timeframe));
        let symbol = key.symbol.as_str();
        let mut ids = Vec::new();
        let id = self.succeed(base, epoch, now);
        ids.push(id.map_err(|_| HistoryFault::Full(self.max_series))?);
        if begun {
            self.feed(ids[0]);
        }
        for timeframe in Arc::clone(&self.config).derived.timeframes() {
            let found = all.iter().position(|one| one.key().timeframe == *timeframe);
            if let Some(at) = found {
                match self.succeed(all.swap_remove(at), epoch, now) {
                    Ok(id) => ids.push(id),
                    Err(_) => self.note_no_room(&key.symbol, *timeframe),
                }
            } else if is_smallest {
                let kept = SeriesKeyRef {
                    symbol,
                    timeframe: *timeframe,
                };
                let kept = self.index.get(&kept).copied();
                if let Some(id) = kept.filter(|id| self.get(*id).is_some_and(Series::is_derived)) {
                    self.forget(id);
                }
            }
        }
        Ok((ids, begun))
    }

    /// Replaces the series of the same key by a rebuilt one.
    fn succeed(
        &mut self,
        mut series: Series,
        epoch: u64,
        now: Timestamp,
    ) -> Result<SeriesId, RestoreError> {
        let former = self.find_series(series.key());
        series.succeed(former, epoch, now);
        self.put(series)
    }
}

/// Refuses a history, whose first bar opened at `first`, if joining it to the bars of the live
/// series would lose bars.
fn check_joint((history, first): (&Series, Timestamp), live: &Series) -> Result<(), HistoryFault> {
    let Some(oldest) = live.ring().bars().timestamps.first().copied() else {
        return Ok(());
    };
    let oldest = Timestamp::from_nanos(oldest);
    if first > oldest {
        return Err(HistoryFault::Later { first, oldest });
    }
    let known = live.bars().saturating_sub(live.ring().len() as u64);
    if known == 0 {
        return Ok(());
    }
    // all but those in its window from `oldest` on
    let kept = history.ring().bars().timestamps;
    let later = kept.len() - kept.partition_point(|at| *at < oldest.nanos());
    let offered = history.bars().saturating_sub(later as u64);
    if offered < known {
        return Err(HistoryFault::Shorter {
            oldest,
            known,
            offered,
        });
    }
    let newest = history.last_open().ok_or(HistoryFault::Empty)?;
    if newest < oldest && live.key().timeframe.bars_between(newest, oldest) > 0 {
        return Err(HistoryFault::Hole { newest, oldest });
    }
    Ok(())
}

/// Counts the bars of a history at times of live bars. Duplicates are equal or were not taken;
/// corrections replaced a live bar.
fn overlap(history: &Series, live: &Series, rebuilt: &Series) -> (u64, u64) {
    let (mut duplicates, mut corrections) = (0, 0);
    for bar in live.ring().iter() {
        let Some(of_history) = history.find(bar.timestamp) else {
            continue;
        };
        let stays = rebuilt
            .find(bar.timestamp)
            .is_none_or(|now| now.same_values(&bar));
        if of_history.same_values(&bar) || stays {
            duplicates += 1;
        } else {
            corrections += 1;
        }
    }
    (duplicates, corrections)
}
