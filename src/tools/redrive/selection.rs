//! The rules that choose which letters are put back.

use std::fmt;

use super::letter::Letter;
use crate::cli::RedriveArgs;
use crate::market::Timestamp;
use crate::wire::headers::TEXT_BYTES;
use crate::wire::{Reason, SubjectPattern};

/// The decision about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The filters leave it out.
    NotAsked,
    /// It is late, and nobody asked for late ones.
    PassedOver,
    /// It cannot be put back.
    Unfit(Unfit),
    /// It is put back.
    PutBack,
}

/// The reason why a letter cannot be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It has no reason or subject.
    NoLetter,
    /// Only its beginning was kept.
    Truncated,
    /// Nobody would read it where it came from.
    Elsewhere,
    /// Its subject cannot be published to, or may have been cut.
    NoSubject,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLetter => "it names no reason or no subject, so no agent wrote it",
            Self::Truncated => "only its beginning was kept; have its source publish it again",
            Self::Elsewhere => "TECHNICAL_SUBJECTS does not cover its subject",
            Self::NoSubject => "its subject cannot be published to, or was cut",
        })
    }
}

/// The letters asked for.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// All but late ones when empty.
    reasons: Vec<Reason>,
    subject: Option<SubjectPattern>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The subjects that agents read.
    inputs: Vec<SubjectPattern>,
}

impl Selection {
    pub fn new(args: &RedriveArgs, inputs: &[SubjectPattern], now: Timestamp) -> Self {
        Self {
            reasons: args.reasons.clone(),
            subject: args.subject.clone(),
            since: args.since.map(|time| time.seen_from(now)),
            until: args.until.map(|time| time.seen_from(now)),
            inputs: inputs.to_vec(),
        }
    }

    pub fn judge(&self, letter: &Letter) -> Verdict {
        let reason = letter.reason();
        let named = reason.and_then(Reason::named);
        let subject = letter.subject();
        let asked = (self.reasons.is_empty()
            || named.is_some_and(|reason| self.reasons.contains(&reason)))
            && self
                .subject
                .as_ref()
                .is_none_or(|pattern| subject.is_some_and(|subject| pattern.matches(subject)))
            && self.since.is_none_or(|since| letter.stored_at >= since)
            && self.until.is_none_or(|until| letter.stored_at < until);
        if !asked {
            return Verdict::NotAsked;
        }
        let (Some(_), Some(subject)) = (reason, subject) else {
            return Verdict::Unfit(Unfit::NoLetter);
        };
        if named == Some(Reason::Late) && self.reasons.is_empty() {
            return Verdict::PassedOver;
        }
        if letter.is_truncated() {
            return Verdict::Unfit(Unfit::Truncated);
        }
        if !can_be_published_to(subject) {
            return Verdict::Unfit(Unfit::NoSubject);
        }
        if !self.inputs.iter().any(|input| input.matches(subject)) {
            return Verdict::Unfit(Unfit::Elsewhere);
        }
        Verdict::PutBack
    }
}

