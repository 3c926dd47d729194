//! Saying a thing once in a while, with how often it happened.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Lets one event per key through in each interval and counts the others. It owns no clock.
#[derive(Debug)]
pub struct Throttle<K> {
    interval: Duration,
    keys: HashMap<K, Held>,
}

#[derive(Debug)]
struct Held {
    spoke: Instant,
    count: u64,
}

impl<K: Eq + Hash + Copy> Throttle<K> {
    /// At most one event per key in each `interval`. Keys are kept, so they must be few.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            keys: HashMap::new(),
        }
    }

    /// Notes an event. If it may be spoken of: how many there were since the last one spoken
    /// of, this one included.
    pub fn allow(&mut self, key: K, now: Instant) -> Option<u64> {
        self.allow_many(key, 1, now)
    }

    /// [`Self::allow`] for several events at once.
    pub fn allow_many(&mut self, key: K, events: u64, now: Instant) -> Option<u64> {
        let Some(held) = self.keys.get_mut(&key) else {
            let held = Held {
                spoke: now,
                count: 0,
            };
            self.keys.insert(key, held);
            return Some(events);
        };
        held.count += events;
        if now.saturating_duration_since(held.spoke) < self.interval {
            return None;
        }
        held.spoke = now;
        Some(std::mem::take(&mut held.count))
    }

    /// The keys that have waited long enough with events held back, and how many; to be
    /// called now and then, so that the last events of a burst are spoken of as well.
    pub fn due(&mut self, now: Instant) -> Vec<(K, u64)> {
        let interval = self.interval;
        self.release(
            |held| now.saturating_duration_since(held.spoke) >= interval,
            now,
        )
    }

    /// Everything held back, at the end.
    pub fn flush(&mut self, now: Instant) -> Vec<(K, u64)> {
        self.release(|_| true, now)
    }

    fn release(&mut self, ready: impl Fn(&Held) -> bool, now: Instant) -> Vec<(K, u64)> {
        let mut released = Vec::new();
        for (key, held) in &mut self.keys {
            if held.count > 0 && ready(held) {
                released.push((*key, std::mem::take(&mut held.count)));
                held.spoke = now;
            }
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    #[test]
    fn the_first_event_speaks_and_the_next_tells_how_many_were_held_back() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut throttle = Throttle::new(TEN);
        assert_eq!(throttle.allow("late", at(0)), Some(1));
        assert_eq!(throttle.allow("late", at(1)), None);
        assert_eq!(throttle.allow("empty", at(1)), Some(1));
        assert_eq!(throttle.allow("late", at(9)), None);
        assert_eq!(throttle.allow("late", at(10)), Some(3));
        assert_eq!(throttle.allow("late", at(11)), None);
        assert_eq!(throttle.due(at(19)), []);
        assert_eq!(throttle.due(at(20)), [("late", 1)]);
        assert_eq!(throttle.allow("late", at(21)), None);
        assert_eq!(throttle.flush(at(22)), [("late", 1)]);
        assert_eq!(throttle.flush(at(23)), []);
    }

    proptest! {
        #[test]
        fn no_event_is_lost_and_none_speaks_too_early(
            steps in prop::collection::vec((0_u8..3, 0_u64..8_000, any::<bool>()), 0..200)
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut throttle = Throttle::new(TEN);
            let mut spoke: HashMap<u8, Instant> = HashMap::new();
            let (mut events, mut told) = (0, 0);
            for (key, wait, is_event) in steps {
                now += Duration::from_millis(wait);
                let heard = if is_event {
                    events += 1;
                    throttle.allow(key, now).map(|count| (key, count)).into_iter().collect()
                } else {
                    throttle.due(now)
                };
                for (key, count) in heard {
                    told += count;
                    if let Some(before) = spoke.insert(key, now) {
                        prop_assert!(now - before >= TEN);
                    }
                }
            }
            told += throttle.flush(now).iter().map(|(_, count)| count).sum::<u64>();
            prop_assert_eq!(told, events);
        }
    }
}
