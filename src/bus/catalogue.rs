//! The series in order, so that a page of them can be listed without looking at all.
//!
//! The list is made when it is asked for, and made again at most so often that it takes a twentieth
//! of the time: a question must not slow the work, however often it comes. So a series that has
//! just come or gone may be missing from the list, or be in it, for a moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::market::SeriesKey;
use crate::ops::query::SeriesFilter;

/// A list of as many series as there are may still be of others.
const OLD: Duration = Duration::from_secs(5);
/// The share of the time that lists may take.
const SHARE: u32 = 20;

/// The keys of one engine's series.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    keys: Arc<Vec<SeriesKey>>,
    /// The time at which it was made, and the duration of that.
    made: Option<(Instant, Duration)>,
}

impl Catalogue {
    /// The keys in order.
    pub fn keys(&mut self, engine: &Engine) -> Arc<Vec<SeriesKey>> {
        let due = self.made.is_none_or(|(at, took)| {
            let age = at.elapsed();
            age >= took * SHARE && (self.keys.len() != engine.len() || age >= OLD)
        });
        if due {
            let began = Instant::now();
            let mut keys: Vec<SeriesKey> = engine
                .iter()
                .map(|(_, series)| series.key().clone())
                .collect();
            keys.sort_unstable();
            self.keys = Arc::new(keys);
            self.made = Some((Instant::now(), began.elapsed()));
        }
        Arc::clone(&self.keys)
    }
}

/// The number of series of `lists` (each in order) that match `filter`, and those from `offset` on,
/// at most `limit`, with the number of their list.
pub(super) fn page(
    lists: &[Arc<Vec<SeriesKey>>],
    filter: &SeriesFilter,
    offset: usize,
    limit: usize,
) -> (usize, Vec<(usize, SeriesKey)>) {
    let mut total = 0;
    let matching: Vec<&[SeriesKey]> = lists.iter().map(|keys| of_symbol(keys, filter)).collect();
    let wanted = |key: &&SeriesKey| {
        filter
            .timeframe
            .is_none_or(|wanted| key.timeframe == wanted)
    };
    let mut rests: Vec<_> = matching
        .iter()
        .map(|keys| {
            total += match filter.timeframe {
                None => keys.len(),
                Some(_) => keys.iter().filter(wanted).count(),
            };
            keys.iter().filter(wanted)
        })
        .collect();
    let mut heads = BinaryHeap::new();
    for (list, rest) in rests.iter_mut().enumerate() {
        heads.extend(rest.next().map(|key| Reverse((key, list))));
    }
    let mut found = Vec::new();
    let mut passed = 0;
    while found.len() < limit
        && let Some(Reverse((key, list))) = heads.pop()
    {
        if passed >= offset {
            found.push((list, key.clone()));
        }
        passed += 1;
        heads.extend(rests[list].next().map(|key| Reverse((key, list))));
    }
    (total, found)
}

fn of_symbol<'a>(keys: &'a [SeriesKey], filter: &SeriesFilter) -> &'a [SeriesKey] {
    let Some(symbol) = &filter.symbol else {
        return keys;
    };
    let from = keys.partition_point(|key| key.symbol < *symbol);
    let to = keys.partition_point(|key| key.symbol <= *symbol);
    &keys[from..to]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::market::{Symbol, Timeframe};

    fn key(symbol: u8, minutes: u8) -> SeriesKey {
        let timeframe: Timeframe = ["1m", "5m", "1h"][usize::from(minutes % 3)]
            .parse()
            .unwrap();
        SeriesKey::new(Symbol::new(&format!("S{symbol}")).unwrap(), timeframe)
    }

    proptest! {
        /// The expected page: all keys in one list, filtered and cut.
        #[test]
        fn a_page_is_a_part_of_all_that_match(
            keys in prop::collection::btree_set((0u8..20, 0u8..3), 0..60),
            lists in 1usize..5,
            symbol in prop::option::of(0u8..20),
            minutes in prop::option::of(0u8..3),
            offset in 0usize..30,
            limit in 0usize..30,
        ) {
            let mut all: Vec<SeriesKey> = keys.iter().map(|(s, m)| key(*s, *m)).collect();
            let mut split = vec![Vec::new(); lists];
            for (at, key) in all.iter().enumerate() {
                split[(at * 7) % lists].push(key.clone());
            }
            let split: Vec<_> = split
                .into_iter()
                .map(|mut keys| { keys.sort(); Arc::new(keys) })
                .collect();
            let filter = SeriesFilter {
                symbol: symbol.map(|symbol| key(symbol, 0).symbol),
                timeframe: minutes.map(|minutes| key(0, minutes).timeframe),
            };
            all.sort();
            all.retain(|key| {
                filter.symbol.as_ref().is_none_or(|symbol| key.symbol == *symbol)
                    && filter.timeframe.is_none_or(|timeframe| key.timeframe == timeframe)
            });
            let (total, found) = page(&split, &filter, offset, limit);
            prop_assert_eq!(total, all.len());
            let expected: Vec<SeriesKey> = all.into_iter().skip(offset).take(limit).collect();
            for (list, key) in &found {
                prop_assert!(split[*list].contains(key));
            }
            let found: Vec<SeriesKey> = found.into_iter().map(|(_, key)| key).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
