//! Messages that have been received and wait to be worked off, bounded in bytes.
//!
//! Everything that arrives is taken here at once: what waits in the client is bounded in messages
//! only and dropped without being counted, and a socket that is not read makes the server close
//! the connection.
//!
//! - **Order.** First come, first served, as long as nobody waits for longer than [`FAIR_AFTER`].
//!   Beyond that the lanes take turns, by bytes, so that a flood on one lane does not make all
//!   others wait. The order within a lane is always kept. A lane is a symbol, on whatever subjects
//!   its bars come, because the bars of a series must stay in order.
//! - **Bound.** Beyond the limit the oldest message of a lane that has more than its share is
//!   dropped, and counted by the caller.
//!
//! Must not know: what a message says.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::market::Timestamp;
use crate::wire::{SubjectParts, SubjectPattern};

/// The age of the oldest message from which lanes take turns.
const FAIR_AFTER: Duration = Duration::from_millis(100);
/// Bytes that a lane may work off in its turn.
const TURN: usize = 16 * 1024;
/// The bytes that a message takes beside its own.
const OVERHEAD: usize = 384;
/// The number of messages that are processed before anything else: those behind them wait for
/// longer.
const SOON: usize = 512;
/// A message of fewer bytes that waits is copied, for it would keep the buffer that it was read
/// into, with all that came with it.
const COPIED: usize = 64 * 1024;
/// Lanes that are looked at for one that has more than its share.
const LOOK: usize = 64;
/// Room for messages that is kept while there are none.
const ROOM: usize = 4_096;

const NONE: u32 = u32::MAX;

/// A message that waits.
pub(super) struct Waiting {
    /// The subscription that it came by.
    pub feed: usize,
    pub message: Message,
    /// The time at which the client received it.
    pub arrived: Timestamp,
    /// True if it came before [`Queue::restart`].
    pub held_back: bool,
}

struct Node {
    waiting: Option<Waiting>,
    bytes: usize,
    since: Instant,
    lane: u64,
    /// Neighbours by arrival.
    older: u32,
    newer: u32,
    /// The next of the lane.
    next: u32,
}

/// The messages of one lane. Two symbols of the same hash share one, which does no harm.
struct Lane {
    first: u32,
    last: u32,
    bytes: usize,
    /// Bytes it may still work off in its turn.
    credit: usize,
}

/// The lane of messages on `subject`, which `pattern` matches: that of the symbol in it, however it
/// is spelled there, or one of its own where it names none.
pub(super) fn lane(pattern: &SubjectPattern, subject: &str) -> u64 {
    match pattern.parts(subject) {
        Ok(SubjectParts {
            symbol: Some(symbol),
            ..
        }) => xxh3_64(symbol.as_bytes()),
        _ => xxh3_64(subject.as_bytes()),
    }
}

pub(super) struct Queue {
    limit: usize,
    nodes: Vec<Node>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    lanes: HashMap<u64, Lane>,
    /// The lanes in the order of their turns; empty while messages are served as they came.
    turns: VecDeque<u64>,
    bytes: usize,
    held_back: usize,
}

