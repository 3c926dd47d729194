//! The simulated clock, broker and members.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::super::*;
use crate::group::random::Random;

pub(in crate::group::handover) type Millis = u64;

#[derive(Debug, Clone)]
enum Item {
    Bar(Slot, u64),
    Presence(Presence),
    Offer(MemberId, SlotSet),
    Accept(MemberId, SlotSet),
    Grant(MemberId, u64, SlotSet, HashMap<Slot, u64>),
    Request(MemberId, SlotSet),
    Synced(MemberId, SlotSet, HashMap<Slot, u64>),
    /// Asks the broker who serves.
    Ask(MemberId),
    Nobody,
}

pub(in crate::group::handover) struct Node {
    pub(in crate::group::handover) id: MemberId,
    pub handover: Handover,
    inbox: VecDeque<(Millis, Item)>,
    /// The times at which the newest message from and to the node has passed: both directions keep
    /// order.
    sent_at: Millis,
    due_at: Millis,
    pub(in crate::group::handover) frozen_until: Millis,
    pub(in crate::group::handover) cut_until: Millis,
    /// The start of the node's clock: every process counts from its own start.
    born: Millis,
    ready: bool,
    backlog: Vec<(Slot, u64)>,
    positions: HashMap<Slot, u64>,
    kept: HashMap<Slot, Vec<u64>>,
    ticked: Millis,
}

