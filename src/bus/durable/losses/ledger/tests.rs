use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A ledger that begins in an empty stream.
fn empty(whole: bool) -> Ledger {
    Ledger::new(whole, 0, 0, 1, 0).0
}

fn look(arrived: u64, present: u64, first: u64, last: u64) -> Look {
    Look {
        arrived,
        present,
        first,
        last,
    }
}

fn bars(loss: Option<Loss>) -> u64 {
    loss.map_or(0, |loss| loss.bars)
}

#[test]
fn a_partition_with_a_stream_to_itself_misses_every_sequence_that_is_passed_over() {
    let (mut ledger, lost) = Ledger::new(true, 10, 0, 15, 3);
    assert_eq!(bars(lost), 4, "11 to 14");
    assert_eq!(ledger.read(15, 0), None);
    assert_eq!(
        ledger.read(18, 0),
        Some(Loss {
            bars: 2,
            after: 15,
            before: 18,
            guessed: false,
        })
    );
    let mark = ledger.mark();
    // 19 is with the client already
    assert_eq!(
        bars(ledger.looked(mark, look(15, 4, 31, 33))),
        11,
        "20 to 30"
    );
    assert_eq!(ledger.behind(), 15);
    assert_eq!(ledger.read(19, 14), None);
    assert_eq!(ledger.read(31, 2), None, "they are counted already");
    assert_eq!(ledger.behind(), 2);
    assert_eq!(bars(ledger.read(33, 0)), 1);
}

#[test]
fn the_beginning_of_a_shared_stream_says_that_something_is_gone_if_bars_are_left() {
    assert_eq!(bars(Ledger::new(false, 10, 0, 11, 5).1), 0);
    assert_eq!(bars(Ledger::new(false, 10, 0, 12, 5).1), 1);
    assert_eq!(
        bars(Ledger::new(false, 10, 0, 12, 0).1),
        0,
        "it may have been idle"
    );
    assert_eq!(
        bars(Ledger::new(false, 10, 11, 12, 5).1),
        0,
        "others answer for it"
    );
}

#[test]
fn what_was_seen_and_is_not_read_is_lost() {
    let mut ledger = empty(false);
    // five bars among others, three of which are gone when it is their turn
    let mark = ledger.mark();
    assert_eq!(ledger.looked(mark, look(5, 5, 1, 40)), None);
    assert_eq!(ledger.behind(), 5);
    assert_eq!(ledger.read(30, 0), None);
    assert_eq!(ledger.read(35, 0), None);
    assert_eq!(
        ledger.read(44, 0),
        Some(Loss {
            bars: 3,
            after: 35,
            before: 44,
            guessed: false,
        })
    );
    assert_eq!(ledger.behind(), 0);
}

#[test]
fn losses_are_found_while_nothing_is_read_and_the_lag_goes_on_growing() {
    let mut ledger = empty(false);
    let mut lost = 0;
    // a stream that keeps 100 bars of a partition which gets 30 between two looks
    for (arrived, present) in [(80, 80), (30, 100), (30, 100), (30, 100)] {
        let mark = ledger.mark();
        lost += bars(ledger.looked(mark, look(arrived, present, 1, mark.through + arrived)));
    }
    assert_eq!(lost, 70);
    assert_eq!(ledger.behind(), 170);
    // reading goes on: none is counted twice
    for seq in 71..=170 {
        assert_eq!(ledger.read(seq, 0), None);
    }
    assert_eq!(ledger.behind(), 0);
}

#[test]
fn a_purge_costs_what_waited_and_an_idle_partition_nothing() {
    let mut ledger = empty(false);
    let mark = ledger.mark();
    ledger.looked(mark, look(9, 9, 1, 20));
    assert_eq!(ledger.drained(20), None, "one server may be behind");
    assert_eq!(bars(ledger.drained(20)), 9);
    assert_eq!(ledger.drained(30), None);
    // bars of others come and go, and one of its own comes
    let mark = ledger.mark();
    assert_eq!(ledger.looked(mark, look(1, 1, 25, 31)), None);
    assert_eq!(ledger.read(31, 0), None);
}

#[test]
fn a_stream_that_was_replaced_between_two_looks_costs_one_bar_at_least() {
    let mut ledger = empty(false);
    ledger.read(20, 3);
    let mark = ledger.mark();
    let lost = ledger.looked(mark, look(5, 5, 500, 600)).unwrap();
    assert_eq!((lost.bars, lost.guessed), (1, true));
    // fewer are left than waited: that is certain
    let mut ledger = empty(false);
    ledger.read(20, 9);
    let mark = ledger.mark();
    let lost = ledger.looked(mark, look(5, 5, 500, 600)).unwrap();
    assert_eq!((lost.bars, lost.guessed), (4, false));
}

