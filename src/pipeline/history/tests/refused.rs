//! Histories that are refused, abandoned or left open.

use super::*;
use crate::engine::HISTORIES_MAX;

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
    // its late end belongs to no known history
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
        came.said[2]
            .starts_with("50 history: part 2 of the history is missing, part 3 came in its place"),
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
    // a new message makes it the most recent one
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
