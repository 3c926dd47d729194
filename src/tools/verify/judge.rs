//! The judgement: what the messages of a partition give, against what is stored for them.
//!
//! Does no IO. Where a stored message has to be looked at to describe it, the caller is asked for
//! it. A fault is something that no order of events explains in which the promises were kept; what
//! may have been lost by retention is counted as not checkable instead.

use std::collections::HashMap;

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::difference;
use super::key::{Head, Key, hash};
use super::letters::{Claim as LetterClaim, Due as DueLetter, Letters, Place};
use super::report::{Change, Difference, Finding, Findings, Kind, VerifyReport};
use super::signals::{Claim, Due, Left, Signals};
use super::source::Message;
use crate::bus::durable::{Committed, Output};
use crate::market::{SeriesKey, Timestamp};
use crate::tools::reader::Stored;
use crate::wire::Reason;
use crate::wire::headers::{INPUT_SEQ, REASON, REDRIVEN};

/// Why signals of bars at hand are not checkable.
const BARS_GONE: &str = "computed from bars that are not in the stream any more";
const SIGNALS_GONE: &str = "older than what the stream of signals retains";
const ONE_CONFIGURATION: &str = "due under one of the configurations only";
/// Why signals of another stream of bars are not checkable.
pub const OTHER_BARS: &str = "stored before the stream of bars was made";
const OTHER_GROUPS: &str = "dead letters that may be of another group";
/// Signals that differ before a change of configuration is suspected.
const SUSPICIOUS: u64 = 5;
/// Stored signals that are looked at to find out how old their series are.
const PROBES: u32 = 1_000;

/// The part of the work at hand: what is kept for each signal has to fit into memory.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Parts there are.
    pub of: u64,
    /// This one.
    pub number: u64,
}

impl Share {
    /// Returns whether signals of `series` are judged now.
    #[must_use]
    pub fn has(self, series: &SeriesKey) -> bool {
        let nanos = series.timeframe.nanos().unsigned_abs();
        xxh3_64_with_seed(series.symbol.as_str().as_bytes(), nanos) % self.of == self.number
    }

    /// Returns whether letters about the message are judged now.
    #[must_use]
    pub const fn has_letters(self, place: Place) -> bool {
        place.seq() % self.of == self.number
    }
}

/// The time that is asked for, by when the stream stored a bar.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The first moment after it.
    pub to: Option<Timestamp>,
}

