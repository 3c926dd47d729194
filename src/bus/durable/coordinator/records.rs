//! The group's table of members and leases, in a key-value bucket.
//!
//! A member's record carries a time to live, which each renewal states again (a `KV` update would
//! drop it). Leases have none and change by compare-and-set. The table is read as a whole; its
//! readers allow for it to be a moment old, and for records that outlive their time to live.
//!
//! With a secret of the group every record is sealed. The counter of a member's record is that of
//! the process that wrote it; the counter of a lease is the newest revision that its writer has seen
//! of it. What is not genuine is passed over ([`super::trusted`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::jetstream::ErrorCode;
use async_nats::{Client, HeaderMap, Message, Request, Subscriber};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::awaited_writes::Change;
use super::trusted::{Looked, Record, Row, Trusted};
use crate::bus::guard::Guard;
use crate::bus::layout::key;
use crate::config::{Config, JetStreamApi};
use crate::group::{LeaseRecord, MemberId, MemberRecord, Place, Purpose, Table};

const ANSWER: Duration = Duration::from_secs(3);

static EXPECTED: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
static TTL: HeaderName = HeaderName::from_static("Nats-TTL");
static OPERATION: HeaderName = HeaderName::from_static("KV-Operation");

/// Leases asked for at a time where the table is too large for one answer.
const PART: u32 = 256;
/// The mark of a removed record expires after this.
const MARK: &str = "60s";
/// Members' records asked for at a time where there are more than the server lists.
const PAGE: usize = 1_000;
/// Members' records read at most.
const MOST_MEMBERS: usize = 100_000;

/// The prefix of the names of members' records.
const MEMBER: &str = "member.";
/// And those of leases.
const LEASE: &str = "lease.";

#[derive(Serialize, Deserialize)]
struct Member {
    agent: String,
    leaving: bool,
    fingerprint: String,
}

impl Member {
    fn fingerprint(&self) -> u64 {
        u64::from_str_radix(&self.fingerprint, 16).unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
struct Lease {
    owner: Option<MemberId>,
    /// For people.
    agent: String,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    error: Option<async_nats::jetstream::Error>,
}

/// Why the table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    /// Nobody keeps it.
    #[error("the bucket of members and leases is not there")]
    Missing,
    /// It may be there, but nobody answered.
    #[error("{0}")]
    Unanswered(String),
    /// There are more of some kind than the server answers with.
    #[error(
        "there are more than 100,000 member records; remove those of agents that do not run, \
         or the bucket, which is made again"
    )]
    TooMany,
}

/// Some of the records.
#[derive(Default)]
struct Page {
    rows: Vec<Row>,
    /// The last revision in it.
    last: u64,
    /// Records after it.
    pending: u64,
    /// True if there are more than the server lists.
    too_many: bool,
}

#[derive(Clone)]
pub(super) struct Records {
    client: Client,
    bucket: String,
    api: JetStreamApi,
    /// Before the name of a record.
    prefix: String,
    agent: String,
    me: MemberId,
    /// How many partitions there are.
    units: u32,
    guard: Arc<Guard>,
    trusted: Arc<Mutex<Trusted>>,
}

impl Records {
    /// The records of the group that `config` names, as its member `me` writes them.
    pub fn new(
        client: Client,
        bucket: &str,
        config: &Config,
        me: MemberId,
        guard: Arc<Guard>,
        units: u32,
    ) -> Self {
        let trusted = Trusted::new(me.clone(), config.durable.lease);
        Self {
            client,
            api: config.nats.jetstream.clone(),
            prefix: format!("$KV.{bucket}.{}.", key(&config.group)),
            bucket: bucket.to_owned(),
            agent: config.agent_name.clone(),
            me,
            units,
            guard,
            trusted: Arc::new(Mutex::new(trusted)),
        }
    }

