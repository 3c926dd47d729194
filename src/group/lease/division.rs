//! The division of the partitions among the members. Every member computes the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Hold, Leases, Step, Table};
use crate::group::MemberId;

impl Leases {
    /// The partitions that may be taken.
    pub(super) fn free_units(&mut self, now: Duration, table: &Table) -> BTreeSet<u32> {
        let mut free = BTreeSet::new();
        for unit in 0..self.units {
            let owner = self.known.get(&unit).and_then(|lease| lease.owner.as_ref());
            let is_free = match owner {
                None => true,
                Some(owner) if *owner == self.me || table.members.contains_key(owner) => false,
                Some(owner) => {
                    let since = *self.absent.entry(owner.clone()).or_insert(now);
                    now.saturating_sub(since) >= self.grace
                }
            };
            if is_free {
                free.insert(unit);
            }
        }
        self.free.retain(|unit, _| free.contains(unit));
        for unit in &free {
            self.free.entry(*unit).or_insert(now);
        }
        free
    }

    /// Takes and gives up partitions so that every member has its share.
    pub(super) fn divide(
        &mut self,
        now: Duration,
        table: &Table,
        free: &BTreeSet<u32>,
        steps: &mut Vec<Step>,
    ) {
        let me = self.me.clone();
        let mut counts: BTreeMap<&MemberId, u32> = table
            .members
            .iter()
            .filter(|(_, record)| !record.leaving)
            .map(|(member, _)| (member, 0))
            .collect();
        if self.leaving {
            counts.remove(&me);
        } else {
            // this member may not be in the table yet, or not any more
            counts.entry(&me).or_insert(0);
        }
        for (unit, lease) in &self.known {
            if let Some(owner) = &lease.owner
                && !free.contains(unit)
                && let Some(count) = counts.get_mut(owner)
            {
                *count += 1;
            }
        }
        let shares = shares(self.units, &counts);
        let mine = counts.get(&me).copied().unwrap_or(0);
        let share = shares.get(&me).copied().unwrap_or(0);
        let going = self.count(|hold| matches!(hold, Hold::Stopping(_) | Hold::Releasing(_)));
        let surplus = if self.leaving {
            self.units
        } else {
            mine.saturating_sub(share).saturating_sub(going)
        };
        let stops = self.give_up(surplus);
        steps.extend(stops);

        let mut wanting: BTreeMap<&MemberId, u32> = shares
            .iter()
            .map(|(member, share)| (*member, share.saturating_sub(counts[member])))
            .filter(|(_, missing)| *missing > 0)
            .collect();
        let ceiling = shares.values().max().copied().unwrap_or(0);
        let mut taken = mine + self.count(|hold| *hold == Hold::Acquiring);
        for unit in free {
            let chosen = wanting
                .keys()
                .max_by_key(|member| weight(member, *unit))
                .map(|member| (*member).clone());
            if let Some(chosen) = &chosen
                && let Some(missing) = wanting.get_mut(chosen)
            {
                *missing -= 1;
                if *missing == 0 {
                    wanting.remove(chosen);
                }
            }
            let waited = now.saturating_sub(self.free[unit]);
            let neglected = waited > self.patience && !self.leaving && taken < ceiling;
            if chosen.as_ref() != Some(&me) && !neglected {
                continue;
            }
            if self.holds.contains_key(unit) {
                continue;
            }
            taken += 1;
            self.holds.insert(*unit, Hold::Acquiring);
            let revision = self.known.get(unit).map_or(0, |lease| lease.revision);
            steps.push(Step::Acquire {
                unit: *unit,
                revision,
            });
        }
        let at_rest = |hold: &Hold| matches!(hold, Hold::Held(_));
        self.settled = mine == share && self.holds.values().all(at_rest);
    }

    fn count(&self, which: impl Fn(&Hold) -> bool) -> u32 {
        let count = self.holds.values().filter(|hold| which(hold)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Gives up the `surplus` partitions that this member has the least claim to.
    fn give_up(&mut self, surplus: u32) -> Vec<Step> {
        let mut held: Vec<(u32, u64)> = self
            .holds
            .iter()
            .filter_map(|(unit, hold)| match hold {
                Hold::Held(revision) => Some((*unit, *revision)),
                _ => None,
            })
            .collect();
        held.sort_by_key(|(unit, _)| weight(&self.me, *unit));
        held.truncate(surplus as usize);
        for (unit, revision) in &held {
            self.holds.insert(*unit, Hold::Stopping(*revision));
        }
        held.into_iter()
            .map(|(unit, _)| Step::Stop { unit })
            .collect()
    }
}

/// The number of partitions that each member should have, given the number it has: those with the most
/// keep what does not divide evenly.
fn shares<'a>(units: u32, counts: &BTreeMap<&'a MemberId, u32>) -> BTreeMap<&'a MemberId, u32> {
    let members = u32::try_from(counts.len()).unwrap_or(u32::MAX);
    if members == 0 {
        return BTreeMap::new();
    }
    let mut ranked: Vec<(&MemberId, u32)> = counts.iter().map(|(m, n)| (*m, *n)).collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let rounded_up = (units % members) as usize;
    let share = |at: usize| units / members + u32::from(at < rounded_up);
    ranked
        .into_iter()
        .enumerate()
        .map(|(at, (member, _))| (member, share(at)))
        .collect()
}

pub(super) fn weight(member: &MemberId, unit: u32) -> u64 {
    xxh3_64_with_seed(member.as_ref().as_bytes(), u64::from(unit))
}
