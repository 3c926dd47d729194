//! The agents of a group, each behind a network of its own, and the servers they work with: what
//! can be done to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, block_in_place};

use crate::common::{Agent, Cluster, NatsServer, Network, PATIENCE, Proxy, until_async};
use crate::schedule::{End, Step};
use crate::{Variables, agent_at};

/// Partitions and the one for subjects without a symbol.
pub const UNITS: u64 = 9;
/// Between two agents of a rolling restart.
const ROLL: Duration = Duration::from_millis(300);

/// In place of the exit code of an agent at work that a signal ended.
const KILLED: i32 = -1;

/// The configurations that a rolling restart changes between, for agents and replay alike. The
/// same bars have signals under both, and as both have an RSI then, the same revisions.
pub const CONFIGURATIONS: [Variables; 2] = [
    &[
        ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
        ("TECHNICAL_MIN_BARS_REQUIRED", "15"),
        ("TECHNICAL_MAX_PAYLOAD_BYTES", "4096"),
        ("TECHNICAL_INDICATORS", "atr(14)"),
        ("TECHNICAL_TIMEFRAMES", "3m,5m,15m"),
        // short, so that time marks are written whenever bars or servers pause
        ("TECHNICAL_BAR_GRACE_SECS", "1"),
    ],
    &[
        ("TECHNICAL_DATA_WINDOW_SIZE", "60"),
        ("TECHNICAL_MIN_BARS_REQUIRED", "15"),
        ("TECHNICAL_MAX_PAYLOAD_BYTES", "4096"),
        ("TECHNICAL_INDICATORS", "atr(14),adx(14)"),
        ("TECHNICAL_RSI_PERIOD", "7"),
        ("TECHNICAL_TIMEFRAMES", "3m,5m,15m"),
        // short, so that time marks are written whenever bars or servers pause
        ("TECHNICAL_BAR_GRACE_SECS", "1"),
    ],
];

/// One server, or three that hold every stream three times.
pub enum Broker {
    One(Box<NatsServer>),
    Three(Cluster),
}

impl Broker {
    pub fn ports(&self) -> Vec<u16> {
        match self {
            Self::One(server) => vec![server.port()],
            Self::Three(cluster) => cluster.nodes().iter().map(NatsServer::port).collect(),
        }
    }

    pub fn urls(&self) -> String {
        let url = |port: &u16| format!("nats://127.0.0.1:{port}");
        self.ports().iter().map(url).collect::<Vec<_>>().join(",")
    }

    /// Ends one and starts it again after so long.
    async fn end_and_restart(&mut self, js: &Context, which: usize, end: End, down: Duration) {
        match self {
            Self::One(server) => {
                block_in_place(|| match end {
                    End::Stopped => server.stop(),
                    End::Killed => server.kill(),
                });
                tokio::time::sleep(down).await;
                block_in_place(|| server.restart());
            }
            Self::Three(cluster) => {
                // never two at a time, and one that has yet to catch up counts
                cluster.wait_in_sync(js).await;
                cluster.kill(which);
                tokio::time::sleep(down).await;
                block_in_place(|| cluster.restart(which));
            }
        }
    }

    fn replicas(&self) -> &'static str {
        match self {
            Self::One(_) => "1",
            Self::Three(_) => "3",
        }
    }
}

struct Member {
    agent: Agent,
    networks: Vec<Proxy>,
}

impl Member {
    fn set(&self, network: Network) {
        for proxy in &self.networks {
            proxy.set(network);
        }
    }
}

pub struct Fleet {
    broker: Arc<Mutex<Broker>>,
    /// Restarts of it that are under way.
    restarts: Vec<JoinHandle<()>>,
    ports: Vec<u16>,
    replicas: &'static str,
    js: Context,
    members: Vec<Member>,
    configuration: usize,
    /// Those that were told to end, with the exit codes they come to; nothing where it was so early
    /// that the signal itself ended it.
    leaving: Vec<JoinHandle<Option<i32>>>,
}

