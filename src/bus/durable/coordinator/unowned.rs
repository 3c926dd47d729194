//! Partitions that no member owns.
//!
//! For a moment that is normal: an owner has died, or has given a partition up. For longer it means
//! that bars wait and nobody will read them, so every member says so and is not ready. The members
//! divide these partitions among themselves to report how many bars wait in them, so that the sum of
//! all members' lag is that of the whole group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bus::durable::feed::Feed;
use crate::bus::durable::streams::marker_subject;
use crate::bus::durable::{Common, markers};
use crate::group::{Leases, Table};

/// In leases: how long a partition may have no owner before every member says so.
const PATIENCE: u32 = 2;
/// The interval of counting the bars that wait; the server makes a consumer for each count.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Partitions asked about at a time; the next time it is the turn of others.
const ASKED: usize = 32;
/// For the answer about one partition.
const ANSWER: Duration = Duration::from_secs(3);
/// Partitions named in a log line or a reason.
const NAMED: usize = 20;

/// The number of bars that wait, by partition.
type Counted = Vec<(u32, Result<u64, String>)>;

/// The partitions that nobody owns, as far as they are known.
#[derive(Debug, Default)]
struct Unowned {
    /// For too long.
    neglected: Vec<u32>,
    /// Bars that wait in those partitions that this member reports on, as last known.
    waiting: BTreeMap<u32, u64>,
    asking: bool,
    asked_at: Option<Instant>,
    /// The partition that the last question ended with.
    asked: Option<u32>,
}

impl Unowned {
    /// Bars that wait in partitions that nobody owns, as far as this member reports on them.
    pub fn lag(&self) -> u64 {
        self.waiting.values().sum()
    }

    /// The reason why the group does not work as a whole.
    pub fn problem(&self) -> Option<String> {
        if self.neglected.is_empty() {
            return None;
        }
        Some(format!(
            "no member has owned {} partitions for longer than two leases, and their bars wait: {}",
            self.neglected.len(),
            named(&self.neglected)
        ))
    }

    /// Takes in which partitions nobody has owned for too long; logged when it begins and ends.
    fn note(&mut self, neglected: Vec<u32>) {
        if self.neglected.is_empty() && !neglected.is_empty() {
            tracing::error!(
                count = neglected.len(),
                partitions = named(&neglected),
                "no member has owned these partitions for longer than two leases: their bars wait, \
                 and no agent of the group is ready until one owns them"
            );
        } else if neglected.is_empty() && !self.neglected.is_empty() {
            tracing::info!("every partition has an owner again");
        }
        self.neglected = neglected;
    }

    /// The partitions to ask about now, of those that this member reports on.
    fn due(&mut self, mine: &BTreeSet<u32>) -> Vec<u32> {
        self.waiting.retain(|unit, _| mine.contains(unit));
        let early = self.asked_at.is_some_and(|at| at.elapsed() < ASK_EVERY);
        if mine.is_empty() || self.asking || early {
            return Vec::new();
        }
        self.asking = true;
        self.asked_at = Some(Instant::now());
        let turn = turn(mine, self.asked);
        self.asked = turn.last().copied();
        turn
    }

    /// Takes in how many bars wait; what cannot be counted stays as it was.
    fn counted(&mut self, counted: Counted) {
        self.asking = false;
        for (unit, waiting) in counted {
            match waiting {
                Ok(waiting) => {
                    self.waiting.insert(unit, waiting);
                }
                Err(error) => tracing::debug!(unit, error, "lag is not known"),
            }
        }
    }
}

/// The next of `mine` after `last`, in a circle.
fn turn(mine: &BTreeSet<u32>, last: Option<u32>) -> Vec<u32> {
    let first = last.map_or(0, |last| last.saturating_add(1));
    let (from, before) = (mine.range(first..), mine.range(..first));
    from.chain(before).take(ASKED).copied().collect()
}

fn named(units: &[u32]) -> String {
    let names: Vec<String> = units.iter().take(NAMED).map(u32::to_string).collect();
    let more = if units.len() > NAMED { ", ..." } else { "" };
    names.join(", ") + more
}

pub(super) struct UnownedMonitor {
    common: Arc<Common>,
    unowned: Unowned,
    /// The question that is under way, if any.
    under_way: JoinSet<Counted>,
}

impl UnownedMonitor {
    pub fn new(common: &Arc<Common>) -> Self {
        Self {
            common: Arc::clone(common),
            unowned: Unowned::default(),
            under_way: JoinSet::new(),
        }
    }

