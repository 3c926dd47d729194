//! Single cases of recovery and of batches.

use super::super::*;

fn recovered(at: Point, behind: &[u64]) -> Recovered<'_> {
    Recovered {
        at,
        earlier: 0,
        begins_batch: !behind.is_empty(),
        behind,
        floor: 100,
        newest: 100 + behind.len() as u64,
        outputs: Outputs::Same,
    }
}

/// Outputs of the message `seq`, of `count`, that are still to be stored.
fn fresh(ledger: &mut Ledger, seq: u64, count: usize) -> Vec<usize> {
    let outputs = (0..count).collect();
    let fresh = ledger.applied(seq, outputs, |_| 10, |_| panic!("a count tells"));
    fresh.unwrap()
}

#[test]
fn the_outputs_behind_a_marker_say_how_far_the_partition_is() {
    let part = |seq, part| Point { seq, part };
    for (at, behind, position) in [
        (part(10, 0), &[][..], part(10, 0)),
        (part(10, 3), &[], part(10, 3)),
        // of a message that was stored in part, and of others
        (part(10, 3), &[11, 11], part(10, 5)),
        (part(10, 3), &[11, 14, 14], part(13, 2)),
        (part(10, 0), &[12, 15], part(14, 1)),
    ] {
        let ledger = Ledger::recover(7, 4, Some(&recovered(at, behind))).unwrap();
        assert_eq!(ledger.stored_to(), position, "{at:?}, {behind:?}");
        assert_eq!(ledger.last_applied(), 4);
    }
    let mut ledger = Ledger::recover(7, 4, Some(&recovered(part(10, 0), &[12, 12]))).unwrap();
    assert!(fresh(&mut ledger, 11, 2).is_empty(), "replayed");
    assert!(!ledger.has_caught_up());
    assert_eq!(fresh(&mut ledger, 12, 4), [2, 3]);
    assert!(ledger.has_caught_up() && !ledger.may_save());
    assert_eq!(fresh(&mut ledger, 13, 1), [0]);
}

#[test]
fn the_first_format_counts_across_messages() {
    let mut marker = recovered(Point { seq: 10, part: 1 }, &[12, 13]);
    marker.earlier = 2;
    let mut ledger = Ledger::recover(7, 0, Some(&marker)).unwrap();
    // one, two and two: five outputs after message 10
    assert!(fresh(&mut ledger, 11, 2).is_empty());
    assert!(fresh(&mut ledger, 12, 2).is_empty());
    assert!(!ledger.has_caught_up() && !ledger.owes_marker());
    assert_eq!(fresh(&mut ledger, 13, 2), [1]);
    let batch = ledger.next_batch(9, 999).unwrap();
    assert_eq!(
        (batch.from, batch.to),
        (Point { seq: 12, part: 1 }, Point::after(13))
    );
}

#[test]
fn a_checkpoint_ahead_of_the_marker_contains_what_gave_nothing() {
    let marker = recovered(Point::after(10), &[]);
    let mut ledger = Ledger::recover(7, 20, Some(&marker)).unwrap();
    assert!(ledger.has_caught_up());
    assert_eq!(ledger.stored_to(), Point::after(20));
    assert_eq!(fresh(&mut ledger, 21, 2), [0, 1]);
}

#[test]
fn a_part_of_a_message_that_left_the_stream_is_not_one_of_the_next() {
    let marker = recovered(Point { seq: 10, part: 2 }, &[]);
    let mut ledger = Ledger::recover(7, 10, Some(&marker)).unwrap();
    ledger.begins_at(11);
    assert!(!ledger.has_caught_up(), "the message is still there");
    ledger.begins_at(12);
    assert_eq!(ledger.stored_to(), Point::after(10));
    assert_eq!(fresh(&mut ledger, 13, 2), [0, 1]);
}

#[test]
fn an_entry_that_does_not_fit_is_refused_and_named() {
    let mut ledger = Ledger::recover(7, 10, None).unwrap();
    assert_eq!(fresh(&mut ledger, 12, 3), [0, 1, 2]);
    let again = ledger.applied(12, vec![0], |_| 1, |_| false).unwrap_err();
    assert_eq!(
        again.to_string(),
        "message 12 of partition 7 was applied before: the partition is at 12"
    );
    let batch = ledger.next_batch(2, 999).unwrap();
    ledger.stored(&batch, 50).unwrap();
    // a stored output cannot be stored again, not even in part
    for error in [
        ledger.stored(&batch, 51).unwrap_err(),
        ledger.partially_stored(&batch, 1, 51).unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "partition 7 is stored up to 11 and 2 outputs, and a batch from 11 to 11 and 2 outputs \
             does not follow"
        );
    }
    let marker = recovered(Point::after(10), &[10]);
    assert_eq!(
        Ledger::recover(7, 0, Some(&marker))
            .unwrap_err()
            .to_string(),
        "the marker of partition 7 says that everything up to 10 is stored, and an output of \
         message 10 stands behind it"
    );
}

#[test]
fn a_batch_is_bounded_in_outputs_and_bytes_and_holds_at_least_one() {
    let mut ledger = Ledger::recover(7, 0, None).unwrap();
    let sizes = vec![400, 400, 9_000, 10];
    ledger.applied(1, sizes, |size| *size, |_| false).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = ledger.next_batch(2, 1_000) {
        ledger.stored(&batch, 1).unwrap();
        batches.push(batch.outputs);
    }
    assert_eq!(batches, [0..2, 2..3, 3..4]);
    assert_eq!(ledger.stored_to(), Point::after(1));
}
