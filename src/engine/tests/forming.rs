//! Bars that form until the next of their series comes.

use super::*;

fn until_next(mut event: BarEvent<'static>) -> BarEvent<'static> {
    event.finality = Finality::UntilNext;
    event
}

fn history(mut event: BarEvent<'static>) -> BarEvent<'static> {
    event.finality = Finality::History;
    event
}

/// Takes in an event as the agent does; the effects and the signals, in order.
fn take(engine: &mut Engine, event: &BarEvent<'_>) -> (Vec<Effect>, Vec<String>) {
    let (mut effects, mut signals) = (Vec::new(), Vec::new());
    let complete = engine.closed_by(event);
    for event in complete.iter().chain([event]) {
        let outcome = engine.on_bar(event, minute(0));
        effects.push(outcome.effect);
        signals.extend(outcome.signal.map(|s| serde_json::to_string(s).unwrap()));
    }
    (effects, signals)
}

fn complete(signals: &[String]) -> Vec<&String> {
    let is_final = |signal: &&String| signal.contains(r#""final":true"#);
    signals.iter().filter(is_final).collect()
}

#[test]
fn the_next_bar_completes_the_one_before_with_its_last_values() {
    let mut engine = engine(rich());
    let mut plain = Engine::new(Arc::new(rich()), 100);
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for n in 0..30_i32 {
        let close = 10.0 + f64::from(n * 7 % 5);
        let last = bar("A", n.into(), close);
        expected.extend(said(&mut plain, &last));
        let first = until_next(bar("A", n.into(), close + 3.0));
        for event in [first, until_next(last.clone()), until_next(last)] {
            let (_, signals) = take(&mut engine, &event);
            found.extend(complete(&signals).into_iter().cloned());
        }
    }
    // the last one is still forming
    assert_eq!(found, expected[..29]);
    let held = engine.find("A", Timeframe::MINUTE).unwrap().1.forming();
    assert_eq!(held.map(FormingBar::timestamp), Some(minute(29)));
}

#[test]
fn a_repeat_is_a_duplicate_and_an_update_after_the_next_began_no_revision() {
    let mut engine = engine(small());
    let mut effects = |event: BarEvent<'_>| take(&mut engine, &event).0;
    assert_eq!(effects(until_next(bar("A", 1, 10.0))), [Effect::Forming]);
    assert_eq!(effects(until_next(bar("A", 1, 10.0))), [Effect::Duplicate]);
    assert_eq!(effects(until_next(bar("A", 1, 11.0))), [Effect::Forming]);
    assert_eq!(
        effects(until_next(bar("A", 2, 12.0))),
        [Effect::Appended, Effect::Forming]
    );
    assert_eq!(effects(until_next(bar("A", 1, 11.0))), [Effect::Duplicate]);
    assert_eq!(effects(until_next(bar("A", 1, 99.0))), [Effect::Duplicate]);
    // a complete bar takes the place of the forming one, and is no correction of it
    assert_eq!(effects(bar("A", 2, 12.5)), [Effect::Appended]);
    assert_eq!(
        effects(until_next(bar("A", 3, 13.0))),
        [Effect::Forming],
        "nothing is left to be completed"
    );
    // a bar with a flag is the next one as well
    assert_eq!(
        effects(forming(bar("A", 4, 13.0))),
        [Effect::Appended, Effect::Forming]
    );
}

#[test]
fn a_bar_before_the_forming_one_is_complete() {
    let mut engine = engine(small());
    let mut effects = |event: BarEvent<'_>| take(&mut engine, &event).0;
    effects(bar("A", 1, 10.0));
    assert_eq!(effects(until_next(bar("A", 4, 13.0))), [Effect::Forming]);
    assert_eq!(effects(history(bar("A", 2, 11.0))), [Effect::Appended]);
    assert_eq!(effects(until_next(bar("A", 3, 12.0))), [Effect::Appended]);
    assert_eq!(
        effects(until_next(bar("A", 5, 14.0))),
        [Effect::Appended, Effect::Forming]
    );
}

#[test]
fn a_snapshot_that_comes_again_is_a_duplicate_bar_by_bar() {
    let mut engine = engine(small());
    let mut effects = |event: BarEvent<'_>| take(&mut engine, &event).0;
    for n in 1..5 {
        assert_eq!(effects(history(bar("A", n, 10.0))), [Effect::Appended]);
    }
    for n in 1..5 {
        assert_eq!(effects(history(bar("A", n, 10.0))), [Effect::Duplicate]);
    }
    // other values are no repeat
    let late = Effect::Refused(Refusal::Late {
        newest: minute(4),
        correctable: 1,
    });
    assert_eq!(effects(history(bar("A", 2, 11.0))), [late]);
    assert_eq!(effects(history(bar("A", 4, 11.0))), [Effect::Corrected]);
}

#[test]
fn a_forming_bar_is_in_a_snapshot_of_its_series() {
    let mut before = engine(rich());
    for n in 0..6_i32 {
        take(
            &mut before,
            &until_next(bar("A", n.into(), 10.0 + f64::from(n))),
        );
    }
    // one that has nothing but its forming bar
    take(&mut before, &until_next(bar("B", 3, 7.0)));
    let mut after = engine(rich());
    for symbol in ["A", "B"] {
        let (id, _) = before.find(symbol, Timeframe::MINUTE).unwrap();
        after.restore(before.snapshot(id).unwrap()).unwrap();
    }
    for symbol in ["A", "B"] {
        let next = until_next(bar(symbol, 6, 20.0));
        let (effects, signals) = take(&mut after, &next);
        assert_eq!(effects, [Effect::Appended, Effect::Forming], "{symbol}");
        assert_eq!(signals, take(&mut before, &next).1);
        assert_eq!(complete(&signals).len(), 1);
    }
}

#[test]
fn a_series_of_one_forming_bar_has_no_signal_yet() {
    let mut engine = engine(small());
    let outcome = engine.on_bar(&until_next(bar("A", 1, 10.0)), minute(0));
    let id = outcome.series.unwrap();
    assert!(outcome.begun && !outcome.signal.unwrap().is_final);
    assert!(engine.latest(id).is_none());
    assert_eq!(engine.get(id).unwrap().position(), None);
}

#[test]
fn a_bar_after_a_long_silence_completes_the_forming_one_and_starts_the_series_anew() {
    let idle = std::time::Duration::from_secs(600);
    let mut engine = engine(small()).forgetting(Some(idle));
    for n in 0..3 {
        take(&mut engine, &until_next(bar("A", n, 10.0)));
    }
    let (effects, _) = take(&mut engine, &until_next(bar("A", 100, 11.0)));
    assert_eq!(effects, [Effect::Appended, Effect::Forming]);
    let (effects, signals) = take(&mut engine, &until_next(bar("A", 101, 12.0)));
    assert_eq!(effects, [Effect::Appended, Effect::Forming]);
    assert!(signals[0].contains(r#""bars_analyzed":1,"#), "{signals:?}");
}

#[test]
fn a_panic_costs_the_bar_at_work_and_no_later_one() {
    let mut engine = engine(rich());
    for n in 0..5 {
        take(&mut engine, &until_next(bar("A", n, 10.0)));
    }
    let next = until_next(bar("A", 5, 11.0));
    engine.poison();
    let attempt = std::panic::AssertUnwindSafe(|| take(&mut engine, &next));
    assert!(std::panic::catch_unwind(attempt).is_err());
    engine.roll_back();
    engine.heal();
    assert_eq!(take(&mut engine, &next).0, [Effect::Forming]);
    let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    assert_eq!(series.position(), Some((minute(3), 0)));
}

/// It is complete on arrival, and closes the derived bars before it like any other.
#[test]
fn a_bar_before_the_one_that_forms_closes_derived_bars() {
    let mut engine = engine(AnalysisConfig {
        derived: "5m".parse().unwrap(),
        ..small()
    });
    let until_next = |n| BarEvent {
        finality: Finality::UntilNext,
        ..bar("A", n, 1.0)
    };
    engine.on_bar(&bar("A", 0, 1.0), minute(0));
    engine.on_bar(&until_next(7), minute(0));
    engine.close_before(&until_next(6));
    let closed = engine.next_derived(minute(0)).unwrap().derived;
    assert_eq!((closed.bar.timestamp, closed.is_final), (minute(0), true));
    let outcome = engine.on_bar(&until_next(6), minute(0));
    assert_eq!(outcome.effect, Effect::Appended);
}
