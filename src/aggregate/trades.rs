//! The buckets that the trades of one symbol are gathered in.
//!
//! Trades are late by seconds, so several buckets are open at once. One closes when a trade or a
//! time mark comes that is the lateness after its end. The contents of the bars that can be
//! corrected are kept, so that a later trade can still be added.
//!
//! Invariants: buckets are in order of time, none is empty, and all that end at the open of `next` or
//! earlier are closed. Every bucket that ends after `forgotten` and had trades still has its content.
//! No trade allocates once its bucket exists.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, is_derivable};
use super::exact_sum::ExactSum;
use super::traded::{Sequence, Traded};
use crate::market::{Bar, Timeframe, Timestamp, Trade, TradeConditions, Zone};

/// The most buckets of one symbol that the lateness keeps open.
pub const MOST_OPEN: u64 = 64;
/// Cleared contents that are kept for the next buckets.
const SPARE: usize = 2;
/// Number of newest trades whose digests are kept, to find which waiting trades a copied state
/// contains.
const REMEMBERED: usize = 4;
/// Bytes on the heap of the sums of a bucket.
const ROOM_OF_SUMS: usize = 2 * 4 * size_of::<u64>();

/// The bars that are built from trades.
#[derive(Clone, PartialEq, Eq)]
pub struct TradePlan {
    /// Their length.
    pub timeframe: Timeframe,
    /// The time after its end during which an open bar waits for late trades.
    pub lateness: Duration,
    /// The treatment of trades by their conditions.
    pub conditions: TradeConditions,
}

impl TradePlan {
    /// True if bars of `timeframe` can be built: it divides a day evenly, or is a day.
    #[must_use]
    pub fn is_possible(timeframe: Timeframe) -> bool {
        is_derivable(timeframe) && timeframe <= Timeframe::DAY
    }

    /// The lateness in nanoseconds.
    #[must_use]
    pub fn lateness_nanos(&self) -> i64 {
        nanos(self.lateness)
    }

    /// The buckets of one symbol that the lateness keeps open at most.
    #[must_use]
    pub fn most_open(&self) -> u64 {
        let length = self.timeframe.nanos().unsigned_abs();
        nanos(self.lateness).unsigned_abs() / length.max(1) + 2
    }

    /// The memory that the trades of one symbol take, in bytes, if so many bars are `correctable`.
    #[must_use]
    pub fn bytes(&self, correctable: usize) -> usize {
        let open = usize::try_from(self.most_open()).unwrap_or(usize::MAX);
        let slots = open.saturating_add(correctable + SPARE);
        size_of::<Trades>() + slots.saturating_mul(size_of::<Slot>() + ROOM_OF_SUMS)
    }
}

impl fmt::Debug for TradePlan {
    /// Fingerprints of configurations are made of this text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            timeframe,
            lateness,
            conditions,
        } = self;
        write!(f, "Trades({timeframe}, {lateness:?}, {conditions:?})")
    }
}

/// A bar that was built from trades.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradedBar {
    /// The bar.
    pub bar: Bar,
    /// The trades that it was built from.
    pub trades: u64,
}

/// The effect of a trade on the buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It was added to an open bucket.
    Open,
    /// It was added to a closed bucket, whose bar was handed out again.
    Reopened,
    /// Its bucket was not seen from its open and gives no bar.
    Unseen,
    /// The bar of its bucket, which opens at this time, cannot be changed any more.
    Late(Timestamp),
}

/// A bucket and its trades.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slot {
    bucket: Bucket,
    content: Traded,
}

/// The buckets of one symbol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trades {
    /// Buckets that open earlier were not seen from their open.
    since: Timestamp,
    /// The bucket that closes next, if it has trades; none before anything closes.
    next: Option<Bucket>,
    /// The end of the newest bucket whose content is no longer kept.
    forgotten: Timestamp,
    /// Trades that were taken.
    taken: u64,
    /// Digests of the newest trades; the newest is at the number of trades taken, less one.
    recent: [u64; REMEMBERED],
    slots: Vec<Slot>,
    /// Room of buckets that are kept no longer.
    #[serde(skip)]
    spare: Vec<Traded>,
}

