//! The judgement: what the messages of a partition give, against what is stored for them.
//!
//! Does no IO. Where a stored message has to be looked at to describe it, the caller is asked for
//! it. A fault is something that no order of events explains in which the promises were kept; what
//! may have been lost by retention is counted as not checkable instead.

mod due;
mod partition;
mod scope;

use super::key::Head;
use super::letters::{Letters, Place};
use super::report::{Finding, Kind, VerifyReport};
use super::signals::{Left, Signals};
use crate::bus::durable::{Committed, Output};
use crate::wire::Reason;

pub use partition::PartitionJudge;
pub use scope::{Bars, Retention, Run, Share, Span};

use partition::Partition;

/// The reasons why signals of known bars are not checkable.
const BARS_GONE: &str = "computed from bars that are not in the stream any more";
const SIGNALS_GONE: &str = "older than what the stream of signals retains";
const ONE_CONFIGURATION: &str = "due under one of the configurations only";
/// The reason why signals of another stream of bars are not checkable.
pub const OTHER_BARS: &str = "stored before the stream of bars was made";
const OTHER_GROUPS: &str = "dead letters that may be of another group";
/// Signals that differ before a change of configuration is suspected.
const SUSPICIOUS: u64 = 5;
/// Stored signals that are looked at to find out how old their series are.
const PROBES: u32 = 1_000;

/// A stored signal or letter that has to be looked at.
#[derive(Debug)]
pub struct Look {
    /// Its sequence in the stream of signals.
    pub seq: u64,
    expected: Expected,
    /// True if it is looked at to find out how old its series is.
    pub is_probe: bool,
    input: u64,
    in_span: bool,
}

#[derive(Debug)]
enum Expected {
    Signal(Box<Output>, Head),
    Letter(Reason, u64),
}

/// The options of a judgement.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The part of the work at hand.
    pub share: Share,
    /// The time that is asked for.
    pub span: Span,
    /// Bars in a full window.
    pub window: u64,
    /// True if every bar has a signal that is old enough for one.
    pub is_every: bool,
}

/// One pass over all partitions.
pub struct Judge<'a> {
    terms: Terms,
    signals: Signals,
    letters: Letters,
    retention: Retention,
    /// Signals that were stored within the time asked for.
    stored_in_span: Run,
    /// The streams of bars: of subjects with a symbol, and without.
    bars: [Option<Bars>; 2],
    probes: u32,
    report: &'a mut VerifyReport,
}

impl<'a> Judge<'a> {
    /// With all that is stored in the stream of signals, and the streams of bars.
    pub fn new(
        terms: Terms,
        (signals, letters): (Signals, Letters),
        retention: Retention,
        stored_in_span: Run,
        bars: [Option<Bars>; 2],
        report: &'a mut VerifyReport,
    ) -> Self {
        Self {
            terms,
            signals,
            letters,
            retention,
            stored_in_span,
            bars,
            probes: 0,
            report,
        }
    }

    /// Judges one partition.
    pub fn partition(
        &mut self,
        number: u32,
        is_bare: bool,
        committed: Option<Committed>,
    ) -> PartitionJudge<'_, 'a> {
        let bars = self.bars[usize::from(is_bare)].as_ref();
        let is_cut = bars.is_some_and(|bars| bars.first > 1 || bars.uncounted > 0);
        let origin = bars.map(|bars| bars.origin.clone());
        PartitionJudge {
            partition: Partition::new(
                number,
                is_bare,
                committed.filter(|one| Some(&one.origin) == origin.as_ref()),
                is_cut,
            ),
            judge: self,
        }
    }

    /// Judges what nothing has claimed, and what the streams of bars lack.
    pub fn finish(mut self) {
        let mut signals = std::mem::take(&mut self.signals);
        signals.left(|left| self.unclaimed(&left));
        let letters: Vec<_> = self.letters.left().collect();
        for left in letters {
            self.unclaimed_letter(
                left.letter.place,
                left.letter.reason,
                left.letter.seq,
                left.twin,
            );
        }
        if self.terms.share.number == 0 {
            self.holes();
        }
    }

