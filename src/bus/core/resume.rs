//! Skips waiting bars that copied state contains already.
//!
//! A member that copies the state of a series has received some of the bars that made it, and has
//! let them wait. The first of them are in the copied state; those that arrived after the copy was
//! made are not. The dividing line is the longest run of first waiting bars that leaves every
//! correctable bar with its values in the state.
//!
//! The state names the reset that its series began with. If that reset is among the waiting
//! messages, it and everything before it are in the state. The end of a history counts as a reset.
//! The parts of an open history are in the state up to the one that the state names.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::resume_trades::TradesResume;
use crate::aggregate::Trades;
use crate::engine::Engine;
use crate::market::{Bar, BarEvent, Finality, SeriesKey, SeriesKeyRef, Timestamp, TradeEvent};
use crate::pipeline::{Admission, Filter};
use crate::wire::{Control, History, HistoryStep};

/// Resets without an id in a row that are counted from one with an id.
const COUNTED: u64 = 1_000_000;

#[derive(Debug)]
struct Copied {
    /// None where the series was reset and no bar has come since.
    newest: Option<Bar>,
    /// Opening time of the oldest bar that can be corrected.
    oldest: Option<Timestamp>,
    /// The reset that the series began with; 0 if none.
    epoch: u64,
    /// Number of the first waiting bars and resets of the series that are in the state.
    contained: usize,
    /// Times at which the state lacks the last waiting bar or has other values for it.
    differing: BTreeSet<Timestamp>,
    /// True after a reset that may be in the state or not. Only the newest bar shows which.
    is_doubtful: bool,
    /// The last reset that was seen, where it is known which one it was.
    reset: Option<u64>,
    /// A reset was seen that is not in the state.
    is_past: bool,
    seen: usize,
}

/// The waiting bars and trades that copied state contains.
#[derive(Debug, Default)]
pub(super) struct Resume {
    series: HashMap<SeriesKey, Copied>,
    /// The open histories, each with the number of its parts that are in the state.
    histories: HashMap<SeriesKey, (String, u32)>,
    trades: TradesResume,
}

impl Resume {
    /// Notes the copied state of `key`: its last bar `newest`, the opening time `oldest` of its
    /// first correctable bar, and the reset `epoch` that it began with.
    pub fn copied(
        &mut self,
        key: SeriesKey,
        newest: Option<Bar>,
        oldest: Option<Timestamp>,
        epoch: u64,
    ) {
        let copied = Copied {
            newest,
            oldest,
            epoch,
            contained: 0,
            differing: BTreeSet::new(),
            is_doubtful: false,
            reset: None,
            is_past: false,
            seen: 0,
        };
        self.series.insert(key, copied);
    }

    /// Notes that the series `key` was copied, with its `trades` if any had come.
    pub fn copied_trades(&mut self, key: SeriesKey, trades: Option<Trades>) {
        self.trades.copied(key, trades);
    }

    /// Notes that the history `id` of `key` was copied with its first `parts` parts.
    pub fn copied_history(&mut self, key: SeriesKey, id: String, parts: u32) {
        self.histories.insert(key, (id, parts));
    }

    /// Shows a waiting trade, in order with the bars of [`Self::scan`].
    pub fn scan_trade(&mut self, event: &TradeEvent<'_>) {
        self.trades.scan(event);
    }

    /// Compares a waiting bar with the copied state in `engine`. Call it for all waiting bars in
    /// order, before they are processed in the same order.
    pub fn scan(&mut self, event: &BarEvent<'_>, engine: &Engine) {
        let series = engine.find(&event.symbol, event.timeframe);
        let contains = series.is_some_and(|(_, series)| series.contains(&event.bar));
        self.compare(event, contains);
    }

