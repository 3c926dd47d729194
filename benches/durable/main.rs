//! Durable delivery as it is run: real agents over a real nats-server with file storage.
//!
//! Throughput is that of working off a backlog, beside the least that a process on the same client
//! library can do with it ([`carry`]): read the stream, publish something of the size of a signal
//! into another. Rates and waits are taken from the times at which the server stored bars and
//! signals, so that nothing but the server's clock is involved. Nothing is asserted about time.

#[path = "../../tests/common/mod.rs"]
mod common;

mod carry;
#[path = "../process/load.rs"]
#[allow(dead_code)]
mod load;
mod report;
mod stored;
#[path = "../process/usage.rs"]
#[allow(dead_code)]
mod usage;

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, Context};
use technical_analysis_agent::tools::synthetic::Synthetic;
use technical_analysis_agent::{clock, market::Timeframe};
use tokio::time::{MissedTickBehavior, interval};

use carry::Task;
use common::{Agent, NatsServer};
use load::percentile;
use report::{Backlog, Moved, Report, Waits};
use stored::{Acks, Signals};

const SYMBOLS: u32 = 100;
const BACKLOG: u32 = 120_000;
const ROUNDS: usize = 3;
const RATES: [usize; 2] = [1_000, 10_000];
const STEADY: usize = 5;
const MOVES: usize = 3;
const SERIES: u32 = 10_000;
const WINDOW: u32 = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(task) = Task::parse(&arguments) {
        return task.run();
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("run it with `cargo bench --bench durable`");
        return;
    }
    // one part by name, for work on it
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let report = run(&|part: &str| only.is_none_or(|only| only == part));
    println!("{report}");
    println!("{}", report.json());
}

#[tokio::main(flavor = "current_thread")]
async fn run(wanted: &dyn Fn(&str) -> bool) -> Report {
    let mut report = Report::default();
    if wanted("backlog") {
        for round in 0..ROUNDS {
            report.carried.push(carried(round % 2 == 0).await);
            report.backlogs.push(backlog(1, 32).await);
        }
        for (agents, partitions) in [(2, 32), (3, 32), (1, 1), (1, 8)] {
            report.backlogs.push(backlog(agents, partitions).await);
        }
    }
    if wanted("latency") {
        for rate in RATES {
            report.waits.push(steady(rate).await);
        }
    }
    if wanted("moves") {
        for what in ["a member leaves", "a member joins", "a member is killed"] {
            report.moves.push(moved(what).await);
        }
    }
    if wanted("recovery") {
        report.recovery = Some(recovery().await);
    }
    report
}

/// A server, and a client of it.
async fn broker() -> (NatsServer, Context) {
    let server = NatsServer::jetstream();
    let client = async_nats::connect(server.url()).await.expect("a client");
    (server, jetstream::new(client))
}

fn agent(server: &NatsServer, partitions: u32, more: &[(&str, &str)]) -> Agent {
    let (url, partitions) = (server.url(), partitions.to_string());
    let own = [
        ("NATS_URL", url.as_str()),
        ("LOG_LEVEL", "WARN"),
        ("TECHNICAL_DELIVERY", "durable"),
        ("TECHNICAL_MIN_BARS_REQUIRED", "1"),
        ("TECHNICAL_PARTITIONS", &partitions),
    ];
    Agent::start(own.into_iter().chain(more.iter().copied()))
}

fn ready(server: &NatsServer, partitions: u32, more: &[(&str, &str)]) -> Agent {
    let mut agent = agent(server, partitions, more);
    agent.wait_ready();
    agent
}

/// Streams as an agent makes them, with nobody at work on them.
async fn streams(partitions: u32) -> (NatsServer, Context) {
    let (server, js) = broker().await;
    let mut maker = ready(&server, partitions, &[]);
    maker.sigterm();
    assert_eq!(maker.wait_exit(), 0);
    (server, js)
}

fn walk(symbols: u32, bars: u32) -> impl Iterator<Item = (String, Vec<u8>)> {
    let walk = Synthetic {
        symbols,
        bars,
        seed: 1,
        timeframe: Timeframe::MINUTE,
        end: clock::now(),
    };
    let bars = walk.bars().expect("bars after 1970");
    bars.map(|bar| {
        let subject = format!("raw.market_data.price.{}.1m", bar.symbol);
        (subject, bar.payload)
    })
}

/// Stores bars as fast as they are acknowledged.
async fn store(js: &Context, symbols: u32, bars: u32) {
    let mut acks = Acks::new(2_000);
    for (subject, payload) in walk(symbols, bars) {
        acks.push(js, subject, payload.into()).await;
    }
    acks.all().await;
}

