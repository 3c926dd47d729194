//! The group's table of members and leases, in a key-value bucket.
//!
//! A member's record carries a time to live, which each renewal states again (a `KV` update would
//! drop it). Leases have none and change by compare-and-set. The table is read as a whole; its
//! readers allow for it to be a moment old, and for records that outlive their time to live.

use std::time::Duration;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::jetstream::ErrorCode;
use async_nats::{Client, HeaderMap, Message, Request, Subscriber};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::changes::Change;
use super::layout::key;
use crate::group::{LeaseRecord, MemberId, MemberRecord, Table};

const ANSWER: Duration = Duration::from_secs(3);

static EXPECTED: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
static TTL: HeaderName = HeaderName::from_static("Nats-TTL");
static OPERATION: HeaderName = HeaderName::from_static("KV-Operation");

/// Leases asked for at a time where the table is too large for one answer.
const PART: u32 = 256;
/// The mark of a removed record expires after this.
const MARK: &str = "60s";

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
        "there are more member records than the server answers with at once (1,024); remove those \
         of agents that do not run, or the bucket, which is made again"
    )]
    TooMany,
}

#[derive(Debug, Clone)]
pub(super) struct Records {
    client: Client,
    bucket: String,
    /// Before the name of a record.
    prefix: String,
    agent: String,
    /// How many partitions there are.
    units: u32,
}

impl Records {
    pub fn new(client: Client, bucket: &str, group: &str, agent: &str, units: u32) -> Self {
        Self {
            client,
            prefix: format!("$KV.{bucket}.{}.", key(group)),
            bucket: bucket.to_owned(),
            agent: agent.to_owned(),
            units,
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
        if let Some(id) = name.strip_prefix("member.") {
            let member: Member = serde_json::from_slice(&message.payload).ok()?;
            return Some(Change::Member {
                id: MemberId::new(id),
                leaving: member.leaving,
                fingerprint: member.fingerprint(),
            });
        }
        let unit = name.strip_prefix("lease.")?.parse().ok()?;
        let from = message.headers.as_ref()?.get(EXPECTED.clone())?;
        Some(Change::Lease {
            unit,
            from: from.as_str().parse().ok()?,
        })
    }

    /// The whole table: in one answer, or in parts where there is more than the server answers with
    /// at once.
    pub async fn read(&self) -> Result<Table, ReadError> {
        let mut table = Table::default();
        match self.ask(&[format!("{}>", self.prefix)], &mut table).await {
            Err(ReadError::TooMany) => {}
            answered => return answered.map(|()| table),
        }
        let mut table = Table::default();
        // members last, so that an owner that joined meanwhile is among them
        for first in (0..self.units).step_by(PART as usize) {
            let part = first..self.units.min(first.saturating_add(PART));
            let leases: Vec<String> = part
                .map(|unit| format!("{}lease.{unit}", self.prefix))
                .collect();
            self.ask(&leases, &mut table).await?;
        }
        let members = format!("{}member.*", self.prefix);
        self.ask(&[members], &mut table).await?;
        Ok(table)
    }

    /// Adds the newest records on these subjects to the table.
    async fn ask(&self, subjects: &[String], table: &mut Table) -> Result<(), ReadError> {
        let unanswered = |error: &dyn std::fmt::Display| ReadError::Unanswered(error.to_string());
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| unanswered(&error))?;
        let request = serde_json::json!({ "multi_last": subjects });
        let subject = format!("$JS.API.DIRECT.GET.KV_{}", self.bucket);
        self.client
            .publish_with_reply(subject, inbox, request.to_string().into())
            .await
            .map_err(|error| unanswered(&error))?;
        loop {
            let answer = timeout(ANSWER, answers.next())
                .await
                .map_err(|_| unanswered(&"the table of members is not answered for"))?
                .ok_or_else(|| unanswered(&"the connection is closed"))?;
            match answer.status.map(|status| status.as_u16()) {
                None | Some(200) => {}
                // the end, or nothing there
                Some(204 | 404) => return Ok(()),
                Some(413) => return Err(ReadError::TooMany),
                Some(503) => return Err(ReadError::Missing),
                Some(status) => return Err(unanswered(&format!("status {status}"))),
            }
            let headers = answer.headers.unwrap_or_default();
            let text = |name: &str| headers.get(name).map(HeaderValue::as_str);
            let revision = text("Nats-Sequence").and_then(|text| text.parse().ok());
            if let (Some(subject), Some(revision)) = (text("Nats-Subject"), revision) {
                self.take(subject, revision, &answer.payload, table);
            }
        }
    }

    fn take(&self, subject: &str, revision: u64, payload: &[u8], table: &mut Table) {
        let name = subject.strip_prefix(&self.prefix).unwrap_or_default();
        if let Some(id) = name.strip_prefix("member.")
            && let Ok(member) = serde_json::from_slice::<Member>(payload)
        {
            let record = MemberRecord {
                leaving: member.leaving,
                fingerprint: member.fingerprint(),
                name: member.agent,
                revision,
            };
            table.members.insert(MemberId::new(id), record);
        } else if let Some(Ok(unit)) = name.strip_prefix("lease.").map(str::parse) {
            // what cannot be read is nobody's
            let lease = serde_json::from_slice::<Lease>(payload).ok();
            let owner = lease.and_then(|lease| lease.owner);
            table.leases.insert(unit, LeaseRecord { owner, revision });
        }
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
        self.write(&format!("member.{me}"), &member, headers)
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
        let lease = Lease {
            owner,
            agent: self.agent.clone(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED.clone(), HeaderValue::from(revision));
        self.write(&format!("lease.{unit}"), &lease, headers).await
    }

    /// Removes the record of a dead member if it has this revision; whether it had.
    pub async fn remove(&self, member: &MemberId, revision: u64) -> Result<bool, String> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION.clone(), "DEL");
        headers.insert(EXPECTED.clone(), HeaderValue::from(revision));
        headers.insert(TTL.clone(), MARK);
        let name = format!("member.{member}");
        Ok(self.publish(&name, Vec::new(), headers).await?.is_some())
    }

    async fn write(
        &self,
        name: &str,
        value: &impl Serialize,
        headers: HeaderMap,
    ) -> Result<Option<u64>, String> {
        let payload = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        self.publish(name, payload, headers).await
    }

    async fn publish(
        &self,
        name: &str,
        payload: Vec<u8>,
        headers: HeaderMap,
    ) -> Result<Option<u64>, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let request = Request::new()
            .headers(headers)
            .payload(payload.into())
            .timeout(Some(ANSWER));
        let answer = self
            .client
            .send_request(format!("{}{name}", self.prefix), request)
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
