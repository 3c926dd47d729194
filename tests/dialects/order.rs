//! The bars of one array are taken in the order of time, whatever their order in the array.

use proptest::prelude::*;
use technical_analysis_agent::market::{Bar, Timeframe};
use technical_analysis_agent::wire::{DialectRule, FinalRule, InputRules, SubjectParts};

use crate::bars;
use crate::law::{run, run_by};

const BARS: usize = 70;

fn object(symbol: &str, bar: &Bar, more: &str) -> String {
    let at = bar.timestamp;
    let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close];
    format!(
        r#"{{"symbol":"{symbol}","timeframe":"1m","timestamp":"{at}","open":{open},"high":{high},"low":{low},"close":{close},"volume":{}{more}}}"#,
        bar.volume
    )
}

fn array(elements: &[String]) -> Vec<String> {
    vec![format!("[{}]", elements.join(","))]
}

fn generic(messages: &[String]) -> crate::law::Run {
    run(DialectRule::Auto, &SubjectParts::default(), messages)
}

/// Two series of bars of their own times, one after the other, as one would send them.
fn in_order() -> Vec<String> {
    let bars = bars(Timeframe::MINUTE, BARS);
    ["A", "B"]
        .iter()
        .flat_map(|symbol| bars.iter().map(|bar| object(symbol, bar, "")))
        .collect()
}

fn sorted(mut signals: Vec<String>) -> Vec<String> {
    signals.sort();
    signals
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_an_array_gives_the_signals_of_the_bars(
        shuffled in Just(in_order()).prop_shuffle()
    ) {
        // the signals of two series are interleaved as the series are
        let one_by_one = sorted(generic(&in_order()).complete);
        prop_assert_eq!(one_by_one.len(), 2 * (BARS - 49));
        let found = generic(&array(&shuffled));
        prop_assert!(found.others.is_empty(), "{:?}", found.others);
        prop_assert_eq!(sorted(found.complete), one_by_one);
    }
}

#[test]
fn newest_first_is_taken_as_if_sent_in_order() {
    let one_by_one = generic(&in_order()[..BARS]);
    let newest_first: Vec<String> = in_order()[..BARS].iter().rev().cloned().collect();
    let found = generic(&array(&newest_first));
    assert_eq!(found.complete, one_by_one.complete);
    // as messages of their own they are as late as ever
    let late = generic(&newest_first);
    assert_eq!(late.complete.len(), 0);
}

