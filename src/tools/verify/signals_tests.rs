use super::*;
use crate::market::{Symbol, Timeframe};

const WINDOW: u64 = 60;

fn key(symbol: &str, minute: i64, revision: u32) -> Key {
    Key {
        series: SeriesKey::new(Symbol::new(symbol).unwrap(), Timeframe::MINUTE),
        timestamp: Timestamp::from_nanos(minute * 60_000_000_000),
        revision,
    }
}

/// Minute, revision, hash of each stored signal, in stored order.
fn stored(all: &[(i64, u32, u64)]) -> Signals {
    let mut signals = Signals::default();
    for (at, (minute, revision, hash)) in all.iter().enumerate() {
        let seq = at as u64 + 1;
        signals.add(&key("A", *minute, *revision), *hash, seq, seq + 100);
    }
    signals
}

fn claim_of(signals: &mut Signals, due: &[(i64, u32, u64)]) -> Vec<Claim> {
    let claims = due.iter().map(|(minute, revision, hash)| {
        let due = Due {
            key: &key("A", *minute, *revision),
            hashes: &[*hash],
            input: 7,
            since: 0,
            in_range: true,
        };
        signals.claim(due, WINDOW, WINDOW, 0)
    });
    claims.collect()
}

fn misplaced(signals: &mut Signals) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    signals.end_partition(false, |one| all.push((one.seq, one.after)));
    all
}

fn left(signals: &mut Signals) -> Vec<(u64, Option<u64>)> {
    let mut all = Vec::new();
    signals.left(|one| all.push((one.seq, one.twin.map(|(seq, _)| seq))));
    all
}

const DUE: [(i64, u32, u64); 4] = [(1, 0, 10), (2, 0, 20), (2, 1, 21), (3, 0, 30)];

#[test]
fn what_is_stored_as_it_is_due_is_found_in_order_and_nothing_is_left() {
    let mut signals = stored(&DUE);
    let claims = claim_of(&mut signals, &DUE);
    let expected = [
        Claim::Equal(1),
        Claim::Equal(2),
        Claim::Equal(3),
        Claim::Equal(4),
    ];
    assert_eq!(claims, expected);
    assert_eq!(misplaced(&mut signals), []);
    assert_eq!(left(&mut signals), []);
}

#[test]
fn what_is_missing_at_the_beginning_in_the_middle_or_at_the_end_is_not_found() {
    for at in 0..DUE.len() {
        let mut less = DUE.to_vec();
        less.remove(at);
        let mut signals = stored(&less);
        let claims = claim_of(&mut signals, &DUE);
        for (place, claim) in claims.iter().enumerate() {
            assert_eq!(*claim == Claim::Nothing, place == at, "{at}: {claims:?}");
        }
        assert_eq!(misplaced(&mut signals), []);
        assert_eq!(left(&mut signals), []);
    }
}

#[test]
fn a_second_copy_is_left_and_knows_the_first_wherever_it_is() {
    let mut signals = stored(&[DUE[0], DUE[1], DUE[1], DUE[2], DUE[3], DUE[0]]);
    let claims = claim_of(&mut signals, &DUE);
    let expected = [
        Claim::Equal(1),
        Claim::Equal(2),
        Claim::Equal(4),
        Claim::Equal(5),
    ];
    assert_eq!(claims, expected);
    assert_eq!(misplaced(&mut signals), []);
    assert_eq!(left(&mut signals), [(3, Some(2)), (6, Some(1))]);
}

#[test]
fn the_equal_one_of_two_copies_is_claimed() {
    let mut signals = stored(&[DUE[0], (2, 0, 99), DUE[2], DUE[3], DUE[1]]);
    assert_eq!(claim_of(&mut signals, &DUE)[1], Claim::Equal(5));
    assert_eq!(left(&mut signals), [(2, Some(5))]);
    // the right one stands behind the signal of a later bar
    assert_eq!(misplaced(&mut signals), [(5, 4)]);
}

#[test]
fn other_bytes_are_claimed_as_different() {
    let mut signals = stored(&[DUE[0], (2, 0, 99), DUE[2], DUE[3]]);
    assert_eq!(claim_of(&mut signals, &DUE)[1], Claim::Different(2));
    assert_eq!(left(&mut signals), []);
}

#[test]
fn a_signal_that_no_bar_gives_is_left_without_a_twin() {
    let mut signals = stored(&[DUE[0], DUE[1], DUE[2], DUE[3], (9, 0, 90)]);
    claim_of(&mut signals, &DUE);
    assert_eq!(left(&mut signals), [(5, None)]);
}

#[test]
fn signals_behind_one_of_a_later_bar_are_misplaced_and_no_others() {
    // two were taken out and put back at the end, the other way round
    let mut signals = stored(&[DUE[0], DUE[3], DUE[2], DUE[1]]);
    let claims = claim_of(&mut signals, &DUE);
    let expected = [
        Claim::Equal(1),
        Claim::Equal(4),
        Claim::Equal(3),
        Claim::Equal(2),
    ];
    assert_eq!(claims, expected);
    assert_eq!(misplaced(&mut signals), [(3, 2), (4, 2)]);
    assert_eq!(left(&mut signals), []);
}