    /// Counts the next waiting bar; `contains` is true if the copied state has its values.
    fn compare(&mut self, event: &BarEvent<'_>, contains: bool) {
        if !event.finality.is_final() {
            return;
        }
        let Some(copied) = self.find(event) else {
            return;
        };
        copied.seen += 1;
        let at = event.bar.timestamp;
        if contains {
            copied.differing.remove(&at);
        } else if Some(at) >= copied.oldest {
            copied.differing.insert(at);
        }
        // earlier bars prove nothing: they were refused, or corrected before the copy was made
        let is_newest = || contains && copied.newest.is_some_and(|bar| bar.timestamp == at);
        if !copied.is_past && copied.differing.is_empty() && (!copied.is_doubtful || is_newest()) {
            copied.contained = copied.seen;
        }
    }

    /// Shows a control message that waits, in order with the bars of [`Self::scan`].
    pub fn scan_control(&mut self, control: &Control<'_>) {
        match control {
            Control::Reset(reset) => self.scan_epoch(&reset.series, reset.epoch()),
            Control::History(history) => self.scan_history(history),
            Control::Mark(_) => {}
        }
    }

    fn scan_history(&mut self, history: &History<'_>) {
        let is_open = self.is_open_part(history);
        match history.step {
            HistoryStep::End { .. } => self.scan_epoch(&history.series, Some(history.epoch())),
            HistoryStep::Part { .. } => {
                if let Some(copied) = self.series.get_mut(&history.series) {
                    copied.seen += 1;
                    if is_open && !copied.is_past {
                        copied.contained = copied.seen;
                    }
                }
            }
        }
    }

    /// True if it is a part of an open history that the copied state contains.
    fn is_open_part(&self, history: &History<'_>) -> bool {
        let HistoryStep::Part { part, .. } = history.step else {
            return false;
        };
        let open = self.histories.get(&history.series);
        open.is_some_and(|(id, parts)| *id == *history.id && part < *parts)
    }

    fn scan_epoch(&mut self, series: &SeriesKey, epoch: Option<u64>) {
        if let Some(copied) = self.series.get_mut(series) {
            copied.seen += 1;
            // one without an id is counted from the one before it
            let counted = copied.reset.map(|before| before.wrapping_add(1));
            copied.reset = epoch.or(counted);
            let is_contained = match copied.reset {
                Some(epoch) => copied.epoch.wrapping_sub(epoch) < COUNTED,
                // the bars tell
                None if copied.newest.is_some() && copied.epoch != 0 => {
                    copied.is_doubtful = true;
                    copied.differing.clear();
                    return;
                }
                None => copied.epoch != 0,
            };
            copied.is_past = !is_contained;
            if is_contained {
                copied.contained = copied.seen;
                copied.differing.clear();
                self.trades.on_contained_reset(series);
            }
        }
    }

    /// All was shown: back to the first bar.
    pub fn rewind(&mut self) {
        self.series.values_mut().for_each(|copied| copied.seen = 0);
        self.trades.rewind();
    }

    fn covers(&mut self, event: &BarEvent<'_>) -> bool {
        // a bar that another one will mark as complete is in no state
        if event.finality == Finality::Forming {
            return false;
        }
        self.find(event).is_some_and(|copied| {
            let is_before = |newest: Bar| event.bar.timestamp <= newest.timestamp;
            if event.finality == Finality::UntilNext {
                return copied.newest.is_some_and(is_before);
            }
            copied.seen += 1;
            copied.seen <= copied.contained
        })
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.histories.is_empty() && self.trades.is_empty()
    }

    fn find(&mut self, event: &BarEvent<'_>) -> Option<&mut Copied> {
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        self.series.get_mut(&key)
    }
}

impl Filter for Resume {
    /// Skips the next trade if the copied state contains it.
    fn admit_trade(&mut self, event: &TradeEvent<'_>) -> bool {
        !self.trades.covers(event)
    }

    /// Skips the next bar if the copied state contains it.
    fn admit(&mut self, event: &BarEvent<'_>) -> Admission {
        if self.covers(event) {
            Admission::Skip
        } else {
            Admission::Take
        }
    }

