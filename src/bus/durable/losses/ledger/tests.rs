use std::collections::{BTreeMap, VecDeque};

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
        held: present,
        first,
        last,
        gap: None,
    }
}

/// A look at a stream with one partition: everything up to `after` was delivered, and the stream
/// holds `held` bars of those up to `through`.
fn whole_look(present: u64, first: u64, (after, through, held): (u64, u64, u64)) -> Look {
    Look {
        gap: Some(Gap {
            after,
            through,
            held,
        }),
        held,
        ..look(0, present, first, through)
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
    let lost = ledger.looked(mark, whole_look(4, 31, (19, 33, 3)));
    assert_eq!(bars(lost), 11, "20 to 30");
    assert_eq!(ledger.behind(), 15);
    let mark = ledger.mark();
    let lost = ledger.looked(mark, whole_look(4, 31, (19, 33, 3)));
    assert_eq!(bars(lost), 0, "they are counted already");
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

#[test]
fn bars_that_come_during_a_look_are_not_missed_by_the_next_one() {
    let (mut ledger, _) = Ledger::new(true, 10, 0, 11, 0);
    // the stream ended at 15, and three more bars came before its bars were counted
    let mark = ledger.mark();
    let first = Look {
        arrived: 5,
        ..whole_look(8, 11, (10, 15, 8))
    };
    assert_eq!(ledger.looked(mark, first), None);
    let mark = ledger.mark();
    let second = Look {
        arrived: 3,
        ..whole_look(8, 11, (10, 18, 8))
    };
    assert_eq!(ledger.looked(mark, second), None);
    for seq in 11..=18 {
        assert_eq!(ledger.read(seq, 18 - seq), None);
    }
    assert_eq!(ledger.behind(), 0);
}

#[test]
fn a_look_that_reading_has_overtaken_leaves_nothing_behind() {
    let mut ledger = empty(false);
    let mark = ledger.mark();
    ledger.looked(mark, look(4, 4, 1, 18));
    // a look sees six bars, five of which are gone before reading comes to the last
    let mark = ledger.mark();
    assert_eq!(bars(ledger.read(19, 0)), 4);
    assert_eq!(ledger.looked(mark, look(1, 6, 19, 20)), None);
    assert_eq!(ledger.behind(), 0);
}

/// An event of a stream of two partitions.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A bar of ours, or of another partition, is stored.
    Stored(bool),
    /// The bar at this place of those that are there is dropped; 0 is the oldest.
    Dropped(u8),
    /// The server delivers the next of our bars to the client, where it waits.
    Delivered,
    /// The next of our bars is read, and delivered before if it was not.
    Read,
    /// The stream is asked. Between two answers of the server so many bars are stored and the
    /// oldest dropped, and some are read before all answers are heard.
    Look { stored: u8, dropped: u8, reads: u8 },
    /// The server says twice that we have read everything, if that is so.
    Drained,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => any::<bool>().prop_map(Event::Stored),
        3 => any::<u8>().prop_map(Event::Dropped),
        2 => Just(Event::Delivered),
        4 => Just(Event::Read),
        3 => (0..4_u8, 0..6_u8, 0..4_u8)
            .prop_map(|(stored, dropped, reads)| Event::Look { stored, dropped, reads }),
        1 => Just(Event::Drained),
    ]
}

struct Model {
    ledger: Ledger,
    /// The messages of the stream: true for ours.
    stream: BTreeMap<u64, bool>,
    last: u64,
    /// Delivered bars that were not read, and how far delivery is.
    client: VecDeque<(u64, u64)>,
    sent: u64,
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
            client: VecDeque::new(),
            sent: 0,
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

    fn deliver(&mut self) {
        let mut after = self.stream.range(self.sent + 1..);
        let next = after.find(|(_, ours)| **ours).map(|(seq, _)| *seq);
        if let Some(seq) = next {
            self.sent = seq;
            self.client.push_back((seq, self.ours_after(seq)));
        }
    }

    fn read(&mut self) {
        if self.client.is_empty() {
            self.deliver();
        }
        if let Some((seq, pending)) = self.client.pop_front() {
            let loss = self.ledger.read(seq, pending);
            self.count(loss);
        }
    }

    fn store(&mut self, ours: bool) {
        self.last += 1;
        self.stream.insert(self.last, ours);
    }

    /// Bars are stored and dropped while the stream is asked.
    fn go_on(&mut self, stored: u8, dropped: u8) {
        for _ in 0..stored {
            self.store(true);
        }
        for _ in 0..dropped {
            self.drop_at(0);
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
        if ours && seq > self.sent {
            self.lost += 1;
            self.unseen += u64::from(seq > self.ledger.mark().through);
        }
    }

    fn apply(&mut self, event: Event, whole: bool) {
        match event {
            Event::Stored(ours) => self.store(ours || whole),
            Event::Dropped(place) => self.drop_at(usize::from(place)),
            Event::Delivered => self.deliver(),
            Event::Read => self.read(),
            Event::Look {
                stored,
                dropped,
                reads,
            } => self.look(whole, (stored, dropped), reads),
            Event::Drained if self.client.is_empty() && self.ours_after(self.sent) == 0 => {
                for _ in 0..2 {
                    let loss = self.ledger.drained(self.last);
                    self.count(loss);
                }
            }
            Event::Drained => {}
        }
    }

    fn look(&mut self, whole: bool, (stored, dropped): (u8, u8), reads: u8) {
        let mark = self.ledger.mark();
        let through = self.last;
        let arrived = if whole {
            through - mark.through
        } else {
            self.ours_after(mark.through)
        };
        self.go_on(stored, dropped);
        let held = self.ours_after(self.sent);
        let present = held + self.client.len() as u64;
        let gap = whole.then_some(Gap {
            after: self.sent,
            through,
            held,
        });
        self.go_on(stored, dropped);
        let look = Look {
            arrived,
            present,
            held,
            first: self.first(),
            last: if whole { through } else { self.last },
            gap,
        };
        for _ in 0..reads {
            self.read();
        }
        let loss = self.ledger.looked(mark, look);
        self.count(loss);
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
        for mut event in events {
            // what comes to a shared stream during a look may hide what goes
            if let Event::Look { stored, .. } = &mut event && !whole {
                *stored = 0;
            }
            model.apply(event, whole);
        }
        // all is read, to one bar that comes last
        model.apply(Event::Stored(true), whole);
        while !model.client.is_empty() || model.ours_after(model.sent) > 0 {
            model.read();
        }
        if whole {
            prop_assert_eq!(model.counted, model.lost);
        }
        let due = model.lost - model.unseen;
        prop_assert!(model.counted >= due, "{} of {due}", model.counted);
    }
}