    /// Everything that is written, as it is published: a hint to read the table, no more. It may
    /// not be stored yet, or be refused.
    pub async fn changes(&self) -> Result<Subscriber, async_nats::SubscribeError> {
        self.client.subscribe(format!("{}>", self.prefix)).await
    }

    /// What one of the [`Self::changes`] is about.
    pub fn change(&self, message: &Message) -> Option<Change> {
        let name = message.subject.strip_prefix(&self.prefix)?;
        let (purpose, last) = kind(name)?;
        let (headers, payload) = (message.headers.as_ref(), &message.payload);
        // it is counted when it is read
        let place = [self.bucket.as_str(), last];
        let genuine = self.guard.verify(at(purpose, &place), headers, payload);
        genuine.ok()?;
        if let Some(id) = name.strip_prefix(MEMBER) {
            let member: Member = serde_json::from_slice(&message.payload).ok()?;
            return Some(Change::Member {
                id: MemberId::new(id),
                leaving: member.leaving,
                fingerprint: member.fingerprint(),
            });
        }
        let unit = name.strip_prefix(LEASE)?.parse().ok()?;
        let from = message.headers.as_ref()?.get(EXPECTED.clone())?;
        Some(Change::Lease {
            unit,
            from: from.as_str().parse().ok()?,
        })
    }

    /// The whole table: in one answer, or in parts where there is more than the server answers with
    /// at once.
    pub async fn read(&self) -> Result<Table, ReadError> {
        let all = format!("{}>", self.prefix);
        if let Some(rows) = self.ask(&[all]).await? {
            return Ok(self.table(rows).await);
        }
        let mut rows = Vec::new();
        // members last, so that an owner that joined meanwhile is among them
        for first in (0..self.units).step_by(PART as usize) {
            let part = first..self.units.min(first.saturating_add(PART));
            let leases: Vec<String> = part
                .map(|unit| format!("{}{LEASE}{unit}", self.prefix))
                .collect();
            let part = self.ask(&leases).await?;
            rows.append(&mut part.ok_or(ReadError::TooMany)?);
        }
        rows.append(&mut self.members().await?);
        Ok(self.table(rows).await)
    }

    /// The newest records on these subjects; nothing if there are more than the server lists.
    async fn ask(&self, subjects: &[String]) -> Result<Option<Vec<Row>>, ReadError> {
        let request = serde_json::json!({ "multi_last": subjects });
        let page = self.page(&request).await?;
        Ok((!page.too_many).then_some(page.rows))
    }

    /// The records of all members, in parts.
    async fn members(&self) -> Result<Vec<Row>, ReadError> {
        let filter = format!("{}{MEMBER}*", self.prefix);
        let (mut rows, mut from) = (Vec::new(), 1);
        loop {
            let request = serde_json::json!({ "seq": from, "batch": PAGE, "next_by_subj": filter });
            let mut page = self.page(&request).await?;
            rows.append(&mut page.rows);
            if page.pending == 0 || page.last < from {
                return Ok(rows);
            }
            if rows.len() > MOST_MEMBERS {
                return Err(ReadError::TooMany);
            }
            from = page.last + 1;
        }
    }

