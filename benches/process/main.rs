//! The agent as a process over a real nats-server, beside the least that a process on the same
//! client library can do ([`echo`]). What counts is the ratio of the two in one run: rounds
//! alternate, so that a busy machine slows both.
//!
//! `cargo bench --bench process` prints the tables of `docs/performance.md` and one line of JSON.
//! Nothing is asserted about time.

#[path = "../../tests/common/mod.rs"]
mod common;
mod echo;
mod load;
mod report;
mod usage;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::Client;
use futures_util::StreamExt as _;

use common::{Agent, NatsServer};
use echo::Task;
use load::{Bars, Flat, Lane};
use report::{LaneReport, Memory, Rate, Report};
use usage::resident_bytes;

const SYMBOLS: u32 = 100;
const WINDOW: usize = 200;
const ROUNDS: usize = 5;
const PER_ROUND: usize = 150_000;
const IN_FLIGHT: usize = 20_000;
const RATES: [usize; 2] = [1_000, 10_000];
const STEADY: usize = 4;
const STARTS: usize = 7;
const SERIES: u32 = 5_000;
const BARS_PER_SERIES: u32 = 250;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(task) = Task::parse(&arguments) {
        return task.run();
    }
    // `cargo test --benches` runs this too, and has no use for two minutes of load
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("run it with `cargo bench --bench process`");
        return;
    }
    let report = run();
    println!("{report}");
    println!("{}", report.json());
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Report {
    let server = NatsServer::plain();
    let client = async_nats::connect(server.url()).await.expect("a client");
    let ear = async_nats::connect(server.url()).await.expect("a client");

    let starts = starts(&server);
    let memory = memory(&server, &client, &ear).await;

    let mut bars = Bars::new(SYMBOLS, 40_000);
    let agent = start_agent(&server, &[]);
    let mut lanes = vec![lane("agent", agent.pid(), &ear, "bench.bars", "bench.signals.>").await];
    let signal_bytes = warm_up(&mut lanes[0], &client, &mut bars).await;
    let mut echoes = Vec::new();
    for (name, headers) in [("echo with headers", true), ("echo", false)] {
        let task = Task {
            url: server.url(),
            from: format!("bench.in.{headers}.>"),
            to: format!("bench.out.{headers}"),
            payload_bytes: signal_bytes,
            headers,
        };
        let echo = Echo::start(&task);
        let prefix = format!("bench.in.{headers}");
        lanes.push(lane(name, echo.0.id(), &ear, &prefix, &task.to).await);
        echoes.push(echo);
    }

    let mut flat: Vec<Vec<Flat>> = vec![Vec::new(); lanes.len()];
    for _ in 0..ROUNDS {
        let round = bars.take(PER_ROUND);
        for (lane, runs) in lanes.iter_mut().zip(&mut flat) {
            runs.push(lane.flat_out(&client, &round, IN_FLIGHT).await);
        }
    }
    let mut rates: Vec<Vec<Rate>> = lanes.iter().map(|_| Vec::new()).collect();
    for rate in RATES {
        let round = bars.take(rate * STEADY);
        for (lane, rates) in lanes.iter_mut().zip(&mut rates) {
            let steady = lane.steady(&client, &round, rate).await;
            rates.push(Rate::new(rate, &steady));
        }
    }
    let lanes = lanes.iter().zip(flat).zip(rates);
    Report {
        signal_bytes,
        lanes: lanes
            .map(|((lane, flat), rates)| LaneReport::new(lane.name, &flat, rates))
            .collect(),
        memory,
        starts,
    }
}

/// An agent that listens on `bench.bars.<symbol>`, logs little, and is ready.
fn start_agent(server: &NatsServer, more: &[(&str, &str)]) -> Agent {
    let url = server.url();
    let mut agent = Agent::start(environment(&url).into_iter().chain(more.iter().copied()));
    agent.wait_ready();
    agent
}

fn environment(url: &str) -> [(&str, &str); 5] {
    [
        ("NATS_URL", url),
        ("LOG_LEVEL", "WARN"),
        ("TECHNICAL_DELIVERY", "core"),
        ("TECHNICAL_SUBJECTS", "bench.bars.>"),
        (
            "TECHNICAL_PUBLISH_SUBJECT",
            "bench.signals.{symbol}.{timeframe}",
        ),
    ]
}

async fn lane(name: &'static str, pid: u32, ear: &Client, prefix: &str, answers: &str) -> Lane {
    let answers = ear
        .subscribe(answers.to_owned())
        .await
        .expect("a subscription");
    ear.flush().await.expect("a connection");
    // what the server has read it has taken, in order
    let nobody = ear.request(ear.new_inbox(), "".into()).await;
    assert!(nobody.is_err(), "an inbox of our own has no other listener");
    Lane {
        name,
        pid,
        prefix: prefix.to_owned(),
        answers,
    }
}

/// Fills every window, and tells how large a signal is.
async fn warm_up(lane: &mut Lane, client: &Client, bars: &mut Bars) -> usize {
    let symbols = SYMBOLS as usize;
    for (symbol, payload) in bars.take(WINDOW * symbols) {
        let subject = format!("{}.{symbol}", lane.prefix);
        client.publish(subject, payload).await.expect("a publish");
    }
    // the default configuration speaks from the fiftieth bar of a series
    let signals = (WINDOW - 49) * symbols;
    let mut bytes = 0;
    for _ in 0..signals {
        let signal = lane.answers.next().await.expect("a signal");
        bytes = signal.payload.len();
    }
    bytes
}

/// From the start of a process to its readiness.
fn starts(server: &NatsServer) -> Vec<Duration> {
    let url = server.url();
    let mut starts: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let start = Instant::now();
            let agent = Agent::start(environment(&url));
            while agent
                .try_get("/readyz")
                .is_none_or(|answer| answer.status != 200)
            {
                assert!(start.elapsed() < common::PATIENCE, "{}", agent.output());
                std::thread::sleep(Duration::from_millis(1));
            }
            let taken = start.elapsed();
            agent.sigterm();
            taken
        })
        .collect();
    starts.sort_unstable();
    starts
}

/// Memory of the empty process, and of each series with a full window.
async fn memory(server: &NatsServer, client: &Client, ear: &Client) -> Memory {
    let agent = start_agent(server, &[("TECHNICAL_MIN_BARS_REQUIRED", "1")]);
    // the answers to the first heartbeat and probe are over
    tokio::time::sleep(Duration::from_secs(1)).await;
    let empty = resident_bytes(agent.pid());
    let mut lane = lane("agent", agent.pid(), ear, "bench.bars", "bench.signals.>").await;
    let mut bars = Bars::new(SERIES, BARS_PER_SERIES);
    for _ in 0..BARS_PER_SERIES {
        let round = bars.take(SERIES as usize);
        lane.flat_out(client, &round, 2_000).await;
    }
    let full = resident_bytes(agent.pid());
    Memory {
        empty,
        per_series: (full - empty) / f64::from(SERIES),
        series: SERIES,
    }
}

/// An echo process, killed when dropped.
struct Echo(Child);

impl Echo {
    fn start(task: &Task) -> Self {
        let this = std::env::current_exe().expect("our own path");
        let mut child = Command::new(this)
            .args(task.arguments())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the echo starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