impl Queue {
    /// A queue of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            nodes: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            bytes: 0,
            held_back: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.oldest == NONE
    }

    /// Returns whether a message is left that came before [`Self::restart`].
    pub const fn has_held_back(&self) -> bool {
        self.held_back > 0
    }

    /// Takes in a message that came at `now`, into the [`lane`] of its symbol. Returns how many
    /// others were dropped for it.
    pub fn push(
        &mut self,
        feed: usize,
        lane: u64,
        mut message: Message,
        (now, arrived): (Instant, Timestamp),
    ) -> u64 {
        if self.len() >= SOON && message.payload.len() < COPIED {
            message.payload = Bytes::copy_from_slice(&message.payload);
        }
        let bytes = message.length.max(message.payload.len()) + OVERHEAD;
        let mut dropped = 0;
        while self.bytes + bytes > self.limit && !self.is_empty() {
            let victim = self.hog(lane, bytes);
            drop(self.pop_of(victim));
            dropped += 1;
        }
        let node = Node {
            waiting: Some(Waiting {
                feed,
                message,
                arrived,
                held_back: false,
            }),
            bytes,
            since: now,
            lane,
            older: self.newest,
            newer: NONE,
            next: NONE,
        };
        let at = self.place(node);
        match self.nodes.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        self.bytes += bytes;
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.bytes += bytes;
            let last = std::mem::replace(&mut lane.last, at);
            self.nodes[last as usize].next = at;
        } else {
            let first = Lane {
                first: at,
                last: at,
                bytes,
                credit: 0,
            };
            self.lanes.insert(lane, first);
            // a queue with more turns than this makes them again when it is served
            if !self.turns.is_empty() && self.turns.len() <= 2 * self.lanes.len() + ROOM {
                self.turns.push_back(lane);
            }
        }
        dropped
    }

    /// The next message to be worked off.
    pub fn pop(&mut self, now: Instant) -> Option<Waiting> {
        let oldest = self.nodes.get(self.oldest as usize)?;
        let waited = now.saturating_duration_since(oldest.since);
        // once lanes take turns, they do until nobody waits for half as long
        if waited * 2 <= FAIR_AFTER || (waited <= FAIR_AFTER && self.turns.is_empty()) {
            self.turns.clear();
            return self.pop_of(oldest.lane);
        }
        // of lanes that come and go without a turn, some stand there twice
        if self.turns.is_empty() || self.turns.len() > 2 * self.lanes.len() + ROOM {
            self.turns.clear();
            self.turns.extend(self.lanes.keys());
        }
        loop {
            let lane = *self.turns.front()?;
            let Some(of_turn) = self.lanes.get_mut(&lane) else {
                // what it had was dropped
                self.turns.pop_front();
                if self.turns.is_empty() {
                    self.turns.extend(self.lanes.keys());
                }
                continue;
            };
            let due = self.nodes[of_turn.first as usize].bytes;
            if let Some(left) = of_turn.credit.checked_sub(due) {
                of_turn.credit = left;
                return self.pop_of(lane);
            }
            of_turn.credit += TURN;
            self.turns.rotate_left(1);
        }
    }

    /// All messages, as they came.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.newer;
            node.waiting.as_ref()
        })
    }

    /// Starts the waiting time of all messages now: they were held back on purpose until now.
    pub fn restart(&mut self, now: Instant) {
        self.held_back = self.len();
        for node in &mut self.nodes {
            node.since = now;
            if let Some(waiting) = &mut node.waiting {
                waiting.held_back = true;
            }
        }
    }

    /// A lane that has more than its share: the one of the message that comes, if it does.
    fn hog(&mut self, coming: u64, bytes: usize) -> u64 {
        let share = self.limit / (self.lanes.len() + 1);
        let has = |lane: u64| self.lanes.get(&lane).map_or(0, |lane| lane.bytes);
        if has(coming) > 0 && has(coming) + bytes > share {
            return coming;
        }
        let mut at = self.oldest;
        let mut most = (0, coming);
        for _ in 0..LOOK {
            let Some(node) = self.nodes.get(at as usize) else {
                break;
            };
            most = most.max((has(node.lane), node.lane));
            if most.0 > share {
                break;
            }
            at = node.newer;
        }
        most.1
    }

    /// Takes the first message of a lane out.
    fn pop_of(&mut self, lane_id: u64) -> Option<Waiting> {
        let lane = self.lanes.get_mut(&lane_id)?;
        let at = lane.first;
        let node = &mut self.nodes[at as usize];
        let waiting = node.waiting.take();
        let (bytes, older, newer) = (node.bytes, node.older, node.newer);
        lane.first = node.next;
        lane.bytes -= bytes;
        if lane.first == NONE {
            self.lanes.remove(&lane_id);
            if self.turns.front() == Some(&lane_id) {
                self.turns.pop_front();
            }
        }
        match self.nodes.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.nodes.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        self.bytes -= bytes;
        self.free.push(at);
        if waiting.as_ref().is_some_and(|waiting| waiting.held_back) {
            self.held_back -= 1;
        }
        if self.is_empty() {
            self.forget_room();
        }
        waiting
    }

    fn place(&mut self, node: Node) -> u32 {
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            return at;
        }
        // the limit in bytes keeps it far below
        let at = u32::try_from(self.nodes.len()).expect("fewer messages than 2^32 fit in memory");
        self.nodes.push(node);
        at
    }

    /// After a flood the memory goes back.
    fn forget_room(&mut self) {
        self.nodes.clear();
        self.free.clear();
        self.lanes.clear();
        self.turns.clear();
        self.nodes.shrink_to(ROOM);
        self.free.shrink_to(ROOM);
        self.lanes.shrink_to(ROOM);
        self.turns.shrink_to(ROOM);
    }
}

#[cfg(test)]
mod tests;
