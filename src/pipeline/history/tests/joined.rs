//! Histories that are joined to live bars.

use super::*;

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
    // 1m as a revision of its published signal, 5m and 1h for the first time
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
    // the same bars again are duplicates
    let came = feed(&mut pipeline, &history("again", &due[..45], 500, false));
    assert_eq!(came.said[1], "rebuilt 0 new, 45 known, 0 replaced");
}
