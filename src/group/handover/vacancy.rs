//! Vacancies: slots whose holder has been silent, and for how long.
//!
//! The slot of a dead member may be taken once its holder has been silent for long enough. Those who
//! heard the holder know when that is. A member that joined since does not, and would have to
//! listen for all that time itself: with one restart after another, nobody would ever take the
//! slot. So every member says what it knows, and passes on what it was told.
//!
//! A time is kept as the moment when the silence will have lasted long enough, because the last
//! word of a holder may be older than the clock of this member.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::group::message::Vacancy;
use crate::group::slots::{SLOTS, Slot, SlotSet};

/// Different times in a presence, at most. Beyond that, slots with earlier times take the next
/// later one, which only delays their taking.
const REPORT_MAX: usize = 8;

/// The time from which a slot may be taken.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// By what this member heard of its holder.
    Heard(Duration),
    /// By what others say, who heard its holder or were told. Each report is a bound, because its
    /// way here takes time: the holder has been silent for at least so long. The shortest wait is
    /// right.
    Reported(Duration),
}

/// The times from which slots may be taken, unless somebody claims them first.
#[derive(Debug)]
pub(super) struct Vacancies {
    silence: Duration,
    /// From when on nobody can hold a slot of which nothing was heard.
    unheard: Option<Duration>,
    due: Box<[Option<Due>; SLOTS]>,
}

impl Vacancies {
    /// A holder that is silent for `silence` is dead.
    pub fn new(silence: Duration) -> Self {
        Self {
            silence,
            unheard: None,
            due: Box::new([None; SLOTS]),
        }
    }

    /// This member hears everyone from now on.
    pub fn listen(&mut self, now: Duration) {
        self.unheard = Some(now + self.silence);
    }

    /// `slots` were held by somebody at `heard`.
    pub fn claimed(&mut self, slots: SlotSet, heard: Duration) {
        for slot in slots.iter() {
            self.due[slot.index()] = Some(Due::Heard(heard + self.silence));
        }
    }

    /// Whatever was said lately may have been missed.
    pub fn was_deaf(&mut self, now: Duration) {
        self.claimed(SlotSet::ALL, now);
    }

    /// Another member told at `now` for how long it has heard no holder of some slots. What this
    /// member heard itself counts more.
    pub fn on_report(&mut self, now: Duration, vacancies: &[Vacancy]) {
        for vacancy in vacancies.iter().take(REPORT_MAX) {
            let due = (now + self.silence).saturating_sub(vacancy.silent);
            for slot in vacancy.slots.iter() {
                let known = &mut self.due[slot.index()];
                match known {
                    None => *known = Some(Due::Reported(due)),
                    Some(Due::Reported(reported)) => *reported = due.min(*reported),
                    Some(Due::Heard(_)) => {}
                }
            }
        }
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        *self = Self::new(self.silence);
    }

    /// The time from which `slot` may be taken; `None` while this member does not hear everyone.
    pub fn due(&self, slot: Slot) -> Option<Duration> {
        match (self.due[slot.index()], self.unheard) {
            (Some(Due::Reported(reported)), Some(unheard)) => Some(reported.min(unheard)),
            (Some(Due::Reported(due) | Due::Heard(due)), _) => Some(due),
            (None, unheard) => unheard,
        }
    }

    /// For how long nobody was heard to hold `slots`, as of `now`.
    pub fn report(&self, slots: SlotSet, now: Duration) -> Vec<Vacancy> {
        let mut by_due: BTreeMap<Duration, SlotSet> = BTreeMap::new();
        for slot in slots.iter() {
            if let Some(due) = self.due(slot) {
                by_due.entry(due).or_default().insert(slot);
            }
        }
        while by_due.len() > REPORT_MAX
            && let Some((_, earlier)) = by_due.pop_first()
            && let Some(mut next) = by_due.first_entry()
        {
            let both = next.get().union(earlier);
            next.insert(both);
        }
        let said = by_due.into_iter().map(|(due, slots)| Vacancy {
            slots,
            silent: (now + self.silence).saturating_sub(due),
        });
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(3);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn slots(range: std::ops::Range<usize>) -> SlotSet {
        Slot::all()
            .filter(|slot| range.contains(&slot.index()))
            .collect()
    }

    fn slot(index: usize) -> Slot {
        Slot::all().nth(index).unwrap()
    }

    #[test]
    fn a_slot_is_due_when_its_last_holder_has_been_silent_for_long_enough() {
        let mut vacancies = Vacancies::new(SILENCE);
        assert_eq!(vacancies.due(slot(0)), None);
        vacancies.claimed(slots(0..2), secs(10));
        vacancies.claimed(slots(1..2), secs(11));
        vacancies.listen(secs(20));
        assert_eq!(vacancies.due(slot(0)), Some(secs(13)));
        assert_eq!(vacancies.due(slot(1)), Some(secs(14)));
        assert_eq!(vacancies.due(slot(2)), Some(secs(23)));
        vacancies.was_deaf(secs(30));
        assert_eq!(vacancies.due(slot(0)), Some(secs(33)));
        vacancies.forget();
        assert_eq!(vacancies.due(slot(0)), None);
    }

    #[test]
    fn one_that_comes_later_learns_it_by_its_own_clock() {
        let mut elder = Vacancies::new(SILENCE);
        elder.listen(secs(100));
        elder.claimed(slots(0..4), secs(900));
        let said = elder.report(slots(0..4), secs(902));
        // whose clock has just begun
        let mut younger = Vacancies::new(SILENCE);
        younger.listen(secs(0));
        younger.on_report(secs(0), &said);
        assert_eq!(younger.due(slot(3)), Some(secs(1)));
        assert_eq!(younger.due(slot(4)), Some(secs(3)));
        // and passes it on
        let said = younger.report(slots(3..5), secs(1));
        let mut youngest = Vacancies::new(SILENCE);
        youngest.on_report(secs(50), &said);
        assert_eq!(youngest.due(slot(3)), Some(secs(50)));
        assert_eq!(youngest.due(slot(4)), Some(secs(52)));
        // words that were longer on their way change nothing, and neither does what is told of a
        // holder that was heard since
        youngest.on_report(secs(51), &said);
        assert_eq!(youngest.due(slot(4)), Some(secs(52)));
        youngest.claimed(slots(4..5), secs(51));
        youngest.on_report(secs(51), &said);
        assert_eq!(youngest.due(slot(4)), Some(secs(54)));
    }

    #[test]
    fn more_times_than_can_be_said_are_rounded_to_the_later_one() {
        let mut vacancies = Vacancies::new(SILENCE);
        for (index, at) in (0..REPORT_MAX + 4).zip(10..) {
            vacancies.claimed(slots(index..index + 1), secs(at));
        }
        let said = vacancies.report(slots(0..REPORT_MAX + 4), secs(40));
        assert_eq!(said.len(), REPORT_MAX);
        // the first five were heard from 10 to 14 s on
        assert_eq!(said[0].slots, slots(0..5));
        assert_eq!(said[0].silent, secs(26));
        assert_eq!(said[REPORT_MAX - 1].silent, secs(40 - 21));
    }
}
