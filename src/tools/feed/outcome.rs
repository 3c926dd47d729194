//! The outcome of a feed, from the receipts of the agents.
//!
//! In core delivery every agent computes every bar: one that has seen all messages knows all, and of
//! several the one that publishes for a symbol is believed about it. In durable delivery each message
//! is counted by the agent that has stored its outputs, and by no other. What nobody has counted is
//! unknown, never guessed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ops::receipts::{FeedAnswer, Receipt, Tally};

/// The elements and bars that were published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fed {
    pub messages: u64,
    /// The bars in them.
    pub bars: u64,
}

/// The agents' account of the bars of one feed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The agents that answered, by name.
    pub agents: Vec<String>,
    /// Reason why agents could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Bars that became the newest of their series.
    pub taken: u64,
    /// Bars that came as forming and were completed by the next one.
    pub completed: u64,
    /// Bars that replaced the one of the same time.
    pub corrections: u64,
    /// Bars that were there already.
    pub duplicates: u64,
    /// Bars that were still forming.
    pub forming: u64,
    /// Elements without a bar.
    pub ignored: u64,
    /// Series that were reset.
    #[serde(skip_serializing_if = "is_zero")]
    pub resets: u64,
    /// Bars that were in their windows.
    #[serde(skip)]
    pub forgotten: u64,
    /// Resets of series that were not there.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown_series: u64,
    /// The agents that were responsible for the bars, by name.
    #[serde(skip)]
    pub by: Vec<String>,
    /// Bars that were refused, by reason.
    pub refused: BTreeMap<Cow<'static, str>, u64>,
    /// For each reason, why the first bar was refused.
    pub details: BTreeMap<Cow<'static, str>, String>,
    /// Signals that the bars gave.
    pub signals_due: u64,
    /// Signals that are known to be published.
    pub signals_published: u64,
    /// Bars that no agent has answered for.
    pub unknown: u64,
    #[serde(skip)]
    bars: u64,
    /// Bars of which the agent that is responsible has answered.
    #[serde(skip)]
    held: u64,
}

// the signature is serde's
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Outcome {
    /// The outcome of `fed` by the last answer of each agent.
    pub(super) fn of(answers: &[FeedAnswer], fed: Fed) -> Self {
        let is_durable = |answer: &&FeedAnswer| answer.delivery.as_deref() == Some("durable");
        let (durable, core): (Vec<&FeedAnswer>, Vec<&FeedAnswer>) =
            answers.iter().partition(is_durable);
        let stored = summed(&durable);
        let seen = best(&core);
        // a group delivers in one way; after a change the newer way has counted the rest alone
        let by_core = seen.messages > stored.messages;
        let known = if by_core { seen } else { stored };
        let complete = if by_core {
            core.iter().any(|FeedAnswer { receipt, .. }| {
                receipt.messages == fed.messages && receipt.passed_over == 0
            })
        } else {
            known.messages == fed.messages
        };
        let mut agents: Vec<String> = answers.iter().map(|one| one.agent.clone()).collect();
        agents.sort();
        let mut outcome = Self {
            agents,
            ..Self::default()
        };
        if known.messages > fed.messages {
            outcome.problem = Some(format!(
                "they have counted {} messages of this run, and {} were published: some came twice",
                known.messages, fed.messages
            ));
            outcome.unknown = fed.bars;
            return outcome;
        }
        let responsible = |one: &&FeedAnswer| one.receipt.slots.values().any(|of| of.held > 0);
        let by = if by_core { &core } else { &durable };
        let mut by: Vec<String> = by
            .iter()
            .filter(|one| responsible(one))
            .map(|one| one.agent.clone())
            .collect();
        by.sort();
        let mut all = Tally::default();
        known.slots.values().for_each(|tally| all.add(tally));
        if !complete {
            outcome.unknown = fed.bars.saturating_sub(all.bars).max(1);
        }
        Self {
            taken: all.taken,
            completed: all.completed,
            corrections: all.corrections,
            duplicates: all.duplicates,
            forming: all.forming,
            ignored: all.ignored,
            resets: all.resets,
            forgotten: all.forgotten,
            unknown_series: all.unknown_series,
            by,
            signals_due: all.signals_due,
            signals_published: known.signals_published,
            bars: all.bars,
            held: all.held,
            refused: all.refused,
            details: known.details,
            ..outcome
        }
    }

    /// Nothing is known because of `problem`.
    pub(super) fn impossible(problem: String) -> Self {
        Self {
            problem: Some(problem),
            ..Self::default()
        }
    }

    /// True if every bar is accounted for by the agent that is responsible for it, and every signal
    /// that is due is published.
    pub(super) const fn is_settled(&self) -> bool {
        self.unknown == 0 && self.held >= self.bars && self.signals_published >= self.signals_due
    }

    /// True if every bar is accounted for, and was refused.
    #[must_use]
    pub fn all_refused(&self) -> bool {
        self.unknown == 0 && self.bars > 0 && self.refused.values().sum::<u64>() == self.bars
    }
}