#[test]
fn corrections_stay_in_the_order_of_sending_and_forming_bars_come_after_what_is_before_them() {
    let bars = bars(Timeframe::MINUTE, BARS);
    let other = |bar: &Bar, close: f64| Bar { close, ..*bar };
    let mut sent: Vec<String> = bars.iter().map(|bar| object("A", bar, "")).collect();
    let last = bars[BARS - 1];
    sent.push(object("A", &other(&last, last.low), ""));
    sent.push(object("A", &other(&last, last.high), ""));
    let expected = generic(&sent);
    assert_eq!(expected.complete.len(), BARS - 49 + 2);
    // the three of one time first, in their order, and the others newest first
    let (older, newest) = sent.split_at(BARS - 1);
    let shuffled: Vec<String> = newest.iter().chain(older.iter().rev()).cloned().collect();
    assert_eq!(generic(&array(&shuffled)).complete, expected.complete);

    let forming = object("A", &last, r#","final":false"#);
    let before: Vec<String> = bars[..BARS - 1]
        .iter()
        .map(|bar| object("A", bar, ""))
        .collect();
    let expected = generic(&[&before[..], std::slice::from_ref(&forming)].concat());
    assert_eq!(expected.forming, 1);
    let newest_first: Vec<String> = [forming]
        .into_iter()
        .chain(before.iter().rev().cloned())
        .collect();
    let found = generic(&array(&newest_first));
    assert_eq!((found.complete, found.forming), (expected.complete, 1));
}

#[test]
fn what_is_no_bar_is_refused_by_itself_and_changes_no_order() {
    let one_by_one = generic(&in_order()[..BARS]);
    let mut mixed: Vec<String> = in_order()[..BARS].iter().rev().cloned().collect();
    mixed.insert(30, "7".to_owned());
    mixed.insert(10, r#"{"symbol":"A","price":1}"#.to_owned());
    let found = generic(&array(&mixed));
    assert_eq!(found.complete, one_by_one.complete);
    assert_eq!(found.others.len(), 2, "{:?}", found.others);
}

/// The outcome of messages in which a bar without a flag is complete when the next one comes.
fn until_next(messages: &[String]) -> crate::law::Run {
    run_by(
        InputRules {
            final_rule: FinalRule::Next,
            ..InputRules::new(262_144, Timeframe::MINUTE)
        },
        &SubjectParts::default(),
        messages,
    )
}

#[test]
fn of_an_array_without_flags_all_bars_are_complete_but_the_newest_of_each_series() {
    let ordered = in_order();
    let expected = sorted(generic(&ordered).complete);
    let newest_first: Vec<String> = ordered.iter().rev().cloned().collect();
    let snapshot = array(&newest_first);
    // without the newest of each of the two series, which form until the next ones come
    let found = until_next(&snapshot);
    assert!(found.others.is_empty(), "{:?}", found.others);
    assert_eq!((found.complete.len(), found.forming), (2 * (BARS - 50), 2));
    let found = sorted(found.complete);
    assert!(found.iter().all(|signal| expected.contains(signal)));

    // a second snapshot, as after a new connection, changes nothing
    let again = until_next(&[snapshot.clone(), snapshot.clone()].concat());
    assert!(again.others.is_empty(), "{:?}", again.others);
    assert_eq!(sorted(again.complete), found);

    // snapshots that overlap, the newest bar of each still forming
    let bars = bars(Timeframe::MINUTE, BARS);
    let unfinished = |bar: &Bar| Bar {
        close: bar.low,
        ..*bar
    };
    let window = |to: usize| {
        let mut window: Vec<String> = bars[to.saturating_sub(30)..to]
            .iter()
            .map(|bar| object("A", bar, ""))
            .collect();
        window.push(object("A", &unfinished(&bars[to]), ""));
        window.reverse();
        array(&window)
    };
    let messages: Vec<String> = (0..BARS).flat_map(window).collect();
    let found = until_next(&messages);
    assert!(found.others.is_empty(), "{:?}", found.others);
    assert_eq!(found.complete, generic(&ordered[..BARS - 1]).complete);
}

#[test]
fn several_states_of_a_bar_in_one_array_make_one_complete_bar() {
    let bars = bars(Timeframe::MINUTE, BARS);
    let states = |bar: &Bar| {
        let begun = Bar {
            close: bar.low,
            volume: 1.0,
            ..*bar
        };
        [object("A", &begun, ""), object("A", bar, "")]
    };
    let sent: Vec<String> = bars.iter().flat_map(states).collect();
    let clean: Vec<String> = bars.iter().map(|bar| object("A", bar, "")).collect();
    let expected = generic(&clean[..BARS - 1]).complete;
    assert_eq!(until_next(&array(&sent)).complete, expected);
    // and so in an envelope
    let coinbase = |bar: &Bar, close: f64| {
        let Bar {
            open,
            high,
            low,
            volume,
            ..
        } = bar;
        let start = bar.timestamp.nanos() / 1_000_000_000;
        format!(
            r#"{{"start":"{start}","high":"{high}","low":"{low}","open":"{open}","close":"{close}","volume":"{volume}","product_id":"A"}}"#
        )
    };
    let bars = crate::bars("5m".parse().unwrap(), BARS);
    let candles: Vec<String> = bars
        .iter()
        .flat_map(|bar| [coinbase(bar, bar.low), coinbase(bar, bar.close)])
        .collect();
    let message = format!(
        r#"{{"channel":"candles","events":[{{"type":"snapshot","candles":[{}]}}]}}"#,
        candles.join(",")
    );
    let clean: Vec<String> = bars[..BARS - 1]
        .iter()
        .map(|bar| object("A", bar, "").replace("1m", "5m"))
        .collect();
    assert_eq!(generic(&[message]).complete, generic(&clean).complete);
}
