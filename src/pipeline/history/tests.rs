//! History and live bars in any order give what they give in the order of time.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::engine::{AnalysisConfig, Engine, HISTORIES_MAX};
use crate::market::{Bar, SeriesKey, Symbol, Timeframe, Timestamp};
use crate::pipeline::{Filter, Message, Output, Pipeline, Sink};
use crate::wire::{
    Decoder, FinalRule, History, HistoryStep, InputRules, SubjectParts, encode_signal,
    write_history_bar,
};

/// Minute bars of two sessions, with the night between them.
const BARS: &str = include_str!("../../../tests/data/bars/spy_1m.csv");
const NOW: Timestamp = Timestamp::from_nanos(1_800_000_000_000_000_000);
const WINDOW: usize = 60;

fn bars() -> Vec<Bar> {
    let number = |text: &str| -> f64 { text.parse().unwrap() };
    let bar = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Bar {
            timestamp: cells[0].parse().unwrap(),
            open: number(cells[1]),
            high: number(cells[2]),
            low: number(cells[3]),
            close: number(cells[4]),
            volume: number(cells[5]),
        }
    };
    BARS.lines().skip(1).map(bar).collect()
}

fn key() -> SeriesKey {
    SeriesKey::new(Symbol::new("SPY").unwrap(), Timeframe::MINUTE)
}

fn live(bar: &Bar) -> Vec<u8> {
    let Bar {
        timestamp,
        open,
        high,
        low,
        close,
        volume,
    } = bar;
    format!(
        r#"{{"s":"SPY","tf":"1m","t":"{timestamp}","o":{open},"h":{high},"l":{low},"c":{close},"v":{volume},"source":"live"}}"#
    )
    .into_bytes()
}

/// A bar of the past, of which no source is known.
fn plain(bar: &Bar) -> Vec<u8> {
    let text = String::from_utf8(live(bar)).unwrap();
    text.replace(r#","source":"live""#, "").into_bytes()
}

fn sent(bars: &[Bar]) -> Vec<Vec<u8>> {
    bars.iter().map(live).collect()
}

fn part(id: &str, part: u32, bars: &[Bar], forming: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for (at, bar) in bars.iter().enumerate() {
        text.push(if at == 0 { b'[' } else { b',' });
        write_history_bar(bar, &mut text);
    }
    if bars.is_empty() {
        text.push(b'[');
    }
    text.push(b']');
    let bars = std::str::from_utf8(&text).unwrap();
    let step = HistoryStep::Part {
        part,
        bars,
        forming,
    };
    History::message(&key(), id, step)
}

fn end(id: &str, parts: u32) -> Vec<u8> {
    History::message(&key(), id, HistoryStep::End { parts })
}

/// The messages of a history of these bars, in parts of `size`, with its end.
fn history(id: &str, bars: &[Bar], size: usize, forming: bool) -> Vec<Vec<u8>> {
    let chunks: Vec<&[Bar]> = bars.chunks(size).collect();
    let mut messages = Vec::new();
    for (at, bars) in chunks.iter().enumerate() {
        let forming = forming && at + 1 == chunks.len();
        messages.push(part(id, u32::try_from(at).unwrap(), bars, forming));
    }
    let parts = u32::try_from(messages.len()).unwrap();
    messages.push(end(id, parts));
    messages
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    next: bool,
    idle: bool,
    frequency: u64,
}

fn pipeline(settings: Settings) -> Pipeline {
    let config = AnalysisConfig {
        min_bars: 10,
        window: WINDOW,
        publish_frequency: settings.frequency,
        indicators: crate::indicators::parse("atr(3),obv(),kama(10)").unwrap(),
        derived: "5m,1h".parse().unwrap(),
        ..AnalysisConfig::default()
    };
    let rules = InputRules {
        final_rule: if settings.next {
            FinalRule::Next
        } else {
            FinalRule::Flag
        },
        ..InputRules::new(1 << 20, Timeframe::MINUTE)
    };
    let idle = settings.idle.then_some(Duration::from_secs(6 * 3600));
    let engine = Engine::new(Arc::new(config), 10).forgetting(idle);
    Pipeline::new(Decoder::new(rules), engine)
}

/// The same pipeline, as another member or a restart has it.
fn restarted(pipeline: &Pipeline, settings: Settings) -> Pipeline {
    let mut copy = self::pipeline(settings);
    let engine = pipeline.engine();
    for (id, _) in engine.iter() {
        let snapshot = engine.snapshot(id).unwrap();
        copy.engine_mut().restore(snapshot).unwrap();
    }
    for history in engine.histories() {
        let bytes = postcard::to_stdvec(&history).unwrap();
        let history = postcard::from_bytes(&bytes).unwrap();
        copy.engine_mut().restore_history(history).unwrap();
    }
    copy
}

/// Outputs in short, and the signals of bars.
#[derive(Default)]
struct Noted {
    said: Vec<String>,
    signals: Vec<String>,
    restated: Vec<String>,
}

impl Filter for Noted {}

impl Sink for Noted {
    fn output(&mut self, output: Output<'_>) {
        let encoded = |signal| {
            let mut line = Vec::new();
            encode_signal(signal, &mut line);
            String::from_utf8(line).unwrap()
        };
        match output {
            Output::Taken(taken) | Output::Derived(taken) | Output::Revised(taken) => {
                self.signals.extend(taken.signal.map(encoded));
            }
            Output::Restated(taken) => self.restated.extend(taken.signal.map(encoded)),
            Output::Gathered(bars) => self.said.push(format!("gathered {bars}")),
            Output::Rebuilt(taken) => {
                let one = taken.rebuilt;
                self.said.push(format!(
                    "rebuilt {} new, {} known, {} replaced",
                    one.taken, one.duplicates, one.corrections
                ));
            }
            Output::Refused(refusal) => self.said.push(format!(
                "{} {}: {}",
                refusal.elements, refusal.reason, refusal.detail
            )),
            Output::Duplicate(_) | Output::Reset(_) | Output::Marked(_) | Output::Ignored(_) => {}
        }
    }
}

fn feed<'a>(pipeline: &mut Pipeline, messages: impl IntoIterator<Item = &'a Vec<u8>>) -> Noted {
    let mut noted = Noted::default();
    let subject = Ok(SubjectParts::default());
    for payload in messages {
        let message = Message {
            payload,
            subject: &subject,
            arrived: NOW,
        };
        let taken = pipeline.guard(|pipeline| pipeline.take(&message, &mut noted));
        assert_eq!(taken, Ok(()));
    }
    noted
}

