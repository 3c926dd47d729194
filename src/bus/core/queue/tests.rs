//! The queue against a plain model: one list per subject.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ARRIVED: Timestamp = Timestamp::from_nanos(0);

fn message(subject: u16, number: u32, size: usize) -> Message {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(size.max(4), 0);
    Message {
        subject: format!("in.{subject}").into(),
        reply: None,
        length: payload.len() + 5,
        payload: payload.into(),
        headers: None,
        status: None,
        description: None,
    }
}

fn read(waiting: &Waiting) -> (u16, u32) {
    let subject = waiting.message.subject.as_str();
    let number = waiting.message.payload[..4].try_into().unwrap();
    (
        subject.strip_prefix("in.").unwrap().parse().unwrap(),
        u32::from_le_bytes(number),
    )
}

/// Into the lane of the message's subject.
fn push(queue: &mut Queue, message: Message, now: Instant) -> u64 {
    let lane = lane(&"in.*".parse().unwrap(), &message.subject);
    queue.push(0, lane, message, (now, ARRIVED))
}

fn late(start: Instant) -> Instant {
    start + FAIR_AFTER * 2
}

#[test]
fn who_comes_first_is_served_first_while_nobody_waits_long() {
    let start = Instant::now();
    let mut queue = Queue::new(1 << 20);
    let came: Vec<(u16, u32)> = (0..100).map(|n| ((n % 7) as u16, n)).collect();
    for (subject, number) in &came {
        assert_eq!(push(&mut queue, message(*subject, *number, 10), start), 0);
    }
    let listed: Vec<_> = queue.iter().map(read).collect();
    assert_eq!(listed, came);
    let served: Vec<_> = std::iter::from_fn(|| queue.pop(start).as_ref().map(read)).collect();
    assert_eq!(served, came);
}

#[test]
fn a_flood_on_one_subject_makes_no_other_wait() {
    let start = Instant::now();
    let mut queue = Queue::new(64 << 20);
    for number in 0..200 {
        push(&mut queue, message(1, number, 200_000), start);
    }
    for number in 0..5 {
        push(&mut queue, message(2, number, 150), start);
    }
    let mut before = 0;
    let mut good = Vec::new();
    while good.len() < 5 {
        let served = queue.pop(late(start)).unwrap();
        match read(&served) {
            (2, number) => good.push(number),
            _ => before += 1,
        }
    }
    assert_eq!(good, [0, 1, 2, 3, 4]);
    assert!(before <= 1, "{before} messages of the flood came before");
}

#[test]
fn a_symbol_keeps_its_order_on_whatever_subjects_its_bars_come() {
    let start = Instant::now();
    let mut queue = Queue::new(64 << 20);
    let pattern: SubjectPattern = "in.>".parse().unwrap();
    let subjects = ["in.BTC%2FUSDT.1m", "in.BTC%2fUSDT", "in.BTC%2FUSDT.5m"];
    for number in 0..60 {
        let mut one = message(7, number, 20_000);
        one.subject = subjects[number as usize % 3].into();
        let lane = lane(&pattern, &one.subject);
        assert_eq!(queue.push(0, lane, one, (start, ARRIVED)), 0);
    }
    let mut other = message(8, 60, 10);
    other.subject = "in.AAPL.1m".into();
    let other_lane = lane(&pattern, &other.subject);
    queue.push(0, other_lane, other, (start, ARRIVED));
    let served = std::iter::from_fn(|| queue.pop(late(start)));
    let numbers: Vec<u8> = served.map(|one| one.message.payload[0]).collect();
    let of_symbol: Vec<u8> = numbers
        .iter()
        .copied()
        .filter(|number| *number < 60)
        .collect();
    assert_eq!(of_symbol, (0..60).collect::<Vec<u8>>());
    // and the other one did not wait for all of them
    assert!(numbers.iter().position(|number| *number == 60) < Some(10));
}