    /// True if a control message is to be followed because the copied state does not contain it.
    fn admit_control(&mut self, control: &Control<'_>) -> bool {
        match control {
            Control::Reset(reset) => self.admit_epoch(&reset.series),
            Control::History(history) => self.admit_history(history),
            Control::Mark(_) => true,
        }
    }
}

impl Resume {
    fn admit_history(&mut self, history: &History<'_>) -> bool {
        if matches!(history.step, HistoryStep::End { .. }) {
            return self.admit_epoch(&history.series);
        }
        let is_open = self.is_open_part(history);
        let Some(copied) = self.series.get_mut(&history.series) else {
            return !is_open;
        };
        copied.seen += 1;
        !is_open && copied.seen > copied.contained
    }

    fn admit_epoch(&mut self, series: &SeriesKey) -> bool {
        let Some(copied) = self.series.get_mut(series) else {
            return true;
        };
        copied.seen += 1;
        if copied.seen <= copied.contained {
            return false;
        }
        // nothing that follows is in the state
        self.series.remove(series);
        self.trades.forget(series);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Finality, Symbol, Timeframe};
    use crate::wire::Reset;

    fn event(minute: i64, close: f64) -> BarEvent<'static> {
        BarEvent::flat("A", minute, close, 0.0)
    }

    fn left(copied: &BarEvent<'_>, waiting: &[BarEvent<'_>]) -> Vec<f64> {
        let mut resume = Resume::default();
        resume.copied(
            SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE),
            Some(copied.bar),
            Some(copied.bar.timestamp),
            0,
        );
        for event in waiting {
            resume.compare(event, event.bar == copied.bar);
        }
        resume.rewind();
        let fresh = waiting.iter().filter(|event| !resume.covers(event));
        fresh.map(|event| event.bar.close).collect()
    }

    #[test]
    fn what_waited_is_passed_over_up_to_the_newest_copied_bar() {
        let waiting = [event(1, 1.0), event(2, 2.0), event(3, 3.0)];
        assert_eq!(left(&event(2, 2.0), &waiting), [3.0]);
        assert_eq!(left(&event(3, 3.0), &waiting), [0.0; 0]);
        assert_eq!(left(&event(0, 9.0), &waiting), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn corrections_are_told_apart_by_their_values() {
        let waiting = [event(1, 1.0), event(1, 1.5), event(2, 2.0)];
        assert_eq!(left(&event(1, 1.0), &waiting), [1.5, 2.0]);
        assert_eq!(left(&event(1, 1.5), &waiting), [2.0]);
    }

    #[test]
    fn bars_that_form_until_the_next_one_are_passed_over_up_to_the_newest_complete_one() {
        let until_next = |minute, close| BarEvent {
            finality: Finality::UntilNext,
            ..event(minute, close)
        };
        let waiting = [
            until_next(1, 1.0),
            until_next(2, 1.5),
            until_next(2, 2.0),
            until_next(3, 3.0),
        ];
        assert_eq!(left(&event(2, 2.0), &waiting), [3.0]);
        // the forming bar of the copied state is taken in once more, with its last values
        assert_eq!(left(&event(1, 1.0), &waiting), [1.5, 2.0, 3.0]);
    }

    #[test]
    fn late_bars_before_a_state_that_is_further_on_are_in_it() {
        let waiting = [event(1, 1.0), event(4, 4.0)];
        assert_eq!(left(&event(3, 3.0), &waiting), [4.0]);
    }

    /// The waiting bars and resets that are admitted: closes, and 0 for a reset.
    fn left_after_reset(
        newest: Option<BarEvent<'_>>,
        epoch: u64,
        waiting: &[Result<BarEvent<'_>, &str>],
    ) -> Vec<f64> {
        let key = || SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE);
        let reset = |id: &str| Reset {
            series: key(),
            id: Some(id.to_owned()),
        };
        let mut resume = Resume::default();
        let newest = newest.map(|event| event.bar);
        resume.copied(key(), newest, newest.map(|bar| bar.timestamp), epoch);
        for one in waiting {
            match one {
                Ok(event) => resume.compare(event, Some(event.bar) == newest),
                Err(id) => resume.scan_control(&Control::Reset(reset(id))),
            }
        }
        resume.rewind();
        let mut left = Vec::new();
        for one in waiting {
            match one {
                Ok(event) if !resume.covers(event) => left.push(event.bar.close),
                Err(id) if resume.admit_control(&Control::Reset(reset(id))) => left.push(0.0),
                _ => {}
            }
        }
        left
    }

    #[test]
    fn a_reset_that_the_copied_state_began_with_is_passed_over_with_all_before_it() {
        let epoch = |id: &str| {
            let series = SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE);
            let id = Some(id.to_owned());
            Reset { series, id }.epoch().unwrap()
        };
        // the same bars before and after each reset
        let bars = || [Ok(event(1, 1.0)), Ok(event(2, 2.0))];
        let [a, b] = bars();
        let [c, d] = bars();
        let [e, f] = bars();
        let waiting = [a, b, Err("one"), c, d, Err("two"), e, f];
        let after = |newest, epoch| left_after_reset(newest, epoch, &waiting);
        let all_after_one = [0.0, 1.0, 2.0];
        assert_eq!(after(Some(event(2, 2.0)), epoch("two")), [0.0; 0]);
        assert_eq!(after(Some(event(1, 1.0)), epoch("two")), [2.0]);
        assert_eq!(after(None, epoch("two")), [1.0, 2.0]);
        assert_eq!(after(Some(event(2, 2.0)), epoch("one")), all_after_one);
        // state of before both, and of before all that waits
        let all = [0.0, 1.0, 2.0, 0.0, 1.0, 2.0];
        assert_eq!(after(Some(event(2, 2.0)), 0), all);
        assert_eq!(
            after(Some(event(0, 9.0)), epoch("former")),
            [&[1.0, 2.0], &all[..]].concat()
        );
    }

    #[test]
    fn resets_without_an_id_are_counted_from_one_with_an_id_or_told_by_the_bars() {
        let key = || SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE);
        let reset = |id: Option<&str>| Reset {
            series: key(),
            id: id.map(str::to_owned),
        };
        let named = reset(Some("one")).epoch().unwrap();
        // bars of each of them have times and values of their own
        let waiting = [Some("one"), None, None];
        let left = |newest: Option<f64>, epoch: u64, waiting: &[Option<&str>]| {
            let bar = |at: usize| event(10 - at as i64, at as f64);
            let mut resume = Resume::default();
            let newest = newest.map(|close| bar(close as usize).bar);
            resume.copied(key(), newest, newest.map(|bar| bar.timestamp), epoch);
            for (at, id) in waiting.iter().enumerate() {
                resume.scan_control(&Control::Reset(reset(*id)));
                resume.compare(&bar(at), Some(bar(at).bar) == newest);
            }
            resume.rewind();
            let mut left = Vec::new();
            for (at, id) in waiting.iter().enumerate() {
                if resume.admit_control(&Control::Reset(reset(*id))) {
                    left.push(format!("reset {at}"));
                }
                if !resume.covers(&bar(at)) {
                    left.push(format!("bar {at}"));
                }
            }
            left
        };
        assert_eq!(left(Some(2.0), named + 2, &waiting), [""; 0]);
        assert_eq!(left(None, named + 2, &waiting), ["bar 2"]);
        assert_eq!(left(Some(1.0), named + 1, &waiting), ["reset 2", "bar 2"]);
        // which of them it was is not known, but what came after it is
        let unnamed = [None, None, None];
        assert_eq!(left(Some(1.0), 17, &unnamed), ["reset 2", "bar 2"]);
        assert_eq!(
            left(Some(1.0), 0, &unnamed),
            ["reset 0", "bar 0", "reset 1", "bar 1", "reset 2", "bar 2"]
        );
    }
}
