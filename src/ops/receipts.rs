//! Receipts: an agent's account of the bars of each feed, for `feed` to ask.
//!
//! A feed marks its messages with a [`FeedId`] in a header. An agent counts the outcome of each bar
//! of a marked message, and keeps the counts for a while. An agent that was restarted, or that kept
//! too many feeds meanwhile, has a receipt of fewer messages than were published: it never guesses.
//!
//! Must not know: NATS, what a slot stands for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Largest number of feeds with receipts; one more drops the one that was silent for longest.
const FEEDS: usize = 64;
/// Receipts are kept for so long after the last bar.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// The bytes that are kept of a detail.
const DETAIL_BYTES: usize = 256;

/// Names one run of `feed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedId(u64);

impl FeedId {
    /// The feed whose messages carry `text`: 16 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits
            .then(|| u64::from_str_radix(text, 16).ok())?
            .map(Self)
    }

    /// A feed that is called by a number nobody else uses.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The outcomes of bars.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tally {
    /// The elements of messages that the counts below are of.
    #[serde(skip_serializing_if = "is_zero")]
    pub bars: u64,
    /// Bars that are the newest of their series.
    #[serde(skip_serializing_if = "is_zero")]
    pub taken: u64,
    /// Bars that the first bar after them made complete; they came as forming.
    #[serde(skip_serializing_if = "is_zero")]
    pub completed: u64,
    /// Bars that replaced another of the same time.
    #[serde(skip_serializing_if = "is_zero")]
    pub corrections: u64,
    /// Bars that were there already.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicates: u64,
    /// Bars that are still forming.
    #[serde(skip_serializing_if = "is_zero")]
    pub forming: u64,
    /// Elements that are understood and hold no bar.
    #[serde(skip_serializing_if = "is_zero")]
    pub ignored: u64,
    /// Series that were reset.
    #[serde(skip_serializing_if = "is_zero")]
    pub resets: u64,
    /// Bars that were in their windows.
    #[serde(skip_serializing_if = "is_zero")]
    pub forgotten: u64,
    /// Resets of series that were not there.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown_series: u64,
    /// Elements that were refused, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<Cow<'static, str>, u64>,
    /// Signals of complete bars that these bars gave.
    #[serde(skip_serializing_if = "is_zero")]
    pub signals_due: u64,
    /// The elements whose signals this agent had to publish itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
}

// the signature is serde's
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Tally {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.bars += other.bars;
        self.taken += other.taken;
        self.completed += other.completed;
        self.corrections += other.corrections;
        self.duplicates += other.duplicates;
        self.forming += other.forming;
        self.ignored += other.ignored;
        self.resets += other.resets;
        self.forgotten += other.forgotten;
        self.unknown_series += other.unknown_series;
        self.signals_due += other.signals_due;
        self.held += other.held;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
    }

    /// Elements refused, for whatever reason.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// The account of one feed by one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// Messages of the feed that this agent is done with.
    pub messages: u64,
    /// Elements that it did not look at, because state that it copied contains them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_over: u64,
    /// Signals that it published.
    pub signals_published: u64,
    /// The outcomes, by the slot of the symbol.
    pub slots: BTreeMap<u8, Tally>,
    /// For each reason, why the first element was refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<Cow<'static, str>, String>,
}

impl Receipt {
    /// Adds the counts of another.
    pub fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.passed_over += other.passed_over;
        self.signals_published += other.signals_published;
        for (slot, tally) in other.slots {
            self.slots.entry(slot).or_default().add(&tally);
        }
        for (reason, detail) in other.details {
            self.details.entry(reason).or_insert(detail);
        }
    }

    /// Keeps `detail` where it is the first for its reason.
    pub fn explain(&mut self, reason: &'static str, detail: &str) {
        self.details.entry(reason.into()).or_insert_with(|| {
            let end = (0..=detail.len().min(DETAIL_BYTES)).rev();
            let end = end.into_iter().find(|end| detail.is_char_boundary(*end));
            detail[..end.unwrap_or_default()].to_owned()
        });
    }
}

/// An agent's answer about one feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FeedAnswer {
    /// The agent.
    pub agent: String,
    /// Unique to this run of it.
    pub instance: String,
    /// `core`, in which every agent counts every bar, or `durable`, in which each message is
    /// counted by the one that stores its outputs. Absent when it has no message of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Cow<'static, str>>,
    /// Its account.
    pub receipt: Receipt,
}

/// The receipts of one process.
#[derive(Debug, Default)]
pub struct Receipts(Mutex<HashMap<FeedId, Kept>>);

#[derive(Debug)]
struct Kept {
    delivery: &'static str,
    receipt: Receipt,
    at: Instant,
}