impl Span {
    /// Returns whether `at` is in it.
    #[must_use]
    pub fn has(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

/// A run of sequences.
#[derive(Debug, Clone, Copy, Default)]
pub struct Run(Option<(u64, u64)>);

impl Run {
    /// Makes room for `seq`.
    pub fn add(&mut self, seq: u64) {
        self.0 = Some(self.0.map_or((seq, seq), |(a, b)| (a.min(seq), b.max(seq))));
    }

    fn has(self, seq: u64) -> bool {
        self.0.is_some_and(|(a, b)| (a..=b).contains(&seq))
    }
}

/// A stream of bars as it was found.
#[derive(Debug, Clone)]
pub struct Bars {
    /// Its name.
    pub name: String,
    /// When it was made, as markers say it.
    pub origin: String,
    /// The first message it retains.
    pub first: u64,
    /// The last message that is read.
    pub last: u64,
    /// The first signal that was stored since the stream was made.
    pub signals_since: u64,
    /// Deleted messages between the two, in order.
    pub deleted: Vec<u64>,
    /// Deleted messages that are too many to be looked at.
    pub uncounted: u64,
    /// Messages that it keeps of each subject; more are dropped.
    pub per_subject: Option<u64>,
    /// Messages within the time asked for.
    pub in_span: Run,
    /// By the hash of a subject: its messages, and the first of them. Kept where the stream drops
    /// messages by subject.
    pub subjects: HashMap<u64, (u64, u64)>,
}

impl Bars {
    fn is_deleted(&self, seq: u64) -> bool {
        self.deleted.binary_search(&seq).is_ok()
    }

    /// Whether the stream itself drops messages from its middle: the oldest of a subject that has
    /// as many as are kept.
    fn drops(&self, seq: u64) -> bool {
        self.per_subject.is_some_and(|most| {
            let mut full = self.subjects.values().filter(|(count, _)| *count >= most);
            full.any(|(_, first)| *first > seq)
        })
    }
}

/// The limits of the stream of signals.
#[derive(Debug, Clone)]
pub struct Retention {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Older messages have been dropped when it was read.
    pub oldest: Option<Timestamp>,
    /// When its first message was stored, where it drops the oldest for room.
    pub first_at: Option<Timestamp>,
    /// Messages that it keeps of each subject.
    pub per_subject: Option<u64>,
}

impl Retention {
    /// Returns whether a signal of a bar that was stored at `at` may have been dropped.
    fn may_drop(&self, at: Timestamp) -> bool {
        at < self.created
            || self.oldest.is_some_and(|oldest| at < oldest)
            || self.first_at.is_some_and(|first| at <= first)
    }
}

/// A letter that is due and not stored.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    reason: Reason,
    hash: u64,
    in_span: bool,
    is_covered: bool,
}

/// A partition at work.
struct Partition {
    number: u32,
    is_bare: bool,
    committed: Option<Committed>,
    /// True if bars of it are missing, and how often that was noticed.
    losses: u32,
    next_deleted: usize,
    /// The last message of which something is stored.
    last_found: Option<u64>,
    /// Signals that are not stored and may be still to come.
    waiting: Findings,
    waiting_unchecked: u64,
    unwritten: HashMap<u64, Vec<Unwritten>>,
    stretch: Stretch,
}

/// A run of signals that differ, as another configuration gives it.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    different: u64,
    from: Option<Timestamp>,
    /// When the bar of the first signal after it was stored that is as it should be.
    to: Option<Timestamp>,
    /// Signals within it that are as they should be, and such after it.
    equal: u64,
    equal_after: u64,
}

impl Stretch {
    fn add(&mut self, at: Timestamp, is_equal: bool) {
        if is_equal && self.from.is_some() {
            self.to.get_or_insert(at);
            self.equal_after += 1;
        } else if !is_equal {
            self.from.get_or_insert(at);
            self.to = None;
            self.equal += std::mem::take(&mut self.equal_after);
            self.different += 1;
        }
    }

    /// The run, if it is one: signals that warm up may be the same under any configuration.
    fn change(self, partition: u32) -> Option<Change> {
        let is_run = self.different >= SUSPICIOUS && self.equal * 10 <= self.different;
        Some(Change {
            partition,
            from: self.from.filter(|_| is_run)?,
            to: self.to,
        })
    }
}

/// A stored signal or letter that has to be looked at.
#[derive(Debug)]
pub struct Look {
    /// Where it is in the stream of signals.
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
            partition: Partition {
                number,
                is_bare,
                committed: committed.filter(|one| Some(&one.origin) == origin.as_ref()),
                losses: u32::from(is_cut),
                next_deleted: 0,
                last_found: None,
                waiting: Findings::default(),
                waiting_unchecked: 0,
                unwritten: HashMap::new(),
                stretch: Stretch::default(),
            },
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
        // what came before is part of these two
        let by_history = matches!(reason, Some(Reason::Late | Reason::TooManySeries));
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

/// One partition and its judge.
pub struct PartitionJudge<'j, 'a> {
    judge: &'j mut Judge<'a>,
    partition: Partition,
}

impl PartitionJudge<'_, '_> {
    /// Whether the message is to be refused unread: it made the engine panic, which another try
    /// need not show.
    #[must_use]
    pub fn is_poison(&self, seq: u64) -> bool {
        let committed = self.partition.committed.as_ref();
        let place = Place::new(self.partition.is_bare, seq);
        committed.is_some_and(|one| one.poison.contains(&seq))
            || self.judge.letters.has(place, Reason::Poison)
    }

