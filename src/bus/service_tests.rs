use super::*;
use crate::ops::heartbeat::tests::status;
use crate::ops::query::{Query, SeriesDetail, SeriesPage, SeriesSummary};
use crate::ops::receipts::Receipt;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A broker on a free port, for one test.
struct Broker {
    process: Child,
    url: String,
    directory: tempfile::TempDir,
}

impl Broker {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = Command::new(nats_server())
            .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server starts");
        let mut broker = Self {
            process,
            url: String::new(),
            directory,
        };
        while broker.url.is_empty() {
            assert!(broker.process.try_wait().unwrap().is_none(), "it runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
            broker.url = client_url(broker.directory.path()).unwrap_or_default();
        }
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn nats_server() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("NATS_SERVER")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path).map(|directory| directory.join("nats-server")))
        .chain([project])
        .find(|candidate| candidate.is_file())
        .expect("nats-server in NATS_SERVER, on PATH or in .venv/bin")
}

/// The server writes `{"nats":["nats://…"]}` once it listens.
fn client_url(directory: &Path) -> Option<String> {
    let mut files = std::fs::read_dir(directory).ok()?.flatten();
    let ports = files.find(|file| file.path().extension().is_some_and(|e| e == "ports"))?;
    let ports: Value = serde_json::from_slice(&std::fs::read(ports.path()).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// A replica whose worker owns `owned` and keeps `kept` (in minutes), the rest unknown.
async fn replica(
    broker: &Broker,
    agent: &'static str,
    owned: &'static [&'static str],
    kept: &'static [&'static str],
) -> ServiceApi {
    let (queries, mut questions) = Queries::channel();
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            match question {
                Query::Status { reply } => drop(reply.send(status(agent))),
                Query::ListSeries { offset, reply, .. } => drop(reply.send(SeriesPage {
                    total: 0,
                    offset,
                    series: Vec::new(),
                })),
                Query::Keys { .. } | Query::Summaries { .. } => {}
                Query::Series { key, reply, .. } => {
                    let owned = owned.contains(&key.symbol.as_str());
                    drop(reply.send(if kept.contains(&key.symbol.as_str()) {
                        SeriesAnswer::Known(Box::new(detail(&key, owned)))
                    } else {
                        SeriesAnswer::Unknown { owner: owned }
                    }));
                }
                Query::Checkpoint { reply } => drop(reply),
            }
        }
    });
    let client = async_nats::connect(&broker.url).await.unwrap();
    let metrics = Arc::new(crate::ops::durable::tests::busy());
    let receipts = Arc::new(Receipts::default());
    let counted = Receipt {
        messages: 7,
        ..Receipt::default()
    };
    receipts.add(
        "core",
        [(FeedId::new(0xfeed), counted)],
        std::time::Instant::now(),
    );
    let api = ServiceApi::start(&client, agent, "g", queries, metrics, receipts)
        .await
        .unwrap();
    client.flush().await.unwrap();
    api
}

fn detail(key: &SeriesKey, owned: bool) -> SeriesDetail {
    SeriesDetail {
        summary: SeriesSummary {
            symbol: key.symbol.to_string(),
            timeframe: key.timeframe.to_string(),
            bars: 0,
            last_timestamp: None,
            owned,
        },
        signal: None,
        window: Some(Vec::new()),
    }
}

/// Every answer to one request: who gave it, its error code if it is one, its payload.
///
/// At least `expected` are waited for. That there are no more of them is established by
/// three rounds in which every replica has answered a ping sent after the request.
async fn ask(
    broker: &Broker,
    replicas: usize,
    subject: &str,
    expected: usize,
) -> Vec<(String, u16, Value)> {
    let client = async_nats::connect(&broker.url).await.unwrap();
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await.unwrap();
    let ask = async |subject: &str| {
        let (subject, inbox) = (subject.to_owned(), inbox.clone());
        let asked = client.publish_with_reply(subject, inbox, "".into());
        asked.await.unwrap();
    };
    ask(subject).await;
    let mut answers = Vec::new();
    let mut rounds = 0;
    while rounds < 3 || (answers.len() < expected && rounds < 500) {
        rounds += 1;
        ask("$SRV.PING.technical-analysis").await;
        let mut pongs = 0;
        while pongs < replicas {
            let reply = timeout(Duration::from_secs(10), replies.next());
            let reply = reply.await.expect("every replica answers a ping").unwrap();
            if reply.status.is_some() {
                continue; // the broker itself: nobody listens
            }
            let payload: Value = serde_json::from_slice(&reply.payload).unwrap_or_default();
            if payload["type"] == "io.nats.micro.v1.ping_response" {
                pongs += 1;
                continue;
            }
            let headers = reply.headers.unwrap_or_default();
            let header = |name: &str| headers.get(name).map_or("", |value| value.as_str());
            let code = header(async_nats::service::NATS_SERVICE_ERROR_CODE);
            let code = code.parse().unwrap_or(200);
            answers.push((header("Ta-Agent").to_owned(), code, payload));
        }
    }
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    answers
}

fn who(answers: &[(String, u16, Value)]) -> Vec<(&str, u16)> {
    answers
        .iter()
        .map(|(agent, code, _)| (agent.as_str(), *code))
        .collect()
}

#[tokio::test]
async fn every_replica_answers_for_its_status_and_one_alone_when_named() {
    let broker = Broker::start().await;
    let _a = replica(&broker, "a.1", &[], &[]).await;
    let _b = replica(&broker, "b", &[], &[]).await;
    let answers = ask(&broker, 2, "technical.status", 2).await;
    assert_eq!(who(&answers), [("a.1", 200), ("b", 200)]);
    assert_eq!(answers[1].2["agent"], "b");
    let answers = ask(&broker, 2, "technical.status.a%2E1", 1).await;
    assert_eq!(who(&answers), [("a.1", 200)]);
    assert_eq!(ask(&broker, 2, "technical.status.c", 0).await, []);
}