pub(in crate::group::handover) struct World {
    pub random: Random,
    pub now: Millis,
    pub nodes: Vec<Node>,
    /// The messages on their way to the broker.
    wire: BTreeMap<(Millis, u64), (Option<MemberId>, Item)>,
    sequence: u64,
    bars: HashMap<Slot, u64>,
    published: HashMap<(Slot, u64), u32>,
    sent: HashMap<(Slot, u64), Millis>,
    born: u64,
    /// The events, recorded only when a failing seed is run once more.
    trace: Option<Vec<String>>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random(seed),
            now: 0,
            nodes: Vec::new(),
            wire: BTreeMap::new(),
            sequence: 0,
            bars: HashMap::new(),
            published: HashMap::new(),
            sent: HashMap::new(),
            born: 0,
            trace: None,
        }
    }

    pub fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if let Some(mut trace) = self.trace.take() {
            trace.push(format!("{} {}", self.now, line(self)));
            self.trace = Some(trace);
        }
    }

    pub fn join(&mut self) {
        self.born += 1;
        let id = MemberId::new(format!("node-{}-{}", self.born, self.random.below(1000)));
        let handover = Handover::new(
            id.clone(),
            id.to_string(),
            7,
            Timing::default(),
            Duration::ZERO,
        );
        self.nodes.push(Node {
            id,
            handover,
            inbox: VecDeque::new(),
            sent_at: self.now,
            due_at: self.now,
            frozen_until: 0,
            cut_until: 0,
            born: self.now,
            ready: false,
            backlog: Vec::new(),
            positions: HashMap::new(),
            kept: HashMap::new(),
            ticked: self.now,
        });
        let last = self.nodes.len() - 1;
        self.act(last);
    }

    pub fn leave(&mut self, at: usize) {
        let now = self.time_of(at);
        self.nodes[at].handover.leave(now);
        self.act(at);
    }

    fn send(&mut self, from: usize, to: Option<MemberId>, item: Item) {
        let delay = self.random.below(4);
        let node = &mut self.nodes[from];
        node.sent_at = node.sent_at.max(self.now + delay).max(node.cut_until);
        self.sequence += 1;
        self.wire.insert((node.sent_at, self.sequence), (to, item));
    }

    fn route(&mut self) {
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, item) = entry.remove();
            let (to, item) = match item {
                // a connection that is frozen or cut is there all the same
                Item::Ask(from) if self.nodes.iter().any(|n| n.handover.phase().answers()) => {
                    self.note(|_| format!("{from:?} is not told that it is alone"));
                    continue;
                }
                Item::Ask(from) => (Some(from), Item::Nobody),
                item => (to, item),
            };
            for node in &mut self.nodes {
                if to.as_ref().is_none_or(|to| *to == node.id) {
                    let delay = self.random.below(4);
                    node.due_at = node.due_at.max(self.now + delay).max(node.cut_until);
                    node.inbox.push_back((node.due_at, item.clone()));
                }
            }
        }
    }

    fn bar(&mut self) {
        let slot = Slot::of(&[u8::try_from(self.random.below(40)).unwrap()]);
        let number = self.bars.entry(slot).or_insert(0);
        *number += 1;
        let number = *number;
        self.sent.insert((slot, number), self.now);
        self.sequence += 1;
        self.wire
            .insert((self.now, self.sequence), (None, Item::Bar(slot, number)));
    }

    pub fn step(&mut self) {
        self.now += 1;
        self.route();
        for at in 0..self.nodes.len() {
            if self.nodes[at].frozen_until > self.now {
                continue;
            }
            // a process that wakes up may hear a presence before it looks at the time; it looks
            // before it publishes
            let mut ticks = self.random.below(2) == 0;
            while let Some((due, item)) = self.nodes[at].inbox.front() {
                if *due > self.now {
                    break;
                }
                ticks |= !matches!(item, Item::Presence(_));
                if std::mem::take(&mut ticks) {
                    self.tick(at);
                }
                if let Some((_, item)) = self.nodes[at].inbox.pop_front() {
                    self.handle(at, item);
                }
            }
            self.tick(at);
        }
    }

    fn tick(&mut self, at: usize) {
        if self.now - self.nodes[at].ticked >= 20 {
            self.nodes[at].ticked = self.now;
            let now = self.time_of(at);
            self.nodes[at].handover.tick(now);
            self.act(at);
        }
    }

    fn time_of(&self, at: usize) -> Duration {
        Duration::from_millis(self.now - self.nodes[at].born)
    }

    fn handle(&mut self, at: usize, item: Item) {
        let now = self.time_of(at);
        match item {
            Item::Bar(slot, number) if !self.nodes[at].ready => {
                self.nodes[at].backlog.push((slot, number));
            }
            Item::Bar(slot, number) => self.compute(at, slot, number),
            Item::Presence(presence) => self.nodes[at].handover.on_presence(now, &presence),
            Item::Offer(from, slots) => self.nodes[at].handover.on_offer(now, &from, slots),
            Item::Accept(from, slots) => self.nodes[at].handover.on_accept(now, &from, slots),
            Item::Grant(from, seq, slots, positions) => {
                let mine = self.nodes[at].handover.on_grant(now, &from, seq, slots);
                for slot in slots.iter() {
                    let kept = self.nodes[at].kept.remove(&slot).unwrap_or_default();
                    let beyond = positions.get(&slot).copied().unwrap_or(0);
                    for number in kept
                        .into_iter()
                        .filter(|n| *n > beyond && mine.contains(slot))
                    {
                        self.publish(at, slot, number);
                    }
                }
            }
            Item::Request(from, slots) => {
                let me = self.nodes[at].id.clone();
                let positions = self.nodes[at].positions.clone();
                self.send(at, Some(from), Item::Synced(me, slots, positions));
            }
            Item::Nobody => self.nodes[at].handover.on_nobody(now),
            Item::Ask(_) => unreachable!("the broker answers"),
            Item::Synced(from, slots, positions) => {
                for (slot, number) in positions.into_iter().filter(|(s, _)| slots.contains(*s)) {
                    self.nodes[at].positions.insert(slot, number);
                }
                self.nodes[at].handover.on_synced(now, &from, slots);
            }
        }
        self.act(at);
    }

    fn compute(&mut self, at: usize, slot: Slot, number: u64) {
        let node = &mut self.nodes[at];
        if number <= node.positions.get(&slot).copied().unwrap_or(0) {
            return;
        }
        node.positions.insert(slot, number);
        if node.handover.holds().contains(slot) {
            self.publish(at, slot, number);
        } else if let Some(kept) = node.kept.get_mut(&slot) {
            kept.push(number);
        }
    }

    fn publish(&mut self, at: usize, slot: Slot, number: u64) {
        let times = self.published.entry((slot, number)).or_insert(0);
        *times += 1;
        self.note(|w| format!("{:?} publishes {slot:?} {number}", w.nodes[at].id));
    }

    fn act(&mut self, at: usize) {
        for action in self.nodes[at].handover.take_actions() {
            let me = self.nodes[at].id.clone();
            self.note(|_| format!("{me:?} {action:?}"));
            match action {
                Action::Announce { hello } => {
                    let presence = self.nodes[at].handover.presence(hello);
                    let starts = presence.phase == Phase::Starting;
                    self.send(at, None, Item::Presence(presence));
                    if hello && starts {
                        self.send(at, None, Item::Ask(me));
                    }
                }
                Action::RequestSync { from, slots, .. } => {
                    self.send(at, Some(from), Item::Request(me, slots));
                }
                Action::Offer { to, slots } => self.send(at, Some(to), Item::Offer(me, slots)),
                Action::Accept { to, slots } => {
                    for slot in slots.iter() {
                        self.nodes[at].kept.entry(slot).or_default();
                    }
                    self.send(at, Some(to), Item::Accept(me, slots));
                }
                Action::Release { to, slots, seq } => {
                    let positions = self.nodes[at].positions.clone();
                    self.send(at, Some(to), Item::Grant(me, seq, slots, positions));
                }
                Action::Take { slots } | Action::Drop { slots } | Action::Forget { slots } => {
                    for slot in slots.iter() {
                        self.nodes[at].kept.remove(&slot);
                    }
                }
                Action::Activate { .. } => {
                    self.nodes[at].ready = true;
                    for (slot, number) in std::mem::take(&mut self.nodes[at].backlog) {
                        self.compute(at, slot, number);
                    }
                }
                Action::SyncFailed { .. } => {}
                Action::Restart => {
                    self.nodes[at].ready = false;
                    self.nodes[at].kept.clear();
                }
            }
        }
    }

    /// Removes members that have sent their last message.
    fn reap(&mut self) {
        for at in (0..self.nodes.len()).rev() {
            let node = &mut self.nodes[at];
            if node.handover.phase() == Phase::Leaving && node.handover.is_released() {
                let presence = node.handover.farewell();
                self.send(at, None, Item::Presence(presence));
                self.nodes.remove(at);
            }
        }
    }

    pub fn serving(&self) -> usize {
        let active = |n: &&Node| n.handover.phase() == Phase::Active;
        self.nodes.iter().filter(active).count()
    }

    /// Returns true if a member other than `but` serves and is not behind.
    pub(in crate::group::handover) fn answering(&self, but: usize) -> bool {
        self.nodes.iter().enumerate().any(|(at, node)| {
            at != but
                && node.handover.phase() == Phase::Active
                && node.frozen_until.max(node.cut_until) <= self.now
                && node.inbox.len() < 10
        })
    }

    pub(in crate::group::handover) fn holders(&self, slot: Slot) -> usize {
        let holds = |n: &&Node| n.handover.holds().contains(slot);
        self.nodes.iter().filter(holds).count()
    }

    pub fn run(&mut self, millis: Millis) {
        for _ in 0..millis {
            self.step();
            self.reap();
            if self.now.is_multiple_of(3) {
                self.bar();
            }
        }
    }

    /// Bars sent in a span of time and how often each was published.
    pub fn counts(&self, from: Millis, to: Millis) -> impl Iterator<Item = (Slot, u64, u32)> + '_ {
        self.sent
            .iter()
            .filter(move |(_, at)| (from..to).contains(*at))
            .map(|(bar, _)| (bar.0, bar.1, self.published.get(bar).copied().unwrap_or(0)))
    }
}

/// Runs a scenario with several seeds (as many as `SEEDS`), and a failing seed once more with its
/// events printed.
pub(in crate::group::handover) fn simulate(scenario: fn(&mut World) -> Result<(), String>) {
    let seeds = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 0..seeds.unwrap_or(20) {
        if let Err(what) = scenario(&mut World::new(seed)) {
            let mut world = World::new(seed);
            world.trace = Some(Vec::new());
            let again = scenario(&mut world);
            // of the publishing just the slot in question
            let slot = what.split_whitespace().next().unwrap_or_default();
            let relevant = |l: &String| !l.contains("publishes") || l.contains(slot);
            let story: Vec<String> = world.trace.into_iter().flatten().filter(relevant).collect();
            panic!("seed {seed}: {what} ({again:?})\n{}", story.join("\n"));
        }
    }
}

pub(in crate::group::handover) fn check(
    times: u32,
    allowed: std::ops::RangeInclusive<u32>,
    slot: Slot,
    number: u64,
) -> Result<(), String> {
    if allowed.contains(&times) {
        return Ok(());
    }
    Err(format!("{slot:?} {number} published {times} times"))
}
