//! This member's part in the group: its own record, its leases, and its view of the others.
//!
//! The table of members and leases is read as a whole, regularly and when a change is heard; the
//! lease protocol ([`Leases`]) answers with steps. Requests run in the background, one of each kind
//! at a time, and their answers come out of [`Membership::next`].
//!
//! Must not know: what a partition does, health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::awaited_writes::AwaitedWrites;
use super::records::{ReadError, Records};
use super::request::{Request, Trouble};
use crate::bus::durable::{Common, LAST_FLUSH};
use crate::group::{Leases, MemberId, Roster, Step, Table};

/// The table is read this often even if nobody seems to have written to it.
const READ_EVERY: Duration = Duration::from_millis(500);
/// Records of dead members are removed one at a time, and not more often than this.
const REMOVE_EVERY: Duration = Duration::from_secs(1);

/// A change of a partition's work that the leases ask for: it begins, ends in order, or ends at once
/// because another member owns the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Start(u32),
    Stop(u32),
    Drop(u32),
}

/// The answer to a request.
enum Answer {
    Read(Result<Table, ReadError>),
    Announced(Result<(), String>),
    Acquired(u32, Result<Option<u64>, String>),
    Released(u32, Result<Option<u64>, String>),
    Removed(MemberId, Result<bool, String>),
}

pub(super) struct Membership {
    common: Arc<Common>,
    me: MemberId,
    records: Records,
    leases: Leases,
    roster: Roster,
    table: Table,
    /// True once the table was read with this member in it.
    seen: bool,
    reading: Request,
    announcing: Request,
    /// Writes of other members as they are published, if the server lets us hear them.
    changes: Option<Subscriber>,
    /// Writes of other members that the table does not show yet.
    awaited_writes: AwaitedWrites,
    /// The time at which to read the table again for them.
    read_again: Option<Instant>,
    /// The time at which the removal of a dead member's record was last tried.
    removed_at: Option<Instant>,
    requests: JoinSet<Answer>,
}

impl Membership {
    pub fn new(common: &Arc<Common>) -> Self {
        let config = &common.config;
        let me = MemberId::new(common.instance.clone());
        let units = u32::try_from(common.streams.units.len()).unwrap_or(u32::MAX);
        let records = Records::new(
            common.client.clone(),
            &common.streams.leases,
            config,
            me.clone(),
            Arc::clone(&common.guard),
            units,
        );
        Self {
            leases: Leases::new(me.clone(), units, config.durable.lease),
            roster: Roster::new(config.durable.lease, config.durable.replicas),
            common: Arc::clone(common),
            me,
            records,
            table: Table::default(),
            seen: false,
            reading: Request::default(),
            announcing: Request::default(),
            changes: None,
            awaited_writes: AwaitedWrites::default(),
            read_again: None,
            removed_at: None,
            requests: JoinSet::new(),
        }
    }

    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The members and leases, as last read.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// True if this member is in the table and has the leases that are due to it.
    pub fn is_settled(&self) -> bool {
        self.seen && self.leases.is_settled()
    }

    /// The reason why this member's record cannot be written, while that lasts.
    pub fn unannounced(&mut self) -> Option<&mut Trouble> {
        self.announcing.trouble()
    }

    /// The reason why the table cannot be read, while that lasts.
    pub fn unread(&mut self) -> Option<&mut Trouble> {
        self.reading.trouble()
    }

    /// Subscribes to the writes of others. Where the server refuses that, they are seen when the
    /// table is read.
    pub async fn listen(&mut self) {
        match self.records.changes().await {
            Ok(changes) => self.changes = Some(changes),
            Err(error) => {
                tracing::debug!(%error, "cannot subscribe to changes of leases; reading the table periodically instead");
                self.changes = None;
            }
        }
    }

    /// Waits for an answer or a change, and returns what the leases ask for then. May be dropped
    /// while it waits.
    pub async fn next(&mut self) -> Vec<Move> {
        tokio::select! {
            Some(answer) = self.requests.join_next() => {
                let steps = answer.map(|answer| self.on_answer(answer)).unwrap_or_default();
                self.request(steps)
            }
            Some(message) = next(&mut self.changes) => {
                self.on_change(&message);
                Vec::new()
            }
            () = until(self.read_again) => {
                self.read_again = None;
                self.read_soon();
                Vec::new()
            }
        }
    }

    /// Reads the table and renews the own record when that is due.
    pub fn poll(&mut self) {
        if self.reading.is_due(READ_EVERY) {
            self.reading.begin();
            let records = self.records.clone();
            self.requests
                .spawn(async move { Answer::Read(records.read().await) });
        }
        if self.announcing.is_due(self.common.config.durable.lease / 3) {
            self.announce();
        }
    }

    /// Makes the table be read at the next look.
    pub fn read_soon(&mut self) {
        self.reading.hurry();
    }

    /// Renews the own record.
    pub fn announce(&mut self) {
        self.announcing.begin();
        let (records, me) = (self.records.clone(), self.me.clone());
        let leaving = self.leases.is_leaving();
        let fingerprint = self.common.config.analysis.fingerprint();
        let lease = self.common.config.durable.lease;
        self.requests.spawn(async move {
            Answer::Announced(records.announce(&me, leaving, fingerprint, lease).await)
        });
    }

    /// Begins to give up every lease.
    pub fn leave(&mut self) -> Vec<Move> {
        self.leases.leave();
        self.announcing.hurry();
        let steps = self.leases.observe(self.now(), &self.table);
        self.request(steps)
    }

