//! The account of a replay, for people: what was taken, what was not, and why no signal came.

use std::collections::BTreeMap;
use std::fmt;

use crate::engine::{Engine, Rebuilt};
use crate::market::{SeriesKey, Timestamp};
use crate::pipeline::Change;

/// Counts of one replay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bars taken in, of which some are forming, corrections or duplicates.
    pub bars: u64,
    /// Signals printed.
    pub signals: u64,
    /// Bars that were still forming.
    pub forming: u64,
    /// Bars that replaced one of the same time.
    pub corrections: u64,
    /// Late bars inserted among the newest of their series.
    pub inserted: u64,
    /// Signals of later bars, changed by a correction or insertion.
    pub revised: u64,
    /// Bars equal to an earlier one.
    pub duplicates: u64,
    /// Lines and elements that were not taken, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Messages that are understood and are no bars, by kind.
    pub ignored: BTreeMap<&'static str, u64>,
    /// Trades that bars are built from.
    pub trades: u64,
    /// Bars derived from those taken in.
    pub derived: u64,
    /// Resets, including those of unknown series.
    pub resets: u64,
    /// Time marks taken in.
    pub marks: u64,
    /// Series rebuilt with a history.
    pub rebuilt: u64,
    /// The earliest open time of a bar, or time of a trade, taken in.
    pub first: Option<Timestamp>,
    /// The latest one.
    pub last: Option<Timestamp>,
    /// Reason for the missing signal; none if there was one.
    pub silence: Option<String>,
}

impl Summary {
    /// Counts a bar that opened at `time` and was taken in.
    pub(super) fn take(&mut self, time: Timestamp, change: Change) {
        match change {
            Change::Appended => {}
            Change::Corrected => self.corrections += 1,
            Change::Inserted => self.inserted += 1,
            Change::Forming => self.forming += 1,
        }
        self.note(time);
    }

    /// Counts a bar that opened at `time` and equals one before.
    pub(super) fn repeat(&mut self, time: Timestamp) {
        self.duplicates += 1;
        self.note(time);
    }

    /// Counts a trade of `time`.
    pub(super) fn trade(&mut self, time: Timestamp) {
        self.trades += 1;
        self.span(time);
    }

    /// Counts the bars of a history that rebuilt its series.
    pub(super) fn rebuild(&mut self, rebuilt: &Rebuilt) {
        self.rebuilt += 1;
        self.span(rebuilt.first);
        self.span(rebuilt.last);
        self.bars += rebuilt.bars();
        self.corrections += rebuilt.corrections;
        self.duplicates += rebuilt.duplicates;
    }

    fn note(&mut self, time: Timestamp) {
        self.bars += 1;
        self.span(time);
    }

    fn span(&mut self, time: Timestamp) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    pub(super) fn refuse(&mut self, reason: &'static str, elements: u64) {
        *self.refused.entry(reason).or_default() += elements;
    }

    pub(super) fn ignore(&mut self, kind: &'static str) {
        *self.ignored.entry(kind).or_default() += 1;
    }

    /// Finds out why there is no signal, if there is none.
    pub(super) fn explain_silence(&mut self, engine: &Engine) {
        self.silence = (self.signals == 0).then(|| self.silence_of(engine));
    }