#[test]
fn a_copy_of_a_signal_whose_bar_is_gone_is_known_by_the_message_it_names() {
    let mut signals = Signals::default();
    for (seq, input) in [(1, 51), (2, 52), (3, 51), (4, 0), (5, 53)] {
        let minute = if seq == 2 { 2 } else { 1 };
        signals.add(&key("A", minute, 0), 9, seq, input);
    }
    let expected = [(1, None), (2, None), (3, Some(1)), (4, Some(1)), (5, None)];
    assert_eq!(left(&mut signals), expected);
}

#[test]
fn a_signal_may_be_of_any_configuration_that_was_in_use_and_of_no_other() {
    let mut signals = stored(&DUE);
    let mut claim = |minute, hashes: &[u64]| {
        let key = key("A", minute, 0);
        let (input, since, in_range) = (7, 0, true);
        let due = Due {
            key: &key,
            hashes,
            input,
            since,
            in_range,
        };
        signals.claim(due, WINDOW, WINDOW, 0)
    };
    assert_eq!(claim(1, &[99, 10]), Claim::Equal(1));
    assert_eq!(claim(2, &[20, 99]), Claim::Equal(2));
    assert_eq!(claim(3, &[98, 99]), Claim::Different(4));
}

#[test]
fn signals_of_a_former_stream_of_bars_are_claimed_for_no_bar_of_this_one() {
    let mut signals = stored(&[DUE[0], DUE[1], DUE[0], DUE[1]]);
    for (minute, seq) in [(1, 3), (2, 4)] {
        let due = Due {
            key: &key("A", minute, 0),
            hashes: &[minute.unsigned_abs() * 10],
            input: 7,
            since: 3,
            in_range: true,
        };
        assert_eq!(signals.claim(due, WINDOW, WINDOW, 0), Claim::Equal(seq));
    }
    assert_eq!(misplaced(&mut signals), []);
}

#[test]
fn two_partitions_may_give_signals_of_the_same_series() {
    // a series on subjects with and without a symbol
    let mut signals = stored(&[(1, 0, 10), (1, 0, 11), (2, 0, 20), (2, 0, 21)]);
    assert_eq!(
        claim_of(&mut signals, &[(1, 0, 10), (2, 0, 20)]),
        [Claim::Equal(1), Claim::Equal(3)]
    );
    assert_eq!(misplaced(&mut signals), []);
    assert_eq!(
        claim_of(&mut signals, &[(1, 0, 11), (2, 0, 21)]),
        [Claim::Equal(2), Claim::Equal(4)]
    );
    assert_eq!(misplaced(&mut signals), []);
    assert_eq!(left(&mut signals), []);
}

fn claim_with(signals: &mut Signals, minute: i64, hash: u64, bars: u64, losses: u32) -> bool {
    claim_revision(signals, (minute, 0), hash, bars, losses)
}

fn claim_revision(
    signals: &mut Signals,
    (minute, revision): (i64, u32),
    hash: u64,
    bars: u64,
    losses: u32,
) -> bool {
    let key = key("A", minute, revision);
    let due = Due {
        key: &key,
        hashes: &[hash],
        input: minute.unsigned_abs(),
        since: 0,
        in_range: true,
    };
    signals.claim(due, bars, WINDOW, losses);
    signals.is_trusted(&key)
}

#[test]
fn a_series_is_trusted_again_once_its_window_proves_that_no_bar_is_missing() {
    let all: Vec<_> = (1..5).map(|minute| (minute, 0, 1)).collect();
    let mut signals = stored(&all);
    assert!(claim_with(&mut signals, 1, 1, WINDOW, 0));
    // bars are lost; an equal signal from a full window may be chance
    assert!(!claim_with(&mut signals, 2, 1, WINDOW, 1));
    assert!(claim_with(&mut signals, 3, 1, WINDOW - 1, 1));
    assert!(!claim_with(&mut signals, 4, 1, WINDOW, 2));
}

#[test]
fn a_full_window_is_trusted_after_many_equal_signals_in_a_row() {
    let all: Vec<_> = (1..400).map(|minute| (minute, 0, 1)).collect();
    let mut signals = stored(&all);
    for minute in 1..=50 {
        assert!(!claim_with(&mut signals, minute, 1, WINDOW, 1));
    }
    assert!(!claim_with(&mut signals, 51, 2, WINDOW, 1));
    for minute in 52..=150 {
        assert!(!claim_with(&mut signals, minute, 1, WINDOW, 1), "{minute}");
    }
    assert!(claim_with(&mut signals, 151, 1, WINDOW, 1));
}

#[test]
fn bars_before_the_first_trusted_one_may_have_had_other_corrections() {
    let all = [
        (1, 0, 1),
        (2, 0, 1),
        (1, 1, 1),
        (3, 0, 1),
        (2, 1, 5),
        (3, 1, 1),
    ];
    let mut signals = stored(&all);
    let young = WINDOW - 1;
    assert!(!claim_with(&mut signals, 2, 7, young, 1));
    // equal as well, but the bar after it may lack
    assert!(!claim_revision(&mut signals, (1, 1), 1, young, 1));
    assert!(claim_with(&mut signals, 3, 1, young, 1));
    assert!(!claim_revision(&mut signals, (2, 1), 4, young, 1));
    assert!(claim_revision(&mut signals, (3, 1), 1, young, 1));
    let key = |minute, revision| key("A", minute, revision);
    assert!(!signals.probe(&key(2, 0)));
    assert!(!signals.probe(&key(3, 1)));
    assert!(signals.probe(&key(3, 0)));
    // the order of signals of earlier bars is not known either
    assert_eq!(misplaced(&mut signals), []);
}
