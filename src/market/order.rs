//! The order of the bars of one message.

use std::hash::Hash;

use hashbrown::HashMap;

use super::Timestamp;

/// Puts the items of each series in the order of time, in the places that items of this series have.
/// Items of one time stay in their order, and those without a series where they are.
pub(crate) fn in_order<T, K: Eq + Hash>(
    items: Vec<T>,
    series: impl Fn(&T) -> Option<(K, Timestamp)>,
) -> Vec<T> {
    let mut newest = Timestamp::from_nanos(i64::MIN);
    let in_order = items.iter().filter_map(&series).all(|(_, time)| {
        let later = time >= newest;
        newest = time;
        later
    });
    if in_order {
        return items;
    }
    let mut places: HashMap<K, Vec<(Timestamp, usize)>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        if let Some((key, time)) = series(item) {
            places.entry(key).or_default().push((time, at));
        }
    }
    let mut from: Vec<usize> = (0..items.len()).collect();
    for members in places.into_values() {
        let mut by_time = members.clone();
        by_time.sort_by_key(|(time, _)| *time);
        for ((_, place), (_, member)) in members.iter().zip(by_time) {
            from[*place] = member;
        }
    }
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    // each is taken once: `from` has every index once
    from.into_iter().filter_map(|at| items[at].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_is_put_in_order_within_its_own_places() {
        let sorted = |text: &str| {
            let items: Vec<&str> = text.split(' ').collect();
            let series = |item: &&str| {
                let (series, time) = item.split_at(item.find(|c: char| c.is_ascii_digit())?);
                let time = time.trim_end_matches(char::is_alphabetic).parse().ok()?;
                Some((series.to_owned(), Timestamp::from_nanos(time)))
            };
            in_order(items, series).join(" ")
        };
        assert_eq!(sorted("a1 a2 b1 a3"), "a1 a2 b1 a3");
        assert_eq!(sorted("a3 b9 x a2 a1 b8"), "a1 b8 x a2 a3 b9");
        // of one time, the order of sending stays
        assert_eq!(sorted("a2x a1 a2y a2x"), "a1 a2x a2y a2x");
        assert_eq!(sorted("x y"), "x y");
    }
}