    /// Partitions that nobody has owned for too long.
    pub fn neglected(&self) -> usize {
        self.unowned.neglected.len()
    }

    /// Bars that wait in partitions that nobody owns, as far as this member reports on them.
    pub fn lag(&self) -> u64 {
        self.unowned.lag()
    }

    /// The reason why the group does not work as a whole.
    pub fn problem(&self) -> Option<String> {
        self.unowned.problem()
    }

    /// Logs which partitions nobody works on, and asks for the bars that wait in this member's
    /// share of them.
    pub fn probe(&mut self, leases: &Leases, table: &Table) {
        let lease = self.common.config.durable.lease;
        if leases.is_leaving() {
            self.unowned = Unowned::default();
            return;
        }
        self.unowned
            .note(leases.unowned(PATIENCE * lease).collect());
        let mine = leases.reports(leases.unowned(lease), table);
        let mine = mine.into_iter().collect();
        if !self.common.link.is_connected() {
            return;
        }
        let due = self.unowned.due(&mine);
        if due.is_empty() {
            return;
        }
        let common = Arc::clone(&self.common);
        self.under_way.spawn(async move {
            let mut counted = Vec::with_capacity(due.len());
            for unit in due {
                let waiting = timeout(ANSWER, waiting(&common, unit)).await;
                let unanswered = |_| Err("the server does not answer".to_owned());
                counted.push((unit, waiting.unwrap_or_else(unanswered)));
            }
            counted
        });
    }

    /// Waits for the answer to the question that is under way. May be dropped while it waits.
    pub async fn next(&mut self) {
        match self.under_way.join_next().await {
            Some(counted) => self.unowned.counted(counted.unwrap_or_default()),
            None => std::future::pending().await,
        }
    }
}

/// The number of the partition's bars that no commit has passed.
async fn waiting(common: &Common, unit: u32) -> Result<u64, String> {
    let subject = marker_subject(&common.streams.signals, &common.config.group, unit);
    let place = &common.streams.units[unit as usize];
    let found = markers::read(common, unit, &subject).await?;
    let position = found.marker.map(|stored| stored.marker.position);
    // a marker of another stream says nothing about this one
    let position = position.filter(|position| position.origin == place.origin);
    let done = position.map_or(0, |position| position.seq);
    let asked = Feed::waiting(&common.js, place, done + 1);
    let answer = common.link.unless_lost(asked).await;
    answer.ok_or("the connection was lost meanwhile")?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(units: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
        units.into_iter().collect()
    }

    #[test]
    fn every_partition_has_its_turn_and_no_turn_is_too_long() {
        let mine = set(0..80);
        let first = turn(&mine, None);
        assert_eq!(first, (0..32).collect::<Vec<_>>());
        let second = turn(&mine, first.last().copied());
        assert_eq!(second, (32..64).collect::<Vec<_>>());
        let third = turn(&mine, second.last().copied());
        assert_eq!(third, (64..80).chain(0..16).collect::<Vec<_>>());
        assert_eq!(turn(&set([3]), Some(3)), [3]);
    }

    #[test]
    fn what_cannot_be_counted_stays_as_it_was_last_known() {
        let mut unowned = Unowned::default();
        let mine = set([1, 2]);
        assert_eq!(unowned.due(&mine), [1, 2]);
        assert_eq!(unowned.due(&mine), [0; 0], "one question at a time");
        unowned.counted(vec![(1, Ok(40)), (2, Ok(2))]);
        assert_eq!(unowned.lag(), 42);
        unowned.counted(vec![(1, Err("no answer".to_owned())), (2, Ok(5))]);
        assert_eq!(unowned.lag(), 45);
        // one has an owner again, or another member reports on it
        assert_eq!(unowned.due(&set([2])), [0; 0], "not asked again so soon");
        assert_eq!(unowned.lag(), 5);
        unowned.due(&set([]));
        assert_eq!(unowned.lag(), 0);
    }

    #[test]
    fn the_reason_names_the_partitions_but_not_hundreds_of_them() {
        let mut unowned = Unowned::default();
        assert_eq!(unowned.problem(), None);
        unowned.note(vec![3, 8]);
        let problem = unowned.problem().unwrap();
        assert!(
            problem.contains("2 partitions") && problem.ends_with(": 3, 8"),
            "{problem}"
        );
        unowned.note((0..500).collect());
        let problem = unowned.problem().unwrap();
        assert!(
            problem.contains("500 partitions") && problem.ends_with("18, 19, ..."),
            "{problem}"
        );
        unowned.note(Vec::new());
        assert_eq!(unowned.problem(), None);
    }
}