/// Headers are cut at [`TEXT_BYTES`], before a character that does not fit, and what is left may
/// be a subject as well.
fn can_be_published_to(subject: &str) -> bool {
    let token = |token: &str| !matches!(token, "" | "*" | ">");
    subject.len() + 4 <= TEXT_BYTES
        && subject.split('.').all(token)
        && !subject.contains(|c: char| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};
    use crate::tools::redrive::letter::letter;

    /// 2023-11-14T22:13:20Z is when the letters of these tests were stored.
    fn selection(options: &str) -> Selection {
        let line = format!("agent redrive {options}");
        let Command::Redrive(args) = parse(line.split_whitespace().map(Into::into)).unwrap() else {
            panic!("no redrive")
        };
        let inputs = ["raw.price", "raw.price.>"].map(|pattern| pattern.parse().unwrap());
        Selection::new(&args, &inputs, Timestamp::from_epoch(1_700_003_600))
    }

    fn verdict(options: &str, reason: &str, subject: &str) -> Verdict {
        let headers = [("Ta-Reason", reason), ("Ta-Subject", subject)];
        selection(options).judge(&letter(1, &headers, "{}"))
    }

    #[test]
    fn everything_is_asked_for_but_late_ones() {
        assert_eq!(verdict("", "future", "raw.price.A"), Verdict::PutBack);
        assert_eq!(verdict("", "new_in_v9", "raw.price"), Verdict::PutBack);
        assert_eq!(verdict("", "late", "raw.price.A"), Verdict::PassedOver);
        assert_eq!(
            verdict("--reason late", "late", "raw.price.A"),
            Verdict::PutBack
        );
    }

    #[test]
    fn a_filter_leaves_out_what_it_does_not_name() {
        for (options, reason, subject, expected) in [
            (
                "--reason future --reason mismatch",
                "mismatch",
                "raw.price.A",
                Verdict::PutBack,
            ),
            (
                "--reason future --reason mismatch",
                "late",
                "raw.price.A",
                Verdict::NotAsked,
            ),
            (
                "--reason future",
                "new_in_v9",
                "raw.price.A",
                Verdict::NotAsked,
            ),
            (
                "--subject raw.price.*",
                "future",
                "raw.price.A",
                Verdict::PutBack,
            ),
            (
                "--subject raw.price.*",
                "future",
                "raw.price.A.1m",
                Verdict::NotAsked,
            ),
            (
                "--subject raw.price.A.>",
                "late",
                "raw.price.B.1m",
                Verdict::NotAsked,
            ),
            ("--since 61m", "future", "raw.price.A", Verdict::PutBack),
            (
                "--since 60m --until 3599s",
                "future",
                "raw.price.A",
                Verdict::PutBack,
            ),
            ("--since 59m", "future", "raw.price.A", Verdict::NotAsked),
            ("--until 60m", "future", "raw.price.A", Verdict::NotAsked),
            (
                "--until 2023-11-14T22:13:21Z",
                "future",
                "raw.price.A",
                Verdict::PutBack,
            ),
        ] {
            assert_eq!(verdict(options, reason, subject), expected, "{options}");
        }
    }

    #[test]
    fn what_would_go_nowhere_or_anywhere_is_unfit() {
        let cut = format!("raw.price.{}", "x".repeat(1_014));
        for (subject, why) in [
            ("other.price.A", Unfit::Elsewhere),
            ("raw", Unfit::Elsewhere),
            ("raw.price.*", Unfit::NoSubject),
            ("raw.price.>", Unfit::NoSubject),
            ("raw.price. .A", Unfit::NoSubject),
            ("raw.price..A", Unfit::NoSubject),
            ("", Unfit::NoSubject),
            (&cut, Unfit::NoSubject),
        ] {
            assert_eq!(
                verdict("", "future", subject),
                Verdict::Unfit(why),
                "{subject}"
            );
        }
        let bare = selection("").judge(&letter(1, &[("Ta-Reason", "future")], ""));
        assert_eq!(bare, Verdict::Unfit(Unfit::NoLetter));
        let foreign = letter(1, &[], "");
        assert_eq!(
            selection("").judge(&foreign),
            Verdict::Unfit(Unfit::NoLetter)
        );
        assert_eq!(
            selection("--reason future").judge(&foreign),
            Verdict::NotAsked
        );
    }

    #[test]
    fn what_is_not_whole_is_unfit_even_when_asked_for() {
        let headers = [
            ("Ta-Reason", "too_large"),
            ("Ta-Subject", "raw.price.A"),
            ("Ta-Truncated", "true"),
        ];
        let cut = letter(1, &headers, "{");
        let verdict = selection("--reason too_large").judge(&cut);
        assert_eq!(verdict, Verdict::Unfit(Unfit::Truncated));
        let whole = letter(1, &headers[..2], "{");
        assert_eq!(selection("").judge(&whole), Verdict::PutBack);
    }
}
