//! The stored dead letters, as little of each as it takes to judge them.
//!
//! Pure. A letter names the message that it was refused from, not the group that refused it: where
//! several groups commit to one stream, a refusal may have a letter of each.

use std::ops::Range;

use crate::wire::Reason;

/// Set in a place when the message was on a subject without a symbol.
const BARE: u64 = 1 << 63;

/// The message that a letter is about: its sequence, and which of the two streams it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

impl Place {
    /// Message `seq` of the stream of subjects without a symbol, or of the other.
    #[must_use]
    pub const fn new(is_bare: bool, seq: u64) -> Self {
        Self(if is_bare { seq | BARE } else { seq & !BARE })
    }

    /// Its sequence.
    #[must_use]
    pub const fn seq(self) -> u64 {
        self.0 & !BARE
    }

    /// Returns whether it is of the stream of subjects without a symbol.
    #[must_use]
    pub const fn is_bare(self) -> bool {
        self.0 & BARE != 0
    }
}

/// A stored letter.
#[derive(Debug, Clone, Copy)]
pub struct Letter {
    /// The message or bar that it is about.
    pub place: Place,
    /// Its reason; nothing when it is none of those there are.
    pub reason: Option<Reason>,
    /// Of its payload.
    pub hash: u64,
    /// True if its payload is cut.
    pub is_cut: bool,
    /// Its sequence in the stream.
    pub seq: u64,
}

/// A letter that is due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The reason why the message is refused.
    pub reason: Reason,
    /// Of the payload.
    pub hash: u64,
    /// True if it is due under each configuration that was in use, not only under one.
    pub is_certain: bool,
}

impl Letter {
    fn is(&self, due: Due) -> bool {
        self.reason == Some(due.reason) && (self.is_cut || self.hash == due.hash)
    }
}

/// The letter that is stored for one that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The letter itself.
    Equal,
    /// One about the same message with another reason or payload, at this sequence.
    Different(u64),
    /// Nothing.
    Nothing,
}

/// A stored letter that nothing claimed.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// The letter.
    pub letter: Letter,
    /// The sequence of the one that was due.
    pub twin: Option<u64>,
}

/// All of them.
#[derive(Debug)]
pub struct Letters {
    all: Vec<Letter>,
    claimed: Vec<bool>,
    /// The number of letters that one refusal may have.
    groups: usize,
}

impl Letters {
    /// Of a stream to which so many groups commit.
    #[must_use]
    pub fn new(mut all: Vec<Letter>, groups: usize) -> Self {
        all.sort_by_key(|letter| (letter.place, letter.seq));
        Self {
            claimed: vec![false; all.len()],
            all,
            groups: groups.max(1),
        }
    }

    fn about(&self, place: Place) -> Range<usize> {
        let begin = self.all.partition_point(|letter| letter.place < place);
        let end = self.all.partition_point(|letter| letter.place <= place);
        begin..end
    }

    /// Returns whether a letter about this message has this reason.
    #[must_use]
    pub fn has(&self, place: Place, reason: Reason) -> bool {
        let about = &self.all[self.about(place)];
        about.iter().any(|letter| letter.reason == Some(reason))
    }

    /// Returns whether there is a letter about this message.
    #[must_use]
    pub fn has_any(&self, place: Place) -> bool {
        !self.about(place).is_empty()
    }

    /// The stored letters for all that are due of one message.
    pub fn claim(&mut self, place: Place, due: &[Due]) -> Vec<Claim> {
        let about = self.about(place);
        let mut claims = vec![Claim::Nothing; due.len()];
        for (claim, due) in claims.iter_mut().zip(due) {
            // one of each group
            for _ in 0..self.groups {
                let fits = |at: &usize| !self.claimed[*at] && self.all[*at].is(*due);
                if let Some(at) = about.clone().find(fits) {
                    self.claimed[at] = true;
                    *claim = Claim::Equal;
                }
            }
        }
        // with others, letters that differ may be another group's
        if self.groups > 1 {
            return claims;
        }
        let due = claims.iter_mut().zip(due);
        let without = due.filter(|(claim, due)| **claim == Claim::Nothing && due.is_certain);
        for (claim, _) in without {
            if let Some(at) = about.clone().find(|at| !self.claimed[*at]) {
                self.claimed[at] = true;
                *claim = Claim::Different(self.all[at].seq);
            }
        }
        claims
    }