    /// Judges a message by what it gives under each configuration, the present one first; names
    /// what has to be looked at.
    pub fn message(&mut self, stored: &Stored, outputs: Vec<Vec<Output>>) -> Vec<Look> {
        let in_span = self.judge.terms.span.has(stored.at);
        self.note(stored, in_span);
        let sorted = Sorted::from(outputs);
        let mut looks = Vec::new();
        for signal in sorted.signals {
            if self.judge.terms.share.has(&signal.head.key.series) {
                looks.extend(self.signal(stored, signal, in_span));
            }
        }
        let place = Place::new(self.partition.is_bare, stored.seq);
        if !sorted.letters.is_empty() && self.judge.terms.share.has_letters(place) {
            looks.extend(self.letters(place, stored.at, &sorted.letters, in_span));
        }
        looks
    }

    fn note(&mut self, stored: &Stored, in_span: bool) {
        let partition = &mut self.partition;
        let Some(bars) = &mut self.judge.bars[usize::from(partition.is_bare)] else {
            return;
        };
        if in_span {
            bars.in_span.add(stored.seq);
            if self.judge.terms.share.number == 0 {
                self.judge.report.bars += 1;
            }
        }
        if bars.per_subject.is_some() && !bars.deleted.is_empty() {
            let subject = xxh3_64(stored.subject.as_bytes());
            bars.subjects.entry(subject).or_insert((0, stored.seq)).0 += 1;
        }
        let before = partition.next_deleted;
        let deleted = bars.deleted[before..].iter();
        partition.next_deleted += deleted.take_while(|seq| **seq < stored.seq).count();
        if partition.next_deleted > before {
            partition.losses += 1;
        }
        // a letter that was put back is not there any more
        let number = |name| stored.headers.get(name)?.as_str().parse::<u64>().ok();
        if stored.headers.get(REDRIVEN).is_some()
            && let Some(refused) = number(INPUT_SEQ)
            && let Some(unwritten) = partition.unwritten.get_mut(&refused)
        {
            let hash = xxh3_64(&stored.payload);
            if let Some(at) = unwritten.iter().position(|one| one.hash == hash) {
                unwritten.remove(at);
            }
        }
    }

    /// Returns whether the group says that this output is stored.
    fn is_covered(&self, seq: u64, number: usize) -> bool {
        self.partition.committed.as_ref().is_some_and(|one| {
            seq <= one.seq || (seq == one.seq.saturating_add(1) && number < one.part)
        })
    }

    /// A message that is stored in order shows that all before it were.
    fn found(&mut self, seq: u64) {
        let partition = &mut self.partition;
        partition.last_found = Some(seq);
        let waiting = std::mem::take(&mut partition.waiting);
        let missing = &mut self.judge.report.missing;
        missing.total += waiting.total;
        let room = super::report::DESCRIBED.saturating_sub(missing.described.len());
        missing
            .described
            .extend(waiting.described.into_iter().take(room));
        let unchecked = std::mem::take(&mut partition.waiting_unchecked);
        self.judge.report.skip(BARS_GONE, unchecked);
    }