#[test]
fn what_is_too_much_is_dropped_from_who_sends_too_much() {
    let start = Instant::now();
    let mut queue = Queue::new(1 << 20);
    for number in 0..20 {
        assert_eq!(push(&mut queue, message(2, number, 150), start), 0);
    }
    let flood = (0..100).map(|number| push(&mut queue, message(1, number, 100_000), start));
    let dropped: u64 = flood.sum();
    // ten of them fit
    assert_eq!(dropped, 90);
    let mut served = BTreeMap::<u16, Vec<u32>>::new();
    while let Some(waiting) = queue.pop(start) {
        let (subject, number) = read(&waiting);
        served.entry(subject).or_default().push(number);
    }
    assert_eq!(served[&2], (0..20).collect::<Vec<_>>());
    assert_eq!(served[&1], (90..100).collect::<Vec<_>>());
}

/// A small message is a slice of the buffer that it was read into, and keeps all of it.
#[test]
fn a_small_message_that_waits_keeps_nothing_else() {
    let start = Instant::now();
    let mut queue = Queue::new(64 << 20);
    let buffer = Bytes::from(vec![0; 1 << 20]);
    for number in 0..SOON + 1 {
        let mut small = message(1, 0, 4);
        small.payload = buffer.slice(number..number + 10);
        push(&mut queue, small, start);
    }
    let inside = |waiting: &Waiting| {
        buffer
            .as_ptr_range()
            .contains(&waiting.message.payload.as_ptr())
    };
    assert_eq!(queue.iter().filter(|waiting| inside(waiting)).count(), SOON);
}

#[test]
fn what_was_held_back_is_known_until_it_is_served() {
    let start = Instant::now();
    let mut queue = Queue::new(1 << 20);
    push(&mut queue, message(1, 1, 10), start);
    push(&mut queue, message(2, 2, 10), start);
    assert!(!queue.has_held_back());
    queue.restart(late(start));
    push(&mut queue, message(1, 3, 10), late(start));
    // nobody has waited since
    let served: Vec<_> = std::iter::from_fn(|| {
        let waiting = queue.pop(late(start))?;
        Some((read(&waiting).1, waiting.held_back, queue.has_held_back()))
    })
    .collect();
    assert_eq!(
        served,
        [(1, true, true), (2, true, false), (3, false, false)]
    );
}

#[derive(Debug, Clone)]
enum Step {
    Push { subject: u16, size: usize },
    Pop,
    Pass { millis: u64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u16..12, 4usize..6_000).prop_map(|(subject, size)| Step::Push { subject, size }),
        5 => Just(Step::Pop),
        1 => (0u64..300).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn each_subject_keeps_its_order_and_every_message_is_served_or_counted(
        steps in prop::collection::vec(step(), 1..400),
        limit in 1_000usize..60_000,
    ) {
        let mut now = Instant::now();
        let mut queue = Queue::new(limit);
        let (mut pushed, mut served, mut dropped) = (0u32, 0u64, 0);
        let mut last = BTreeMap::new();
        let mut serve = |queue: &mut Queue, now| {
            let Some(waiting) = queue.pop(now) else {
                return Ok(false);
            };
            let (subject, number) = read(&waiting);
            let before = last.insert(subject, number);
            prop_assert!(before < Some(number), "{subject}: {number} after {before:?}");
            served += 1;
            Ok(true)
        };
        for step in steps {
            match step {
                Step::Push { subject, size } => {
                    dropped += push(&mut queue, message(subject, pushed, size), now);
                    pushed += 1;
                    prop_assert!(queue.bytes <= limit || queue.len() == 1);
                }
                Step::Pop => {
                    let some = !queue.is_empty();
                    prop_assert_eq!(serve(&mut queue, now)?, some);
                }
                Step::Pass { millis } => now += Duration::from_millis(millis),
                Step::Restart => queue.restart(now),
            }
            prop_assert_eq!(queue.iter().count(), queue.len());
        }
        while serve(&mut queue, now)? {}
        prop_assert_eq!(served + dropped, u64::from(pushed));
        prop_assert!(queue.is_empty() && queue.bytes == 0 && !queue.has_held_back());
        prop_assert!(queue.lanes.is_empty() && queue.nodes.is_empty());
    }
}