async fn backlog(agents: usize, partitions: u32) -> Backlog {
    let (server, js) = streams(partitions).await;
    store(&js, SYMBOLS, BACKLOG / SYMBOLS).await;
    let mut running: Vec<Agent> = (0..agents)
        .map(|_| agent(&server, partitions, &[]))
        .collect();
    let signals = Signals::all(&js, u64::from(BACKLOG)).await;
    running.iter_mut().for_each(Agent::wait_ready);
    let cpu = running.iter().map(|a| usage::cpu_seconds(a.pid())).sum();
    Backlog::new(agents, partitions, &signals, cpu)
}

/// Result of a bare process with the same backlog.
async fn carried(headers: bool) -> Backlog {
    let (server, js) = streams(32).await;
    store(&js, SYMBOLS, BACKLOG / SYMBOLS).await;
    let task = Task {
        url: server.url(),
        bytes: 780,
        headers,
    };
    let (signals, cpu) = carry::run(&task, &js, u64::from(BACKLOG)).await;
    Backlog::new(0, u32::from(headers), &signals, cpu)
}

/// Bars at `rate` per second, a thousandth of it every millisecond.
async fn feed(js: &Context, rate: usize, seconds: usize) {
    let mut acks = Acks::new(2_000);
    let bars = u32::try_from(rate * seconds).expect("a small number") / SYMBOLS;
    let mut bars = walk(SYMBOLS, bars);
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..seconds * 1_000 {
        ticks.tick().await;
        for (subject, payload) in bars.by_ref().take(rate / 1_000) {
            acks.push(js, subject, payload.into()).await;
        }
    }
    acks.all().await;
}

async fn steady(rate: usize) -> Waits {
    let (server, js) = streams(32).await;
    let agent = ready(&server, 32, &[]);
    let (cpu, start) = (usage::cpu_seconds(agent.pid()), Instant::now());
    feed(&js, rate, STEADY).await;
    let cores = (usage::cpu_seconds(agent.pid()) - cpu) / start.elapsed().as_secs_f64();
    let signals = Signals::all(&js, (rate * STEADY) as u64).await;
    let waits = signals.waits(&js).await;
    Waits::new(rate, &waits, cores)
}

/// The longest wait of a bar while the members change under 1,000 bars a second, several times.
async fn moved(what: &'static str) -> Moved {
    let mut longest = Vec::new();
    for _ in 0..MOVES {
        let (server, js) = streams(32).await;
        let mut stays = ready(&server, 32, &[]);
        let mut other = (what != "a member joins").then(|| ready(&server, 32, &[]));
        balanced(&stays, other.as_ref()).await;
        let seconds = if what == "a member is killed" { 14 } else { 5 };
        let change = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match (&mut other, what) {
                (None, _) => other = Some(agent(&server, 32, &[])),
                (Some(other), "a member leaves") => other.sigterm(),
                (Some(other), _) => other.kill(),
            }
        };
        tokio::join!(feed(&js, 1_000, seconds), change);
        let signals = Signals::all(&js, 1_000 * seconds as u64).await;
        longest.push(percentile(&signals.waits(&js).await, 1.0));
        stays.sigterm();
        assert_eq!(stays.wait_exit(), 0);
    }
    longest.sort_unstable();
    Moved { what, longest }
}

async fn balanced(stays: &Agent, other: Option<&Agent>) {
    let share = if other.is_some() { 15..=18 } else { 33..=33 };
    common::until_async("an even division", || {
        let even = |agent: &Agent| {
            let owned = agent.try_get("/status")?.json()["owned_partitions"].as_u64()?;
            Some(share.contains(&owned))
        };
        (even(stays)? && other.is_none_or(|other| even(other).unwrap_or(false))).then_some(())
    })
    .await;
}

/// From the start of a process to its readiness, with the state of many series in checkpoints.
async fn recovery() -> Duration {
    let (server, js) = streams(32).await;
    let quiet = [("TECHNICAL_MIN_BARS_REQUIRED", "200")];
    let mut first = ready(&server, 32, &quiet);
    store(&js, SERIES, WINDOW).await;
    let patience = Duration::from_secs(120);
    stored::reaches(&js, "TECHNICAL_SIGNALS", u64::from(SERIES), patience).await;
    first.sigterm();
    assert_eq!(first.wait_exit(), 0);
    let started = Instant::now();
    let again = ready(&server, 32, &quiet);
    let took = started.elapsed();
    common::until("every series", || {
        let series = again.get("/status").json()["series"].as_u64();
        (series == Some(u64::from(SERIES))).then_some(())
    });
    took
}