    fn unclaimed(&mut self, left: &Left) {
        let name = &self.retention.name;
        let is_asked_for = self.stored_in_span.has(left.seq);
        let of = |bit: u8| left.sources == 0 || left.sources & bit != 0;
        let bars = [(1, &self.bars[0]), (2, &self.bars[1])];
        let bars = bars.into_iter().filter(|(bit, _)| of(*bit));
        let bars: Vec<&Bars> = bars.filter_map(|(_, bars)| bars.as_ref()).collect();
        if bars.iter().any(|bars| left.seq < bars.signals_since) {
            self.report.skip(OTHER_BARS, u64::from(is_asked_for));
            return;
        }
        if let Some((first, in_span)) = left.twin {
            if in_span.unwrap_or(is_asked_for) {
                self.report.doubled.add(|| {
                    let detail = format!("the same signal is stored at #{first}");
                    let finding = Finding::new(Kind::Signal, name, detail);
                    finding.at(left.seq).about(&left.key)
                });
            }
            return;
        }
        if !is_asked_for {
            return;
        }
        let is_old = left.losses > 0 && left.since.is_none_or(|since| left.input < since);
        let gone = |bars: &&Bars| left.input < bars.first || bars.is_deleted(left.input);
        if left.input > 0 && (is_old || bars.iter().any(gone)) {
            self.report.skip(BARS_GONE, 1);
            return;
        }
        self.report.different.add(|| {
            let detail = match left.input {
                0 => "no bar gives this signal, and it names none".to_owned(),
                input => format!("no bar gives this signal; it names message #{input}"),
            };
            let finding = Finding::new(Kind::Signal, name, detail);
            finding.at(left.seq).about(&left.key)
        });
    }

    fn unclaimed_letter(
        &mut self,
        place: Place,
        reason: Option<Reason>,
        seq: u64,
        twin: Option<u64>,
    ) {
        let Some(bars) = &self.bars[usize::from(place.is_bare())] else {
            return;
        };
        let name = &self.retention.name;
        if let Some(first) = twin {
            if bars.in_span.has(place.seq()) {
                self.report.doubled.add(|| {
                    let detail = format!("the same dead letter is stored at #{first}");
                    let finding = Finding::new(Kind::DeadLetter, name, detail);
                    finding.at(seq).of(&bars.name, place.seq())
                });
            }
            return;
        }
        if place.seq() < bars.first || bars.is_deleted(place.seq()) {
            self.report.skip(BARS_GONE, 1);
            return;
        }
        let is_known = place.seq() <= bars.last;
        if is_known && !bars.in_span.has(place.seq()) {
            return;
        }
        if self.letters.are_shared() {
            self.report.skip(OTHER_GROUPS, 1);
            return;
        }
        let by_history = reason.is_some_and(Reason::is_by_history);
        let is_cut = bars.first > 1 || !bars.deleted.is_empty() || bars.uncounted > 0;
        if by_history && is_cut {
            self.report.skip(BARS_GONE, 1);
            return;
        }
        self.report.different.add(|| {
            let detail = "this message is not to be refused".to_owned();
            let mut finding = Finding::new(Kind::DeadLetter, name, detail);
            finding.reason = reason.map(|reason| reason.name().to_owned());
            finding.at(seq).of(&bars.name, place.seq())
        });
    }

    fn holes(&mut self) {
        for bars in self.bars.iter().flatten() {
            if bars.uncounted > 0 {
                let why = "messages of bars that were deleted, too many to look at each";
                self.report.skip(why, bars.uncounted);
            }
            let mut deleted = bars.deleted.iter().copied().peekable();
            while let Some(first) = deleted.next() {
                let mut last = first;
                while let Some(next) = deleted.next_if(|next| *next == last + 1) {
                    last = next;
                }
                if bars.drops(last) {
                    let why =
                        "messages of bars that were dropped by the stream's limit per subject";
                    self.report.skip(why, last - first + 1);
                    continue;
                }
                // beside a message that is asked for
                if !bars.in_span.has(first.saturating_sub(1)) && !bars.in_span.has(last + 1) {
                    continue;
                }
                self.report.holes.add(|| {
                    let count = last - first + 1;
                    let plural = if count == 1 {
                        "message was"
                    } else {
                        "messages were"
                    };
                    let detail = format!("{count} {plural} deleted");
                    let mut finding = Finding::new(Kind::Bars, &bars.name, detail).at(first);
                    finding.last_sequence = (last > first).then_some(last);
                    finding
                });
            }
        }
    }
}
