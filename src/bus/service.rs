//! The agent as a NATS service: found by `nats service ls`, asked over request and reply.
//!
//! Every replica hears every request, because each has a queue group of its own (the default
//! group of the protocol would deal each request to one replica at random, which knows
//! nothing of the others). So:
//!
//! - `technical.status` is answered by every replica, `technical.status.<agent>` by that one;
//! - `technical.series.<SYMBOL>.<TIMEFRAME>` is answered by the owner alone. The others stay
//!   silent, and so does a replica whose worker is too busy to say whether it is the owner;
//! - `technical.feed.<ID>` is answered by every replica, with its account of the bars of that run of
//!   `feed` ([`crate::ops::receipts`]).
//!
//! Errors are those of the protocol: the headers `Nats-Service-Error` and
//! `Nats-Service-Error-Code` (400 no such symbol, timeframe or feed, 404 unknown series,
//! 413 too large for one message, 503 busy). Headers `Ta-Agent` and `Ta-Group` say who answers.
//!
//! The statistics (`$SRV.STATS`, `nats service stats`) carry how delivery stands as the `data` of
//! every endpoint. They are read from the metrics, so that asking costs the worker nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::service::error::Error as Refusal;
use async_nats::service::{Request, Service, ServiceExt};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::market::{SeriesKey, Symbol};
use crate::ops::durable::Statistics;
use crate::ops::metrics::Metrics;
use crate::ops::query::{Queries, SeriesAnswer, Unanswered};
use crate::ops::receipts::{FeedId, Receipts};
use crate::wire::token;

const NAME: &str = "technical-analysis";
const DESCRIPTION: &str = "Technical analysis of market data: signals per symbol and timeframe";
const STATUS: &str = "technical.status";
const SERIES: &str = "technical.series";
const FEED: &str = "technical.feed";

/// Requests answered at once.
const CONCURRENCY: usize = 16;
/// The time limit, at the end, of the answers that were begun.
const GRACE: Duration = Duration::from_secs(1);

/// The reason why the service is not available.
#[derive(Debug, thiserror::Error)]
#[error(
    "the NATS service API cannot be started: {0}; does the account allow `$SRV.>` and `technical.>`?"
)]
pub struct ServiceError(#[source] async_nats::Error);

/// The running service. Answers until it is stopped or the connection ends.
#[derive(Debug)]
pub struct ServiceApi {
    service: Service,
    answering: JoinHandle<()>,
}

/// The data of every answer.
#[derive(Clone)]
struct Replica {
    agent: Arc<str>,
    /// Of the service, unique to this run.
    id: Arc<str>,
    queries: Queries,
    receipts: Arc<Receipts>,
    headers: HeaderMap,
    /// The server's limit now: it may be another server after a reconnect.
    max_payload: Arc<dyn Fn() -> usize + Send + Sync>,
}

impl ServiceApi {
    /// Announces the service and answers for `agent` of `group`.
    ///
    /// # Errors
    /// If the subscriptions cannot be made.
    pub async fn start(
        client: &Client,
        agent: &str,
        group: &str,
        queries: Queries,
        metrics: Arc<Metrics>,
        receipts: Arc<Receipts>,
    ) -> Result<Self, ServiceError> {
        let of_agent = HashMap::from([
            ("agent".to_owned(), agent.to_owned()),
            ("group".to_owned(), group.to_owned()),
        ]);
        let service = client
            .service_builder()
            .description(DESCRIPTION)
            .metadata(of_agent)
            .stats_handler({
                let agent = agent.to_owned();
                // a missing `data` is better than no statistics
                move |_, _| {
                    serde_json::to_value(Statistics::of(&agent, &metrics)).unwrap_or_default()
                }
            })
            .start(NAME, env!("CARGO_PKG_VERSION"))
            .await
            .map_err(ServiceError)?;
        let id = service.info().await.id;
        let endpoint = async |name: &str, subject: String| {
            let builder = service.endpoint_builder().name(name).queue_group(&id);
            builder.add(subject).await.map_err(ServiceError)
        };
        let requests = stream::select_all([
            endpoint("status", STATUS.to_owned()).await?,
            endpoint("status-of-agent", format!("{STATUS}.{}", token(agent))).await?,
            endpoint("series", format!("{SERIES}.*.*")).await?,
            endpoint("feed", format!("{FEED}.*")).await?,
        ]);
        let mut headers = HeaderMap::new();
        headers.insert("Ta-Agent", agent);
        headers.insert("Ta-Group", group);
        let replica = Replica {
            agent: agent.into(),
            id: id.into(),
            queries,
            receipts,
            headers,
            max_payload: {
                let client = client.clone();
                Arc::new(move || client.max_payload())
            },
        };
        let answering = tokio::spawn(requests.for_each_concurrent(CONCURRENCY, move |request| {
            let replica = replica.clone();
            async move { replica.answer(request).await }
        }));
        Ok(Self { service, answering })
    }

    /// Withdraws the service; answers begun are finished.
    pub async fn stop(self) {
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "service API did not stop in order");
        }
        let answering = self.answering.abort_handle();
        if timeout(GRACE, self.answering).await.is_err() {
            answering.abort();
        }
    }
}

