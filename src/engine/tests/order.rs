//! Later, equal, earlier, forming: what a bar does to its series.

use super::*;

#[test]
fn later_bars_append_equal_ones_replace_and_earlier_ones_are_refused() {
    let mut engine = engine(small());
    let mut effect = |event: &BarEvent<'_>| engine.on_bar(event, minute(0)).effect;
    let late = Effect::Refused(Refusal::Late {
        newest: minute(3),
        correctable: 1,
    });
    assert_eq!(effect(&bar("A", 1, 10.0)), Effect::Appended);
    assert_eq!(effect(&bar("A", 1, 10.0)), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 3, 11.0)), Effect::Appended);
    assert_eq!(effect(&bar("A", 3, 12.0)), Effect::Corrected);
    assert_eq!(effect(&bar("A", 3, 12.0)), Effect::Duplicate);
    assert_eq!(effect(&bar("A", 3, 11.0)), Effect::Corrected);
    assert_eq!(effect(&bar("A", 2, 11.0)), late);
    assert_eq!(effect(&bar("A", 1, 10.0)), late);
    // another symbol and another timeframe are other series
    assert_eq!(effect(&bar("B", 1, 10.0)), Effect::Appended);
    let mut hour = bar("A", 0, 10.0);
    hour.timeframe = "1h".parse().unwrap();
    assert_eq!(effect(&hour), Effect::Appended);
    assert_eq!(engine.len(), 3);
}

#[test]
fn a_forming_bar_is_nothing_to_a_series_that_is_not_there_or_further_on() {
    let mut engine = engine(small());
    let outcome = engine.on_bar(&forming(bar("A", 1, 10.0)), minute(0));
    assert_eq!((outcome.series, outcome.effect), (None, Effect::Forming));
    assert!(outcome.signal.is_none());
    assert!(engine.is_empty());
    engine.on_bar(&bar("A", 5, 10.0), minute(0));
    let behind = engine.on_bar(&forming(bar("A", 5, 11.0)), minute(0));
    assert_eq!(behind.effect, Effect::Duplicate);
    assert!(behind.signal.is_none());
    let late = engine.on_bar(&forming(bar("A", 4, 11.0)), minute(0));
    assert_eq!(
        late.effect,
        Effect::Refused(Refusal::Late {
            newest: minute(5),
            correctable: 1
        })
    );
}

#[test]
fn revisions_count_the_corrections_of_one_bar() {
    let mut engine = engine(small());
    let mut revision = |event: &BarEvent<'_>| {
        let outcome = engine.on_bar(event, minute(0));
        outcome.signal.map(|signal| signal.revision)
    };
    assert_eq!(revision(&bar("A", 1, 10.0)), Some(0));
    assert_eq!(revision(&bar("A", 1, 11.0)), Some(1));
    assert_eq!(revision(&bar("A", 1, 11.0)), None);
    assert_eq!(revision(&bar("A", 1, 12.0)), Some(2));
    assert_eq!(revision(&bar("A", 2, 12.0)), Some(0));
}

#[test]
fn a_gap_is_told_once_on_the_next_published_signal() {
    let config = AnalysisConfig {
        publish_frequency: 3,
        ..small()
    };
    let mut engine = engine(config);
    // flat prices raise no alert: bars 3, 6, 9 … speak
    let mut gap = |n| {
        let outcome = engine.on_bar(&bar("A", n, 10.0), minute(0));
        (
            outcome.missing,
            outcome.signal.map(|signal| signal.gap_bars),
        )
    };
    assert_eq!(gap(0), (0, None));
    assert_eq!(gap(5), (4, None));
    assert_eq!(gap(6), (0, Some(4)));
    assert_eq!(gap(8), (1, None));
    assert_eq!(gap(11), (2, None));
    assert_eq!(gap(15), (3, Some(6)));
    assert_eq!(gap(16), (0, None));
    assert_eq!(gap(17), (0, None));
    assert_eq!(gap(18), (0, Some(0)));
}

#[test]
fn less_than_a_timeframe_between_two_bars_is_no_gap() {
    let mut engine = engine(small());
    engine.on_bar(&bar("A", 0, 10.0), minute(0));
    let mut odd = bar("A", 0, 10.0);
    odd.bar.timestamp = Timestamp::from_nanos(Timeframe::MINUTE.nanos() / 2);
    assert_eq!(engine.on_bar(&odd, minute(0)).missing, 0);
    assert_eq!(engine.on_bar(&bar("A", 1, 10.0), minute(0)).missing, 0);
}

#[test]
fn every_series_counts_its_own_bars_to_the_next_signal() {
    let config = AnalysisConfig {
        publish_frequency: 2,
        min_bars: 3,
        ..small()
    };
    let mut engine = engine(config);
    let mut speaks = |symbol, n| {
        let outcome = engine.on_bar(&bar(symbol, n, 10.0), minute(0));
        outcome.signal.is_some()
    };
    // too few bars at the second; the fourth and the sixth speak
    let of_a: Vec<bool> = (0..3).map(|n| speaks("A", n)).collect();
    let of_b: Vec<bool> = (0..4).map(|n| speaks("B", n)).collect();
    let more_of_a: Vec<bool> = (3..6).map(|n| speaks("A", n)).collect();
    assert_eq!(of_a, [false, false, false]);
    assert_eq!(of_b, [false, false, false, true]);
    assert_eq!(more_of_a, [true, false, true]);
}

#[test]
fn a_bar_with_alerts_speaks_out_of_turn_and_a_correction_when_its_bar_did() {
    let config = AnalysisConfig {
        publish_frequency: 100,
        ..small()
    };
    let mut engine = engine(config);
    for n in 0..5 {
        assert_eq!(said(&mut engine, &bar("A", n, 10.0)), None);
    }
    // five times the volume is a spike
    let mut spike = bar("A", 5, 10.0);
    spike.bar.volume = 500.0;
    let spoken = engine.on_bar(&spike, minute(0));
    assert!(spoken.signal.unwrap().alerts.contains(Alert::VolumeSpike));
    // what was published wrongly must be put right, though nothing is there to tell
    let corrected = engine.on_bar(&bar("A", 5, 10.0), minute(0));
    assert_eq!(corrected.effect, Effect::Corrected);
    let signal = corrected.signal.unwrap();
    assert!(signal.alerts.is_empty());
    assert_eq!(signal.revision, 1);
    // a correction of a bar that was not published stays silent as well
    assert_eq!(said(&mut engine, &bar("A", 6, 10.0)), None);
    let mut other = bar("A", 6, 10.0);
    other.bar.volume = 90.0;
    let corrected = engine.on_bar(&other, minute(0));
    assert_eq!(corrected.effect, Effect::Corrected);
    assert!(corrected.signal.is_none());
}

#[test]
fn the_source_of_a_bar_is_that_of_its_signal() {
    let mut engine = engine(small());
    for (n, source) in [(0, Some("x")), (1, None), (2, Some("y")), (3, Some("y"))] {
        let mut event = bar("A", n, 10.0);
        event.source = source.map(Into::into);
        let outcome = engine.on_bar(&event, minute(0));
        assert_eq!(outcome.signal.unwrap().source.as_deref(), source);
    }
}