impl Receipts {
    /// Adds what was counted up to `now` in this kind of delivery.
    pub fn add(
        &self,
        delivery: &'static str,
        counted: impl IntoIterator<Item = (FeedId, Receipt)>,
        now: Instant,
    ) {
        let mut kept = self.lock();
        for (feed, receipt) in counted {
            if !kept.contains_key(&feed) {
                kept.retain(|_, kept| now.saturating_duration_since(kept.at) < KEPT);
                if kept.len() >= FEEDS
                    && let Some(oldest) = kept.iter().min_by_key(|(_, kept)| kept.at)
                {
                    let oldest = *oldest.0;
                    kept.remove(&oldest);
                }
            }
            let of_feed = kept.entry(feed).or_insert_with(|| Kept {
                delivery,
                receipt: Receipt::default(),
                at: now,
            });
            if of_feed.delivery != delivery {
                // counts of the two do not add up
                of_feed.receipt = Receipt::default();
                of_feed.delivery = delivery;
            }
            of_feed.receipt.add(receipt);
            of_feed.at = now;
        }
    }

    /// The answer about `feed` of this `instance` of `agent`.
    #[must_use]
    pub fn answer(&self, agent: &str, instance: &str, feed: FeedId) -> FeedAnswer {
        let kept = self.lock();
        let found = kept.get(&feed);
        FeedAnswer {
            agent: agent.to_owned(),
            instance: instance.to_owned(),
            delivery: found.map(|kept| kept.delivery.into()),
            receipt: found.map_or_else(Receipt::default, |kept| kept.receipt.clone()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FeedId, Kept>> {
        // a count half added is of a thread that has ended the process
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(feed: u64, messages: u64) -> [(FeedId, Receipt); 1] {
        let receipt = Receipt {
            messages,
            ..Receipt::default()
        };
        [(FeedId::new(feed), receipt)]
    }

    #[test]
    fn an_id_is_sixteen_hexadecimal_digits() {
        let id = FeedId::new(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string(), "00abcdef01234567");
        assert_eq!(FeedId::parse("00abcdef01234567"), Some(id));
        for wrong in [
            "",
            "abcdef01234567",
            "00abcdef0123456x",
            "+0abcdef01234567",
            "00abcdef012345678",
        ] {
            assert_eq!(FeedId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn counts_of_a_feed_add_up_by_slot_and_the_first_detail_stays() {
        let receipts = Receipts::default();
        let now = Instant::now();
        for (slot, detail) in [(3, "first"), (3, "second"), (7, "third")] {
            let mut receipt = Receipt {
                messages: 1,
                ..Receipt::default()
            };
            let tally = receipt.slots.entry(slot).or_default();
            tally.bars = 2;
            tally.taken = 1;
            tally.refused.insert("late".into(), 1);
            receipt.explain("late", detail);
            receipts.add("core", [(FeedId::new(1), receipt)], now);
        }
        let answer = receipts.answer("a", "1", FeedId::new(1));
        assert_eq!(answer.delivery.as_deref(), Some("core"));
        assert_eq!(answer.receipt.messages, 3);
        assert_eq!(answer.receipt.slots[&3].bars, 4);
        assert_eq!(answer.receipt.slots[&3].refusals(), 2);
        assert_eq!(answer.receipt.slots[&7].taken, 1);
        assert_eq!(answer.receipt.details["late"], "first");
        let unknown = receipts.answer("a", "1", FeedId::new(2));
        assert_eq!((unknown.delivery, unknown.receipt.messages), (None, 0));
    }

    #[test]
    fn receipts_are_bounded_and_the_feed_that_was_silent_for_longest_goes_first() {
        let receipts = Receipts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for feed in 0..64 {
            receipts.add("core", counted(feed, 1), at(feed));
        }
        receipts.add("core", counted(0, 1), at(100));
        receipts.add("core", counted(1_000, 1), at(101));
        let messages = |feed| {
            let answer = receipts.answer("a", "1", FeedId::new(feed));
            answer.receipt.messages
        };
        assert_eq!([messages(0), messages(1), messages(2)], [2, 0, 1]);
        // all but the newest are too old now
        receipts.add("core", counted(2_000, 1), at(101 + 15 * 60));
        assert_eq!([messages(0), messages(1_000), messages(2_000)], [0, 0, 1]);
    }

    #[test]
    fn a_detail_is_cut_between_characters() {
        let mut receipt = Receipt::default();
        receipt.explain("late", &"é".repeat(300));
        assert_eq!(receipt.details["late"], "é".repeat(128));
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let mut receipt = Receipt {
            messages: 2,
            signals_published: 1,
            ..Receipt::default()
        };
        let tally = receipt.slots.entry(255).or_default();
        tally.bars = 2;
        tally.refused.insert("bad_price".into(), 2);
        receipt.explain("bad_price", "`close` is 0");
        let answer = FeedAnswer {
            agent: "a".to_owned(),
            instance: "1".to_owned(),
            delivery: Some("durable".into()),
            receipt,
        };
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(
            json,
            r#"{"agent":"a","instance":"1","delivery":"durable","receipt":{"messages":2,"signals_published":1,"slots":{"255":{"bars":2,"refused":{"bad_price":2}}},"details":{"bad_price":"`close` is 0"}}}"#
        );
        let read: FeedAnswer = serde_json::from_str(&json).unwrap();
        assert_eq!(read, answer);
    }
}
