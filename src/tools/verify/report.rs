//! The outcome of a verification, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::key::Key;
use crate::market::Timestamp;

/// Findings of each kind that are described; all are counted.
pub const DESCRIBED: usize = 100;
/// Of these, those that people are shown.
const SHOWN: usize = 10;

/// The subject of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A signal.
    Signal,
    /// A dead letter.
    DeadLetter,
    /// Stored messages of bars.
    Bars,
}

/// A field that is not what it has to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The field of the payload; `subject`, `reason` or `payload` of the message.
    pub field: String,
    /// By recomputation; nothing when there is no such field.
    pub expected: Option<Value>,
    /// The stored value; `None` when there is no such field.
    pub found: Option<Value>,
}

/// One place at which a promise is broken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The message or bar that it is about.
    pub kind: Kind,
    /// The stream in which it is, or is missing.
    pub stream: String,
    /// Its sequence in that stream; nothing when it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The last of a run of sequences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<u64>,
    /// The stream of the bar or refused message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bars_stream: Option<String>,
    /// The sequence of the bar or refused message in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bar_sequence: Option<u64>,
    /// The instrument.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// The bar length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeframe: Option<String>,
    /// The open time of the bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The number of corrections of the bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// The reason why the message has to be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Difference>,
    /// The expected and the found value, in words.
    pub detail: String,
}

impl Finding {
    /// One about `kind` in `stream`.
    #[must_use]
    pub fn new(kind: Kind, stream: &str, detail: String) -> Self {
        Self {
            kind,
            stream: stream.to_owned(),
            sequence: None,
            last_sequence: None,
            bars_stream: None,
            bar_sequence: None,
            symbol: None,
            timeframe: None,
            timestamp: None,
            revision: None,
            reason: None,
            fields: Vec::new(),
            detail,
        }
    }

    /// At this sequence.
    #[must_use]
    pub const fn at(mut self, seq: u64) -> Self {
        self.sequence = Some(seq);
        self
    }

    /// Of this message of bars.
    #[must_use]
    pub fn of(mut self, stream: &str, seq: u64) -> Self {
        self.bars_stream = Some(stream.to_owned());
        self.bar_sequence = Some(seq);
        self
    }

    /// Of this signal.
    #[must_use]
    pub fn about(mut self, key: &Key) -> Self {
        self.symbol = Some(key.series.symbol.to_string());
        self.timeframe = Some(key.series.timeframe.to_string());
        self.timestamp = Some(key.timestamp.to_string());
        self.revision = Some(key.revision);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Signal => "signal",
            Kind::DeadLetter => "dead letter",
            Kind::Bars => "bars",
        })?;
        if let Some(seq) = self.sequence {
            write!(f, " {} #{seq}", self.stream)?;
        }
        if let Some(last) = self.last_sequence {
            write!(f, " to #{last}")?;
        }
        if let (Some(symbol), Some(timeframe), Some(timestamp)) =
            (&self.symbol, &self.timeframe, &self.timestamp)
        {
            write!(f, " {symbol} {timeframe} {timestamp}")?;
            if let Some(revision) = self.revision.filter(|revision| *revision > 0) {
                write!(f, " revision {revision}")?;
            }
        }
        if let (Some(stream), Some(seq)) = (&self.bars_stream, self.bar_sequence) {
            write!(f, " (bar {stream} #{seq})")?;
        }
        write!(f, ": {}", self.detail)?;
        for difference in &self.fields {
            let text = |value: &Option<Value>| {
                let value = value.as_ref();
                value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
            };
            let (expected, found) = (text(&difference.expected), text(&difference.found));
            write!(
                f,
                "\n      {}: expected {expected}, found {found}",
                difference.field
            )?;
        }
        Ok(())
    }
}

/// Findings of one kind: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// All of them.
    pub total: u64,
    /// The first of them.
    pub described: Vec<Finding>,
}

impl Findings {
    /// Counts one, and describes it while there is room.
    pub fn add(&mut self, finding: impl FnOnce() -> Finding) {
        self.total += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(finding());
        }
    }
}

impl Serialize for Findings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.described.serialize(serializer)
    }
}

/// The number of findings of each kind, described or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Of `missing`.
    pub missing: u64,
    /// Of `doubled`.
    pub doubled: u64,
    /// Of `different`.
    pub different: u64,
    /// Of `out_of_order`.
    pub out_of_order: u64,
    /// Of `holes`.
    pub holes: u64,
}

/// A run of signals that differ, nearly all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The partition.
    pub partition: u32,
    /// The time at which the stream stored the first bar whose signal differs.
    #[serde(serialize_with = "Timestamp::serialize_rfc3339")]
    pub from: Timestamp,
    /// The time at which it stored the first bar since whose signal does not; `None` when all do.
    #[serde(serialize_with = "optional")]
    pub to: Option<Timestamp>,
}

