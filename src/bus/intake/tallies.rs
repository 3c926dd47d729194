//! The outcomes of bars that came from a `feed`, message by message.
//!
//! Only messages that carry the id of a feed are counted. The counts of a message are added when it
//! is done: one on which the agent panics counts nothing but its refusal.

use async_nats::HeaderMap;
use hashbrown::HashMap;

use crate::engine::Rebuilt;
use crate::group::{Slot, SlotSet};
use crate::market::{BarEvent, TradeEvent};
use crate::ops::receipts::{FeedId, Receipt, Tally};
use crate::pipeline::{Change, Taken};
use crate::wire::Refusal;
use crate::wire::headers::FEED;

/// The outcomes of one batch.
#[derive(Debug, Default)]
pub(in crate::bus) struct Tallies {
    /// The feed of the message at work, if it has one.
    feed: Option<FeedId>,
    /// Slots whose signals this member publishes.
    holds: SlotSet,
    /// The outcomes of the message at work.
    message: Receipt,
    done: HashMap<FeedId, Receipt>,
}

impl Tallies {
    /// A message with these headers is at work; the member publishes for the slots that it `holds`.
    pub(super) fn begin(&mut self, headers: Option<&HeaderMap>, holds: SlotSet) {
        let id = headers.and_then(|headers| headers.get(FEED));
        self.feed = id.and_then(|id| FeedId::parse(id.as_str()));
        self.holds = holds;
        if self.feed.is_some() {
            self.message = Receipt::default();
        }
    }

    /// The message is done.
    pub(super) fn end(&mut self) {
        if let Some(feed) = self.feed.take() {
            self.message.messages = 1;
            let message = std::mem::take(&mut self.message);
            self.done.entry(feed).or_default().add(message);
        }
    }

    /// The feed of the message at work, if it has one.
    pub(super) const fn feed(&self) -> Option<FeedId> {
        self.feed
    }

    /// A bar was taken in. One that is `completed` by the bar of the message came before it.
    pub(super) fn taken(&mut self, taken: &Taken<'_>, completed: bool) {
        if self.feed.is_none() {
            return;
        }
        let slot = Slot::of(taken.event.symbol.as_bytes());
        let Some(tally) = self.of(slot) else { return };
        tally.signals_due += u64::from(taken.signal.is_some_and(|signal| signal.is_final));
        if completed {
            tally.completed += 1;
            return;
        }
        let count = match taken.change {
            Change::Appended | Change::Inserted => &mut tally.taken,
            Change::Corrected => &mut tally.corrections,
            Change::Forming => &mut tally.forming,
        };
        *count += 1;
        self.element(slot, 1);
    }

    /// A trade was taken in.
    pub(super) fn trade(&mut self, event: &TradeEvent<'_>) {
        self.count(&event.symbol, |tally| &mut tally.taken);
    }

    /// A bar was there already.
    pub(super) fn duplicate(&mut self, event: &BarEvent<'_>) {
        self.count(&event.symbol, |tally| &mut tally.duplicates);
    }

    /// Counts an element of a fed symbol.
    fn count(&mut self, symbol: &str, counter: impl FnOnce(&mut Tally) -> &mut u64) {
        if self.feed.is_none() {
            return;
        }
        let slot = Slot::of(symbol.as_bytes());
        if let Some(tally) = self.of(slot) {
            *counter(tally) += 1;
            self.element(slot, 1);
        }
    }

    /// Counts a reset series, with the number of its bars if it existed.
    pub(super) fn reset(&mut self, slot: Slot, forgotten: Option<usize>) {
        let Some(tally) = self.of(slot) else { return };
        match forgotten {
            Some(bars) => {
                tally.resets += 1;
                tally.forgotten += bars as u64;
            }
            None => tally.unknown_series += 1,
        }
        self.element(slot, 1);
    }

    /// Counts the bars of a history that rebuilt its series.
    pub(super) fn rebuilt(&mut self, slot: Slot, rebuilt: &Rebuilt) {
        let Some(tally) = self.of(slot) else { return };
        tally.taken += rebuilt.taken;
        tally.duplicates += rebuilt.duplicates;
        tally.corrections += rebuilt.corrections;
        self.element(slot, rebuilt.bars());
    }

    /// Counts the signal of the newest bar of a rebuilt series, which is published once more.
    pub(super) fn restated(&mut self, taken: &Taken<'_>) {
        let slot = Slot::of(taken.event.symbol.as_bytes());
        if let Some(tally) = self.of(slot) {
            tally.signals_due += u64::from(taken.signal.is_some());
        }
    }

    /// Elements were refused.
    pub(super) fn refused(&mut self, slot: Slot, refusal: &Refusal<'_>) {
        let elements = refusal.elements as u64;
        let Some(tally) = self.of(slot) else { return };
        let reason = refusal.reason.name();
        *tally.refused.entry(reason.into()).or_default() += elements;
        self.message.explain(reason, &refusal.detail);
        self.element(slot, elements);
    }

    /// An element of `message` is understood and holds no bar.
    pub(super) fn ignored(&mut self, message: &[u8]) {
        if self.feed.is_none() {
            return;
        }
        let slot = Slot::of(message);
        if let Some(tally) = self.of(slot) {
            tally.ignored += 1;
            self.element(slot, 1);
        }
    }

    /// An element was not looked at, because state that was copied contains it.
    pub(super) fn passed_over(&mut self) {
        if self.feed.is_some() {
            self.message.passed_over += 1;
        }
    }

    /// A signal of a bar of `feed` is published.
    pub fn published(&mut self, feed: FeedId) {
        self.done.entry(feed).or_default().signals_published += 1;
    }

    /// Every signal that is due is stored.
    pub fn all_published(&mut self) {
        for receipt in self.done.values_mut() {
            receipt.signals_published = receipt.slots.values().map(|of| of.signals_due).sum();
        }
    }

    /// Returns whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// The counts since the last call.
    pub fn take(&mut self) -> HashMap<FeedId, Receipt> {
        std::mem::take(&mut self.done)
    }

    fn of(&mut self, slot: Slot) -> Option<&mut Tally> {
        self.feed?;
        Some(self.message.slots.entry(number(slot)).or_default())
    }

    fn element(&mut self, slot: Slot, elements: u64) {
        let held = self.holds.contains(slot);
        if let Some(tally) = self.of(slot) {
            tally.bars += elements;
            tally.held += if held { elements } else { 0 };
        }
    }
}

fn number(slot: Slot) -> u8 {
    u8::try_from(slot.index()).expect("there are 256 slots")
}
