//! Corrections and insertions among the newest bars: afterwards everything is as if the right bars
//! had come in order, except for the revisions.

mod law;
mod parts;

use super::*;

/// All signals that follow a bar: its own, and those of later bars that it changes.
fn said_of(engine: &mut Engine, event: &BarEvent<'_>) -> Vec<serde_json::Value> {
    let json = |signal: &Signal| serde_json::to_value(signal).unwrap();
    let mut said: Vec<_> = engine
        .on_bar(event, minute(0))
        .signal
        .map(json)
        .into_iter()
        .collect();
    while let Some(revision) = engine.next_revision() {
        said.push(json(revision.signal));
    }
    assert!(
        said.is_sorted_by_key(|signal| signal["timestamp"].as_str().unwrap().to_owned()),
        "{said:?}"
    );
    said
}

fn correcting(correctable_bars: usize) -> Engine {
    engine(AnalysisConfig {
        correctable_bars,
        ..small()
    })
}

/// Minutes, closes and revisions of the signals.
fn points(said: &[serde_json::Value]) -> Vec<(i64, f64, u64)> {
    let point = |signal: &serde_json::Value| {
        let at: Timestamp = signal["timestamp"].as_str().unwrap().parse().unwrap();
        let close = signal["close"].as_f64().unwrap();
        let minute = at.nanos() / Timeframe::MINUTE.nanos();
        (minute, close, signal["revision"].as_u64().unwrap())
    };
    said.iter().map(point).collect()
}

#[test]
fn the_newest_bars_can_be_corrected_and_missing_ones_inserted() {
    let mut engine = correcting(3);
    for n in [0, 2, 4, 6, 8] {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let late = Effect::Refused(Refusal::Late {
        newest: minute(8),
        correctable: 3,
    });
    let mut effect = |event: &BarEvent<'_>| engine.on_bar(event, minute(0)).effect;
    // the fourth newest, unchanged and with other values, and one before the third newest
    assert_eq!(effect(&bar("A", 2, 10.0)), late);
    assert_eq!(effect(&bar("A", 2, 11.0)), late);
    assert_eq!(effect(&bar("A", 3, 11.0)), late);
    let mut history = bar("A", 2, 10.0);
    history.finality = Finality::History;
    assert_eq!(effect(&history), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 4, 10.0)), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 4, 11.0)), Effect::Corrected);
    assert_eq!(effect(&bar("A", 4, 11.0)), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 7, 11.0)), Effect::Inserted);
    assert_eq!(effect(&bar("A", 7, 11.0)), Effect::Duplicate);
    // 8, 7 and 6 are the newest now
    assert_eq!(effect(&bar("A", 4, 12.0)), late);
    assert_eq!(effect(&bar("A", 5, 12.0)), late);
    assert_eq!(effect(&forming(bar("A", 7, 12.0))), late);
    assert_eq!(effect(&bar("A", 6, 12.0)), Effect::Corrected);
}

#[test]
fn nothing_is_inserted_before_the_first_bar() {
    let mut engine = correcting(3);
    engine.on_bar(&bar("A", 5, 10.0), minute(0));
    let outcome = engine.on_bar(&bar("A", 4, 10.0), minute(0));
    let late = Refusal::Late {
        newest: minute(5),
        correctable: 3,
    };
    assert_eq!(outcome.effect, Effect::Refused(late));
}

#[test]
fn later_signals_that_change_are_said_again_with_their_next_revision() {
    let mut engine = correcting(3);
    for n in 0..6 {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    // averages of two and three bars carry it into the next two bars
    let said = said_of(&mut engine, &bar("A", 3, 13.0));
    assert_eq!(points(&said), [(3, 13.0, 1), (4, 10.0, 1), (5, 10.0, 1)]);
    let said = said_of(&mut engine, &bar("A", 5, 9.0));
    assert_eq!(points(&said), [(5, 9.0, 2)]);
    let said = said_of(&mut engine, &bar("A", 4, 11.0));
    assert_eq!(points(&said), [(4, 11.0, 2), (5, 9.0, 3)]);
    assert_eq!(
        said_of(&mut engine, &bar("A", 4, 11.0)),
        [] as [serde_json::Value; 0]
    );
    let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    assert_eq!(series.position(), Some((minute(5), 3)));
    // six bars and three corrections
    assert_eq!(series.step(), 9);
}

#[test]
fn a_later_signal_that_does_not_change_is_not_said_again() {
    // with averages of one and two bars, the volume of a bar is in its own signal and the next two
    let mut engine = correcting(8);
    for n in 0..9 {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let mut loud = bar("A", 3, 10.0);
    loud.bar.volume = 110.0;
    let said = said_of(&mut engine, &loud);
    assert_eq!(points(&said), [(3, 10.0, 1), (4, 10.0, 1), (5, 10.0, 1)]);
}

#[test]
fn an_inserted_bar_closes_the_gap_that_was_told() {
    let mut engine = correcting(3);
    for n in [0, 1, 4] {
        engine.on_bar(&bar("A", n, 10.0), minute(0));
    }
    let said = said_of(&mut engine, &bar("A", 3, 10.0));
    assert_eq!(points(&said), [(3, 10.0, 0), (4, 10.0, 1)]);
    assert_eq!(
        (&said[0]["gap_bars"], &said[1]["gap_bars"]),
        (&1.into(), &0.into())
    );
    assert_eq!(said[1]["bars_analyzed"], 4);
}

#[test]
fn a_series_that_was_silent_has_no_earlier_bars() {
    let idle = std::time::Duration::from_secs(600);
    let mut engine = correcting(3).forgetting(Some(idle));
    engine.on_bar(&bar("A", 0, 10.0), minute(0));
    engine.on_bar(&bar("A", 100, 10.0), minute(0));
    let late = Refusal::Late {
        newest: minute(100),
        correctable: 3,
    };
    for n in [0, 50] {
        let outcome = engine.on_bar(&bar("A", n, 11.0), minute(0));
        assert_eq!(outcome.effect, Effect::Refused(late));
    }
    // the steps continue those of before the silence
    let (_, series) = engine.find("A", Timeframe::MINUTE).unwrap();
    assert_eq!((series.bars(), series.step()), (1, 2));
}
