//! The outcome of a run, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::letter::Letter;

/// The outcome of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its bar is stored again; in a dry run, it would be put back.
    PutBack,
    /// Its bar had been put back before.
    Already,
    /// It cannot be put back.
    Refused,
    /// It could not be put back now.
    Failed,
    /// It is late, and late ones were not asked for.
    PassedOver,
}

/// The number of letters by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Their bars are stored again; in a dry run, they would be put back.
    pub put_back: u64,
    /// Their bars had been put back before.
    pub already: u64,
    /// They cannot be put back.
    pub refused: u64,
    /// They could not be put back now.
    pub failed: u64,
    /// They are late, and late ones were not asked for.
    pub passed_over: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::PutBack => &mut self.put_back,
            Outcome::Already => &mut self.already,
            Outcome::Refused => &mut self.refused,
            Outcome::Failed => &mut self.failed,
            Outcome::PassedOver => &mut self.passed_over,
        } += 1;
    }

    const fn cells(&self) -> [u64; 5] {
        [
            self.put_back,
            self.already,
            self.refused,
            self.failed,
            self.passed_over,
        ]
    }
}

/// The outcome of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RedriveReport {
    /// The stream that the letters are in.
    pub stream: String,
    /// Their subject.
    pub subject: String,
    /// Nothing was done, only looked at.
    pub dry_run: bool,
    /// Letters looked at.
    pub read: u64,
    /// Of these, letters that the filters leave out.
    pub not_asked: u64,
    /// The others together.
    #[serde(flatten)]
    pub total: Counts,
    /// The same counts by reason.
    pub by_reason: BTreeMap<String, Counts>,
    /// The reason why the run ended early.
    pub interrupted: Option<String>,
    /// The duration of the run.
    pub seconds: f64,
}

impl RedriveReport {
    /// Returns true if everything asked for is done.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.interrupted.is_none() && self.total.refused == 0 && self.total.failed == 0
    }

    pub(super) fn count(&mut self, reason: Option<&str>, outcome: Outcome) {
        self.total.add(outcome);
        let reason = reason.unwrap_or("(none)").to_owned();
        self.by_reason.entry(reason).or_default().add(outcome);
    }
}

impl fmt::Display for RedriveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let put_back = if self.dry_run { "would go" } else { "put back" };
        writeln!(
            f,
            "dead letters of {} in stream {}: {} read, {} of them not asked for",
            self.subject, self.stream, self.read, self.not_asked
        )?;
        if !self.by_reason.is_empty() {
            let heads = [put_back, "already", "refused", "failed", "passed over"];
            write!(f, "{:<16}", "reason")?;
            for head in heads {
                write!(f, " {head:>11}")?;
            }
            writeln!(f)?;
        }
        for (reason, counts) in &self.by_reason {
            write!(f, "{:<16}", reason.escape_debug().to_string())?;
            for cell in counts.cells() {
                write!(f, " {cell:>11}")?;
            }
            writeln!(f)?;
        }
        if self.total.passed_over > 0 {
            writeln!(
                f,
                "late ones are passed over: their series have newer bars, so they would be refused \
                 again; --reason late puts them back nonetheless"
            )?;
        }
        if self.total.put_back > 0 && !self.dry_run {
            writeln!(
                f,
                "a bar that is older than the newest of its series is refused again, as late"
            )?;
        }
        if self.total.refused + self.total.failed > 0 {
            writeln!(f, "--verbose says of each why it was refused or failed")?;
        }
        if let Some(why) = &self.interrupted {
            writeln!(f, "ended before its time: {why}")?;
            writeln!(
                f,
                "run it again: what is put back already is not put back twice"
            )?;
        }
        Ok(())
    }
}

/// The outcome of one letter, as a line of output.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub seq: u64,
    pub stored_at: String,
    pub reason: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub detail: &'a str,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub why: &'a str,
    #[serde(skip)]
    pub dry_run: bool,
}

impl<'a> Line<'a> {
    pub fn new(letter: &'a Letter, outcome: Outcome, why: &'a str, dry_run: bool) -> Self {
        Self {
            seq: letter.seq,
            stored_at: letter.stored_at.to_string(),
            reason: letter.reason(),
            subject: letter.subject(),
            detail: letter.detail(),
            outcome,
            why,
            dry_run,
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // whoever wrote the letter does not write to this terminal
        let shown = |text: &str| text.escape_debug().to_string();
        let outcome = match self.outcome {
            Outcome::PutBack if self.dry_run => "would be put back",
            Outcome::PutBack => "put back",
            Outcome::Already => "put back already",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::PassedOver => "passed over",
        };
        write!(
            f,
            "{} {} {} {} ({}): {outcome}",
            self.seq,
            self.stored_at,
            shown(self.reason.unwrap_or("(none)")),
            shown(self.subject.unwrap_or("(none)")),
            shown(self.detail),
        )?;
        if !self.why.is_empty() {
            write!(f, ": {}", shown(self.why))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::redrive::letter::letter;

    fn report() -> RedriveReport {
        let mut report = RedriveReport {
            stream: "S".to_owned(),
            subject: "dead".to_owned(),
            read: 4,
            not_asked: 1,
            ..RedriveReport::default()
        };
        report.count(Some("future"), Outcome::PutBack);
        report.count(Some("future"), Outcome::Already);
        report.count(Some("late"), Outcome::PassedOver);
        report
    }

    #[test]
    fn people_read_a_table_by_reason() {
        let text = report().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "dead letters of dead in stream S: 4 read, 1 of them not asked for",
                "reason              put back     already     refused      failed passed over",
                "future                     1           1           0           0           0",
                "late                       0           0           0           0           1",
            ]
        );
        assert!(lines[4].contains("--reason late"), "{text}");
    }

    #[test]
    fn programs_read_the_same_as_one_object() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(value["read"], 4);
        assert_eq!(value["put_back"], 1);
        assert_eq!(value["passed_over"], 1);
        assert_eq!(value["by_reason"]["future"]["already"], 1);
        assert_eq!(value["interrupted"], serde_json::Value::Null);
    }

    #[test]
    fn what_was_refused_or_failed_is_not_done() {
        assert!(report().is_complete());
        for outcome in [Outcome::Refused, Outcome::Failed] {
            let mut report = report();
            report.count(None, outcome);
            assert!(!report.is_complete());
        }
        let mut report = report();
        report.interrupted = Some("no answer".to_owned());
        assert!(!report.is_complete());
    }

    #[test]
    fn a_letter_does_not_write_to_the_terminal() {
        let headers = [("Ta-Reason", "future"), ("Ta-Subject", "a\u{1b}[2J")];
        let letter = letter(3, &headers, "");
        let line = Line::new(&letter, Outcome::Refused, "why", false).to_string();
        assert_eq!(
            line,
            "3 2023-11-14T22:13:20Z future a\\u{1b}[2J (): refused: why"
        );
    }
}
