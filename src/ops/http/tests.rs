//! The routes over real connections.

mod endpoint;

use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use endpoint::{Endpoint, state};

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
    let mut endpoint = Endpoint::start(None).await;
    let state = state(endpoint.health.clone(), queries, endpoint.asked.clone());
    let bound = bind("127.0.0.1:0").await.unwrap();
    endpoint.base = format!("http://{}", bound.address());
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
    let state = state(Health::new(), queries, Arc::default());
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