impl Trades {
    /// No trades yet; the first one is at `first`. Its bucket gives no bar.
    #[must_use]
    pub fn new(plan: &TradePlan, zone: &Zone, first: Timestamp) -> Option<Self> {
        let bucket = Bucket::of(plan.timeframe, zone, first)?;
        Some(Self {
            since: bucket.end,
            next: None,
            forgotten: Timestamp::from_nanos(i64::MIN),
            taken: 0,
            recent: [0; REMEMBERED],
            slots: Vec::new(),
            spare: Vec::new(),
        })
    }

    /// The open of the first bucket that was seen from its open.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Buckets that end at this time or before are closed.
    #[must_use]
    pub const fn closed_until(&self) -> Timestamp {
        match self.next {
            Some(next) => next.open,
            None => Timestamp::from_nanos(i64::MIN),
        }
    }

    /// Number of trades taken, late and unseen ones included.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Buckets that take trades.
    #[must_use]
    pub fn open_buckets(&self) -> usize {
        self.slots.len() - self.closed()
    }

    /// The open of the newest bucket.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.slots.last().map(|slot| slot.bucket.open)
    }

    /// The number of trades and the exact volume of a bucket that is kept.
    #[must_use]
    pub fn content(&self, open: Timestamp) -> Option<(u64, &ExactSum)> {
        let content = &self.find(open)?.content;
        Some((content.trades(), content.volume()))
    }

    /// The average price of a bucket that is kept, weighted by size and rounded once.
    #[must_use]
    pub fn vwap(&self, open: Timestamp) -> Option<f64> {
        self.find(open)?.content.vwap()
    }

    /// Closes the buckets that end the lateness before `at` or earlier, and appends their bars to
    /// `out`, in order. True if [`Self::closed_until`] has moved on.
    pub fn close_until(
        &mut self,
        at: Timestamp,
        plan: &TradePlan,
        zone: &Zone,
        out: &mut Vec<TradedBar>,
    ) -> bool {
        let until = Timestamp::from_nanos(at.nanos().saturating_sub(nanos(plan.lateness)));
        if self.next.is_some_and(|next| until < next.end) {
            return false;
        }
        let Some(next) = Bucket::of(plan.timeframe, zone, until) else {
            return false;
        };
        let first_open = self.closed();
        let closing = self.slots[first_open..]
            .iter()
            .take_while(|slot| slot.bucket.end <= next.open);
        out.extend(closing.filter_map(Slot::bar));
        self.next = Some(next);
        true
    }

    /// Closes every bucket that is open, as no more trades come.
    pub fn close_all(&mut self, plan: &TradePlan, zone: &Zone, out: &mut Vec<TradedBar>) {
        if let Some(end) = self.open_ends().last() {
            self.close_until(end.after(nanos(plan.lateness)), plan, zone, out);
        }
    }

    /// The ends of the open buckets, in order.
    pub fn open_ends(&self) -> impl Iterator<Item = Timestamp> {
        self.slots[self.closed()..]
            .iter()
            .map(|slot| slot.bucket.end)
    }

    /// Takes in a trade; call [`Self::close_until`] with its time first. If its bucket is closed,
    /// appends the changed bar to `out`. `may_change` returns true if the bar that opens at a time may
    /// be changed or inserted.
    pub fn take(
        &mut self,
        trade: &Trade,
        plan: &TradePlan,
        zone: &Zone,
        may_change: impl FnOnce(Timestamp) -> bool,
        out: &mut Vec<TradedBar>,
    ) -> Use {
        let at = trade.timestamp;
        let sequence = trade.id.map_or(Sequence::Place(self.taken), Sequence::Id);
        self.remember(trade);
        if at < self.since {
            return Use::Unseen;
        }
        let place = self.slots.iter().rposition(|slot| slot.bucket.open <= at);
        let kept = place.filter(|place| self.slots[*place].bucket.contains(at));
        let (index, bucket) = match kept {
            Some(index) => (index, self.slots[index].bucket),
            None => match Bucket::of(plan.timeframe, zone, at) {
                Some(bucket) => (place.map_or(0, |place| place + 1), bucket),
                None => return Use::Unseen,
            },
        };
        let is_closed = bucket.end <= self.closed_until();
        let is_forgotten = kept.is_none() && bucket.end <= self.forgotten;
        if is_closed && (is_forgotten || !may_change(bucket.open)) {
            return Use::Late(bucket.open);
        }
        if kept.is_none() {
            let content = self.spare.pop().unwrap_or_default();
            self.slots.insert(index, Slot { bucket, content });
        }
        let slot = &mut self.slots[index];
        slot.content.add(trade, sequence);
        if !is_closed {
            return Use::Open;
        }
        out.extend(slot.bar());
        Use::Reopened
    }

    /// The number of `waiting` trades, in order, up to the newest taken one; `None` if that is not
    /// among them.
    #[must_use]
    pub fn contained(&self, waiting: &[u64]) -> Option<usize> {
        let newest: Vec<u64> = (0..self.taken.min(REMEMBERED as u64))
            .map(|back| self.recent[ring_place(self.taken - 1 - back)])
            .collect();
        // with those before it, as far as both remember them
        let agrees = |count: &usize| {
            let before = waiting[..*count].iter().rev();
            !newest.is_empty() && before.zip(&newest).all(|(a, b)| a == b)
        };
        (1..=waiting.len()).rev().find(agrees)
    }

    /// If there are more than `most` closed buckets, drops the contents of those that opened before
    /// `oldest`, the oldest bar that can be corrected, or that have no price. Call it after every bar
    /// that was handed out was taken in.
    pub fn trim(&mut self, oldest: Option<Timestamp>, most: usize) {
        let mut excess = self.closed().saturating_sub(most);
        let mut at = 0;
        while excess > 0 && at < self.closed() {
            let Slot { bucket, content } = &self.slots[at];
            if content.has_price() && oldest.is_none_or(|oldest| bucket.open >= oldest) {
                at += 1;
                continue;
            }
            let Slot {
                bucket,
                mut content,
            } = self.slots.remove(at);
            self.forgotten = self.forgotten.max(bucket.end);
            excess -= 1;
            if self.spare.len() < SPARE {
                content.clear();
                self.spare.push(content);
            }
        }
    }

    fn remember(&mut self, trade: &Trade) {
        self.recent[ring_place(self.taken)] = digest(trade);
        self.taken = self.taken.saturating_add(1);
    }

    fn find(&self, open: Timestamp) -> Option<&Slot> {
        self.slots
            .iter()
            .rev()
            .find(|slot| slot.bucket.open == open)
    }

    fn closed(&self) -> usize {
        let until = self.closed_until();
        self.slots.partition_point(|slot| slot.bucket.end <= until)
    }

    /// True if a deserialized state can be worked with by `plan`.
    #[must_use]
    pub fn is_sound(&self, plan: &TradePlan, zone: &Zone) -> bool {
        let most = usize::try_from(plan.most_open()).unwrap_or(usize::MAX);
        let is_possible = |slot: &Slot| {
            let Slot { bucket, content } = slot;
            bucket.open >= self.since
                && Bucket::of(plan.timeframe, zone, bucket.open) == Some(*bucket)
                && content.is_sound(|at| bucket.contains(at))
        };
        let ordered = |a: &Slot, b: &Slot| a.bucket.open < b.bucket.open;
        self.slots.len() <= most.saturating_add(self.closed())
            && self.slots.is_sorted_by(ordered)
            && self.slots.iter().all(is_possible)
            && self
                .next
                .is_none_or(|next| Bucket::of(plan.timeframe, zone, next.open) == Some(next))
            && self.taken < u64::MAX
    }
}

impl Slot {
    fn bar(&self) -> Option<TradedBar> {
        Some(TradedBar {
            bar: self.content.bar(self.bucket.open)?,
            trades: self.content.trades(),
        })
    }
}

/// A hash of the time, price, size and id of a trade.
#[must_use]
pub fn digest(trade: &Trade) -> u64 {
    let Trade {
        timestamp,
        price,
        size,
        id,
        ..
    } = trade;
    let (kind, upper, lower) = match id {
        None => (0, 0, 0),
        Some(crate::market::TradeId::Number(upper, lower)) => (1, *upper, *lower),
        Some(crate::market::TradeId::Text(upper, lower)) => (2, *upper, *lower),
    };
    let time = timestamp.nanos().cast_unsigned();
    let values = [time, price.to_bits(), size.to_bits(), kind, upper, lower];
    values.into_iter().fold(0, |digest: u64, value| {
        (digest ^ value)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    })
}

#[allow(clippy::cast_possible_truncation)] // a remainder
const fn ring_place(number: u64) -> usize {
    (number % REMEMBERED as u64) as usize
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
