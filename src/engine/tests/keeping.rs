//! Which series are kept, and what a panic costs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn a_series_beyond_the_limit_is_refused_and_leaves_the_others_alone() {
    let mut engine = Engine::new(Arc::new(small()), 2);
    let mut effect = |symbol| engine.on_bar(&bar(symbol, 0, 10.0), minute(0)).effect;
    let full = Effect::Refused(Refusal::TooManySeries { limit: 2 });
    assert_eq!(effect("A"), Effect::Appended);
    assert_eq!(effect("B"), Effect::Appended);
    assert_eq!(effect("C"), full);
    assert_eq!(effect("C"), full);
    assert_eq!(effect("A"), Effect::Duplicate);
    assert_eq!(engine.len(), 2);
    // room again once another goes
    let (a, _) = engine.find("A", Timeframe::MINUTE).unwrap();
    engine.forget(a);
    let outcome = engine.on_bar(&bar("C", 0, 10.0), minute(0));
    assert_eq!(outcome.effect, Effect::Appended);
    assert_eq!(outcome.series, Some(a), "an id that is free is used again");
    assert!(engine.find("A", Timeframe::MINUTE).is_none());
}

#[test]
fn silent_series_are_forgotten_by_when_their_bars_came() {
    let mut engine = engine(small());
    let at = |n: i64| minute(1_000 + n);
    engine.on_bar(&bar("A", 0, 10.0), at(0));
    engine.on_bar(&bar("B", 0, 10.0), at(1));
    engine.on_bar(&bar("C", 0, 10.0), at(2));
    // whatever comes is a sign of life, a duplicate and a forming bar too
    engine.on_bar(&bar("A", 0, 10.0), at(5));
    engine.on_bar(&forming(bar("B", 1, 10.0)), at(6));
    let (c, _) = engine.find("C", Timeframe::MINUTE).unwrap();
    assert_eq!(engine.forget_idle(at(2)), []);
    assert_eq!(engine.forget_idle(at(3)), [c]);
    assert_eq!(engine.len(), 2);
    assert!(engine.get(c).is_none());
    // it begins anew, under the id that became free, and knows nothing of before
    let outcome = engine.on_bar(&bar("C", 0, 10.0), at(7));
    assert_eq!(outcome.series, Some(c));
    assert_eq!(outcome.signal.unwrap().bars_analyzed, 1);
    assert_eq!(engine.get(c).unwrap().bars(), 1);
}

#[test]
fn the_window_is_all_that_is_kept() {
    let mut engine = engine(small());
    for n in 0..100 {
        let outcome = engine.on_bar(&bar("A", n, 10.0), minute(0));
        let bars = usize::try_from(n + 1).unwrap().min(20);
        assert_eq!(outcome.signal.unwrap().bars_analyzed, bars);
    }
    let (id, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    assert_eq!(series.bars(), 100);
    let first = engine.get(id).unwrap().ring().iter().next().unwrap();
    assert_eq!(first.timestamp, minute(80));
}

/// What every later bar says must not depend on a panic before it.
#[test]
fn a_panic_halfway_is_undone_whatever_the_bar_was_to_do() {
    let closes = [10.0, 12.0, 11.0, 13.0, 9.0, 10.5, 14.0, 8.0];
    for panics_at in 0..closes.len() {
        for what in 0..3 {
            let mut plain = engine(rich());
            let mut tried = engine(rich());
            for (n, close) in (0..).zip(closes) {
                if usize::try_from(n).unwrap() == panics_at {
                    let doomed = match what {
                        0 => bar("A", n, 99.0),
                        1 => bar("A", n - 1, 99.0),
                        _ => forming(bar("A", n, 99.0)),
                    };
                    tried.poison();
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        tried.on_bar(&doomed, minute(0));
                    }));
                    // to begin a series takes a final bar
                    let nothing_to_do = n == 0 && what == 2;
                    assert_eq!(outcome.is_err(), !nothing_to_do);
                    tried.roll_back();
                    tried.heal();
                    assert_eq!(tried.len(), usize::from(n > 0));
                }
                let event = bar("A", n, close);
                let (a, b) = (said(&mut plain, &event), said(&mut tried, &event));
                assert_eq!(a, b, "{what} at {panics_at}, bar {n}");
                assert!(a.is_some());
            }
        }
    }
}

/// What is asked about the newest bar afterwards is about that bar, its source included.
#[test]
fn a_panic_leaves_what_is_said_of_the_newest_bar() {
    let mut engine = engine(rich());
    let mut first = bar("A", 0, 10.0);
    first.source = Some("feed".into());
    engine.on_bar(&first, minute(0));
    let (id, _) = engine.find("A", Timeframe::MINUTE).unwrap();
    let mut doomed = bar("A", 1, 99.0);
    doomed.source = Some("other".into());
    engine.poison();
    assert!(
        catch_unwind(AssertUnwindSafe(|| engine
            .on_bar(&doomed, minute(0))
            .effect))
        .is_err()
    );
    engine.roll_back();
    engine.heal();
    let latest = engine.latest(id).unwrap();
    assert_eq!(
        (latest.timestamp, latest.source.as_deref()),
        (minute(0), Some("feed"))
    );
}

#[test]
fn rolling_back_without_a_panic_changes_nothing() {
    let mut engine = engine(rich());
    engine.on_bar(&bar("A", 0, 10.0), minute(0));
    engine.roll_back();
    let outcome = engine.on_bar(&bar("A", 0, 10.0), minute(0));
    assert_eq!(outcome.effect, Effect::Duplicate);
}
