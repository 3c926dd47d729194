//! One atomic batch on its way to the server: the outputs and markers of some partitions, numbered,
//! fenced and sealed.
//!
//! Each partition's first marker carries the expectation that is the fence, and replaces the marker
//! before it. A batch takes no second expectation for a subject, so the one at its end carries none.

use std::time::Duration;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{HeaderMap, Request};
use bytes::Bytes;

use super::refusal::Ack;
use super::{CommitError, Wanted, Writer};
use crate::bus::durable::marker::{self, BATCH_ID, BATCH_SEQUENCE, Marker};
use crate::failpoints;
use crate::group::{Place, Purpose};

static BATCH_COMMIT: HeaderName = HeaderName::from_static("Nats-Batch-Commit");
static EXPECTED: HeaderName = HeaderName::from_static("Nats-Expected-Last-Subject-Sequence");
static ROLLUP: HeaderName = HeaderName::from_static("Nats-Rollup");

/// For the answer to the last message.
const ANSWER: Duration = Duration::from_secs(5);

/// The batch as far as it is sent.
struct Batch<'a> {
    writer: &'a Writer,
    /// None where a single message is stored.
    id: Option<String>,
    /// The number of the last message.
    at: usize,
}

/// Sends everything as one batch; returns the new revisions of the markers. Takes as long as the
/// client is held up.
pub(super) async fn write(writer: &Writer, wanted: &[&Wanted]) -> Result<Vec<u64>, CommitError> {
    let total: usize = wanted.iter().map(|one| one.messages()).sum();
    let mut batch = Batch {
        writer,
        id: (total > 1).then(|| nuid::next().to_string()),
        at: 0,
    };
    let mut markers = Vec::with_capacity(wanted.len());
    let mut answer = None;
    for one in wanted {
        if let Some(begin) = &one.begin {
            let (headers, payload) = batch.marker(one, begin, true)?;
            batch.publish(one.subject.clone(), headers, payload).await?;
        }
        for output in &one.outgoing[one.range.clone()] {
            let mut headers = output.headers.clone();
            batch.number(&mut headers);
            let (subject, payload) = (output.subject.clone(), output.payload.clone());
            batch.publish(subject, headers, payload).await?;
        }
        let (mut headers, payload) = batch.marker(one, &one.marker, one.begin.is_none())?;
        markers.push(batch.at);
        if batch.at < total {
            batch.publish(one.subject.clone(), headers, payload).await?;
            continue;
        }
        if batch.id.is_some() {
            headers.insert(BATCH_COMMIT.clone(), "1");
        }
        let request = Request::new()
            .headers(headers)
            .payload(payload)
            .timeout(Some(ANSWER));
        let sent = writer.client.send_request(one.subject.clone(), request);
        answer = Some(sent.await.map_err(|error| failed(&error))?);
    }
    let answer = answer.ok_or_else(|| failed(&"nothing to commit"))?;
    let ack: Ack = serde_json::from_slice(&answer.payload).map_err(|error| failed(&error))?;
    match ack.last(total as u64)? {
        Some(last) => {
            let revision = |at: &usize| last - (total - at) as u64;
            Ok(markers.iter().map(revision).collect())
        }
        None => Err(failed(&"the answer of the server names no message")),
    }
}

impl Batch<'_> {
    /// Gives the next message its number.
    fn number(&mut self, headers: &mut HeaderMap) {
        self.at += 1;
        if let Some(id) = &self.id {
            headers.insert(BATCH_ID.clone(), id.as_str());
            headers.insert(BATCH_SEQUENCE.clone(), HeaderValue::from(self.at));
        }
    }

    /// The next message, which is a marker. Fences the partition if it `replaces` the marker before.
    fn marker(
        &mut self,
        one: &Wanted,
        marker: &Marker,
        replaces: bool,
    ) -> Result<(HeaderMap, Bytes), CommitError> {
        let payload = serde_json::to_vec(marker).map_err(|error| failed(&error))?;
        let mut headers = HeaderMap::new();
        if replaces {
            if !failpoints::skips_fence() {
                headers.insert(EXPECTED.clone(), HeaderValue::from(one.expected));
            }
            headers.insert(ROLLUP.clone(), "sub");
        }
        self.number(&mut headers);
        self.seal(&mut headers, one, &payload);
        Ok((headers, payload.into()))
    }

    /// Seals a marker for its place. The marker that a commit replaces is its counter.
    fn seal(&self, headers: &mut HeaderMap, one: &Wanted, payload: &[u8]) {
        let (unit, at) = (one.unit.to_string(), self.at.to_string());
        let (id, at) = self.id.as_deref().map_or(("", ""), |id| (id, at.as_str()));
        let names = marker::place(&self.writer.stream, &unit, id, at);
        let place = Place {
            purpose: Purpose::Marker,
            names: &names,
        };
        let guard = &self.writer.guard;
        guard.seal_at(headers, place, one.expected, payload);
    }

    async fn publish(
        &self,
        subject: async_nats::Subject,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), CommitError> {
        let client = &self.writer.client;
        let sent = client.publish_with_headers(subject, headers, payload);
        sent.await.map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::fmt::Display) -> CommitError {
    CommitError::Failed(error.to_string())
}