#[test]
fn a_look_that_reading_overtakes_counts_nothing_twice() {
    let mut ledger = empty(false);
    let mark = ledger.mark();
    ledger.looked(mark, look(2, 2, 1, 10));
    let mark = ledger.mark();
    // meanwhile one of two is found missing, and one more comes
    assert_eq!(ledger.read(4, 0), None);
    assert_eq!(bars(ledger.read(12, 0)), 1);
    assert_eq!(ledger.looked(mark, look(1, 2, 3, 12)), None);
    assert_eq!(ledger.behind(), 0);
    // reading is beyond the look
    let mark = ledger.mark();
    assert_eq!(ledger.read(20, 0), None);
    assert_eq!(ledger.looked(mark, look(1, 1, 3, 15)), None);
    assert_eq!(ledger.read(21, 0), None);
}

/// An event of a stream of two partitions.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A bar of ours, or of another partition, is stored.
    Stored(bool),
    /// The bar at this place of those that are there is dropped; 0 is the oldest.
    Dropped(u8),
    /// The next of our bars is read.
    Read,
    /// The stream is asked, and bars are read before the answer is heard.
    Look(u8),
    /// The server says twice that we have read everything, if that is so.
    Drained,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => any::<bool>().prop_map(Event::Stored),
        3 => any::<u8>().prop_map(Event::Dropped),
        4 => Just(Event::Read),
        2 => (0..4_u8).prop_map(Event::Look),
        1 => Just(Event::Drained),
    ]
}

struct Model {
    ledger: Ledger,
    /// The messages of the stream: true for ours.
    stream: BTreeMap<u64, bool>,
    last: u64,
    read_to: u64,
    lost: u64,
    counted: u64,
    guessed: u64,
    /// Our bars that were stored since the last look and dropped unread.
    unseen: u64,
}

impl Model {
    fn new(whole: bool) -> Self {
        Self {
            ledger: empty(whole),
            stream: BTreeMap::new(),
            last: 0,
            read_to: 0,
            lost: 0,
            counted: 0,
            guessed: 0,
            unseen: 0,
        }
    }

    fn ours_after(&self, seq: u64) -> u64 {
        let after = self.stream.range(seq + 1..);
        after.filter(|(_, ours)| **ours).count() as u64
    }

    fn first(&self) -> u64 {
        let first = self.stream.first_key_value();
        first.map_or(self.last + 1, |(seq, _)| *seq)
    }

    fn read(&mut self) {
        let mut after = self.stream.range(self.read_to + 1..);
        let next = after.find(|(_, ours)| **ours).map(|(seq, _)| *seq);
        if let Some(seq) = next {
            self.read_to = seq;
            let pending = self.ours_after(seq);
            let loss = self.ledger.read(seq, pending);
            self.count(loss);
        }
    }

    fn count(&mut self, loss: Option<Loss>) {
        match loss {
            Some(loss) if loss.guessed => self.guessed += loss.bars,
            loss => self.counted += bars(loss),
        }
    }

    fn drop_at(&mut self, place: usize) {
        let Some(seq) = self
            .stream
            .keys()
            .nth(place % self.stream.len().max(1))
            .copied()
        else {
            return;
        };
        let ours = self.stream.remove(&seq) == Some(true);
        if ours && seq > self.read_to {
            self.lost += 1;
            self.unseen += u64::from(seq > self.ledger.mark().through);
        }
    }

    fn apply(&mut self, event: Event, whole: bool) {
        match event {
            Event::Stored(ours) => {
                self.last += 1;
                self.stream.insert(self.last, ours || whole);
            }
            Event::Dropped(place) => self.drop_at(usize::from(place)),
            Event::Read => self.read(),
            Event::Look(reads) => {
                let mark = self.ledger.mark();
                let look = Look {
                    arrived: if whole {
                        self.last - mark.through
                    } else {
                        self.ours_after(mark.through)
                    },
                    present: self.ours_after(mark.position),
                    first: self.first(),
                    last: self.last,
                };
                for _ in 0..reads {
                    self.read();
                }
                let loss = self.ledger.looked(mark, look);
                self.count(loss);
            }
            Event::Drained if self.ours_after(self.read_to) == 0 => {
                for _ in 0..2 {
                    let loss = self.ledger.drained(self.last);
                    self.count(loss);
                }
            }
            Event::Drained => {}
        }
    }
}

proptest! {
    #[test]
    fn no_more_is_counted_than_was_lost(
        whole in any::<bool>(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut model = Model::new(whole);
        for event in events {
            model.apply(event, whole);
            prop_assert!(model.counted <= model.lost, "{} of {}", model.counted, model.lost);
        }
    }

    #[test]
    fn everything_is_counted_once_reading_has_passed_it(
        whole in any::<bool>(),
        events in prop::collection::vec(event(), 0..120),
    ) {
        let mut model = Model::new(whole);
        for event in events {
            model.apply(event, whole);
        }
        // all is read, to one bar that comes last
        model.apply(Event::Stored(true), whole);
        while model.ours_after(model.read_to) > 0 {
            model.read();
        }
        let due = if whole { model.lost } else { model.lost - model.unseen };
        prop_assert!(model.counted >= due, "{} of {due}", model.counted);
    }
}