    fn signal(&mut self, stored: &Stored, signal: DueSignal, in_span: bool) -> Option<Look> {
        let DueSignal { output, head, .. } = signal;
        let bars = self.judge.bars[usize::from(self.partition.is_bare)].as_ref();
        let due = Due {
            key: &head.key,
            hashes: &signal.hashes,
            input: stored.seq,
            since: bars.map_or(0, |bars| bars.signals_since),
            in_range: in_span,
        };
        let losses = self.partition.losses;
        let window = self.judge.terms.window;
        let claim = self
            .judge
            .signals
            .claim(due, head.bars_analyzed, window, losses);
        match claim {
            Claim::Equal(_) => {
                self.partition.stretch.add(stored.at, true);
                self.found(stored.seq);
                None
            }
            Claim::Different(seq) => {
                self.found(stored.seq);
                let is_probe = self.is_worth_a_look(&head);
                if !is_probe && !self.judge.signals.is_trusted(&head.key.series) {
                    self.judge.report.skip(BARS_GONE, u64::from(in_span));
                    return None;
                }
                if !is_probe {
                    self.partition.stretch.add(stored.at, false);
                    if !in_span {
                        return None;
                    }
                }
                Some(Look {
                    seq,
                    expected: Expected::Signal(Box::new(output), head),
                    is_probe,
                    input: stored.seq,
                    in_span,
                })
            }
            Claim::Nothing if !in_span => None,
            Claim::Nothing if !signal.is_certain => {
                self.judge.report.skip(ONE_CONFIGURATION, 1);
                None
            }
            Claim::Nothing => {
                let is_covered = self.is_covered(stored.seq, signal.number);
                self.missing(stored, &head.key, is_covered);
                None
            }
        }
    }

    /// Returns whether a signal that differs shows how old its series is.
    fn is_worth_a_look(&mut self, head: &Head) -> bool {
        let series = &head.key.series;
        let judge = &mut self.judge;
        let is_worth = !judge.signals.is_trusted(series)
            && head.bars_analyzed < judge.terms.window
            && judge.probes < PROBES
            && judge.signals.probe(series);
        judge.probes += u32::from(is_worth);
        is_worth
    }

    fn missing(&mut self, stored: &Stored, key: &Key, is_covered: bool) {
        if self.partition.last_found.is_none() && self.judge.retention.may_drop(stored.at)
            || self.is_dropped_by_subject(key)
        {
            self.judge.report.skip(SIGNALS_GONE, 1);
            return;
        }
        let place = Place::new(self.partition.is_bare, stored.seq);
        // with more history a bar after one that has a signal has one too, unless it was refused
        let is_checkable = self.judge.signals.is_trusted(&key.series)
            || (key.revision == 0
                && self.judge.terms.is_every
                && self.judge.signals.has_earlier(key)
                && !self.judge.letters.has_any(place));
        let bars = self.bars_name();
        let name = &self.judge.retention.name;
        let finding = || {
            let detail = "the bar has no signal".to_owned();
            let finding = Finding::new(Kind::Signal, name, detail);
            finding.of(&bars, stored.seq).about(key)
        };
        match (is_checkable, is_covered) {
            (true, true) => self.judge.report.missing.add(finding),
            (true, false) => self.partition.waiting.add(finding),
            (false, true) => self.judge.report.skip(BARS_GONE, 1),
            (false, false) => self.partition.waiting_unchecked += 1,
        }
    }

    fn is_dropped_by_subject(&self, key: &Key) -> bool {
        self.judge.retention.per_subject.is_some_and(|most| {
            self.judge.signals.count(&key.series) >= most && !self.judge.signals.has_earlier(key)
        })
    }

    fn bars_name(&self) -> String {
        let bars = &self.judge.bars[usize::from(self.partition.is_bare)];
        bars.as_ref()
            .map_or_else(String::new, |bars| bars.name.clone())
    }