/// A revision is that of the history or of the live series, which began apart.
fn without_revision(signals: &[String]) -> Vec<String> {
    let cut = |signal: &String| {
        let at = signal.find(r#""revision":"#).unwrap() + r#""revision":"#.len();
        let end = at + signal[at..].find([',', '}']).unwrap();
        format!("{}{}", &signal[..at], &signal[end..])
    };
    signals.iter().map(cut).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A run of bars is divided in history and live ones, which overlap or not, and the messages of
    /// the history come at any time among the live ones, with a restart anywhere.
    #[test]
    fn history_and_live_bars_in_any_order_are_as_if_in_order(
        next: bool,
        idle: bool,
        corrected: bool,
        frequency in 1u64..4,
        (from, split, live_bars) in (100usize..200, 0usize..110, 1usize..100),
        overlap in 0usize..40,
        size in 8usize..200,
        places in prop::collection::vec(any::<prop::sample::Index>(), 56),
        restart in any::<prop::sample::Index>(),
    ) {
        let settings = Settings { next, idle, frequency: if corrected { 1 } else { frequency } };
        let all = bars();
        let all = &all[..from + live_bars + 80];
        // the history is of the bars before `until`, the live ones begin at `begin`
        let until = from;
        let begin = from - overlap.min(from - 1);
        let past = &all[split.min(begin)..until];
        let live_end = begin + live_bars;
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for (at, bar) in all[begin..live_end].iter().enumerate() {
            if corrected && at % 7 == 3 {
                messages.push(live(&Bar { close: bar.open, ..*bar }));
            }
            messages.push(live(bar));
        }
        // in order
        let mut in_order = pipeline(settings);
        feed(&mut in_order, &past.iter().map(plain).collect::<Vec<_>>());
        feed(&mut in_order, &messages);
        // the live ones on their own
        let mut alone = pipeline(settings);
        feed(&mut alone, &messages);
        // mixed
        let parts = history("h", past, size, next);
        let mut at: Vec<usize> = places.iter().take(parts.len()).map(|one| one.index(messages.len() + 1)).collect();
        at.sort_unstable();
        let mut mixed = messages.clone();
        for (offset, (place, payload)) in at.iter().zip(&parts).enumerate() {
            mixed.insert(place + offset, payload.clone());
        }
        let mut candidate = pipeline(settings);
        let middle = restart.index(mixed.len());
        let first = feed(&mut candidate, &mixed[..middle]);
        candidate = restarted(&candidate, settings);
        let second = feed(&mut candidate, &mixed[middle..]);
        let said: Vec<&String> = first.said.iter().chain(&second.said).filter(|said| said.starts_with("rebuilt") || said.contains(" history: ")).collect();
        let rebuilt = said.iter().any(|said| said.starts_with("rebuilt"));
        // it takes effect once, or says why it does not
        let refused = said.iter().filter(|said| said.contains(" history: ")).count();
        prop_assert!(said.len() == usize::from(rebuilt) + refused && rebuilt != (refused > 0), "{:?}", said);
        let expected = if rebuilt { &mut in_order } else { &mut alone };
        // bars that the live series has forgotten lie between, or it has come too far since
        if live_bars + 1 < WINDOW && !idle {
            prop_assert!(rebuilt, "{:?}", said);
        }
        let tail: Vec<Vec<u8>> = sent(&all[live_end..]);
        let due = feed(expected, &tail);
        let came = feed(&mut candidate, &tail);
        prop_assert!(due.signals.len() > 20);
        let (came, due) = (without_revision(&came.signals), without_revision(&due.signals));
        let differs = came.iter().zip(&due).find(|(came, due)| came != due);
        prop_assert!(differs.is_none(), "{:?}", differs);
        prop_assert_eq!(came.len(), due.len());
        prop_assert_eq!(candidate.engine().histories().count(), 0);
    }
}

const PLAIN: Settings = Settings {
    next: false,
    idle: false,
    frequency: 1,
};

#[test]
fn the_newest_signal_of_each_rebuilt_series_is_said_once_more() {
    let all = bars();
    let mut in_order = pipeline(PLAIN);
    let due = feed(&mut in_order, &sent(&all[..330]));
    let mut mixed = pipeline(PLAIN);
    feed(&mut mixed, &sent(&all[300..330]));
    let came = feed(&mut mixed, &history("h", &all[..300], 90, false));
    assert_eq!(
        came.said,
        [
            "gathered 90",
            "gathered 90",
            "gathered 90",
            "gathered 30",
            "rebuilt 300 new, 0 known, 0 replaced"
        ]
    );
    assert_eq!(came.signals, [""; 0]);
    // 1m as a revision of what was said, 5m and 1h for the first time
    assert_eq!(came.restated.len(), 2, "{:?}", came.restated);
    let last = |timeframe: &str| {
        let of = format!(r#""timeframe":"{timeframe}""#);
        let last = due.signals.iter().rfind(|signal| signal.contains(&of));
        last.unwrap().clone()
    };
    let revised = last("1m").replace(r#""revision":0"#, r#""revision":1"#);
    assert_eq!(came.restated, [revised, last("5m")]);
    let (_, series) = mixed.engine().find("SPY", Timeframe::MINUTE).unwrap();
    assert_ne!(series.epoch(), 0);
}

#[test]
fn derived_bars_that_a_time_mark_has_closed_stay_closed() {
    let all = bars();
    let mark = |bar: &Bar| format!(r#"{{"mark":"{}"}}"#, bar.timestamp).into_bytes();
    // the hour begins at the 31st bar; it is closed by a mark in the next one
    let (mut in_order, mut mixed) = (pipeline(PLAIN), pipeline(PLAIN));
    feed(&mut in_order, &sent(&all[..50]));
    feed(&mut in_order, [&mark(&all[200])]);
    feed(&mut mixed, &sent(&all[20..50]));
    feed(&mut mixed, [&mark(&all[200])]);
    feed(&mut mixed, &history("h", &all[..20], 500, false));
    assert_eq!(feed(&mut mixed, [&mark(&all[210])]).signals, [""; 0]);
    for timeframe in ["1m", "5m", "1h"] {
        let position = |pipeline: &Pipeline| {
            let found = pipeline.engine().find("SPY", timeframe.parse().unwrap());
            found.map(|(_, series)| (series.bars(), series.ring().newest()))
        };
        assert!(position(&in_order).is_some(), "{timeframe}");
        assert_eq!(position(&mixed), position(&in_order), "{timeframe}");
    }
    assert_eq!(
        mixed.engine().open_buckets(),
        in_order.engine().open_buckets()
    );
}

#[test]
fn a_history_that_never_ends_changes_nothing_and_the_next_begins_again() {
    let all = bars();
    let now: Vec<Vec<u8>> = sent(&all[300..340]);
    let (mut disturbed, mut alone) = (pipeline(PLAIN), pipeline(PLAIN));
    let broken = history("broken", &all[..300], 100, false);
    feed(&mut disturbed, &now[..20]);
    feed(&mut disturbed, &broken[..2]);
    let came = feed(&mut disturbed, &now[20..]);
    feed(&mut alone, &now[..20]);
    assert_eq!(came.signals, feed(&mut alone, &now[20..]).signals);
    assert_eq!(disturbed.engine().histories().count(), 1);
    let came = feed(&mut disturbed, &history("whole", &all[..300], 150, false));
    assert_eq!(
        came.said.last().unwrap(),
        "rebuilt 300 new, 0 known, 0 replaced"
    );
    // its end, late, is that of no history
    let late = feed(&mut disturbed, [&end("broken", 3)]);
    assert!(
        late.said[0].starts_with("1 history: no part of this history is known"),
        "{:?}",
        late.said
    );
    assert_eq!(disturbed.engine().histories().count(), 0);
}

#[test]
fn a_history_with_a_missing_part_is_refused_once_per_fault_and_counts_every_bar_once() {
    let all = bars();
    let mut pipeline = pipeline(PLAIN);
    feed(&mut pipeline, &sent(&all[300..320]));
    let mut messages = history("h", &all[..300], 50, false);
    messages.remove(2);
    let came = feed(&mut pipeline, &messages);
    assert_eq!(came.said.len(), 6);
    assert!(
        came.said[2].starts_with("50 history: part 2 of the history did not come, part 3 did"),
        "{:?}",
        came.said
    );
    assert_eq!(came.said[3..5], ["gathered 50", "gathered 50"]);
    assert!(came.said[5].starts_with("200 history: "), "{:?}", came.said);
}

#[test]
fn a_bar_that_is_refused_refuses_its_history_whole() {
    let all = bars();
    let mut pipeline = pipeline(PLAIN);
    let mut bad = all[..100].to_vec();
    bad[77].close = -1.0;
    let came = feed(&mut pipeline, &history("h", &bad, 50, false));
    assert_eq!(came.said.len(), 3, "{:?}", came.said);
    assert!(
        came.said[1].starts_with("50 bad_price: bar 28 of the part: "),
        "{:?}",
        came.said
    );
    assert!(
        came.said[2].starts_with("50 history: a part of the history was refused: "),
        "{:?}",
        came.said
    );
    assert_eq!(pipeline.engine().len(), 0);
}

#[test]
fn of_bars_that_both_have_those_of_the_history_count_but_for_the_newest() {
    let all = bars();
    let mut pipeline = pipeline(PLAIN);
    feed(&mut pipeline, &sent(&all[40..50]));
    let mut past = all[..45].to_vec();
    past[42].close = past[42].low;
    past[44].close = past[44].low;
    let came = feed(&mut pipeline, &history("h", &past, 500, false));
    assert_eq!(came.said[1], "rebuilt 40 new, 4 known, 1 replaced");
    let (_, series) = pipeline.engine().find("SPY", Timeframe::MINUTE).unwrap();
    let kept: Vec<Bar> = series.ring().iter().collect();
    let mut due = all[..50].to_vec();
    due[42] = past[42];
    assert_eq!(kept, due);
    // once more, all are known
    let came = feed(&mut pipeline, &history("again", &due[..45], 500, false));
    assert_eq!(came.said[1], "rebuilt 0 new, 45 known, 0 replaced");
}

#[test]
fn a_history_that_cannot_be_joined_is_refused_and_says_why() {
    let all = bars();
    let refusal = |live_bars: std::ops::Range<usize>, past: std::ops::Range<usize>| {
        let mut pipeline = pipeline(PLAIN);
        feed(&mut pipeline, &sent(&all[live_bars]));
        let before = pipeline
            .engine()
            .snapshot(pipeline.engine().find("SPY", Timeframe::MINUTE).unwrap().0);
        let mut said = feed(&mut pipeline, &history("h", &all[past], 4_000, false)).said;
        let after = pipeline
            .engine()
            .snapshot(pipeline.engine().find("SPY", Timeframe::MINUTE).unwrap().0);
        let bytes = |snapshot| postcard::to_stdvec(&snapshot).unwrap();
        if !said[1].starts_with("rebuilt") {
            assert_eq!(bytes(before), bytes(after));
        }
        said.remove(1)
    };
    // the window has 60 bars, so 40 are forgotten
    let hole = refusal(200..300, 0..230);
    assert!(
        hole.contains(&format!("ends at {}", all[229].timestamp))
            && hole.contains(&format!("reaches up to {}", all[240].timestamp)),
        "{hole}"
    );
    assert!(
        refusal(200..300, 0..240).starts_with("rebuilt 240 new"),
        "adjacent"
    );
    assert!(
        refusal(200..300, 0..250).starts_with("rebuilt 240 new, 10 known"),
        "overlapping"
    );
    let shorter = refusal(200..300, 210..250);
    assert!(
        shorter.contains("the series has 40 bars before")
            && shorter.contains("the history has 30 of them"),
        "{shorter}"
    );
    let later = refusal(200..250, 210..230);
    assert!(
        later.contains(&format!("the history begins at {}", all[210].timestamp)),
        "{later}"
    );
}

#[test]
fn histories_of_derived_series_and_without_bars_are_refused() {
    let all = bars();
    let mut pipeline = pipeline(PLAIN);
    feed(&mut pipeline, &sent(&all[..40]));
    let five = |payload: Vec<u8>| {
        let text = String::from_utf8(payload).unwrap();
        text.replace(r#""timeframe":"1m""#, r#""timeframe":"5m""#)
            .into_bytes()
    };
    let messages = history("h", &all[..1], 5, false)
        .into_iter()
        .map(five)
        .collect::<Vec<_>>();
    let came = feed(&mut pipeline, &messages);
    assert!(
        came.said[0].contains("5m bars of this symbol are derived from smaller ones"),
        "{:?}",
        came.said
    );
    let came = feed(&mut pipeline, &[part("e", 0, &[], false), end("e", 1)]);
    assert!(
        came.said[0].starts_with("1 wrong_type")
            || came.said[1].starts_with("1 history: the history has no bar"),
        "{:?}",
        came.said
    );
}

#[test]
fn open_histories_are_bounded_and_end_with_a_reset_and_with_age() {
    let all = bars();
    let mut pipeline = pipeline(PLAIN);
    feed(&mut pipeline, &sent(&all[100..110]));
    let first = history("h", &all[..100], 50, false);
    let others: Vec<Vec<u8>> = (1..HISTORIES_MAX)
        .map(|at| {
            let text = String::from_utf8(part("o", 0, &all[..20], false)).unwrap();
            text.replace("SPY", &format!("O{at}")).into_bytes()
        })
        .collect();
    feed(&mut pipeline, &first[..1]);
    feed(&mut pipeline, &others);
    assert_eq!(pipeline.engine().histories().count(), HISTORIES_MAX);
    // heard of again, it is not the next to go
    feed(&mut pipeline, &first[1..2]);
    let one_more = String::from_utf8(part("o", 0, &all[..20], false))
        .unwrap()
        .replace("SPY", "MORE");
    feed(&mut pipeline, &[one_more.into_bytes()]);
    assert_eq!(pipeline.engine().histories().count(), HISTORIES_MAX);
    assert_eq!(
        feed(&mut pipeline, &first[2..]).said,
        ["rebuilt 100 new, 0 known, 0 replaced"]
    );

    let open = |pipeline: &Pipeline| {
        pipeline
            .engine()
            .histories()
            .filter(|one| *one.key() == key())
            .count()
    };
    feed(&mut pipeline, &first[..1]);
    feed(&mut pipeline, &sent(&all[110..110 + WINDOW]));
    assert_eq!(open(&pipeline), 1);
    feed(&mut pipeline, &[live(&all[110 + WINDOW])]);
    assert_eq!(open(&pipeline), 0);
    feed(&mut pipeline, &first[..1]);
    let reset = br#"{"reset":{"symbol":"SPY","timeframe":"1m"}}"#.to_vec();
    feed(&mut pipeline, &[reset]);
    assert_eq!(open(&pipeline), 0);
}