    fn silence_of(&self, engine: &Engine) -> String {
        if self.bars == 0 && self.trades == 0 {
            return match self.refused.values().sum::<u64>() {
                0 => "the input has no bars".to_owned(),
                refused => format!("nothing was taken in, {refused} refused"),
            };
        }
        let longest = engine
            .iter()
            .map(|(_, series)| series)
            .max_by_key(|series| {
                // of equal ones always the same, however the engine lists them
                let SeriesKey { symbol, timeframe } = series.key();
                (
                    series.bars(),
                    std::cmp::Reverse((symbol.clone(), *timeframe)),
                )
            });
        let Some(longest) = longest else {
            return "every bar is still forming".to_owned();
        };
        let (config, have) = (engine.config(), longest.bars());
        let series = format!("{} {}", longest.key().symbol, longest.key().timeframe);
        let needed = config.min_bars;
        if have >= needed as u64 {
            return format!(
                "{series} has {have} bars, and only every {}th is published \
                 (TECHNICAL_PUBLISH_FREQUENCY)",
                config.publish_frequency
            );
        }
        let noun = if have == 1 { "bar" } else { "bars" };
        let mut text = format!(
            "{series} has the most bars, {have} {noun} of different times; a signal needs {needed} \
             (TECHNICAL_MIN_BARS_REQUIRED)"
        );
        let same = self.corrections + self.duplicates;
        if same > 0 {
            let times = self.bars - same - self.forming;
            text = format!(
                "{} bars have only {times} different times, and {same} of them are corrections or \
                 duplicates; {text}",
                self.bars - self.forming
            );
        }
        text
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bars, {} signals, {} corrections, {} duplicates, {} forming, {}",
            self.bars,
            self.signals,
            self.corrections,
            self.duplicates,
            self.forming,
            Refused(&self.refused)
        )?;
        if !self.ignored.is_empty() {
            write!(f, ", {}", Counts("ignored", &self.ignored))?;
        }
        if self.inserted > 0 {
            write!(f, ", {} inserted", self.inserted)?;
        }
        if self.revised > 0 {
            write!(f, ", {} revised", self.revised)?;
        }
        if self.trades > 0 {
            write!(f, ", {} trades", self.trades)?;
        }
        if self.derived > 0 {
            write!(f, ", {} derived", self.derived)?;
        }
        if self.resets > 0 {
            write!(f, ", {} resets", self.resets)?;
        }
        if self.marks > 0 {
            write!(f, ", {} marks", self.marks)?;
        }
        if self.rebuilt > 0 {
            write!(f, ", {} rebuilt with a history", self.rebuilt)?;
        }
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(f, "\nfirst {first}, last {last}")?;
        }
        if let Some(silence) = &self.silence {
            write!(f, "\nno signal: {silence}")?;
        }
        Ok(())
    }
}

/// The number of refusals, with the reasons.
pub(in crate::tools) struct Refused<'a>(pub &'a BTreeMap<&'static str, u64>);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Counts("refused", self.0).fmt(f)
    }
}

/// A sum, and what it is made of.
struct Counts<'a>(&'static str, &'a BTreeMap<&'static str, u64>);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, counts) = self;
        write!(f, "{} {what}", counts.values().sum::<u64>())?;
        let mut before = " (";
        for (name, count) in *counts {
            write!(f, "{before}{name} {count}")?;
            before = ", ";
        }
        f.write_str(if counts.is_empty() { "" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn every_change_is_counted_and_the_times_span_what_was_taken() {
        let mut summary = Summary::default();
        for (time, change) in [
            (120, Change::Appended),
            (60, Change::Appended),
            (180, Change::Appended),
            (180, Change::Corrected),
            (240, Change::Forming),
        ] {
            summary.take(at(time), change);
        }
        summary.repeat(at(180));
        for (reason, elements) in [("late", 1), ("too_many_series", 1), ("bad_price", 2)] {
            summary.refuse(reason, elements);
        }
        assert_eq!(
            summary.to_string(),
            "6 bars, 0 signals, 1 corrections, 1 duplicates, 1 forming, \
             4 refused (bad_price 2, late 1, too_many_series 1)\n\
             first 1970-01-01T00:01:00Z, last 1970-01-01T00:04:00Z"
        );
        for kind in ["quote", "heartbeat", "quote"] {
            summary.ignore(kind);
        }
        let text = summary.to_string();
        assert!(
            text.contains("too_many_series 1), 3 ignored (heartbeat 1, quote 2)\n"),
            "{text}"
        );
    }
}
