//! Buckets that a session cuts, by hand.

use super::*;

/// A session from 10:02 to 10:13.
fn session() -> Calendar {
    Calendar::UTC.with_session(Some("10:02-10:13 UTC".parse().unwrap()))
}

#[test]
fn buckets_begin_at_the_open_and_the_last_has_the_auction() {
    let mut run = Run {
        calendar: session(),
        ..Run::new(&["5m", "1d"], 0)
    };
    for minute in 0..13 {
        run.append(&bar(minute, [1.0; 5]));
    }
    let flat = |volume| [1.0, 1.0, 1.0, 1.0, volume];
    assert_eq!(
        run.closed(),
        [row("5m", 2, flat(5.0), 5, 5), row("5m", 7, flat(5.0), 5, 5)]
    );
    // the last minute of the session closes nothing, the auction does
    assert_eq!(run.derivation.open_buckets(), 2);
    run.append(&bar(13, [2.0; 5]));
    let last = [1.0, 2.0, 1.0, 2.0, 3.0];
    let day = [1.0, 2.0, 1.0, 2.0, 13.0];
    assert_eq!(
        run.closed(),
        [row("5m", 12, last, 2, 1), row("1d", 2, day, 12, 11)]
    );
    // nothing later is taken
    for minute in 14..30 {
        assert_eq!(run.append(&bar(minute, [9.0; 5])), None);
    }
    assert_eq!(run.closed(), []);
    assert_eq!(run.derivation.open_buckets(), 0);
}

#[test]
fn a_bar_after_the_auction_closes_a_session_that_had_none() {
    let mut run = Run {
        calendar: session(),
        ..Run::new(&["5m", "1d"], 0)
    };
    for minute in [2, 3, 12] {
        run.append(&bar(minute, [1.0; 5]));
    }
    run.closed();
    run.append(&bar(14, [9.0; 5]));
    let flat = |volume| [1.0, 1.0, 1.0, 1.0, volume];
    let closed = [
        row("5m", 12, flat(1.0), 1, 1),
        row("1d", 2, flat(3.0), 3, 11),
    ];
    assert_eq!(run.closed(), closed);
}

#[test]
fn a_bar_across_the_open_or_the_close_spoils_what_it_is_partly_in() {
    let across = |minute, seconds: i64| {
        let mut bar = bar(minute, [1.0; 5]);
        bar.timestamp = bar.timestamp.after(seconds * 1_000_000_000);
        bar
    };
    let mut run = Run {
        calendar: session(),
        ..Run::new(&["5m", "1d"], 0)
    };
    run.append(&bar(0, [1.0; 5]));
    assert_eq!(run.append(&across(1, 30)), Some("5m".parse().unwrap()));
    for minute in 3..13 {
        run.append(&bar(minute, [1.0; 5]));
    }
    // the auction is longer than a minute, so it is left out
    assert_eq!(run.append(&across(13, 1)), None);
    run.append(&bar(20, [1.0; 5]));
    assert_eq!(
        run.closed(),
        [
            row("5m", 7, [1.0, 1.0, 1.0, 1.0, 5.0], 5, 5),
            row("5m", 12, [1.0; 5], 1, 1)
        ]
    );
}

#[test]
fn a_corrected_bar_of_the_night_changes_nothing() {
    let mut run = Run {
        calendar: session(),
        correctable: 40,
        ..Run::new(&["5m", "1w"], 0)
    };
    for minute in (0..20).filter(|minute| *minute != 4) {
        run.append(&bar(minute, [1.0; 5]));
    }
    run.closed();
    for minute in [0, 1, 14, 19] {
        run.put(&bar(minute, [5.0; 5]));
        assert_eq!(run.closed(), [], "{minute}");
    }
    run.put(&bar(4, [7.0; 5]));
    let right = [1.0, 7.0, 1.0, 1.0, 11.0];
    assert_eq!(run.closed(), [row("5m", 2, right, 5, 5)]);
}

#[test]
fn the_first_bar_of_a_week_may_come_while_the_market_is_closed() {
    let mut run = Run {
        calendar: session(),
        correctable: 40,
        ..Run::new(&["5m", "1w"], -3 * 1_440)
    };
    let monday = 6 * 1_440;
    run.append(&bar(0, [1.0; 5]));
    run.append(&bar(monday + 100, [9.0; 5]));
    run.closed();
    run.put(&bar(monday + 4, [2.0; 5]));
    assert_eq!(run.closed(), [row("5m", monday + 2, [2.0; 5], 1, 5)]);
    run.append(&bar(monday + 1_440 + 4, [3.0; 5]));
    run.append(&bar(monday + 7 * 1_440, [9.0; 5]));
    let week = [2.0, 3.0, 2.0, 3.0, 5.0];
    assert_eq!(
        run.closed().last(),
        Some(&row("1w", monday + 2, week, 2, 77))
    );
}
