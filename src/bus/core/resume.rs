//! Passing over bars that copied state contains already.
//!
//! A member that copies the state of a series has received some of the bars that made it, and
//! has let them wait. Everything up to the newest bar of the copied state is in it; what comes
//! after is not.

use hashbrown::HashMap;

use crate::market::{Bar, BarEvent, Finality, SeriesKey, SeriesKeyRef};
use crate::pipeline::Admission;

#[derive(Debug)]
struct Copied {
    newest: Bar,
    /// Waiting bars of the series up to and including the newest, where it is among them.
    contained: Option<usize>,
    seen: usize,
}

/// Which of the bars that waited are in copied state.
#[derive(Debug, Default)]
pub(super) struct Resume {
    series: HashMap<SeriesKey, Copied>,
}

impl Resume {
    /// The state of `key` was copied; `newest` is its last bar.
    pub fn copied(&mut self, key: SeriesKey, newest: Bar) {
        let copied = Copied {
            newest,
            contained: None,
            seen: 0,
        };
        self.series.insert(key, copied);
    }

    /// Shows the bars that wait, in order, before they are worked off in the same order.
    pub fn scan(&mut self, event: &BarEvent<'_>) {
        if !event.finality.is_final() {
            return;
        }
        if let Some(copied) = self.find(event) {
            copied.seen += 1;
            if event.bar.timestamp == copied.newest.timestamp
                && event.bar.same_values(&copied.newest)
            {
                copied.contained = Some(copied.seen);
            }
        }
    }

    /// All was shown: back to the first bar.
    pub fn rewind(&mut self) {
        self.series.values_mut().for_each(|copied| copied.seen = 0);
    }

    /// Leaves the next bar out if the copied state contains it.
    pub fn admit(&mut self, event: &BarEvent<'_>) -> Admission {
        if self.covers(event) {
            Admission::Skip
        } else {
            Admission::Take
        }
    }

    fn covers(&mut self, event: &BarEvent<'_>) -> bool {
        // a bar that another one will mark as complete is in no state
        if event.finality == Finality::Forming {
            return false;
        }
        self.find(event).is_some_and(|copied| {
            if event.finality == Finality::UntilNext {
                return event.bar.timestamp <= copied.newest.timestamp;
            }
            copied.seen += 1;
            match copied.contained {
                Some(contained) => copied.seen <= contained,
                None => event.bar.timestamp <= copied.newest.timestamp,
            }
        })
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn find(&mut self, event: &BarEvent<'_>) -> Option<&mut Copied> {
        let key = SeriesKeyRef {
            symbol: &event.symbol,
            timeframe: event.timeframe,
        };
        self.series.get_mut(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Finality, Symbol, Timeframe, Timestamp};

    fn event(minute: i64, close: f64) -> BarEvent<'static> {
        BarEvent {
            symbol: "A".into(),
            timeframe: Timeframe::MINUTE,
            bar: Bar {
                timestamp: Timestamp::from_nanos(minute * Timeframe::MINUTE.nanos()),
                open: close,
                high: close,
                low: close,
                close,
                volume: 0.0,
            },
            finality: Finality::Final,
            adjusted: false,
            source: None,
        }
    }

    fn left(copied: &BarEvent<'_>, waiting: &[BarEvent<'_>]) -> Vec<f64> {
        let mut resume = Resume::default();
        resume.copied(
            SeriesKey::new(Symbol::new("A").unwrap(), Timeframe::MINUTE),
            copied.bar,
        );
        waiting.iter().for_each(|event| resume.scan(event));
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
}
