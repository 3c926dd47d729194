//! The series that are kept, and the damage of a panic.

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

/// A panic must not change the signal of any later bar.
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

#[test]
fn a_panic_in_a_correction_is_undone_wherever_the_bar_stands() {
    let config = || AnalysisConfig {
        correctable_bars: 5,
        ..rich()
    };
    for (bars, in_later) in [(4, false), (11, false), (4, true), (11, true)] {
        for minute_of_bar in 0..2 * bars {
            let mut plain = engine(config());
            let mut tried = engine(config());
            for n in 0..bars {
                let event = bar("A", 2 * n, 10.0 + ((n * n) % 7) as f64);
                assert_eq!(said(&mut plain, &event), said(&mut tried, &event));
            }
            let (id, _) = plain.find("A", Timeframe::MINUTE).unwrap();
            let doomed = bar("A", minute_of_bar, 99.0);
            if in_later {
                tried.revising.poison();
            } else {
                tried.poison();
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let outcome = tried.on_bar(&doomed, minute(0));
                outcome.effect
            }));
            match outcome {
                Ok(Effect::Refused(_)) => {}
                // no later bar
                Ok(_) if in_later && minute_of_bar >= 2 * bars - 2 => continue,
                Ok(effect) => panic!("{effect:?} at {minute_of_bar} of {bars}"),
                Err(_) => tried.roll_back(),
            }
            tried.heal();
            assert!(tried.next_revision().is_none());
            let state = |engine: &Engine| {
                let snapshot = engine.snapshot(id).unwrap();
                (
                    postcard::to_stdvec(&snapshot).unwrap(),
                    snapshot.series().corrections.clone(),
                )
            };
            assert_eq!(state(&tried), state(&plain), "{minute_of_bar} of {bars}");
        }
    }
}

/// Later questions about the newest bar are answered for that bar, its source included.
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

fn at(symbol: &'static str, minutes: i64) -> BarEvent<'static> {
    bar(symbol, minutes, 10.0)
}

fn forgetting(minutes: u64, max_series: usize) -> Engine {
    let idle = std::time::Duration::from_secs(60 * minutes);
    Engine::new(Arc::new(small()), max_series).forgetting(Some(idle))
}

#[test]
fn a_long_gap_starts_a_series_anew_whenever_its_bars_come() {
    let mut engine = forgetting(5, 10);
    let bars = |engine: &mut Engine, event: &BarEvent<'_>, now: i64| {
        let outcome = engine.on_bar(event, minute(now));
        outcome
            .signal
            .map(|signal| (signal.bars_analyzed, signal.gap_bars))
    };
    assert_eq!(bars(&mut engine, &at("A", 0), 0), Some((1, 0)));
    // the clock does not matter, the gap does: one of just five minutes is survived
    assert_eq!(bars(&mut engine, &at("A", 5), 9_000), Some((2, 4)));
    // what is forming after a longer one has no series yet
    assert_eq!(bars(&mut engine, &forming(at("A", 11)), 9_000), None);
    assert_eq!(engine.find("A", Timeframe::MINUTE).unwrap().1.bars(), 2);
    assert_eq!(bars(&mut engine, &at("A", 11), 9_000), Some((1, 0)));
    assert_eq!(bars(&mut engine, &at("A", 12), 9_000), Some((2, 0)));
    assert_eq!(engine.len(), 1);
}

#[test]
fn a_series_is_not_silent_before_its_next_bar_is_due() {
    let mut engine = forgetting(5, 10);
    for n in 0..3 {
        let mut event = at("A", 60 * n);
        event.timeframe = "1h".parse().unwrap();
        let outcome = engine.on_bar(&event, minute(0));
        let bars = usize::try_from(n + 1).unwrap();
        assert_eq!(outcome.signal.unwrap().bars_analyzed, bars);
    }
}

#[test]
fn silent_series_give_their_places_up_by_the_newest_bar_of_all() {
    let mut engine = forgetting(5, 2);
    let effect = |engine: &mut Engine, event: &BarEvent<'_>| engine.on_bar(event, minute(0)).effect;
    let full = Effect::Refused(Refusal::TooManySeries { limit: 2 });
    assert_eq!(effect(&mut engine, &at("A", 0)), Effect::Appended);
    assert_eq!(effect(&mut engine, &at("B", 0)), Effect::Appended);
    // a refused bar is no sign of how far the bars have come
    assert_eq!(effect(&mut engine, &at("C", 100)), full);
    assert_eq!(effect(&mut engine, &at("B", 5)), Effect::Appended);
    assert_eq!(effect(&mut engine, &at("C", 5)), full);
    assert_eq!(effect(&mut engine, &at("B", 6)), Effect::Appended);
    let outcome = engine.on_bar(&at("C", 6), minute(0));
    assert_eq!((outcome.effect, outcome.begun), (Effect::Appended, true));
    assert!(engine.find("A", Timeframe::MINUTE).is_none());
    assert!(engine.find("B", Timeframe::MINUTE).is_some());
    // one that begins with an old bar is silent from then on
    assert_eq!(effect(&mut engine, &at("D", 6)), full);
    engine.forget(engine.find("C", Timeframe::MINUTE).unwrap().0);
    assert_eq!(effect(&mut engine, &at("E", 0)), Effect::Appended);
    assert_eq!(effect(&mut engine, &at("D", 6)), Effect::Appended);
    assert!(engine.find("E", Timeframe::MINUTE).is_none());
}

#[test]
fn a_panic_in_a_bar_after_a_gap_leaves_the_series_as_it_was() {
    let idle = std::time::Duration::from_secs(300);
    let mut engine = Engine::new(Arc::new(rich()), 10).forgetting(Some(idle));
    engine.on_bar(&at("A", 0), minute(0));
    engine.poison();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.on_bar(&at("A", 100), minute(0));
    }));
    assert!(panicked.is_err());
    engine.roll_back();
    engine.heal();
    let outcome = engine.on_bar(&at("A", 1), minute(0));
    assert_eq!(outcome.signal.unwrap().bars_analyzed, 2);
}