#[tokio::test]
async fn a_series_is_answered_by_its_owner_alone() {
    let broker = Broker::start().await;
    let _a = replica(&broker, "a", &["BRK.B", "NEW"], &["BRK.B", "ETH"]).await;
    let _b = replica(&broker, "b", &["ETH"], &["BRK.B", "ETH"]).await;
    let answers = ask(&broker, 2, "technical.series.BRK%2EB.1m", 1).await;
    assert_eq!(who(&answers), [("a", 200)]);
    assert_eq!(answers[0].2["symbol"], "BRK.B");
    assert_eq!(answers[0].2["window"], serde_json::json!([]));
    assert_eq!(
        who(&ask(&broker, 2, "technical.series.ETH.1m", 1).await),
        [("b", 200)]
    );
    assert_eq!(
        who(&ask(&broker, 2, "technical.series.NEW.1m", 1).await),
        [("a", 404)]
    );
    assert_eq!(ask(&broker, 2, "technical.series.NOBODYS.1m", 0).await, []);
    let refused = ask(&broker, 2, "technical.series.ETH.7x", 2).await;
    assert_eq!(who(&refused), [("a", 400), ("b", 400)]);
}

#[tokio::test]
async fn every_replica_gives_its_receipt_of_a_feed() {
    let broker = Broker::start().await;
    let _a = replica(&broker, "a", &[], &[]).await;
    let _b = replica(&broker, "b", &[], &[]).await;
    let answers = ask(&broker, 2, "technical.feed.000000000000feed", 2).await;
    assert_eq!(who(&answers), [("a", 200), ("b", 200)]);
    assert_ne!(answers[0].2["instance"], answers[1].2["instance"]);
    let expected = serde_json::json!({
        "agent": "b", "instance": answers[1].2["instance"], "delivery": "core", "receipt": { "messages": 7, "signals_published": 0, "slots": {} },
    });
    assert_eq!(answers[1].2, expected);
    // who has nothing of a feed says so
    let answers = ask(&broker, 2, "technical.feed.0000000000000000", 2).await;
    let expected = serde_json::json!({
        "agent": "a", "instance": answers[0].2["instance"], "receipt": { "messages": 0, "signals_published": 0, "slots": {} },
    });
    assert_eq!(answers[0].2, expected);
    let refused = ask(&broker, 2, "technical.feed.x", 2).await;
    assert_eq!(who(&refused), [("a", 400), ("b", 400)]);
}

#[tokio::test]
async fn the_service_is_discovered_with_its_endpoints_until_it_stops() {
    let broker = Broker::start().await;
    let a = replica(&broker, "a", &[], &[]).await;
    let client = async_nats::ConnectOptions::new()
        .request_timeout(Some(Duration::from_secs(2)))
        .connect(&broker.url)
        .await
        .unwrap();
    let info = client
        .request("$SRV.INFO.technical-analysis", "".into())
        .await
        .unwrap();
    let info: Value = serde_json::from_slice(&info.payload).unwrap();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["metadata"]["agent"], "a");
    let mut subjects: Vec<&str> = info["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| endpoint["subject"].as_str().unwrap())
        .collect();
    subjects.sort_unstable();
    assert_eq!(
        subjects,
        [
            "technical.feed.*",
            "technical.series.*.*",
            "technical.status",
            "technical.status.a"
        ]
    );

    let stats = client.request("technical.status", "".into()).await.unwrap();
    assert!(!stats.payload.is_empty());
    let stats = client.request("$SRV.STATS.technical-analysis", "".into());
    let stats: Value = serde_json::from_slice(&stats.await.unwrap().payload).unwrap();
    let endpoints = stats["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 4);
    let busy: Value = serde_json::from_str(crate::ops::durable::tests::BUSY).unwrap();
    for endpoint in endpoints {
        let expected = serde_json::json!({
            "agent": "a", "owned_partitions": 3, "series": 4, "lag_bars": 7, "durable": busy,
        });
        assert_eq!(endpoint["data"], expected);
    }

    a.stop().await;
    // the unsubscription travels on the replica's own connection, so it is asked for until
    // the broker has it; the request then fails at once for want of a responder
    loop {
        let asked = client.request("technical.status", "".into()).await;
        if asked.is_err_and(|e| e.kind() == async_nats::RequestErrorKind::NoResponders) {
            break;
        }
    }
}

#[test]
fn a_subject_names_a_series_or_is_refused() {
    let key = series_key(".BTC%2FUSDT.15m").unwrap();
    assert_eq!(key.to_string(), "BTC/USDT 15m");
    for wrong in ["", ".", ".A", ".A.", "..1m", ".%FF.1m", ".A.1x"] {
        assert_eq!(series_key(wrong).unwrap_err().code, 400, "{wrong:?}");
    }
}

#[test]
fn an_answer_too_large_for_a_message_is_refused_with_the_way_out() {
    let (queries, _) = Queries::channel();
    let replica = Replica {
        agent: "a".into(),
        id: "1".into(),
        queries,
        receipts: Arc::default(),
        headers: HeaderMap::new(),
        max_payload: Arc::new(|| 2_048),
    };
    assert!(replica.fitting(Bytes::from(vec![0; 1_024])).is_ok());
    let refused = replica.fitting(Bytes::from(vec![0; 1_025])).unwrap_err();
    assert_eq!(refused.code, 413);
}