    /// Gives up the lease of a partition that no task works on any more.
    pub fn stopped(&mut self, unit: u32) -> Vec<Move> {
        let steps = self.leases.stopped(unit);
        self.request(steps)
    }

    /// After an outage every record may have expired, and requests made before it are not answered.
    pub fn reconnected(&mut self) {
        self.roster.interrupted();
        // how long something has failed is counted while connected
        self.reading = Request::default();
        self.announcing = Request::default();
    }

    /// Ends all requests, and writes that this member has left.
    pub async fn end(&mut self, deadline: tokio::time::Instant) {
        self.requests.abort_all();
        let fingerprint = self.common.config.analysis.fingerprint();
        let second = Duration::from_secs(1);
        let farewell = self.records.announce(&self.me, true, fingerprint, second);
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let _ = timeout(left.min(LAST_FLUSH), farewell).await;
    }

    fn now(&self) -> Duration {
        self.common.started.elapsed()
    }

    fn on_change(&mut self, message: &Message) {
        let (now, change) = (self.now(), self.records.change(message));
        if change.is_some_and(|change| self.awaited_writes.note(now, change, &self.table)) {
            // one look for all that was written meanwhile
            self.read_soon();
        }
    }

    fn on_answer(&mut self, answer: Answer) -> Vec<Step> {
        match answer {
            Answer::Read(Ok(table)) => return self.on_table(table),
            Answer::Read(Err(error)) => {
                if error == ReadError::Missing {
                    self.common.suspect_streams();
                }
                tracing::debug!(%error, "the table of members cannot be read");
                self.reading.failed(error.to_string());
            }
            Answer::Announced(Ok(())) => {
                self.announcing.succeeded();
                if !self.seen {
                    self.read_soon();
                }
            }
            Answer::Announced(Err(error)) => {
                self.common.suspect_streams();
                tracing::debug!(error, "the member's record cannot be renewed");
                self.announcing.failed(error);
                self.announcing.repeat(self.common.config.durable.lease / 4);
            }
            Answer::Removed(member, Ok(true)) => tracing::info!(
                %member,
                "removed the record of a dead member, which had outlived its time to live"
            ),
            Answer::Removed(_, Ok(false)) => {}
            Answer::Removed(member, Err(error)) => {
                tracing::debug!(%member, error, "cannot remove the record of a dead member");
            }
            Answer::Acquired(unit, outcome) => {
                return self.leases.acquired(unit, written(unit, outcome));
            }
            Answer::Released(unit, outcome) => self.leases.released(unit, written(unit, outcome)),
        }
        Vec::new()
    }

    fn on_table(&mut self, mut table: Table) -> Vec<Step> {
        self.reading.succeeded();
        let now = self.now();
        table.members = self.roster.members(now, table.members);
        self.remove_a_ghost();
        if !self.table.members.keys().eq(table.members.keys()) {
            let names: Vec<&str> = table
                .members
                .values()
                .map(|member| member.name.as_str())
                .collect();
            tracing::info!(members = names.len(), ?names, "the group has changed");
        }
        let again = self.awaited_writes.settle(now, &table);
        self.read_again = again.map(|wait| Instant::now() + wait);
        self.table = table;
        // others must count on this member before it counts on itself
        self.seen |= self.table.members.contains_key(&self.me);
        if !self.seen {
            return Vec::new();
        }
        self.leases.observe(self.now(), &self.table)
    }

    /// Removes a record that nobody has renewed for long, so that no newcomer counts it as a
    /// member. Every member tries; a renewal meanwhile wins.
    fn remove_a_ghost(&mut self) {
        if self
            .removed_at
            .is_some_and(|at| at.elapsed() < REMOVE_EVERY)
        {
            return;
        }
        let ghost = self.roster.removable().find(|(id, _)| **id != self.me);
        let Some((id, revision)) = ghost.map(|(id, revision)| (id.clone(), revision)) else {
            return;
        };
        self.removed_at = Some(Instant::now());
        let records = self.records.clone();
        self.requests.spawn(async move {
            let outcome = records.remove(&id, revision).await;
            Answer::Removed(id, outcome)
        });
    }

    /// Writes leases as the steps ask, and returns the rest of them.
    fn request(&mut self, steps: Vec<Step>) -> Vec<Move> {
        let mut moves = Vec::new();
        for step in steps {
            let records = self.records.clone();
            match step {
                Step::Acquire { unit, revision } => {
                    let me = self.me.clone();
                    self.requests.spawn(async move {
                        Answer::Acquired(unit, records.swap(unit, revision, Some(me)).await)
                    });
                }
                Step::Release { unit, revision } => {
                    self.requests.spawn(async move {
                        Answer::Released(unit, records.swap(unit, revision, None).await)
                    });
                }
                Step::Start { unit } => moves.push(Move::Start(unit)),
                Step::Stop { unit } => moves.push(Move::Stop(unit)),
                Step::Drop { unit } => moves.push(Move::Drop(unit)),
            }
        }
        moves
    }
}

/// The revision of a lease that was written.
fn written(unit: u32, outcome: Result<Option<u64>, String>) -> Option<u64> {
    outcome.unwrap_or_else(|error| {
        tracing::debug!(unit, error, "lease cannot be written");
        None
    })
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn next(changes: &mut Option<Subscriber>) -> Option<Message> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