impl Replica {
    async fn answer(&self, request: Request) {
        if request.message.reply.is_none() {
            return;
        }
        let subject = request.message.subject.as_str();
        let answer = if let Some(rest) = subject.strip_prefix(SERIES) {
            match self.series(rest).await {
                Some(answer) => answer,
                None => return,
            }
        } else if let Some(rest) = subject.strip_prefix(FEED) {
            self.feed(rest)
        } else {
            let report = self.queries.status().await;
            report.map_err(busy).and_then(|report| json(&report))
        };
        let answer = answer.and_then(|payload| self.fitting(payload));
        let sent = request
            .respond_with_headers(answer, self.headers.clone())
            .await;
        if let Err(error) = sent {
            tracing::debug!(%error, "service request cannot be answered");
        }
    }

    /// The outcomes of the bars of one run of `feed`.
    fn feed(&self, rest: &str) -> Result<Bytes, Refusal> {
        let feed = rest.strip_prefix('.').and_then(FeedId::parse);
        let feed = feed.ok_or_else(|| refusal(400, "ask technical.feed.<ID>".to_owned()))?;
        json(&self.receipts.answer(&self.agent, &self.id, feed))
    }

    /// The answer, if it is for this replica to give.
    async fn series(&self, rest: &str) -> Option<Result<Bytes, Refusal>> {
        let key = match series_key(rest) {
            Ok(key) => key,
            Err(refusal) => return Some(Err(refusal)),
        };
        match self.queries.series(key.clone(), usize::MAX).await {
            Ok(SeriesAnswer::Known(detail)) if detail.summary.owned => Some(json(&detail)),
            Ok(SeriesAnswer::Unknown { owner: true }) => {
                Some(Err(refusal(404, format!("there is no series {key}"))))
            }
            Ok(SeriesAnswer::Known(_) | SeriesAnswer::Unknown { owner: false }) => None,
            Err(reason) => {
                tracing::debug!(%reason, series = %key, "service request is not answered");
                None
            }
        }
    }

    fn fitting(&self, payload: Bytes) -> Result<Bytes, Refusal> {
        // a NATS message counts its headers too; 1 KiB is more than ours take
        if payload.len() + 1_024 <= (self.max_payload)() {
            return Ok(payload);
        }
        let size = payload.len();
        Err(refusal(
            413,
            format!("the answer has {size} bytes, too many for one message; ask over HTTP"),
        ))
    }
}

/// The series named by `.<SYMBOL>.<TIMEFRAME>`, the symbol percent-encoded.
fn series_key(rest: &str) -> Result<SeriesKey, Refusal> {
    let unreadable = |reason: &dyn std::fmt::Display| refusal(400, reason.to_string());
    let (symbol, timeframe) = rest
        .strip_prefix('.')
        .and_then(|rest| rest.split_once('.'))
        .ok_or_else(|| unreadable(&"ask technical.series.<SYMBOL>.<TIMEFRAME>"))?;
    let symbol = percent_decode_str(symbol)
        .decode_utf8()
        .map_err(|_| unreadable(&"symbol is not UTF-8"))?;
    let symbol = Symbol::new(&symbol).map_err(|invalid| unreadable(&invalid))?;
    let timeframe = timeframe.parse().map_err(|invalid| unreadable(&invalid))?;
    Ok(SeriesKey::new(symbol, timeframe))
}

fn refusal(code: usize, status: String) -> Refusal {
    Refusal { status, code }
}

fn busy(reason: Unanswered) -> Refusal {
    refusal(503, reason.to_string())
}

fn json(value: &impl Serialize) -> Result<Bytes, Refusal> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| refusal(500, error.to_string()))
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