impl Fleet {
    /// Starts so many agents and waits until they are ready.
    pub fn start(broker: Broker, js: Context, agents: usize) -> Self {
        let mut fleet = Self {
            ports: broker.ports(),
            replicas: broker.replicas(),
            broker: Arc::new(Mutex::new(broker)),
            restarts: Vec::new(),
            js,
            members: Vec::new(),
            configuration: 0,
            leaving: Vec::new(),
        };
        for _ in 0..agents {
            fleet.join();
        }
        block_in_place(|| {
            for member in &mut fleet.members {
                member.agent.wait_ready();
            }
        });
        fleet
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    fn member(&self) -> Member {
        let networks: Vec<Proxy> = self.ports.iter().map(|port| Proxy::to(*port)).collect();
        let urls: Vec<String> = networks.iter().map(Proxy::url).collect();
        let mut variables = vec![
            ("TECHNICAL_STREAM_REPLICAS", self.replicas),
            ("SHUTDOWN_TIMEOUT", "10"),
        ];
        variables.extend(CONFIGURATIONS[self.configuration]);
        let asked = |name: &str| std::env::var(name).unwrap_or_default();
        // what is promised rests on it, so a run without it has to be found out
        let failpoint = asked("CHAOS_FAILPOINT");
        variables.push(("TA_FAILPOINT", &failpoint));
        // for whoever looks into a run
        let logs = asked("CHAOS_LOG_DIR");
        if !logs.is_empty() {
            variables.extend([("LOG_DIR", logs.as_str()), ("LOG_LEVEL", "DEBUG")]);
        }
        let agent = agent_at(&urls.join(","), &variables);
        Member { agent, networks }
    }

    /// Starts one more.
    pub fn join(&mut self) {
        self.members.push(self.member());
    }

    /// Tells the last one to end, which it does in its own time.
    pub fn leave(&mut self) {
        if let Some(leaving) = self.members.pop() {
            self.see_off(leaving);
        }
    }

    /// Kills the last one.
    pub fn lose(&mut self) {
        if let Some(mut lost) = self.members.pop() {
            lost.agent.kill();
        }
    }

    fn see_off(&mut self, mut leaving: Member) {
        // before that it may not hear signals yet, and has nothing to give up
        let lines = leaving.agent.stdout();
        let at_work = lines.iter().any(|line| line.contains("connected to NATS"));
        leaving.agent.sigterm();
        self.leaving.push(tokio::task::spawn_blocking(move || {
            // with its network, which it needs to the end
            let status = leaving.agent.wait_end();
            if at_work && !matches!(status.code(), Some(0 | 75)) {
                println!("an agent ended with {status}:\n{}", leaving.agent.output());
            }
            drop(leaving);
            match status.code() {
                None if !at_work => None,
                code => Some(code.unwrap_or(KILLED)),
            }
        }));
    }

    fn replace(&mut self, which: usize) -> Member {
        let new = self.member();
        std::mem::replace(&mut self.members[which], new)
    }

    /// Does it; what lasts and is not a pause goes on by itself.
    pub async fn suffer(&mut self, step: Step) {
        match step {
            Step::Kill(which) => {
                self.members[which].agent.kill();
                self.replace(which);
            }
            Step::Restart(which) => {
                let replaced = self.replace(which);
                self.see_off(replaced);
            }
            Step::Pause(which, time) => {
                let agent = &self.members[which].agent;
                block_in_place(|| agent.freeze());
                tokio::time::sleep(time).await;
                agent.thaw();
            }
            Step::Network(which, network, time) => {
                self.members[which].set(network);
                for proxy in &self.members[which].networks {
                    let switch = proxy.switch();
                    tokio::spawn(async move {
                        tokio::time::sleep(time).await;
                        switch.send_replace(Network::Up);
                    });
                }
            }
            Step::Server(which, end, down) => {
                let (broker, js) = (Arc::clone(&self.broker), self.js.clone());
                self.restarts.push(tokio::spawn(async move {
                    // one after the other, in the order they were asked for
                    let mut broker = broker.lock().await;
                    broker.end_and_restart(&js, which, end, down).await;
                }));
            }
            Step::Scale(agents) => {
                while self.members.len() < agents {
                    self.join();
                }
                while self.members.len() > agents {
                    self.leave();
                }
            }
            Step::Roll => {
                self.configuration = (self.configuration + 1) % CONFIGURATIONS.len();
                for which in 0..self.members.len() {
                    let replaced = self.replace(which);
                    self.see_off(replaced);
                    tokio::time::sleep(ROLL).await;
                }
            }
        }
    }

    /// Ends every trouble with the network, and waits until the servers run again.
    pub async fn heal(&mut self) {
        for restart in self.restarts.drain(..) {
            restart.await.expect("the servers start again");
        }
        for member in &self.members {
            member.set(Network::Up);
        }
    }

    /// Waits until those that were told to end have; how often each exit code came.
    pub async fn exits(&mut self) -> BTreeMap<i32, usize> {
        let mut exits = BTreeMap::new();
        for leaving in self.leaving.drain(..) {
            let code = leaving
                .await
                .expect("an agent that ends when it is told to");
            if let Some(code) = code {
                *exits.entry(code).or_default() += 1;
            }
        }
        exits
    }

    /// Number of partitions that each agent owns by its own report.
    pub fn owned(&self) -> Vec<Option<u64>> {
        let owned = |member: &Member| {
            let status = member.agent.try_get("/status")?.json();
            status["owned_partitions"].as_u64()
        };
        block_in_place(|| self.members.iter().map(owned).collect())
    }

    /// Waits until everything is owned and nobody has more than one partition above the fair
    /// share.
    pub async fn wait_even(&self) -> Vec<u64> {
        let fair = UNITS / self.members.len() as u64;
        let mut last = Vec::new();
        let start = std::time::Instant::now();
        loop {
            let owned = self.owned();
            let counts: Vec<u64> = owned.iter().flatten().copied().collect();
            let even = counts.iter().all(|n| (fair..=fair + 1).contains(n));
            if even && counts.len() == owned.len() && counts.iter().sum::<u64>() == UNITS {
                return counts;
            }
            last.clone_from(&owned);
            assert!(start.elapsed() < 2 * PATIENCE, "no even division: {last:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Number of partitions taken over by all agents that run now.
    pub fn taken_over(&self) -> u64 {
        let sample = "technical_partition_moves_total{direction=\"acquired\"}";
        let of = |member: &Member| member.agent.metrics().get(sample).unwrap_or_default();
        let all: f64 = block_in_place(|| self.members.iter().map(of).sum());
        all as u64
    }

    /// Waits until every agent says that it is ready.
    pub async fn wait_ready(&self) {
        let ready = |member: &Member| {
            let response = member.agent.try_get("/readyz");
            response.is_some_and(|response| response.status == 200)
        };
        until_async("every agent to be ready", || {
            block_in_place(|| self.members.iter().all(ready)).then_some(())
        })
        .await;
    }
}

/// Both configurations begin with the same bar, and with their RSI.
#[test]
fn the_configurations_have_signals_for_the_same_bars() {
    let values = |name: &str| {
        CONFIGURATIONS.map(|configuration| {
            let found = configuration.iter().find(|(set, _)| *set == name);
            found.map(|(_, value)| value.parse::<u64>().expect("a number"))
        })
    };
    let least = values("TECHNICAL_MIN_BARS_REQUIRED");
    assert_eq!(least[0], least[1]);
    for period in values("TECHNICAL_RSI_PERIOD") {
        assert!(period.unwrap_or(14) < least[0].expect("a number of bars"));
    }
}
