//! Simulation: members, a table and commits on one simulated clock, under random schedules of
//! joins, departures, kills, pauses beyond the lease, lost and delayed answers, clocks that
//! disagree, and records of dead members and leases of theirs that come back and stay. A failing
//! seed repeats.

mod cases;
mod chaos;

use std::collections::HashMap;

use super::*;
use crate::group::Roster;
use crate::group::random::Random;

type Millis = u64;

const UNITS: u32 = 13;
const LEASE: Millis = 6_000;
const STEP: Millis = 10;

/// A partition's marker: how far it is done, and how often it was written.
#[derive(Clone, Copy, Default)]
struct Marker {
    position: u64,
    revision: u64,
}

/// Work on a partition: begins with the marker it has read, commits against it.
#[derive(Clone, Copy)]
struct Work {
    loaded_at: Millis,
    marker: Option<Marker>,
    stop_at: Option<Millis>,
}

enum Answer {
    Table(Table),
    Acquired(u32, Option<u64>),
    Released(u32, Option<u64>),
}

struct Node {
    id: MemberId,
    leases: Leases,
    roster: Roster,
    /// Its clock, in how far it is from the others'.
    offset: Millis,
    paused_until: Millis,
    cut_until: Millis,
    gone: bool,
    renewed: Millis,
    read: Millis,
    answers: Vec<(Millis, Answer)>,
    work: HashMap<u32, Work>,
    stops: u32,
}

#[derive(Default, Clone)]
struct Record {
    expires: Millis,
    leaving: bool,
    revision: u64,
}

struct World {
    random: Random,
    now: Millis,
    fenced: bool,
    nodes: Vec<Node>,
    members: BTreeMap<MemberId, Record>,
    /// The last records of members that were killed.
    dead: BTreeMap<MemberId, Record>,
    leases: BTreeMap<u32, LeaseRecord>,
    revision: u64,
    markers: HashMap<u32, Marker>,
    /// Positions as they were committed, by partition.
    log: HashMap<u32, Vec<u64>>,
    last_commit: HashMap<u32, Millis>,
    born: u64,
}

impl World {
    fn new(seed: u64, fenced: bool) -> Self {
        Self {
            random: Random(seed),
            now: 0,
            fenced,
            nodes: Vec::new(),
            members: BTreeMap::new(),
            dead: BTreeMap::new(),
            leases: BTreeMap::new(),
            revision: 0,
            markers: HashMap::new(),
            log: HashMap::new(),
            last_commit: HashMap::new(),
            born: 0,
        }
    }

    fn join(&mut self) {
        self.born += 1;
        let id = MemberId::new(format!("m{}-{}", self.born, self.random.below(1_000)));
        self.nodes.push(Node {
            leases: Leases::new(id.clone(), UNITS, Duration::from_millis(LEASE)),
            roster: Roster::new(Duration::from_millis(LEASE), 1),
            id,
            offset: self.random.below(3_600_000),
            paused_until: 0,
            cut_until: 0,
            gone: false,
            renewed: 0,
            read: 0,
            answers: Vec::new(),
            work: HashMap::new(),
            stops: 0,
        });
    }

    fn table(&self) -> Table {
        let live = self.members.iter().filter(|(_, r)| r.expires > self.now);
        Table {
            members: live
                .map(|(id, record)| {
                    let record = MemberRecord {
                        name: id.to_string(),
                        leaving: record.leaving,
                        fingerprint: 0,
                        revision: record.revision,
                    };
                    (id.clone(), record)
                })
                .collect(),
            leases: self.leases.clone(),
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            if node.gone || node.paused_until > self.now {
                continue;
            }
            self.deliver(at);
            if self.nodes[at].cut_until <= self.now {
                self.talk(at);
                self.commit(at);
            }
            self.finish_stops(at);
            let node = &mut self.nodes[at];
            if node.leases.is_leaving() && node.leases.is_idle() {
                node.gone = true;
                self.members.remove(&node.id);
            }
        }
        self.nodes.retain(|node| !node.gone);
    }

