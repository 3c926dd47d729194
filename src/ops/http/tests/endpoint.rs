//! A server of the routes on a free port, with a worker that keeps one series.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::market::{Bar, Timestamp};
use crate::ops::health::Component;
use crate::ops::heartbeat::tests::status;
use crate::ops::http::*;
use crate::ops::metrics::Build;
use crate::ops::query::{Query, SeriesAnswer, SeriesDetail, SeriesPage, SeriesSummary};

/// The actions that the routes asked for.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) level: Mutex<String>,
    pub(super) drains: AtomicUsize,
}

impl Admin for Asked {
    fn set_log_level(&self, filter: &str) -> Result<(), String> {
        if filter == "bad" {
            return Err("`bad` is no filter".to_owned());
        }
        filter.clone_into(&mut self.level.lock().unwrap());
        Ok(())
    }

    fn drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }

    fn checkpoint(&self) -> BoxFuture<'static, Checkpoint> {
        let reason = "there is nothing to checkpoint in core delivery";
        async move { Checkpoint::Unsupported(reason.to_owned()) }.boxed()
    }

    fn reset(&self, series: crate::market::SeriesKey) -> BoxFuture<'static, SeriesReset> {
        let outcome = match series.symbol.as_str() {
            "BTC/USDT" => SeriesReset::Done {
                forgotten: 7,
                by: vec!["a".to_owned()],
            },
            "DENIED" => SeriesReset::Denied("may not".to_owned()),
            "LOST" => SeriesReset::Failed("nobody".to_owned()),
            _ => SeriesReset::Unknown,
        };
        async move { outcome }.boxed()
    }
}

pub(super) struct Endpoint {
    pub(super) base: String,
    pub(super) health: Health,
    pub(super) nats: Component,
    pub(super) asked: Arc<Asked>,
    /// Answers until this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Endpoint {
    pub(super) async fn start(token: Option<&str>) -> Self {
        let (queries, questions) = Queries::channel();
        tokio::spawn(answer(questions));
        let health = Health::new();
        let nats = health.component("nats", true);
        let asked = Arc::<Asked>::default();
        let mut state = state(health.clone(), queries, asked.clone());
        state.admin_token = token.map(Arc::from);
        let bound = bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", bound.address());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(bound, state, stopped.map(|_| ())));
        Self {
            base,
            health,
            nats,
            asked,
            _stop: stop,
        }
    }

    pub(super) async fn get(&self, path: &str) -> (u16, String, Value) {
        self.send("GET", path, None, "").await
    }

    pub(super) async fn post(&self, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let (code, _, body) = self.send("POST", path, authorization, body).await;
        (code, body)
    }

    /// Status, content type and body (a JSON string where it is not JSON).
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        authorization: Option<String>,
        body: &str,
    ) -> (u16, String, Value) {
        let mut request = axum::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let request = request.body(body.to_owned()).unwrap();
        tokio::task::spawn_blocking(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .allow_non_standard_methods(true)
                .build()
                .into();
            let mut response = agent.run(request).unwrap();
            let kind = response.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            let text = response.body_mut().read_to_string().unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            (response.status().as_u16(), kind, body)
        })
        .await
        .unwrap()
    }
}

/// A server's state without a token.
pub(super) fn state(health: Health, queries: Queries, admin: Arc<Asked>) -> OpsState {
    let build = Build {
        version: "1",
        git: "g",
        rustc: "r",
    };
    OpsState {
        metrics: Arc::new(Metrics::new(&["late"], &["spike"], &[], build)),
        health,
        queries,
        admin,
        admin_token: None,
    }
}

/// A worker that keeps one series, `BTC/USDT` in minutes.
async fn answer(mut questions: mpsc::Receiver<Query>) {
    let opened = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let summary = SeriesSummary {
        symbol: "BTC/USDT".to_owned(),
        timeframe: "1m".to_owned(),
        bars: 1,
        last_timestamp: Some(opened),
        owned: true,
    };
    let bar = Bar {
        timestamp: opened,
        open: 1.0,
        high: 3.0,
        low: 0.5,
        close: 2.0,
        volume: 10.0,
    };
    while let Some(question) = questions.recv().await {
        match question {
            Query::Status { reply } => drop(reply.send(status("a"))),
            Query::Keys { .. } | Query::Summaries { .. } => {}
            Query::ListSeries {
                filter,
                offset,
                limit,
                reply,
            } => {
                let other = |symbol: &crate::market::Symbol| symbol.as_str() != "BTC/USDT";
                let longer = |timeframe: crate::market::Timeframe| timeframe.to_string() != "1m";
                let left_out = filter.symbol.as_ref().is_some_and(other)
                    || filter.timeframe.is_some_and(longer);
                let kept = (!left_out).then(|| summary.clone());
                let total = usize::from(kept.is_some());
                let series = kept.into_iter().skip(offset).take(limit);
                drop(reply.send(SeriesPage {
                    total,
                    offset,
                    series: series.collect(),
                }));
            }
            Query::Series { key, window, reply } => {
                let known = key.symbol.as_str() == "BTC/USDT" && key.timeframe.to_string() == "1m";
                let detail = || SeriesDetail {
                    summary: summary.clone(),
                    signal: serde_json::from_str(r#"{"rsi":12.50}"#).unwrap(),
                    window: (window > 0).then(|| vec![bar.into()]),
                };
                drop(reply.send(if known {
                    SeriesAnswer::Known(Box::new(detail()))
                } else {
                    SeriesAnswer::Unknown { owner: true }
                }));
            }
            Query::Checkpoint { reply } => drop(reply),
        }
    }
}