    /// Returns whether letters may be of another group.
    #[must_use]
    pub const fn are_shared(&self) -> bool {
        self.groups > 1
    }

    /// Shows the letters that nothing has claimed.
    pub fn left(&self) -> impl Iterator<Item = Left> {
        let unclaimed = self.claimed.iter().zip(&self.all);
        let unclaimed = unclaimed.filter(|(claimed, _)| !**claimed);
        unclaimed.map(|(_, letter)| {
            let twin = self.about(letter.place).find(|at| {
                let other = &self.all[*at];
                self.claimed[*at] && other.reason == letter.reason && other.hash == letter.hash
            });
            Left {
                letter: *letter,
                twin: twin.map(|at| self.all[at].seq),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(input: u64, reason: Reason, hash: u64, seq: u64) -> Letter {
        Letter {
            place: Place::new(false, input),
            reason: Some(reason),
            hash,
            is_cut: false,
            seq,
        }
    }

    fn due(reason: Reason, hash: u64) -> Due {
        Due {
            reason,
            hash,
            is_certain: true,
        }
    }

    fn left(letters: &Letters) -> Vec<(u64, Option<u64>)> {
        let all = letters.left();
        all.map(|left| (left.letter.seq, left.twin)).collect()
    }

    #[test]
    fn places_of_the_two_streams_are_not_mixed_up() {
        let (a, b) = (Place::new(true, 7), Place::new(false, 7));
        assert_ne!(a, b);
        assert_eq!((a.seq(), a.is_bare()), (7, true));
        assert_eq!((b.seq(), b.is_bare()), (7, false));
    }

    #[test]
    fn every_refused_element_of_a_message_has_its_own_letter() {
        let all = vec![
            letter(5, Reason::BadPrice, 2, 11),
            letter(5, Reason::Late, 1, 10),
            letter(6, Reason::NotJson, 3, 12),
        ];
        let mut letters = Letters::new(all, 1);
        let claims = letters.claim(
            Place::new(false, 5),
            &[due(Reason::Late, 1), due(Reason::BadPrice, 2)],
        );
        assert_eq!(claims, [Claim::Equal, Claim::Equal]);
        // nothing else is due of the message
        assert_eq!(
            letters.claim(Place::new(false, 5), &[due(Reason::Late, 1)]),
            [Claim::Nothing]
        );
        assert_eq!(left(&letters), [(12, None)]);
    }

    #[test]
    fn a_letter_that_differs_is_not_taken_from_the_one_it_is_due_to() {
        let all = vec![
            letter(5, Reason::Future, 1, 10),
            letter(5, Reason::Late, 2, 11),
        ];
        let mut letters = Letters::new(all, 1);
        let claims = letters.claim(
            Place::new(false, 5),
            &[due(Reason::Late, 1), due(Reason::Late, 2)],
        );
        assert_eq!(claims, [Claim::Different(10), Claim::Equal]);
    }

    #[test]
    fn a_letter_that_only_one_configuration_writes_takes_none_of_another() {
        let mut letters = Letters::new(vec![letter(5, Reason::Future, 1, 10)], 1);
        let uncertain = Due {
            is_certain: false,
            ..due(Reason::Late, 1)
        };
        let claims = letters.claim(Place::new(false, 5), &[uncertain, due(Reason::Future, 1)]);
        assert_eq!(claims, [Claim::Nothing, Claim::Equal]);
    }

    #[test]
    fn a_second_copy_is_left_with_the_first_as_its_twin() {
        let all = vec![
            letter(5, Reason::Late, 1, 10),
            letter(5, Reason::Late, 1, 20),
        ];
        let mut letters = Letters::new(all.clone(), 1);
        letters.claim(Place::new(false, 5), &[due(Reason::Late, 1)]);
        assert_eq!(left(&letters), [(20, Some(10))]);
        // two groups may each have written one
        let mut letters = Letters::new(all, 2);
        letters.claim(Place::new(false, 5), &[due(Reason::Late, 1)]);
        assert_eq!(left(&letters), []);
    }

    #[test]
    fn the_payload_of_a_letter_that_was_cut_is_not_compared() {
        let cut = Letter {
            is_cut: true,
            ..letter(5, Reason::TooLarge, 9, 10)
        };
        let mut letters = Letters::new(vec![cut], 1);
        let claims = letters.claim(Place::new(false, 5), &[due(Reason::TooLarge, 1)]);
        assert_eq!(claims, [Claim::Equal]);
    }
}