    fn letters(
        &mut self,
        place: Place,
        at: Timestamp,
        due: &[(DueLetter, usize)],
        in_span: bool,
    ) -> Vec<Look> {
        let all: Vec<DueLetter> = due.iter().map(|(due, _)| *due).collect();
        let claims = self.judge.letters.claim(place, &all);
        let mut looks = Vec::new();
        for (claim, (due, number)) in claims.into_iter().zip(due) {
            match claim {
                LetterClaim::Equal => self.found(place.seq()),
                LetterClaim::Different(seq) => {
                    self.found(place.seq());
                    if in_span {
                        looks.push(Look {
                            seq,
                            expected: Expected::Letter(due.reason, due.hash),
                            is_probe: false,
                            input: place.seq(),
                            in_span,
                        });
                    }
                }
                LetterClaim::Nothing if !due.is_certain => {
                    self.judge
                        .report
                        .skip(ONE_CONFIGURATION, u64::from(in_span));
                }
                LetterClaim::Nothing => {
                    if self.partition.last_found.is_none() && self.judge.retention.may_drop(at) {
                        self.judge.report.skip(SIGNALS_GONE, u64::from(in_span));
                        continue;
                    }
                    let unwritten = Unwritten {
                        reason: due.reason,
                        hash: due.hash,
                        in_span,
                        is_covered: self.is_covered(place.seq(), *number),
                    };
                    let of = self.partition.unwritten.entry(place.seq());
                    of.or_default().push(unwritten);
                }
            }
        }
        looks
    }

    /// Describes what was looked at; `found` is nothing when it is not there any more.
    pub fn looked(&mut self, look: Look, found: Option<&Message>) {
        let name = self.judge.retention.name.clone();
        let bars = self.bars_name();
        match look.expected {
            Expected::Signal(output, head) => {
                if look.is_probe {
                    let stored = found.and_then(|found| Head::read(&found.payload));
                    let is_same = stored.is_some_and(|s| s.bars_analyzed == head.bars_analyzed);
                    if !is_same {
                        self.judge.report.skip(BARS_GONE, u64::from(look.in_span));
                        return;
                    }
                    self.judge.signals.trust(&head.key.series, look.input);
                }
                if !look.in_span {
                    return;
                }
                self.judge.report.different.add(|| {
                    let (fields, detail) = match found {
                        Some(found) => differences(&output, found),
                        None => (
                            Vec::new(),
                            "it differed, and was removed meanwhile".to_owned(),
                        ),
                    };
                    let finding = Finding::new(Kind::Signal, &name, detail);
                    let finding = finding.at(look.seq).of(&bars, look.input);
                    let mut finding = finding.about(&head.key);
                    finding.fields = fields;
                    finding
                });
            }
            Expected::Letter(reason, hash) => self.judge.report.different.add(|| {
                let payload = found.map(|found| xxh3_64(&found.payload));
                let detail = match payload {
                    Some(payload) if payload == hash => "another reason is stored",
                    Some(_) => "another payload is stored",
                    None => "it differed, and was removed meanwhile",
                };
                let finding = Finding::new(Kind::DeadLetter, &name, detail.to_owned());
                let mut finding = finding.at(look.seq).of(&bars, look.input);
                finding.reason = Some(reason.name().to_owned());
                finding.fields = found
                    .and_then(|found| found.reason.clone())
                    .filter(|found| found != reason.name())
                    .map(|found| Difference {
                        field: "reason".to_owned(),
                        expected: Some(reason.name().into()),
                        found: Some(found.into()),
                    })
                    .into_iter()
                    .collect();
                finding
            }),
        }
    }

    /// Returns whether another difference would be described.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.judge.report.different.described.len() < super::report::DESCRIBED
    }

    /// Ends the partition.
    pub fn finish(self) {
        let Self { judge, partition } = self;
        judge.report.pending += partition.waiting.total + partition.waiting_unchecked;
        let name = judge.retention.name.clone();
        let bars = judge.bars[usize::from(partition.is_bare)].as_ref();
        let bars = bars.map_or_else(String::new, |bars| bars.name.clone());
        let mut unwritten: Vec<(u64, Vec<Unwritten>)> = partition.unwritten.into_iter().collect();
        unwritten.sort_unstable_by_key(|(seq, _)| *seq);
        for (seq, all) in unwritten {
            for one in all.into_iter().filter(|one| one.in_span) {
                if !one.is_covered && partition.last_found.is_none_or(|last| last < seq) {
                    judge.report.pending += 1;
                    continue;
                }
                judge.report.missing.add(|| {
                    let detail = "the refused message has no dead letter".to_owned();
                    let mut finding = Finding::new(Kind::DeadLetter, &name, detail);
                    finding.reason = Some(one.reason.name().to_owned());
                    finding.of(&bars, seq)
                });
            }
        }
        judge.signals.end_partition(partition.is_bare, |misplaced| {
            judge.report.out_of_order.add(|| {
                let detail = format!(
                    "a signal of a later bar of the series is stored before it, at #{}",
                    misplaced.after
                );
                let finding = Finding::new(Kind::Signal, &name, detail);
                finding.at(misplaced.seq).about(&misplaced.key)
            });
        });
        if let Some(change) = partition.stretch.change(partition.number) {
            judge.report.changes.push(change);
        }
    }
}

