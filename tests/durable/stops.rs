//! An agent that is told to stop ends in time, whatever it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::Config;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{NatsServer, Options, until};
use crate::feeder::{bar, feed};
use crate::history::settle;
use crate::{agent_at, permissions};

/// In seconds; well above what a stop takes, so that one that waits for the deadline is found.
const TIMEOUT: u64 = 20;
const CHECKPOINTS: &str = "OBJ_TECHNICAL_SIGNALS_CHECKPOINTS";

/// The work of an agent at the time of the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has nothing to do.
    Idle,
    /// JetStream answers nothing, while the connection is well, and the agent is at work.
    JetStreamIsSilent,
    /// The same, and state waits for its checkpoint.
    JetStreamIsSilentAndStateUnsaved,
    /// The same, and it has not found its streams yet.
    Preparing,
    /// A checkpoint is not there to be read.
    Loading,
    /// Bars without a checkpoint are computed again.
    Replaying,
    /// There is no room for signals.
    Full,
    /// The server was killed.
    BrokerAway,
    /// The server takes everything and answers nothing.
    BrokerSilent,
}

const ALL: [State; 9] = [
    State::Idle,
    State::JetStreamIsSilent,
    State::JetStreamIsSilentAndStateUnsaved,
    State::Preparing,
    State::Loading,
    State::Replaying,
    State::Full,
    State::BrokerAway,
    State::BrokerSilent,
];

/// The way of an agent to its server, on which nothing more that is meant for JetStream arrives
/// once it is told so. The connection stays well.
struct Silencer {
    url: String,
    silent: Arc<AtomicBool>,
}

impl Silencer {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("nats://{}", listener.local_addr().expect("bound"));
        let silent = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&silent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", port)).await;
                let (Ok(server), told) = (server, Arc::clone(&told)) else {
                    continue;
                };
                let (mut answers, to_server) = server.into_split();
                let (from_client, mut to_client) = client.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to_client).await });
                tokio::spawn(pass(BufReader::new(from_client), to_server, told));
            }
        });
        Self { url, silent }
    }

    fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }
}

/// Passes the commands of a client on, but for what is published to JetStream while `silent`.
async fn pass(
    mut from: BufReader<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    silent: Arc<AtomicBool>,
) -> std::io::Result<()> {
    loop {
        let mut command = Vec::new();
        if from.read_until(b'\n', &mut command).await? == 0 {
            return to.shutdown().await;
        }
        let text = String::from_utf8_lossy(&command).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut stored = false;
        if let ["PUB" | "HPUB", subject, .., bytes] = words.as_slice() {
            let bytes: usize = bytes.parse().expect("a size");
            let start = command.len();
            command.resize(start + bytes + 2, 0);
            from.read_exact(&mut command[start..]).await?;
            let of = ["$JS.", "$KV.", "$O.", "commit.", "insight.", "dead."];
            stored = of.iter().any(|of| subject.starts_with(of));
        }
        if !(stored && silent.load(Ordering::Relaxed)) {
            to.write_all(&command).await?;
        }
    }
}

/// Brings an agent into the state, tells it to stop, and says how it ended.
async fn stop_in(state: State) -> (i32, Vec<String>, Duration) {
    let mut server = NatsServer::start(Options {
        jetstream: true,
        config: permissions::configured(&permissions::block()),
    });
    let js = permissions::source(&server).await;
    let silencer = Silencer::to(server.port()).await;
    let timeout = TIMEOUT.to_string();
    let saved = match state {
        State::Replaying | State::JetStreamIsSilentAndStateUnsaved => "3600",
        _ => "1",
    };
    let more = [
        ("NATS_USER", "agent"),
        ("NATS_PASSWORD", "a"),
        ("SHUTDOWN_TIMEOUT", timeout.as_str()),
        ("TECHNICAL_CHECKPOINT_SECS", saved),
    ];
    if state == State::Preparing {
        silencer.silence();
    }
    let mut running = agent_at(&silencer.url, &more);
    if state == State::Preparing {
        running.wait_log("durable delivery cannot begin");
    } else {
        running.wait_ready();
        feed(&js, 0..20).await;
        settle(&js, 20, 1).await;
    }
    match state {
        State::Idle | State::Preparing => {}
        State::JetStreamIsSilent => {
            running.wait_metrics(&[("technical_checkpoint_age_seconds", 0.0)]);
            silencer.silence();
        }
        State::JetStreamIsSilentAndStateUnsaved => silencer.silence(),
        State::Loading => {
            running.wait_metrics(&[("technical_checkpoint_age_seconds", 0.0)]);
            // one that found everything, and has to load what the other leaves
            let mut other = agent_at(&silencer.url, &more);
            other.wait_ready();
            let reading = format!("$JS.API.STREAM.MSG.GET.{CHECKPOINTS}");
            let denied = permissions::without(&reading);
            server.reload_with(permissions::configured(&denied));
            running.kill();
            running = other;
            until("a checkpoint to be missed", || {
                let log = running.logs();
                let mut reasons = log.iter().filter_map(|line| line["reason"].as_str());
                reasons
                    .any(|reason| reason.contains("cannot be read now"))
                    .then_some(())
            });
        }
        State::Replaying => {
            running.kill();
            for n in 20..3_000 {
                let (payload, id) = (bar(0, n).to_string(), n.to_string());
                js.publish("raw.market_data.price.S0.1m", payload.into())
                    .await
                    .expect("it is sent")
                    .await
                    .unwrap_or_else(|error| panic!("bar {id}: {error}"));
            }
            running = agent_at(&silencer.url, &more);
            running.wait_log("the group has changed");
        }
        State::Full => {
            let stream = js.get_stream("TECHNICAL_SIGNALS").await.unwrap();
            let info = stream.cached_info();
            let full = Config {
                max_bytes: i64::try_from(info.state.bytes).unwrap() + 500,
                ..info.config.clone()
            };
            js.update_stream(full).await.expect("no room");
            feed(&js, 20..40).await;
            running.wait_metrics(&[("technical_circuit_open", 1.0)]);
        }
        State::BrokerAway => server.kill(),
        State::BrokerSilent => server.freeze(),
    }
    let began = Instant::now();
    running.sigterm();
    let code = running.wait_exit();
    let took = began.elapsed();
    if state == State::BrokerSilent {
        server.thaw();
    }
    let message = |line: &serde_json::Value| line["message"].as_str().unwrap().to_owned();
    (code, running.logs().iter().map(message).collect(), took)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_in_time_in_every_state() {
    let mut wrong = Vec::new();
    for state in ALL {
        let (code, log, took) = stop_in(state).await;
        println!("{state:?}: {code} after {:.1} s", took.as_secs_f64());
        let cut = log.iter().any(|message| message.contains("was cut"));
        // everything that was received is stored, or still in the stream of bars
        if code != 0 || cut {
            wrong.push((state, code, log));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