    fn deliver(&mut self, at: usize) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.nodes[at].answers)
            .into_iter()
            .partition(|(time, _)| *time <= now);
        self.nodes[at].answers = later;
        for (_, answer) in due {
            let node = &mut self.nodes[at];
            let clock = Duration::from_millis(now + node.offset);
            let steps = match answer {
                Answer::Table(mut table) => {
                    table.members = node.roster.members(clock, table.members);
                    node.leases.observe(clock, &table)
                }
                Answer::Acquired(unit, revision) => node.leases.acquired(unit, revision),
                Answer::Released(unit, revision) => {
                    node.leases.released(unit, revision);
                    Vec::new()
                }
            };
            self.perform(at, steps);
        }
    }

    /// Renews and reads, as the driver does.
    fn talk(&mut self, at: usize) {
        let now = self.now;
        let delay = self.random.below(40);
        // a reader may be shown an older state than a writer has made
        let lost = self.random.below(20) == 0;
        let node = &mut self.nodes[at];
        if now - node.renewed >= LEASE / 3 || node.renewed == 0 {
            node.renewed = now;
            self.revision += 1;
            let record = Record {
                expires: now + LEASE,
                leaving: node.leases.is_leaving(),
                revision: self.revision,
            };
            self.members.insert(node.id.clone(), record);
        }
        let node = &mut self.nodes[at];
        if now - node.read >= 500 && !lost {
            node.read = now;
            let table = self.table();
            self.nodes[at]
                .answers
                .push((now + delay, Answer::Table(table)));
        }
    }

    fn perform(&mut self, at: usize, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Acquire { unit, revision } => {
                    let owner = Some(self.nodes[at].id.clone());
                    let outcome = self.swap(at, unit, revision, owner);
                    let due = self.now + self.random.below(40);
                    self.nodes[at]
                        .answers
                        .push((due, Answer::Acquired(unit, outcome)));
                }
                Step::Release { unit, revision } => {
                    let outcome = self.swap(at, unit, revision, None);
                    let due = self.now + self.random.below(40);
                    self.nodes[at]
                        .answers
                        .push((due, Answer::Released(unit, outcome)));
                }
                Step::Start { unit } => {
                    let loaded_at = self.now + self.random.below(200);
                    let work = Work {
                        loaded_at,
                        marker: None,
                        stop_at: None,
                    };
                    self.nodes[at].work.insert(unit, work);
                }
                Step::Stop { unit } => {
                    self.nodes[at].stops += 1;
                    let stop_at = self.now + self.random.below(200);
                    match self.nodes[at].work.get_mut(&unit) {
                        Some(work) => work.stop_at = Some(stop_at),
                        None => {
                            let steps = self.nodes[at].leases.stopped(unit);
                            self.perform(at, steps);
                        }
                    }
                }
                Step::Drop { unit } => {
                    self.nodes[at].work.remove(&unit);
                }
            }
        }
    }

    /// Compare-and-set, of which the request or the answer may be lost.
    fn swap(
        &mut self,
        at: usize,
        unit: u32,
        expected: u64,
        owner: Option<MemberId>,
    ) -> Option<u64> {
        let fate = self.random.below(20);
        let cut = self.nodes[at].cut_until > self.now;
        if cut || fate == 0 {
            return None;
        }
        let actual = self.leases.get(&unit).map_or(0, |lease| lease.revision);
        if actual != expected {
            return None;
        }
        self.revision += 1;
        let revision = self.revision;
        self.leases.insert(unit, LeaseRecord { owner, revision });
        (fate != 1).then_some(revision)
    }

    /// Every partition at work commits a bar now and then.
    fn commit(&mut self, at: usize) {
        let units: Vec<u32> = self.nodes[at].work.keys().copied().collect();
        for unit in units {
            let stored = self.markers.get(&unit).copied().unwrap_or_default();
            let now = self.now;
            let turn = self.random.below(20);
            let Some(work) = self.nodes[at].work.get_mut(&unit) else {
                continue;
            };
            if work.loaded_at > now {
                continue;
            }
            let Some(mine) = work.marker else {
                work.marker = Some(stored);
                continue;
            };
            if turn != 0 {
                continue;
            }
            if self.fenced && mine.revision != stored.revision {
                // refused: load again
                work.marker = None;
                work.loaded_at = now + 100;
                continue;
            }
            let next = Marker {
                position: mine.position + 1,
                revision: stored.revision + 1,
            };
            work.marker = Some(next);
            self.markers.insert(unit, next);
            self.log.entry(unit).or_default().push(next.position);
            self.last_commit.insert(unit, now);
        }
    }

    fn finish_stops(&mut self, at: usize) {
        let now = self.now;
        let due: Vec<u32> = self.nodes[at]
            .work
            .iter()
            .filter(|(_, work)| work.stop_at.is_some_and(|time| time <= now))
            .map(|(unit, _)| *unit)
            .collect();
        for unit in due {
            self.nodes[at].work.remove(&unit);
            let steps = self.nodes[at].leases.stopped(unit);
            self.perform(at, steps);
        }
    }

    fn run_for(&mut self, millis: Millis) {
        for _ in 0..millis / STEP {
            self.step();
        }
    }

    fn fault(&mut self) {
        let Some(nodes) = u64::try_from(self.nodes.len()).ok().filter(|n| *n > 0) else {
            return self.join();
        };
        let at = usize::try_from(self.random.below(nodes)).unwrap();
        match self.random.below(13) {
            12 => self.purge(),
            0 | 1 if self.nodes.len() < 6 => self.join(),
            2 | 3 => {
                // killed; its record expires in its own time
                let id = self.nodes.remove(at).id;
                if let Some(record) = self.members.get(&id) {
                    self.dead.insert(id, record.clone());
                }
            }
            10 => self.haunt(),
            11 => {
                // a server restarts: everybody's connection is lost, and the dead are back
                for node in &mut self.nodes {
                    node.roster.interrupted();
                }
                self.haunt();
            }
            4 | 5 => self.nodes[at].paused_until = self.now + self.random.below(3 * LEASE),
            6 | 7 => self.nodes[at].cut_until = self.now + self.random.below(3 * LEASE),
            _ => self.nodes[at].leases.leave(),
        }
    }

    /// Records of the dead come back without a time to live, as old as they are or rewritten,
    /// and with them leases of theirs and of members that nobody has ever seen.
    fn haunt(&mut self) {
        let mut owners = vec![MemberId::new("unheard-of")];
        for (id, mut record) in self.dead.clone() {
            record.expires = Millis::MAX;
            if self.random.below(2) == 0 {
                self.revision += 1;
                record.revision = self.revision;
            }
            self.members.insert(id.clone(), record);
            owners.push(id);
        }
        for owner in owners {
            let unit = u32::try_from(self.random.below(u64::from(UNITS))).unwrap();
            self.revision += 1;
            let lease = LeaseRecord {
                owner: Some(owner),
                revision: self.revision,
            };
            self.leases.insert(unit, lease);
        }
    }

    /// Somebody empties the table; revisions count on.
    fn purge(&mut self) {
        self.members.clear();
        self.leases.clear();
    }

    /// The partitions that each node works on.
    fn owned(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.work.len()).collect()
    }

    fn doubled(&self) -> Option<String> {
        self.log.iter().find_map(|(unit, positions)| {
            let whole = positions
                .iter()
                .zip(1..)
                .all(|(p, expected)| *p == expected);
            (!whole).then(|| format!("partition {unit} committed {positions:?}"))
        })
    }
}