/// The outputs of a message, under all configurations together.
struct Sorted {
    signals: Vec<DueSignal>,
    /// With their places among the outputs of the message.
    letters: Vec<(DueLetter, usize)>,
}

/// A signal that a message gives.
struct DueSignal {
    output: Output,
    head: Head,
    /// One for each configuration under which it is due.
    hashes: Vec<u64>,
    /// Its place among the outputs of the message.
    number: usize,
    /// True if it is due under each.
    is_certain: bool,
}

impl From<Vec<Vec<Output>>> for Sorted {
    fn from(outputs: Vec<Vec<Output>>) -> Self {
        let configurations = outputs.len();
        let mut signals: Vec<DueSignal> = Vec::new();
        let mut letters: Vec<(DueLetter, usize)> = Vec::new();
        let mut written: Vec<usize> = Vec::new();
        for (which, outputs) in outputs.into_iter().enumerate() {
            for (number, output) in outputs.into_iter().enumerate() {
                if !output.is_letter {
                    let Some(head) = Head::read(&output.payload) else {
                        continue;
                    };
                    let hash = hash(&output.subject, &output.payload);
                    let mut same = signals.iter_mut().filter(|_| which > 0);
                    match same.find(|due| due.hashes.len() == which && due.head.key == head.key) {
                        Some(due) => due.hashes.push(hash),
                        None => signals.push(DueSignal {
                            output,
                            head,
                            hashes: vec![hash],
                            number,
                            is_certain: false,
                        }),
                    }
                } else if let Some(reason) = reason(&output.headers) {
                    let hash = xxh3_64(&output.payload);
                    let is_same = |due: &DueLetter| due.reason == reason && due.hash == hash;
                    let mut known = letters.iter().zip(&written);
                    match known.position(|((due, _), times)| *times == which && is_same(due)) {
                        Some(at) => written[at] += 1,
                        None => {
                            let is_certain = false;
                            let due = DueLetter {
                                reason,
                                hash,
                                is_certain,
                            };
                            letters.push((due, number));
                            written.push(1);
                        }
                    }
                }
            }
        }
        for due in &mut signals {
            due.is_certain = due.hashes.len() == configurations;
        }
        for ((due, _), times) in letters.iter_mut().zip(written) {
            due.is_certain = times == configurations;
        }
        Self { signals, letters }
    }
}

fn reason(headers: &HeaderMap) -> Option<Reason> {
    let text = headers.get(REASON).map(HeaderValue::as_str)?;
    Reason::ALL.into_iter().find(|reason| reason.name() == text)
}

fn differences(expected: &Output, found: &Message) -> (Vec<Difference>, String) {
    let mut fields = difference::between(&expected.payload, &found.payload);
    if expected.subject != found.subject {
        fields.push(Difference {
            field: "subject".to_owned(),
            expected: Some(expected.subject.as_str().into()),
            found: Some(found.subject.as_str().into()),
        });
    }
    let names: Vec<&str> = fields.iter().map(|one| one.field.as_str()).collect();
    let detail = format!("recomputation gives another {}", names.join(", "));
    (fields, detail)
}
