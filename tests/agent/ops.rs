//! Interfaces for operators: probes, status, series, the NATS service, heartbeat, logs.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::common::{Agent, NatsServer, collect_signals, flat, send, until, until_async};
use crate::{client, every_bar, ready_agent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_series_tell_what_is_kept() {
    let server = NatsServer::plain();
    let further = [
        ("TECHNICAL_GROUP", "desk"),
        ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
    ];
    let agent = ready_agent(&server, "one", &further);
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    for minute in 0..70 {
        send(&client, &flat("BRK.B", minute, 10.0 + minute as f64)).await;
    }
    send(&client, &flat("A", 0, 7.0)).await;
    let last = signals.wait_for(71).await;
    let status = agent.get("/status").json();
    for (name, value) in [
        ("agent", "one"),
        ("group", "desk"),
        ("delivery", "core"),
        ("state", "active"),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    assert_eq!(status.get("durable"), None);
    assert_eq!(status.get("partitions"), None);
    assert_eq!(status["pid"], agent.pid());
    assert_eq!(status["series"], 2);
    assert_eq!(status["bars_received"], 71);
    assert_eq!(status["members"].as_array().unwrap().len(), 1);
    assert_eq!(status["members"][0]["owned_share"], 1.0);

    let page = agent.get("/series").json();
    assert_eq!(page["total"], 2);
    assert_eq!(page["series"][0]["symbol"], "A");
    assert_eq!(
        agent.get("/series?limit=1&offset=1").json()["series"][0]["symbol"],
        "BRK.B"
    );

    let one = agent.get("/series?symbol=BRK.B&timeframe=1m").json();
    assert_eq!(one["total"], 1);
    assert_eq!(one["series"][0]["symbol"], "BRK.B");
    for none in ["symbol=NONE", "symbol=A&timeframe=5m", "timeframe=1d"] {
        let none = agent.get(&format!("/series?{none}")).json();
        assert_eq!(none["total"], 0);
        assert_eq!(none["series"], serde_json::json!([]));
    }
    let newest = agent.get("/series/BRK.B/1m?window=2").json();
    let newest: Vec<f64> = newest["window"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| bar["close"].as_f64().unwrap())
        .collect();
    assert_eq!(newest, [78.0, 79.0]);

    let found = agent.get("/series/BRK.B/1m").json();
    assert_eq!(found["bars"], 60);
    assert_eq!(found["owned"], true);
    assert_eq!(found["last_timestamp"], "2024-01-01T01:09:00Z");
    let closes: Vec<f64> = found["window"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| bar["close"].as_f64().unwrap())
        .collect();
    let expected: Vec<f64> = (20..80).map(f64::from).collect();
    assert_eq!(closes, expected);
    // the latest signal is the one that was published, to the byte
    let published = std::str::from_utf8(&last[69].payload).unwrap();
    let body = agent.get("/series/BRK.B/1m?window=false").body;
    assert!(body.contains(published), "{body}");
    assert!(!body.contains("\"window\""), "{body}");
    assert_eq!(agent.get("/series/NONE/1m").status, 404);
    assert_eq!(agent.get("/series/A/7y").status, 400);
    assert_eq!(agent.get("/nowhere").status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_components_agree() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[]);
    for probe in ["/livez", "/readyz", "/startupz", "/health"] {
        assert_eq!(agent.get(probe).status, 200, "{probe}");
    }
    let health = agent.get("/health").json();
    let components: BTreeSet<&str> = health["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["name"].as_str().unwrap())
        .collect();
    assert_eq!(components, BTreeSet::from(["intake", "membership", "nats"]));
    for component in components {
        let found = agent.get(&format!("/health/{component}"));
        assert_eq!(found.status, 200, "{component}");
        assert_eq!(found.json()["status"], "up", "{component}");
    }
    assert_eq!(agent.get("/health/nonsense").status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_routes_need_the_token_and_do_what_they_say() {
    let server = NatsServer::plain();
    let closed = ready_agent(&server, "closed", &[]);
    assert_eq!(closed.post("/admin/drain", Some("x"), "").status, 403);

    let mut agent = ready_agent(&server, "one", &[("HTTP_ADMIN_TOKEN", "open-sesame-1")]);
    for token in [None, Some("wrong")] {
        for path in ["/admin/log-level", "/admin/drain", "/admin/checkpoint"] {
            assert_eq!(agent.post(path, token, "DEBUG").status, 401, "{path}");
        }
    }
    let token = Some("open-sesame-1");
    assert_eq!(
        agent.post("/admin/log-level", token, "louder=than").status,
        400
    );
    assert_eq!(agent.post("/admin/log-level", token, "DEBUG").status, 200);
    agent.wait_log("log level changed");
    assert_eq!(agent.post("/admin/checkpoint", token, "").status, 501);
    assert_eq!(agent.post("/admin/drain", token, "").status, 202);
    assert_eq!(agent.wait_exit(), 0);
    agent.wait_log("stopping on request over HTTP");
    assert!(!agent.output().contains("open-sesame-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_lists_every_replica_and_the_owner_answers_for_a_series() {
    let server = NatsServer::plain();
    let agents = ["a", "b"].map(|name| ready_agent(&server, name, &[]));
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    until("both to hold slots", || {
        let held = |agent: &Agent| agent.get("/status").json()["owned_partitions"].as_u64();
        agents
            .iter()
            .all(|agent| held(agent) > Some(0))
            .then_some(())
    });
    for at in 0..10 {
        send(&client, &flat(&format!("S{at}"), 0, 10.0)).await;
    }
    let came = signals.wait_for(10).await;

    let names = |answers: &[async_nats::Message]| -> BTreeSet<String> {
        answers
            .iter()
            .map(|answer| {
                let json: Value = serde_json::from_slice(&answer.payload).unwrap();
                let name = json["agent"]
                    .as_str()
                    .or(json["metadata"]["agent"].as_str());
                name.unwrap().to_owned()
            })
            .collect()
    };
    let both = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
    for subject in [
        "$SRV.PING",
        "$SRV.PING.technical-analysis",
        "$SRV.INFO.technical-analysis",
        "technical.status",
    ] {
        let answers = ask(&client, subject, 2).await;
        assert_eq!(names(&answers), both, "{subject}");
    }
    let mut told = BTreeSet::new();
    for answer in ask(&client, "$SRV.STATS.technical-analysis", 2).await {
        let stats: Value = serde_json::from_slice(&answer.payload).unwrap();
        for endpoint in stats["endpoints"].as_array().unwrap() {
            let data = &endpoint["data"];
            assert!(data["owned_partitions"].as_u64() > Some(0), "{data}");
            assert_eq!(data.get("durable"), None, "of core delivery");
            told.insert(data["agent"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(told, both);
    assert_eq!(
        names(&ask(&client, "technical.status.b", 1).await),
        ["b".to_owned()].into()
    );
    for signal in &came {
        let symbol = signal.json()["symbol"].as_str().unwrap().to_owned();
        let answers = ask(&client, &format!("technical.series.{symbol}.1m"), 1).await;
        assert_eq!(answers.len(), 1, "{symbol}");
        let owner = answers[0]
            .headers
            .as_ref()
            .unwrap()
            .get("Ta-Agent")
            .unwrap();
        assert_eq!(Some(owner.as_str()), signal.header("Ta-Agent"), "{symbol}");
        let text = std::str::from_utf8(&answers[0].payload).unwrap();
        assert!(text.contains(std::str::from_utf8(&signal.payload).unwrap()));
    }
    // what nobody keeps is answered by the one who would
    let answers = ask(&client, "technical.series.NOBODY.1m", 1).await;
    let code = answers[0]
        .headers
        .as_ref()
        .unwrap()
        .get("Nats-Service-Error-Code");
    assert_eq!(code.unwrap().as_str(), "404");
    assert_eq!(answers.len(), 1);
}

/// All answers to a request: at least `expected`, and a moment longer for those too many.
async fn ask(
    client: &async_nats::Client,
    subject: &str,
    expected: usize,
) -> Vec<async_nats::Message> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    client
        .publish_with_reply(subject.to_owned(), inbox, "".into())
        .await
        .unwrap();
    let mut found = Vec::new();
    loop {
        let patience = match found.len() < expected {
            true => crate::common::PATIENCE,
            false => Duration::from_millis(150),
        };
        match tokio::time::timeout(patience, answers.next()).await {
            Ok(Some(answer)) => found.push(answer),
            _ => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_comes_again_and_again() {
    let server = NatsServer::plain();
    let agent = ready_agent(&server, "one", &[("TECHNICAL_AGENT_NAME", "desk 7.a")]);
    let client = client(&server).await;
    let beats = collect_signals(&client, "agents.technical.heartbeat.*").await;
    let came = beats.wait_for(2).await;
    assert_eq!(
        came[0].subject.as_str(),
        "agents.technical.heartbeat.desk%207%2Ea"
    );
    let beat = came[1].json();
    assert_eq!(beat["agent"], "desk 7.a");
    assert_eq!(beat["state"], "active");
    assert_eq!(beat["pid"], agent.pid());
    assert_eq!(beat["owned_partitions"], 256);
    assert_eq!(beat["series"], 0);
    assert_eq!(beat["lag_bars"], 0);
    assert_eq!(beat.get("durable"), None);
    assert_eq!(beat["last_processed"], Value::Null);
    let uptime = |at: usize| came[at].json()["uptime_seconds"].as_f64().unwrap();
    let apart = uptime(1) - uptime(0);
    assert!((4.0..7.0).contains(&apart), "{apart} s between heartbeats");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_quiet_at_info_and_tells_each_bar_and_signal_at_debug() {
    let server = NatsServer::plain();
    let client = client(&server).await;
    let signals = collect_signals(&client, "insight.technical.>").await;
    let url = server.url();
    let start = |name, level, dir| {
        let further = [
            ("LOG_LEVEL", level),
            ("LOG_DIR", dir),
            ("TECHNICAL_GROUP", name),
        ];
        Agent::start(every_bar(&url, name).into_iter().chain(further))
    };
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().to_str().unwrap();
    let mut agents = [start("quiet", "INFO", logs), start("loud", "DEBUG", logs)];
    agents.iter_mut().for_each(Agent::wait_ready);
    let quiet_lines = agents[0].logs().len();
    for minute in 0..20 {
        send(&client, &flat("A", minute, 10.0)).await;
    }
    signals.wait_for(40).await;
    let count = |message: &str| {
        let lines = agents[1].logs().into_iter();
        lines.filter(|line| line["message"] == message).count()
    };
    until_async("20 bars and signals in the log", || {
        (count("bar") == 20 && count("signal") == 20).then_some(())
    })
    .await;
    for line in agents[1].logs() {
        for field in ["timestamp", "level", "agent", "pid", "message", "target"] {
            assert!(!line[field].is_null(), "{field} in {line}");
        }
        assert_eq!(line["agent"], "loud");
    }
    let (quiet, loud) = (&agents[0], &agents[1]);
    let more: Vec<Value> = quiet.logs().split_off(quiet_lines);
    assert!(more.len() <= 2, "{more:?}");
    // the file holds what the stream holds
    for (agent, name) in [(quiet, "quiet"), (loud, "loud")] {
        until(&format!("{name}.log"), || {
            let files = std::fs::read_dir(dir.path()).ok()?.flatten();
            let mut files = files.filter(|f| f.file_name().to_string_lossy().starts_with(name));
            let text = std::fs::read_to_string(files.next()?.path()).ok()?;
            (text.lines().count() >= agent.logs().len()).then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_ever_told() {
    const PASSWORD: &str = "correct-horse-battery";
    const TOKEN: &str = "tell-no-one-4711";
    let server = NatsServer::with(format!(
        "authorization {{ user: agent, password: \"{PASSWORD}\" }}"
    ));
    let url = server.url();
    let variables = |password| {
        let further = [
            ("NATS_USER", "agent"),
            ("NATS_PASSWORD", password),
            ("HTTP_ADMIN_TOKEN", TOKEN),
            ("LOG_LEVEL", "TRACE"),
        ];
        every_bar(&url, "one").into_iter().chain(further)
    };
    let mut agent = Agent::start(variables(PASSWORD));
    agent.wait_ready();
    for path in ["/status", "/health", "/metrics"] {
        let body = agent.get(path).body;
        assert!(!body.contains(PASSWORD) && !body.contains(TOKEN), "{path}");
    }
    agent.sigterm();
    assert_eq!(agent.wait_exit(), 0);
    let wrong = "wrong-horse-battery";
    let mut refused = Agent::start(variables(wrong).chain([("NATS_CONNECT_TIMEOUT", "1")]));
    assert_eq!(refused.wait_exit(), 69);
    for (said, secret) in [(agent.output(), PASSWORD), (refused.output(), wrong)] {
        assert!(said.lines().count() > 3, "{said}");
        assert!(!said.contains(secret) && !said.contains(TOKEN), "{said}");
    }
}