/// The sum of all accounts.
fn summed(answers: &[&FeedAnswer]) -> Receipt {
    let mut sum = Receipt::default();
    for answer in answers {
        sum.add(answer.receipt.clone());
    }
    sum
}

/// For each slot the account of who knows most of it, and of those the one that publishes for it.
fn best(answers: &[&FeedAnswer]) -> Receipt {
    let mut best = Receipt::default();
    for FeedAnswer { receipt, .. } in answers {
        best.messages = best.messages.max(receipt.messages);
        best.signals_published += receipt.signals_published;
        for (slot, tally) in &receipt.slots {
            let known = best.slots.entry(*slot).or_default();
            if (tally.bars, tally.held) > (known.bars, known.held) {
                *known = tally.clone();
            }
        }
        for (reason, detail) in &receipt.details {
            best.details
                .entry(reason.clone())
                .or_insert_with(|| detail.clone());
        }
    }
    best
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by asking the agents ({}): ", self.agents.join(", "))?;
        let bars = |count: u64| if count == 1 { "bar" } else { "bars" };
        write!(f, "{} {} taken", self.taken, bars(self.taken))?;
        match (self.signals_due, self.signals_published) {
            (due, published) if due == published => write!(f, ", {due} signals due and published")?,
            (due, published) => write!(
                f,
                ", {due} signals due, of which {published} are known to be published"
            )?,
        }
        for (count, what) in [
            (self.completed, "completed by the next bar"),
            (self.corrections, "corrections"),
            (self.duplicates, "duplicates"),
            (self.forming, "still forming"),
            (self.ignored, "without a bar"),
            (self.resets, "resets"),
            (self.unknown_series, "resets of series that are not there"),
            (self.refused.get("late").copied().unwrap_or(0), "late"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        let others = self.refused.iter().filter(|(reason, _)| *reason != "late");
        for (at, (reason, count)) in others.enumerate() {
            let begin = if at == 0 { ", refused: " } else { ", " };
            write!(f, "{begin}{count} {reason}")?;
        }
        if self.unknown > 0 {
            let (unknown, bars) = (self.unknown, bars(self.unknown));
            write!(f, ", {unknown} {bars} that no agent has answered for")?;
        }
        if let Some(problem) = &self.problem {
            write!(f, ": {problem}")?;
        }
        for (reason, detail) in &self.details {
            write!(f, "\n  {reason}: {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(agent: &str, delivery: &'static str, messages: u64) -> FeedAnswer {
        FeedAnswer {
            agent: agent.to_owned(),
            instance: agent.to_owned(),
            delivery: (messages > 0).then(|| delivery.into()),
            receipt: Receipt {
                messages,
                ..Receipt::default()
            },
        }
    }

    fn slot(answer: &mut FeedAnswer, slot: u8, taken: u64, duplicates: u64, held: u64) {
        let tally = answer.receipt.slots.entry(slot).or_default();
        tally.bars = taken + duplicates;
        tally.taken = taken;
        tally.duplicates = duplicates;
        tally.signals_due = taken;
        tally.held = held;
    }

    fn fed(messages: u64) -> Fed {
        Fed {
            messages,
            bars: messages,
        }
    }

    #[test]
    fn in_durable_delivery_accounts_add_up_and_the_rest_is_unknown() {
        let mut answers = [
            answer("b", "durable", 6),
            answer("a", "durable", 3),
            answer("c", "durable", 0),
        ];
        slot(&mut answers[0], 1, 5, 1, 6);
        slot(&mut answers[1], 1, 3, 0, 3);
        answers[0].receipt.signals_published = 5;
        answers[1].receipt.signals_published = 3;
        let outcome = Outcome::of(&answers, fed(9));
        assert_eq!(
            (outcome.taken, outcome.duplicates, outcome.unknown),
            (8, 1, 0)
        );
        assert!(outcome.is_settled());
        assert_eq!(outcome.agents, ["a", "b", "c"]);
        let outcome = Outcome::of(&answers, fed(12));
        assert_eq!((outcome.taken, outcome.unknown), (8, 3));
        assert!(!outcome.is_settled());
    }

    #[test]
    fn in_core_delivery_the_holder_is_believed_where_it_knows_as_much_as_another() {
        // each has seen all, and the order of two publishers differed between them
        let mut answers = [answer("a", "core", 10), answer("b", "core", 10)];
        slot(&mut answers[0], 1, 4, 1, 5);
        slot(&mut answers[1], 1, 5, 0, 0);
        slot(&mut answers[0], 2, 5, 0, 0);
        slot(&mut answers[1], 2, 3, 2, 5);
        answers[0].receipt.signals_published = 4;
        answers[1].receipt.signals_published = 3;
        let outcome = Outcome::of(&answers, fed(10));
        assert_eq!(
            (outcome.taken, outcome.duplicates, outcome.unknown),
            (7, 3, 0)
        );
        assert_eq!((outcome.signals_due, outcome.signals_published), (7, 7));
        assert!(outcome.is_settled());
    }

    #[test]
    fn in_core_delivery_a_member_that_joined_later_does_not_hide_who_has_seen_all() {
        let mut answers = [answer("new", "core", 4), answer("old", "core", 10)];
        slot(&mut answers[0], 1, 4, 0, 4);
        slot(&mut answers[1], 1, 10, 0, 6);
        let outcome = Outcome::of(&answers, fed(10));
        assert_eq!((outcome.taken, outcome.unknown), (10, 0));
        // of the signals that a member has published which is gone nobody knows
        assert!(!outcome.is_settled());
        let text = outcome.to_string();
        assert!(
            text.contains("10 signals due, of which 0 are known"),
            "{text}"
        );
        // without it, what the new one has not seen is unknown
        let outcome = Outcome::of(&answers[..1], fed(10));
        assert_eq!((outcome.taken, outcome.unknown), (4, 6));
    }

    #[test]
    fn a_member_that_copied_state_does_not_know_the_bars_in_it() {
        let mut answers = [answer("a", "core", 10)];
        slot(&mut answers[0], 1, 10, 0, 10);
        answers[0].receipt.passed_over = 1;
        let outcome = Outcome::of(&answers, fed(10));
        assert_eq!(outcome.unknown, 1);
    }

    #[test]
    fn more_messages_than_were_published_make_everything_unknown() {
        let mut answers = [answer("a", "durable", 11)];
        slot(&mut answers[0], 1, 11, 0, 11);
        let outcome = Outcome::of(&answers, fed(10));
        assert_eq!((outcome.taken, outcome.unknown), (0, 10));
        assert!(outcome.problem.is_some());
        assert!(!outcome.all_refused());
    }

    #[test]
    fn all_refused_needs_an_account_of_every_bar() {
        let mut answers = [answer("a", "durable", 3)];
        let tally = answers[0].receipt.slots.entry(1).or_default();
        tally.bars = 3;
        tally.refused.insert("late".into(), 2);
        tally.refused.insert("bad_price".into(), 1);
        answers[0].receipt.explain("bad_price", "`close` is 0");
        assert!(Outcome::of(&answers, fed(3)).all_refused());
        assert!(!Outcome::of(&answers, fed(4)).all_refused());
        assert!(!Outcome::of(&[], fed(4)).all_refused());
        let text = Outcome::of(&answers, fed(4)).to_string();
        assert_eq!(
            text,
            "by asking the agents (a): 0 bars taken, 0 signals due and published, 2 late, \
             refused: 1 bad_price, 1 bar that no agent has answered for\n  bad_price: `close` is 0"
        );
    }
}
