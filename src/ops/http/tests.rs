use super::*;
use crate::market::{Bar, Timestamp};
use crate::ops::health::Component;
use crate::ops::heartbeat::tests::status;
use crate::ops::metrics::Build;
use crate::ops::query::{Query, SeriesAnswer, SeriesDetail, SeriesPage, SeriesSummary};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// The actions that the routes asked for.
#[derive(Default)]
struct Asked {
    level: Mutex<String>,
    drains: AtomicUsize,
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

struct Endpoint {
    base: String,
    health: Health,
    nats: Component,
    asked: Arc<Asked>,
    /// Answers until this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Endpoint {
    async fn start(token: Option<&str>) -> Self {
        let (queries, questions) = Queries::channel();
        tokio::spawn(answer(questions));
        let health = Health::new();
        let nats = health.component("nats", true);
        let asked = Arc::<Asked>::default();
        let build = Build {
            version: "1",
            git: "g",
            rustc: "r",
        };
        let state = OpsState {
            metrics: Arc::new(Metrics::new(&["late"], &["spike"], &[], build)),
            health: health.clone(),
            queries,
            admin: asked.clone(),
            admin_token: token.map(Arc::from),
        };
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

    async fn get(&self, path: &str) -> (u16, String, Value) {
        self.send("GET", path, None, "").await
    }

    async fn post(&self, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let (code, _, body) = self.send("POST", path, authorization, body).await;
        (code, body)
    }

    /// Status, content type and body (a JSON string where it is not JSON).
    async fn send(
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

#[tokio::test]
async fn the_probes_follow_the_life_of_the_process() {
    let endpoint = Endpoint::start(None).await;
    assert_eq!(endpoint.get("/livez").await.0, 200);
    let (code, _, body) = endpoint.get("/startupz").await;
    assert_eq!(code, 503);
    assert_eq!(body["missing"][0], "start-up has not finished");
    assert_eq!(endpoint.get("/readyz").await.0, 503);

    endpoint.health.started();
    endpoint.nats.up("connected");
    assert_eq!(endpoint.get("/startupz").await.0, 200);
    let (code, _, body) = endpoint.get("/readyz").await;
    assert_eq!((code, &body["status"]), (200, &"ok".into()));

    endpoint.nats.down("connection lost");
    let (code, _, body) = endpoint.get("/readyz").await;
    assert_eq!(
        (code, &body["missing"][0]),
        (503, &"nats: connection lost".into())
    );
    assert_eq!(endpoint.get("/livez").await.0, 200);

    let stuck = endpoint.health.progress("worker", Duration::ZERO);
    let (code, _, body) = endpoint.get("/livez").await;
    assert_eq!(code, 503);
    assert!(body["missing"][0].as_str().unwrap().starts_with("worker: "));
    drop(stuck);

    endpoint.nats.up("connected");
    endpoint.health.draining();
    assert_eq!(endpoint.get("/readyz").await.0, 503);
    assert_eq!(endpoint.get("/startupz").await.0, 200);
}

#[tokio::test]
async fn health_names_every_component_and_one() {
    let endpoint = Endpoint::start(None).await;
    let (code, _, body) = endpoint.get("/health").await;
    assert_eq!(code, 503);
    assert_eq!(body["components"][0]["name"], "nats");
    assert_eq!(endpoint.get("/health/nats").await.0, 503);
    endpoint.nats.degraded("slow");
    let (code, _, body) = endpoint.get("/health").await;
    assert_eq!((code, &body["status"]), (200, &"degraded".into()));
    let (code, _, body) = endpoint.get("/health/nats").await;
    assert_eq!((code, &body["detail"]), (200, &"slow".into()));
    let (code, _, body) = endpoint.get("/health/disk").await;
    assert_eq!((code, &body["components"][0]), (404, &"nats".into()));
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_know_readiness() {
    let endpoint = Endpoint::start(None).await;
    let (code, kind, body) = endpoint.get("/metrics").await;
    assert_eq!((code, kind.as_str()), (200, "text/plain; version=0.0.4"));
    assert!(body.as_str().unwrap().contains("\ntechnical_ready 0\n"));
    endpoint.health.started();
    endpoint.nats.up("connected");
    let (_, _, body) = endpoint.get("/metrics").await;
    assert!(body.as_str().unwrap().contains("\ntechnical_ready 1\n"));
}

#[tokio::test]
async fn status_and_series_come_from_the_worker() {
    let endpoint = Endpoint::start(None).await;
    let (code, kind, body) = endpoint.get("/status").await;
    assert_eq!((code, kind.as_str()), (200, "application/json"));
    assert_eq!(body["agent"], "a");
    assert_eq!(body["started_at"], "2023-11-14T22:13:20Z");

    let (code, _, body) = endpoint.get("/series?limit=10&offset=0").await;
    assert_eq!((code, &body["total"]), (200, &1.into()));
    assert_eq!(body["series"][0]["symbol"], "BTC/USDT");
    let (_, _, body) = endpoint.get("/series?offset=1").await;
    assert_eq!(body["series"], serde_json::json!([]));
    for wrong in [
        "limit=many",
        "offset=-1",
        "offset=100001",
        "symbol=A%0AB",
        "timeframe=7x",
    ] {
        assert_eq!(
            endpoint.get(&format!("/series?{wrong}")).await.0,
            400,
            "{wrong}"
        );
    }
    for (filter, total) in [
        ("symbol=BTC%2FUSDT", 1),
        ("symbol=BTC%2FUSDT&timeframe=1m", 1),
        ("symbol=A", 0),
        ("timeframe=5m", 0),
    ] {
        let (code, _, body) = endpoint.get(&format!("/series?{filter}")).await;
        assert_eq!((code, &body["total"]), (200, &total.into()), "{filter}");
    }
    for (window, bars) in [("true", true), ("1", true), ("0", false)] {
        let path = format!("/series/BTC%2FUSDT/1m?window={window}");
        assert_eq!(
            endpoint.get(&path).await.2["window"].is_array(),
            bars,
            "{window}"
        );
    }
    assert_eq!(endpoint.get("/series/BTC%2FUSDT/1m?window=x").await.0, 400);

    let (code, _, body) = endpoint.get("/series/BTC%2FUSDT/1m").await;
    assert_eq!(code, 200);
    assert_eq!(body["signal"]["rsi"], 12.5);
    assert_eq!(body["window"][0]["timestamp"], "2023-11-14T22:13:20Z");
    let (_, _, body) = endpoint.get("/series/BTC%2FUSDT/1m?window=false").await;
    assert_eq!(body.get("window"), None);
    let (code, _, body) = endpoint.get("/series/ETHUSDT/1m").await;
    assert_eq!((code, &body["owner"]), (404, &true.into()));
    assert_eq!(endpoint.get("/series/BTC%2FUSDT/7x").await.0, 400);
    assert_eq!(endpoint.get("/series/A%0AB/1m").await.0, 400);
}

#[tokio::test]
async fn who_is_lost_is_told_the_way() {
    let endpoint = Endpoint::start(None).await;
    let (code, kind, body) = endpoint.get("/nowhere").await;
    assert_eq!((code, kind.as_str()), (404, "application/json"));
    assert!(
        body["routes"]
            .as_array()
            .unwrap()
            .contains(&"GET /livez".into())
    );
    let (code, body) = endpoint.post("/livez", None, "").await;
    assert_eq!(
        (code, &body["error"]),
        (405, &"/livez does not take POST".into())
    );
    assert_eq!(endpoint.get("/").await.0, 404);
}

#[tokio::test]
async fn without_a_token_the_admin_routes_are_closed() {
    let endpoint = Endpoint::start(None).await;
    for path in [
        "/admin/log-level",
        "/admin/drain",
        "/admin/checkpoint",
        "/admin/series/A/1m/reset",
    ] {
        let (code, body) = endpoint.post(path, Some("anything"), "").await;
        assert_eq!(code, 403, "{path}");
        assert!(body["error"].as_str().unwrap().contains("HTTP_ADMIN_TOKEN"));
    }
    assert_eq!(endpoint.asked.drains.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_admin_routes_want_the_right_token() {
    let endpoint = Endpoint::start(Some("secret")).await;
    for wrong in [
        None,
        Some(""),
        Some("secre"),
        Some("secret2"),
        Some("Secret"),
    ] {
        let (code, _) = endpoint.post("/admin/drain", wrong, "").await;
        assert_eq!(code, 401, "{wrong:?}");
    }
    assert_eq!(endpoint.asked.drains.load(Ordering::SeqCst), 0);
    let (code, body) = endpoint.post("/admin/drain", Some("secret"), "").await;
    assert_eq!((code, &body["status"]), (202, &"draining".into()));
    assert_eq!(endpoint.asked.drains.load(Ordering::SeqCst), 1);
    assert_eq!(
        endpoint
            .send("GET", "/admin/drain", Some("Bearer secret".to_owned()), "")
            .await
            .0,
        405
    );
}

#[tokio::test]
async fn the_log_level_is_taken_as_json_or_text() {
    let endpoint = Endpoint::start(Some("t")).await;
    let level = |body| endpoint.post("/admin/log-level", Some("t"), body);
    assert_eq!(level(r#"{"level":"debug"}"#).await.0, 200);
    assert_eq!(*endpoint.asked.level.lock().unwrap(), "debug");
    assert_eq!(level("info,axum=warn\n").await.0, 200);
    assert_eq!(*endpoint.asked.level.lock().unwrap(), "info,axum=warn");
    for wrong in ["", " ", "bad", r#"{"lvl":"debug"}"#, r#"{"level":""}"#, "{"] {
        assert_eq!(level(wrong).await.0, 400, "{wrong:?}");
    }
    let long = "x".repeat(5_000);
    assert_eq!(level(&long).await.0, 413);
}

#[tokio::test]
async fn a_reset_is_answered_with_what_was_forgotten_or_why_it_was_not_done() {
    let endpoint = Endpoint::start(Some("t")).await;
    let reset = async |series: &str| {
        let path = format!("/admin/series/{series}/reset");
        endpoint.post(&path, Some("t"), "").await
    };
    let (code, told) = reset("BTC%2FUSDT/1day").await;
    assert_eq!(code, 200);
    let expected = serde_json::json!({
        "status": "reset", "symbol": "BTC/USDT", "timeframe": "1d", "forgotten": 7, "by": ["a"],
    });
    assert_eq!(told, expected);
    for (series, expected) in [
        ("NONE/1d", 404),
        ("A/7x", 400),
        ("DENIED/1d", 403),
        ("LOST/1d", 503),
    ] {
        let (code, body) = reset(series).await;
        assert_eq!(code, expected, "{series}: {body}");
        assert!(body["error"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn a_checkpoint_where_there_is_none_is_refused_with_the_reason() {
    let endpoint = Endpoint::start(Some("t")).await;
    let (code, body) = endpoint.post("/admin/checkpoint", Some("t"), "").await;
    assert_eq!(code, 501);
    assert_eq!(
        body["error"],
        "there is nothing to checkpoint in core delivery"
    );
}

#[tokio::test]
async fn an_address_in_use_is_named_with_what_to_do() {
    let taken = bind("127.0.0.1:0").await.unwrap();
    let address = taken.address().to_string();
    assert_eq!(
        bind(&address).await.unwrap_err().to_string(),
        format!("HTTP_ADDR {address} is in use; set HTTP_ADDR to another address or `off`")
    );
    assert!(matches!(
        bind("nonsense").await,
        Err(BindError::Unusable(..))
    ));
}

#[tokio::test]
async fn a_worker_that_is_gone_is_503() {
    let (queries, questions) = Queries::channel();
    drop(questions);
    let endpoint = Endpoint::start(None).await;
    let state = OpsState {
        metrics: Arc::new(Metrics::new(
            &[],
            &[],
            &[],
            Build {
                version: "1",
                git: "g",
                rustc: "r",
            },
        )),
        health: endpoint.health.clone(),
        queries,
        admin: endpoint.asked.clone(),
        admin_token: None,
    };
    let bound = bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        base: format!("http://{}", bound.address()),
        ..endpoint
    };
    let _serving = tokio::spawn(serve(bound, state, std::future::pending()));
    for path in ["/status", "/series", "/series/A/1m"] {
        assert_eq!(endpoint.get(path).await.0, 503, "{path}");
    }
    assert_eq!(endpoint.get("/livez").await.0, 200);
}

/// Idle connections neither block others nor outlive the shutdown.
#[tokio::test]
async fn a_client_that_sends_half_a_head_holds_nobody_up() {
    let (queries, _questions) = Queries::channel();
    let bound = bind("127.0.0.1:0").await.unwrap();
    let address = bound.address();
    let state = OpsState {
        metrics: Arc::new(Metrics::new(
            &[],
            &[],
            &[],
            Build {
                version: "1",
                git: "g",
                rustc: "r",
            },
        )),
        health: Health::new(),
        queries,
        admin: Arc::<Asked>::default(),
        admin_token: None,
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(bound, state, stopped.map(|_| ())));

    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    other
        .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    // the slow one is cut off for its head, long before its age: paused time moves on by
    // itself to whatever is due next
    tokio::time::pause();
    let paused = tokio::time::Instant::now();
    let mut rest = String::new();
    let cut = slow.read_to_string(&mut rest).await;
    assert!(cut.is_err() || !rest.contains("200 OK"), "{rest}");
    assert!(paused.elapsed() < CONNECTION_AGE, "{:?}", paused.elapsed());

    stop.send(()).unwrap();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
