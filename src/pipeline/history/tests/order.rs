//! Histories and live bars in any order, with restarts, on random divisions of the bars.

use proptest::prelude::*;

use super::*;

/// A bar of the past, without a source.
fn plain(bar: &Bar) -> Vec<u8> {
    let text = String::from_utf8(live(bar)).unwrap();
    text.replace(r#","source":"live""#, "").into_bytes()
}

/// The same pipeline after a restart, or in another member.
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

/// Signals without revisions: those of history and live series began apart.
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

    /// A run of bars is divided into a history and live bars, which may overlap. The messages of
    /// the history are mixed with the live bars, and there is a restart at any place.
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
        // the history has the bars before `until`; the live bars begin at `begin`
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
        // the live bars alone
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
        // it has an effect once, or is refused with a reason
        let refused = said.iter().filter(|said| said.contains(" history: ")).count();
        prop_assert!(said.len() == usize::from(rebuilt) + refused && rebuilt != (refused > 0), "{:?}", said);
        let expected = if rebuilt { &mut in_order } else { &mut alone };
        // it may be refused if the live series has forgotten bars between, or too many bars since
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
