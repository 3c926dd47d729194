//! Work on a bar: its effect on its series, and the roll-back if it panics.

use super::derived::Origin;
use super::outcome::Worked;
use super::revise::{Place, Revising, Undo};
use super::{Effect, Engine, Outcome, Refusal, Revision, Series, SeriesId, State};
use crate::aggregate::Parts;
use crate::market::{BarEvent, Finality, SeriesKeyRef, Timestamp};

/// The state before the bar at work, to roll back to.
#[derive(Debug)]
pub(super) struct Working {
    series: SeriesId,
    undo: Undo,
    /// Opening time of the bar.
    at: Timestamp,
}

impl Engine {
    /// Takes in one bar that arrived at `now`. Within a series, a later bar is appended, one of the
    /// newest is replaced or inserted if it is missing, and an earlier one is refused. Two kinds of
    /// bars must be taken in before it: the one that it completes ([`Self::closed_by`]) and the
    /// derived bars that end before it ([`Self::close_before`]). The later bars whose signals it
    /// changed come after it ([`Self::next_revision`]).
    ///
    /// After a panic in here, [`Self::roll_back`] makes the engine usable again.
    pub fn on_bar(&mut self, event: &BarEvent<'_>, now: Timestamp) -> Outcome<'_> {
        let worked = self.work(event, None, now);
        if self.deriving.is_some() {
            self.gather(event, &worked, Origin::Source);
        }
        worked.outcome(&self.signal)
    }

    /// Takes in one bar; `parts` are those of a derived one.
    pub(super) fn work(
        &mut self,
        event: &BarEvent<'_>,
        parts: Option<Parts>,
        now: Timestamp,
    ) -> Worked {
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        let until_next = event.finality == Finality::UntilNext;
        self.has_forming |= until_next;
        self.revising.clear();
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
            // a series begins with a bar that is complete, or that the next one completes
            None if event.finality == Finality::Forming => {
                return Worked::silent(None, Effect::Forming);
            }
            None => match self.begin(&event.symbol, event.timeframe, event.bar.timestamp) {
                Ok(id) => {
                    begun = true;
                    id
                }
                Err(refusal) => return Worked::silent(None, Effect::Refused(refusal)),
            },
        };
        let place = self
            .get(id)
            .and_then(|series| series.place(event.bar.timestamp));
        let effect = match place {
            Some(place) => self.effect_at(id, place, event, parts),
            None => self.effect_of_later(id, event),
        };
        let Some(series) = self.series[id.index()].as_mut() else {
            unreachable!("the index names only series that are kept")
        };
        series.touch(now);
        let was_derived = series.is_derived();
        let missing = match effect {
            Effect::Appended => series.missing_before(event.bar.timestamp, &self.config),
            _ => 0,
        };
        self.working = Some(Working {
            series: id,
            undo: series.undo(place, event.bar.timestamp),
            at: event.bar.timestamp,
        });
        let (config, trial, signal) = (&self.config, &mut self.trial, &mut self.signal);
        let publish = match (effect, place) {
            (Effect::Appended, _) => series.append(event, parts, config, trial, signal),
            (Effect::Corrected | Effect::Inserted, Some(place)) => series.revise(
                (event, parts),
                place,
                config,
                (trial, signal),
                &mut self.revising,
            ),
            (Effect::Forming, _) => series.peek(event, config, trial, signal),
            _ => false,
        };
        match effect {
            Effect::Appended => series.release(event.bar.timestamp),
            Effect::Forming if until_next => series.hold(event),
            _ => {}
        }
        signal.parts = parts;
        let (epoch, step) = (series.epoch(), series.step());
        self.working = None;
        self.replaced = None;
        if effect == Effect::Appended {
            self.note_bar(event.bar.timestamp);
            if !self.histories.is_empty() {
                let window = self.config.window;
                self.histories
                    .note_live(&event.symbol, event.timeframe, window);
            }
        }
        self.revised = Some((id, epoch, step));
        Worked {
            series: Some(id),
            begun,
            was_derived,
            effect,
            missing,
            epoch,
            step,
            publish,
        }
    }