    /// The server's answer to one request for records.
    async fn page(&self, request: &serde_json::Value) -> Result<Page, ReadError> {
        let unanswered = |error: &dyn std::fmt::Display| ReadError::Unanswered(error.to_string());
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| unanswered(&error))?;
        let subject = self.api.subject(&format!("DIRECT.GET.KV_{}", self.bucket));
        self.client
            .publish_with_reply(subject, inbox, request.to_string().into())
            .await
            .map_err(|error| unanswered(&error))?;
        let mut page = Page::default();
        loop {
            let answer = timeout(ANSWER, answers.next())
                .await
                .map_err(|_| unanswered(&"the table of members is not answered for"))?
                .ok_or_else(|| unanswered(&"the connection is closed"))?;
            let headers = answer.headers.unwrap_or_default();
            // the server appends its headers to those that the record was written with, which may
            // have the same names, or a status
            let text = |name: &str| headers.get_last(name).map(HeaderValue::as_str);
            let number = |name: &str| text(name).and_then(|text| text.parse().ok());
            if let (Some(subject), Some(revision)) = (text("Nats-Subject"), number("Nats-Sequence"))
            {
                page.last = page.last.max(revision);
                let row = self.row(subject, revision, &headers, &answer.payload);
                page.rows.extend(row);
                continue;
            }
            match answer.status.map(|status| status.as_u16()) {
                // the end, or nothing there
                Some(204 | 404) => {
                    page.pending = number("Nats-Num-Pending").unwrap_or(0);
                    return Ok(page);
                }
                Some(413) => {
                    page.too_many = true;
                    return Ok(page);
                }
                Some(503) => return Err(ReadError::Missing),
                None | Some(200) => {}
                Some(status) => return Err(unanswered(&format!("status {status}"))),
            }
        }
    }

    fn row(
        &self,
        subject: &str,
        revision: u64,
        headers: &HeaderMap,
        payload: &[u8],
    ) -> Option<Row> {
        let name = subject.strip_prefix(&self.prefix)?;
        let (purpose, last) = kind(name)?;
        let record = if purpose == Purpose::Member {
            let member = serde_json::from_slice::<Member>(payload).ok();
            let record = member.map(|member| MemberRecord {
                leaving: member.leaving,
                fingerprint: member.fingerprint(),
                name: member.agent,
                revision,
            });
            Record::Member(MemberId::new(last), record)
        } else {
            // what cannot be read is nobody's
            let lease = serde_json::from_slice::<Lease>(payload).ok();
            Record::Lease(last.parse().ok()?, lease.and_then(|lease| lease.owner))
        };
        let place = [self.bucket.as_str(), last];
        let judged = self
            .guard
            .verify(at(purpose, &place), Some(headers), payload);
        Some(Row {
            revision,
            judged,
            record,
        })
    }

    /// The table without what is forged. Leases of this member that a forged record stands on are
    /// written again.
    async fn table(&self, rows: Vec<Row>) -> Table {
        if !self.guard.verifies() {
            return plain(rows);
        }
        let Looked {
            table,
            forgeries,
            overlaid,
        } = self.trusted().look(Instant::now(), rows);
        for (purpose, forgery) in forgeries {
            self.guard.report(purpose, forgery);
        }
        join_all(overlaid.into_iter().map(|unit| self.restore(unit))).await;
        table
    }

    /// Writes a lease of this member again.
    async fn restore(&self, unit: u32) {
        let standing = self.trusted().newest(unit);
        let owner = Some(self.me.clone());
        match self.write_lease(unit, standing, standing, owner).await {
            Ok(Some(revision)) => self.trusted().restored(unit, standing, revision),
            // another write came first; the next look shows it
            Ok(None) => {}
            Err(error) => tracing::debug!(unit, error, "lease cannot be written again"),
        }
    }

    fn trusted(&self) -> MutexGuard<'_, Trusted> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews `me`'s record, to expire after `ttl` (whole seconds).
    pub async fn announce(
        &self,
        me: &MemberId,
        leaving: bool,
        fingerprint: u64,
        ttl: Duration,
    ) -> Result<(), String> {
        let member = Member {
            agent: self.agent.clone(),
            leaving,
            fingerprint: format!("{fingerprint:016x}"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(TTL.clone(), format!("{}s", ttl.as_secs().max(1)));
        let payload = serde_json::to_vec(&member).map_err(|error| error.to_string())?;
        self.publish(Purpose::Member, me.as_ref(), None, payload, headers)
            .await?
            .map(|_| ())
            .ok_or_else(|| "the record was refused".to_owned())
    }

    /// Writes the owner of a partition if its lease has this revision (0 for none); the new
    /// revision, or nothing when it had another.
    pub async fn swap(
        &self,
        unit: u32,
        revision: u64,
        owner: Option<MemberId>,
    ) -> Result<Option<u64>, String> {
        let (standing, newest) = {
            let trusted = self.trusted();
            (trusted.standing(unit, revision), trusted.newest(unit))
        };
        // a lease that was purged is written again without one to replace
        let counter = standing.max(newest);
        let written = self.write_lease(unit, standing, counter, owner.clone());
        let written = written.await?;
        if let Some(revision) = written {
            self.trusted().wrote(unit, owner, counter, revision);
        }
        Ok(written)
    }

    async fn write_lease(
        &self,
        unit: u32,
        standing: u64,
        counter: u64,
        owner: Option<MemberId>,
    ) -> Result<Option<u64>, String> {
        let lease = Lease {
            owner,
            agent: self.agent.clone(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED.clone(), HeaderValue::from(standing));
        let payload = serde_json::to_vec(&lease).map_err(|error| error.to_string())?;
        let name = unit.to_string();
        self.publish(Purpose::Lease, &name, Some(counter), payload, headers)
            .await
    }

    /// Removes the record of a dead member if it has this revision; whether it had.
    pub async fn remove(&self, member: &MemberId, revision: u64) -> Result<bool, String> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION.clone(), "DEL");
        headers.insert(EXPECTED.clone(), HeaderValue::from(revision));
        headers.insert(TTL.clone(), MARK);
        let (purpose, name) = (Purpose::Member, member.as_ref());
        let removed = self.publish(purpose, name, None, Vec::new(), headers);
        Ok(removed.await?.is_some())
    }

    /// Writes the record called `name`; its revision, or nothing when the one before had another
    /// revision than expected. Where the counter of its seal does not belong to the record, it is
    /// that of this process.
    async fn publish(
        &self,
        purpose: Purpose,
        name: &str,
        counter: Option<u64>,
        payload: Vec<u8>,
        mut headers: HeaderMap,
    ) -> Result<Option<u64>, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let place = [self.bucket.as_str(), name];
        let place = at(purpose, &place);
        match counter {
            Some(counter) => self.guard.seal_at(&mut headers, place, counter, &payload),
            None => self.guard.seal(&mut headers, place, &payload),
        }
        let kind = if purpose == Purpose::Member {
            MEMBER
        } else {
            LEASE
        };
        let request = Request::new()
            .headers(headers)
            .payload(payload.into())
            .timeout(Some(ANSWER));
        let answer = self
            .client
            .send_request(
                self.api.record(&format!("{}{kind}{name}", self.prefix)),
                request,
            )
            .await
            .map_err(|error| told(&error))?;
        let ack: Ack = serde_json::from_slice(&answer.payload).map_err(|error| told(&error))?;
        match ack.error {
            None => Ok(Some(ack.seq)),
            Some(error)
                if matches!(
                    error.error_code(),
                    ErrorCode::STREAM_WRONG_LAST_SEQUENCE
                        | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
                ) =>
            {
                Ok(None)
            }
            Some(error) => Err(told(&error)),
        }
    }
}

/// The kind of a record, and the rest of its name.
fn kind(name: &str) -> Option<(Purpose, &str)> {
    let member = name.strip_prefix(MEMBER).map(|id| (Purpose::Member, id));
    member.or_else(|| Some((Purpose::Lease, name.strip_prefix(LEASE)?)))
}

/// Where a record belongs, for its seal.
const fn at<'a>(purpose: Purpose, names: &'a [&'a str]) -> Place<'a> {
    Place { purpose, names }
}

/// The table as it stands.
fn plain(rows: Vec<Row>) -> Table {
    let mut table = Table::default();
    for Row {
        revision, record, ..
    } in rows
    {
        match record {
            Record::Member(id, record) => {
                table.members.extend(record.map(|record| (id, record)));
            }
            Record::Lease(unit, owner) => {
                table.leases.insert(unit, LeaseRecord { owner, revision });
            }
        }
    }
    table
}