fn optional<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => at.serialize_rfc3339(serializer),
        None => serializer.serialize_none(),
    }
}

/// The findings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Messages of the streams of bars that were judged.
    pub bars: u64,
    /// Signals that are stored for them.
    pub signals: u64,
    /// Dead letters that are stored for them.
    pub dead_letters: u64,
    /// Signals and dead letters that are not stored.
    pub missing: Findings,
    /// Those that are stored more than once.
    pub doubled: Findings,
    /// Those that are not what the bars give, and those that no bar gives.
    pub different: Findings,
    /// Signals that are stored after one of a later bar of their series.
    pub out_of_order: Findings,
    /// Messages that were deleted from the middle of a stream of bars.
    pub holes: Findings,
    /// All findings.
    pub totals: Totals,
    /// Signals and dead letters of bars that the group has not committed yet.
    pub pending: u64,
    /// Signals and dead letters that cannot be judged, by why.
    pub not_checkable: BTreeMap<&'static str, u64>,
    /// The times at which the configuration may have changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Seconds it took.
    pub seconds: f64,
    /// True if every promise is kept.
    pub ok: bool,
}

impl VerifyReport {
    /// Notes that something cannot be judged.
    pub fn skip(&mut self, why: &'static str, count: u64) {
        if count > 0 {
            *self.not_checkable.entry(why).or_default() += count;
        }
    }

    /// Sums up.
    pub fn finish(&mut self, seconds: f64) {
        self.totals = Totals {
            missing: self.missing.total,
            doubled: self.doubled.total,
            different: self.different.total,
            out_of_order: self.out_of_order.total,
            holes: self.holes.total,
        };
        self.seconds = seconds;
        self.ok = self.totals == Totals::default();
    }

    fn kinds(&self) -> [(&'static str, &Findings); 5] {
        [
            ("missing", &self.missing),
            ("doubled", &self.doubled),
            ("different", &self.different),
            ("out of order", &self.out_of_order),
            ("holes", &self.holes),
        ]
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in [
            ("bars", self.bars),
            ("signals", self.signals),
            ("dead letters", self.dead_letters),
            ("pending", self.pending),
        ] {
            writeln!(f, "{name:14}{count:>12}")?;
        }
        let skipped: u64 = self.not_checkable.values().sum();
        writeln!(f, "{:14}{skipped:>12}", "not checkable")?;
        for (why, count) in &self.not_checkable {
            writeln!(f, "  {count} {why}")?;
        }
        for (name, findings) in self.kinds() {
            writeln!(f, "{name:14}{:>12}", findings.total)?;
        }
        for (name, findings) in self.kinds() {
            if findings.total == 0 {
                continue;
            }
            writeln!(f, "\n{name}:")?;
            for finding in findings.described.iter().take(SHOWN) {
                writeln!(f, "  {finding}")?;
            }
            let more = findings.total.saturating_sub(SHOWN as u64);
            if more > 0 {
                writeln!(f, "  and {more} more (--json describes up to {DESCRIBED})")?;
            }
        }
        for change in &self.changes {
            let to = match change.to {
                Some(to) => format!("before {to}"),
                None => "since".to_owned(),
            };
            writeln!(
                f,
                "\npartition {}: nearly all signals of bars stored from {} on and {to} differ, as if they \
                 were made under another configuration",
                change.partition, change.from
            )?;
        }
        let verdict = if self.ok {
            "every promise is kept"
        } else {
            "a promise is BROKEN"
        };
        writeln!(f, "\n{verdict} ({:.1} s)", self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_findings_are_counted_and_the_first_described() {
        let mut report = VerifyReport::default();
        for seq in 0..250 {
            let finding = || Finding::new(Kind::Signal, "S", "no such bar".to_owned()).at(seq);
            report.doubled.add(finding);
        }
        report.finish(1.0);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["doubled"].as_array().unwrap().len(), 100);
        assert_eq!(json["totals"]["doubled"], 250);
        assert_eq!(json["ok"], false);
        assert_eq!(json["missing"], serde_json::json!([]));
        let text = report.to_string();
        assert!(text.contains("doubled                250\n"), "{text}");
        assert!(text.contains("signal S #9: no such bar\n"), "{text}");
        assert!(text.contains("and 240 more"), "{text}");
        assert!(!text.contains("S #10"), "{text}");
    }

    #[test]
    fn what_cannot_be_judged_breaks_nothing() {
        let mut report = VerifyReport::default();
        report.skip("because", 3);
        report.skip("because", 2);
        report.skip("never", 0);
        report.finish(0.0);
        assert!(report.ok);
        assert!(report.to_string().contains("  5 because\n"));
        assert!(!report.to_string().contains("never"));
    }
}