    /// The effect of a bar that is later than all complete ones of its series.
    fn effect_of_later(&self, id: SeriesId, event: &BarEvent<'_>) -> Effect {
        if event.finality.is_final() {
            return Effect::Appended;
        }
        let Some(series) = self
            .get(id)
            .filter(|_| event.finality == Finality::UntilNext)
        else {
            return Effect::Forming;
        };
        match series.forming() {
            Some(held) if event.bar.timestamp < held.timestamp() => Effect::Appended,
            Some(_) if series.repeats_forming(event) => Effect::Duplicate,
            _ => Effect::Forming,
        }
    }

    /// The effect of a bar at `place` among those of its series.
    fn effect_at(
        &self,
        id: SeriesId,
        place: Place,
        event: &BarEvent<'_>,
        parts: Option<Parts>,
    ) -> Effect {
        let Some(series) = self.get(id) else {
            unreachable!("the index names only series that are kept")
        };
        let late = Effect::Refused(Refusal::Late {
            newest: series.position().map_or(event.bar.timestamp, |(at, _)| at),
            correctable: self.config.correctable(),
        });
        if !event.finality.is_final() {
            // a message that calls the newest complete bar forming is out of date
            return if place.newer == 0 {
                Effect::Duplicate
            } else {
                late
            };
        }
        if !series.is_correctable(place, parts.is_some(), &self.config) {
            let is_kept = event.finality == Finality::History && series.contains(&event.bar);
            return if is_kept { Effect::Duplicate } else { late };
        }
        if series.repeats(place, &event.bar, parts, &self.config) {
            Effect::Duplicate
        } else if place.is_there {
            Effect::Corrected
        } else if place.newer as u64 == series.bars()
            && self.idle.is_silence(series, event.bar.timestamp)
        {
            late
        } else {
            Effect::Inserted
        }
    }

    /// The signal of the next later bar that the last bar changed, to publish after that bar's own.
    /// `None` when there are none left.
    pub fn next_revision(&mut self) -> Option<Revision<'_>> {
        let (series, epoch, step) = self.revised?;
        let signal = self.revising.next()?;
        Some(Revision {
            series,
            epoch,
            step,
            signal,
        })
    }

    /// Number of signals of later bars that [`Self::next_revision`] handed out, to measure what a
    /// message has led to.
    #[must_use]
    pub const fn revisions(&self) -> u64 {
        self.revising.handed_out()
    }

    /// Returns true if a bar would change or insert an earlier bar than the newest of its series.
    #[must_use]
    pub fn would_revise(&self, event: &BarEvent<'_>) -> bool {
        let series = self.find(&event.symbol, event.timeframe);
        let Some((series, place)) =
            series.and_then(|(_, series)| Some((series, series.place(event.bar.timestamp)?)))
        else {
            return false;
        };
        event.finality.is_final()
            && place.newer > 0
            && series.is_correctable(place, false, &self.config)
            && !series.repeats(place, &event.bar, None, &self.config)
    }

    /// Takes back the bar at work when [`Self::on_bar`] panicked: the series is as it was before.
    /// Removes a series that the bar would have begun.
    pub fn roll_back(&mut self) {
        let Some(Working {
            series: id,
            undo,
            at,
        }) = self.working.take()
        else {
            return;
        };
        self.trial = State::new(&self.config);
        self.revising = Revising::new(&self.config);
        if let Some(deriving) = &mut self.deriving {
            deriving.roll_back();
        }
        if let Some(before) = self.replaced.take() {
            self.series[id.index()] = Some(before);
            return;
        }
        if let Some(series) = self.series[id.index()].as_mut() {
            series.roll_back(undo);
            // drop a forming bar that cannot be taken in: every later bar would panic on it
            if series.forming().is_some_and(|held| held.timestamp() == at) {
                series.release(at);
            }
            if series.last_open().is_none() && series.epoch() == 0 {
                self.forget(id);
            }
        }
    }

    fn start_anew(&mut self, id: SeriesId) {
        if let Some(series) = self.series[id.index()].as_mut() {
            let mut empty = series.emptied(series.epoch(), &self.config);
            empty.corrections.count(series.step());
            // its buckets were seen from their open all the same
            empty.derived = series.derived.clone();
            if let Some(gathered) = &mut empty.derived.gathered {
                gathered.settle_all();
            }
            empty.trades.clone_from(&series.trades);
            self.replaced = Some(std::mem::replace(series, empty));
        }
    }
}
