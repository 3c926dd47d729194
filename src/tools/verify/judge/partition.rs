//! The judgement of one partition, message by message.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::due::{DueSignal, Sorted, differences};
use super::{
    BARS_GONE, Expected, Judge, Look, ONE_CONFIGURATION, PROBES, SIGNALS_GONE, SUSPICIOUS,
};
use crate::bus::durable::{Committed, Output};
use crate::market::Timestamp;
use crate::tools::reader::Stored;
use crate::tools::verify::key::{Head, Key};
use crate::tools::verify::letters::{Claim as LetterClaim, Due as DueLetter, Place};
use crate::tools::verify::report::{self, Change, Difference, Finding, Findings, Kind};
use crate::tools::verify::signals::{Claim, Due};
use crate::tools::verify::source::Message;
use crate::wire::Reason;
use crate::wire::headers::{INPUT_SEQ, REDRIVEN};

/// A letter that is due and not stored.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    reason: Reason,
    hash: u64,
    in_span: bool,
    is_covered: bool,
}

/// A partition at work.
pub(super) struct Partition {
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

impl Partition {
    /// A partition of which nothing was read yet. `is_cut` if its stream does not hold all bars.
    pub(super) fn new(
        number: u32,
        is_bare: bool,
        committed: Option<Committed>,
        is_cut: bool,
    ) -> Self {
        Self {
            number,
            is_bare,
            committed,
            losses: u32::from(is_cut),
            next_deleted: 0,
            last_found: None,
            waiting: Findings::default(),
            waiting_unchecked: 0,
            unwritten: HashMap::new(),
            stretch: Stretch::default(),
        }
    }
}

/// A run of signals that differ, as another configuration gives it.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    different: u64,
    from: Option<Timestamp>,
    /// The time at which the bar of the first correct signal after it was stored.
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

/// One partition and its judge.
pub struct PartitionJudge<'j, 'a> {
    pub(super) judge: &'j mut Judge<'a>,
    pub(super) partition: Partition,
}

impl PartitionJudge<'_, '_> {
    /// True if the message is to be refused unread: it made the engine panic, which another try
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
        let room = report::DESCRIBED.saturating_sub(missing.described.len());
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
                if !is_probe && !self.judge.signals.is_trusted(&head.key) {
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
        let judge = &mut self.judge;
        let is_worth = !judge.signals.is_trusted(&head.key)
            && head.bars_analyzed < judge.terms.window
            && judge.probes < PROBES
            && judge.signals.probe(&head.key);
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
        let is_checkable = self.judge.signals.is_trusted(key)
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
            // with the bars that are missing, it may have been the correction of one of them
            let is_unknown = due.reason.is_by_history() && self.partition.losses > 0;
            match claim {
                LetterClaim::Nothing | LetterClaim::Different(_) if is_unknown => {
                    self.judge.report.skip(BARS_GONE, u64::from(in_span));
                }
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
                    self.judge.signals.trust(&head.key, look.input);
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
        self.judge.report.different.described.len() < report::DESCRIBED
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
