//! Reading the table: in one answer of the server, or in parts where it is larger.

use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::header::HeaderValue;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::trusted::{Looked, Record, Row};
use super::{ANSWER, LEASE, Lease, MEMBER, Member, Records, at, kind};
use crate::group::{LeaseRecord, MemberId, MemberRecord, Purpose, Table};

/// Leases asked for at a time where the table is too large for one answer.
const PART: u32 = 256;
/// Members' records asked for at a time where there are more than the server lists.
const PAGE: usize = 1_000;
/// Members' records read at most.
const MOST_MEMBERS: usize = 100_000;

/// The reason why the table cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum ReadError {
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

impl Records {
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
