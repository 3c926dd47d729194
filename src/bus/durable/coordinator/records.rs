//! The group's table of members and leases, in a key-value bucket.
//!
//! A member's record carries a time to live, which each renewal states again (a `KV` update would
//! drop it). Leases have none and change by compare-and-set. The table is read as a whole; its
//! readers allow for it to be a moment old, and for records that outlive their time to live.
//!
//! With a secret of the group every record is sealed. The counter of a member's record is that of
//! the process that wrote it; the counter of a lease is the newest revision that its writer has seen
//! of it. What is not genuine is passed over ([`super::trusted`]).

mod reading;

pub(super) use reading::ReadError;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::jetstream::ErrorCode;
use async_nats::{Client, HeaderMap, Message, Request, Subscriber};
use serde::{Deserialize, Serialize};

use super::awaited_writes::Change;
use super::trusted::Trusted;
use crate::bus::guard::Guard;
use crate::bus::layout::key;
use crate::config::{Config, JetStreamApi};
use crate::group::{MemberId, Place, Purpose};

const ANSWER: Duration = Duration::from_secs(3);

static EXPECTED: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
static TTL: HeaderName = HeaderName::from_static("Nats-TTL");
static OPERATION: HeaderName = HeaderName::from_static("KV-Operation");

/// The mark of a removed record expires after this.
const MARK: &str = "60s";

/// The prefix of the names of members' records.
const MEMBER: &str = "member.";
/// The prefix of the names of leases.
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

#[derive(Clone)]
pub(super) struct Records {
    client: Client,
    bucket: String,
    api: JetStreamApi,
    /// Before the name of a record.
    prefix: String,
    agent: String,
    me: MemberId,
    /// The number of partitions.
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

    /// The change that one of the [`Self::changes`] is about.
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
        let text = |error: &dyn std::fmt::Display| error.to_string();
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
            .map_err(|error| text(&error))?;
        let ack: Ack = serde_json::from_slice(&answer.payload).map_err(|error| text(&error))?;
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
            Some(error) => Err(text(&error)),
        }
    }
}

/// The kind of a record, and the rest of its name.
fn kind(name: &str) -> Option<(Purpose, &str)> {
    let member = name.strip_prefix(MEMBER).map(|id| (Purpose::Member, id));
    member.or_else(|| Some((Purpose::Lease, name.strip_prefix(LEASE)?)))
}

/// The place of a record, for its seal.
const fn at<'a>(purpose: Purpose, names: &'a [&'a str]) -> Place<'a> {
    Place { purpose, names }
}
